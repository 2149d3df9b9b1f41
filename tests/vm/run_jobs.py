"""Runs the jobs of the manifest inside a machine; root, started by lab-test.service.

Each job is a service of its own, so that systemd ends whatever it leaves
behind, and finds itself in a cgroup it may (or may not) manage. Results appear
one by one in the shared directory: a machine that hangs has lost only the rest.
"""

import dataclasses
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import time

import manifest
import results

SHARE = pathlib.Path("/lab")
INPUT = pathlib.Path("/opt/lab")  # a copy: programs on the share start slowly
SCRATCH = pathlib.Path("/var/tmp/lab")
USER = pwd.getpwnam("lab")
OPEN_DEVICES = ("/dev/fuse", "/dev/net/tun")  # elsewhere udev opens them to everybody
# The job itself in a cgroup below its service's, so that controllers can be
# enabled for siblings of the job: no cgroup may have both processes and those.
DELEGATE = ["--property=Delegate=yes", "--property=DelegateSubgroup=job"]


def main() -> None:
    kernel = os.environ["LAB_KERNEL"]
    shutil.copytree(SHARE / "in", INPUT)
    SCRATCH.mkdir(mode=0o755)
    for device in OPEN_DEVICES:
        if os.path.exists(device):
            os.chmod(device, 0o666)
    # In memory: jobs make and remove thousands of files.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", SCRATCH], check=True)
    write(SHARE / "out" / "facts.json", facts())
    for job in manifest.selected(INPUT, kernel):
        if not result_of(job).exists():  # from before the machine died
            run(job)
    write(SHARE / "out" / "finished.json", {})


def run(job: manifest.Job) -> None:
    print(f"lab: {job.name} ...", flush=True)
    log = SHARE / "out" / f"{job.name}.log"
    if log.exists():
        earlier = len(died(job))
        log.rename(log.with_suffix(f".died-{earlier + 1}.log"))
    done = done_before(job)
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            service(job, done), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            exit_code = process.wait(job.timeout)
        except subprocess.TimeoutExpired:
            exit_code = None
            stop(job)
            process.kill()
            process.wait()
    seconds = time.monotonic() - started

    tests = [*done, *results.judge(job.output, exit_code, log.read_text(errors="replace"))]
    tests = list({test.name: test for test in tests}.values())
    result = {
        "name": job.name,
        "user": job.user,
        "exit": exit_code,
        "seconds": round(seconds, 2),
        "tests": [dataclasses.asdict(test) for test in tests],
    }
    write(result_of(job), result)
    failed = sum(test.outcome == "failed" for test in tests)
    print(f"lab: {job.name}: {len(tests)} tests, {failed} failed, {seconds:.1f} s", flush=True)


def died(job: manifest.Job) -> list[pathlib.Path]:
    """What the job had printed each time that the machine died."""
    return sorted((SHARE / "out").glob(f"{job.name}.died-*.log"))


def done_before(job: manifest.Job) -> list[results.Test]:
    """The tests that the job was through with when the machine died."""
    tests = [test for log in died(job) for test in results.parse(log.read_text(errors="replace"))]
    return [test for test in tests if test.outcome != "failed"]


def result_of(job: manifest.Job) -> pathlib.Path:
    return SHARE / "out" / f"{job.name}.json"


def service(job: manifest.Job, done: list[results.Test]) -> list[str]:
    """The command that runs a job as a transient service and waits for it. The integration suite
    leaves out what is done."""
    owner = pwd.getpwnam("root") if job.user == "root" else USER
    scratch = SCRATCH / job.name
    scratch.mkdir(mode=0o755)
    os.chown(scratch, owner.pw_uid, owner.pw_gid)

    names = scratch.with_suffix(".done")
    names.write_text("".join(f"{test.name}\n" for test in done))

    env = {
        "PATH": f"{INPUT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": owner.pw_dir,
        # /tmp is mounted nosuid and nodev, which the mounts of tests inherit.
        "TMPDIR": str(scratch),
        "LAB_KERNEL": os.environ["LAB_KERNEL"],
        "CLOISON": f"{INPUT}/bin/cloison",
        "TESTS_DONE": str(names),
        "PATIENCE": str(manifest.patience(os.environ["LAB_KERNEL"])),
        **job.env,
    }
    if job.user == "undelegated":
        env["XDG_RUNTIME_DIR"] = f"/run/user/{owner.pw_uid}"
    command = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--service-type=exec"]
    command += [f"--unit={unit(job)}", f"--working-directory={scratch}"]
    command += [f"--setenv={name}={value}" for name, value in env.items()]
    # Jobs find SIGPIPE as a shell would leave it.
    command += ["--property=TimeoutStopSec=5", "--property=IgnoreSIGPIPE=no"]
    match job.user:
        case "root":
            command += DELEGATE
        case "user":
            command = as_user(command + ["--user", *DELEGATE])
        case "undelegated":
            command += [f"--uid={owner.pw_name}", f"--gid={owner.pw_gid}"]
    return command + ["sh", "-c", job.command]


def stop(job: manifest.Job) -> None:
    command = ["systemctl", "stop", unit(job)]
    if job.user == "user":
        command = as_user(["systemctl", "--user", "stop", unit(job)])
    subprocess.run(command, timeout=30, check=False)


def unit(job: manifest.Job) -> str:
    return f"job-{job.name}.service"


def as_user(command: list[str]) -> list[str]:
    """The command, run by the ordinary user where it finds their systemd."""
    runtime = f"XDG_RUNTIME_DIR=/run/user/{USER.pw_uid}"
    return ["runuser", f"--user={USER.pw_name}", "--", "env", runtime, *command]


def facts() -> dict[str, str]:
    """What distinguishes this machine, for the head of the summary."""
    delegated = f"user.slice/user-{USER.pw_uid}.slice/user@{USER.pw_uid}.service"
    return {
        "kernel": os.uname().release,
        "cpus": str(os.cpu_count()),
        "controllers": read("/sys/fs/cgroup/cgroup.controllers"),
        "delegated": read(f"/sys/fs/cgroup/{delegated}/cgroup.controllers"),
        "lsm": read("/sys/kernel/security/lsm"),
        "namespaces": " ".join(sorted(os.listdir("/proc/self/ns"))),
        "systemd": version("systemctl"),
        "runc": version("runc"),
        "crun": version("crun"),
        "boot": read("/proc/uptime").split()[0],
    }


def version(program: str) -> str:
    run = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30)
    return " ".join(run.stdout.splitlines()[0].split()[:3]) if run.stdout else "unknown"


def read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError as error:
        return error.strerror


def write(path: pathlib.Path, value: dict) -> None:
    """Writes where the host reads it whole or not at all."""
    new = path.with_suffix(".new")
    with new.open("w") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


if __name__ == "__main__":
    main()
