# What the demonstration changes in the config that `spec` writes.
#   $root     path of the root file system       $cgroup   absolute cgroup path
#   $scripts  directory of the scripts           $script   the one to run
#   $mark     value by which processes of this demonstration are found again
.process.terminal = false
| .process.args = ["/bin/sh", "/tmp/demo/" + $script]
| .process.env += ["CLOISON_DEMO=" + $mark]
| .root = {path: $root, readonly: true}
| .hostname = "demo"
| .mounts += [
    {destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=1777"]},
    {destination: "/tmp/demo", type: "bind", source: $scripts, options: ["bind", "ro"]}
  ]
| .linux.namespaces |= (map(select(.type != "cgroup")) + [{type: "cgroup"}])
| .linux.cgroupsPath = $cgroup
| .linux.resources += {
    memory: {limit: (64 * 1024 * 1024)},
    pids: {limit: 32},
    cpu: {quota: 50000, period: 100000}
  }
| .linux.seccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{
      names: ["mount", "umount2", "fsopen", "fsmount", "open_tree", "move_mount",
              "unshare", "setns", "ptrace", "bpf", "keyctl", "reboot", "kexec_load"],
      action: "SCMP_ACT_ERRNO",
      errnoRet: 38
    }]
  }
