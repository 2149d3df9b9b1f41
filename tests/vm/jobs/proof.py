"""Proves the laboratory, by means of runtimes that are known to work.

RUNTIME (runc, crun) runs a busybox bundle in a cgroup made by MANAGER (cgroupfs,
systemd); each container reads its own limits on cgroup v2.
"""

import json
import os
import pathlib
import subprocess
import sys

RUNTIME = os.environ["RUNTIME"]
MANAGER = os.environ["MANAGER"]
ROOTLESS = os.getuid() != 0
MIB = 1 << 20


class Skip(Exception):
    pass


def main() -> int:
    make_bundle()
    failures = {}
    for test in (says_hello, limits_memory, limits_pids, limits_cpus, denies_devices):
        try:
            test()
            word = "ok"
        except Skip as reason:
            word = f"ignored, {reason}"
        except (AssertionError, subprocess.SubprocessError) as error:
            failures[test.__name__] = error
            word = "FAILED"
        print(f"test {test.__name__} ... {word}", flush=True)
    for name, error in failures.items():
        print(f"\n---- {name} stdout ----\n{error}\n{getattr(error, 'stderr', '') or ''}")
    return 1 if failures else 0


def says_hello() -> None:
    expect(run("echo hello", {}), "hello")


def limits_memory() -> None:
    need("memory")
    shown = run("cat /sys/fs/cgroup/memory.max", {"memory": {"limit": 64 * MIB}})
    expect(shown, str(64 * MIB))


def limits_pids() -> None:
    need("pids")
    expect(run("cat /sys/fs/cgroup/pids.max", {"pids": {"limit": 12}}), "12")


def limits_cpus() -> None:
    need("cpuset")
    expect(run("cat /sys/fs/cgroup/cpuset.cpus", {"cpu": {"cpus": "0"}}), "0")


def denies_devices() -> None:
    if ROOTLESS:
        raise Skip("a device filter needs CAP_BPF")
    # Made by the container itself, whose capabilities allow it.
    script = "mknod /dev/kmsg c 1 11 2>/dev/null; cat /dev/kmsg >/dev/null 2>&1 || echo denied"
    expect(run(script, {"devices": [{"allow": False, "access": "rwm"}]}), "denied")


def need(controller: str) -> None:
    # What the cgroups beside this process's own can have.
    own = pathlib.Path("/sys/fs/cgroup" + own_cgroup())
    if controller not in (own.parent / "cgroup.controllers").read_text().split():
        raise Skip(f"no {controller} controller")


def expect(shown: str, wanted: str) -> None:
    assert shown == wanted, f"wanted {wanted!r}, got {shown!r}"


def make_bundle() -> None:
    bin = pathlib.Path("rootfs/bin")
    bin.mkdir(parents=True)
    subprocess.run(["cp", "/bin/busybox", bin / "busybox"], check=True)
    for applet in ("sh", "cat", "mknod"):
        (bin / applet).symlink_to("busybox")


def run(script: str, resources: dict) -> str:
    """What a container prints that runs a script under some resource limits."""
    pathlib.Path("config.json").unlink(missing_ok=True)
    subprocess.run([RUNTIME, "spec", *(["--rootless"] if ROOTLESS else [])], check=True)
    config = json.loads(pathlib.Path("config.json").read_text())
    config["process"]["terminal"] = False
    config["process"]["args"] = ["sh", "-c", script]
    config["linux"]["resources"] = resources
    config["linux"]["cgroupsPath"] = cgroups_path()
    namespaces = config["linux"]["namespaces"]
    if {"type": "cgroup"} not in namespaces:
        namespaces.append({"type": "cgroup"})
    # The tool's rootless template binds the host's /sys, where the
    # container's own cgroup is not at the root.
    config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/sys/fs/cgroup"]
    config["mounts"].append({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["ro", "nosuid", "noexec", "nodev"],
    })
    pathlib.Path("config.json").write_text(json.dumps(config))

    switch = ["--systemd-cgroup"] if MANAGER == "systemd" else []
    ran = subprocess.run(
        [RUNTIME, *switch, "run", "proof"], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, f"exit status {ran.returncode}: {ran.stderr}{ran.stdout}"
    return ran.stdout.strip()


def cgroups_path() -> str:
    if MANAGER == "systemd":
        return "user.slice:lab:proof" if ROOTLESS else "system.slice:lab:proof"
    return os.path.dirname(own_cgroup()) + "/proof"


def own_cgroup() -> str:
    return pathlib.Path("/proc/self/cgroup").read_text().strip().removeprefix("0::")


if __name__ == "__main__":
    sys.exit(main())
