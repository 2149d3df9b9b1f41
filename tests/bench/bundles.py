"""The bundles that are measured: a busybox root file system and two configs.

`small` is what every runtime's `spec` writes, give or take. `engine` has the
size of what Docker and Kubernetes send: 30 mounts, a seccomp allow list for
three architectures, 40 masked paths.
"""

import json
import pathlib
import re
import shutil

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
ENGINE_CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE"]
# System calls that an engine's allow list leaves to privileged containers.
PRIVILEGED = set("""
    acct add_key bpf clone3 delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick init_module ioperm
    iopl io_uring_enter io_uring_register io_uring_setup kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind
    mount mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree perf_event_open pivot_root
    process_madvise process_vm_readv process_vm_writev ptrace query_module quotactl quotactl_fd reboot request_key
    set_mempolicy setdomainname sethostname setns settimeofday stime swapoff swapon sysfs syslog umount umount2
    unshare uselib userfaultfd ustat vhangup vm86 vm86old""".split())


def make_rootfs(root):
    """Busybox under the two names that are used; what a runtime makes itself is not there."""
    for directory in ("bin", "dev", "etc", "proc", "sys"):
        (root / directory).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    for applet in ("true", "sleep"):
        (root / "bin" / applet).symlink_to("busybox")


def make(directory, kind, program, cgroup, devices, memory=None):
    """Writes `directory`/config.json; the root file system lies beside the directory.

    `devices` says whether the cgroup is to refuse devices; `memory` limits it, in bytes.
    """
    directory.mkdir(parents=True)
    config = small(directory.parent / "rootfs", program, cgroup)
    if devices:
        config["linux"]["resources"]["devices"] = [{"allow": False, "access": "rwm"}]
    if memory is not None:
        config["linux"]["resources"]["memory"] = {"limit": memory}
    if kind == "engine":
        enlarge(config, directory)
    (directory / "config.json").write_text(json.dumps(config))


def small(root, program, cgroup):
    nothing_special = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": program,
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {s: CAPABILITIES for s in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": False},
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", "proc", []),
            mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts",
                  ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", "shm", [*nothing_special, "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", nothing_special),
            mount("/sys", "sysfs", "sysfs", [*nothing_special, "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", [*nothing_special, "relatime", "ro"]),
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {},
            "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def mount(destination, kind, source, options):
    return {"destination": destination, "type": kind, "source": source, "options": options}


def enlarge(config, directory):
    process, mounts, linux = config["process"], config["mounts"], config["linux"]
    process["capabilities"] = {s: ENGINE_CAPABILITIES for s in ("bounding", "effective", "permitted")}
    process["env"] += [f"SERVICE_{n}_PORT=tcp://10.0.0.{n}:80" for n in range(40)]
    for name in ("hosts", "hostname", "resolv.conf"):
        mounts.append(bind(directory / name, f"/etc/{name}"))
    while len(mounts) < 30:
        name = f"volume-{len(mounts)}"
        mounts.append(bind(directory / name, f"/etc/{name}"))
    linux["maskedPaths"] += ["/proc/interrupts", "/sys/devices/virtual/powercap"]
    linux["maskedPaths"] += [f"/sys/devices/system/cpu/cpu{n}/thermal_throttle" for n in range(28)]
    linux["seccomp"] = seccomp()


def bind(source, destination):
    source.write_text("127.0.0.1 localhost\n")
    return {"destination": destination, "type": "bind", "source": str(source),
            "options": ["rbind", "rprivate", "ro"]}


def seccomp():
    """An allow list made of the kernel's own headers, with the conditions that engines add to it."""
    headers = pathlib.Path("/usr/include/x86_64-linux-gnu/asm")
    names = set()
    for header in ("unistd_64.h", "unistd_32.h"):
        names |= set(re.findall(r"#define __NR_(\w+)", (headers / header).read_text()))
    namespaces = 0x7e020000
    allowed = sorted(names - PRIVILEGED - {"clone", "personality", "socket"})
    equal = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (0, 8, 0x20000, 0x20008, 0xffffffff)]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": allowed, "action": "SCMP_ACT_ALLOW"},
            *({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [argument]} for argument in equal),
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": namespaces, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    }
