"""What is measured: runtimes, and the floor that none of them can go below by much."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import bundles
import proc
from stopwatch import BUILT, Failed, Sample, copied, in_all

CGROUPS = pathlib.Path("/sys/fs/cgroup")
NAME = f"bench-{os.getpid()}"
CYCLE = ("create", "start", "delete")
LIFE = "create+start+delete"
# What a create leaves behind: its init, while it waits for the start.
WAITING = "created init"
# The container's process from its birth as init to its end as the program.
PROCESS = "init and program"
# The process ends as it is made to, and beside other lives a list may meet containers that are just going.
UNCHECKED = {PROCESS, "list"}
PROGRAMS = {"true": ["/bin/true"], "sleep": ["/bin/sleep", "1000"]}


class Floor:
    """The yardstick: floor.c, which has only `run`."""

    name, version = "floor", "least possible"

    def __init__(self, work, devices):
        self.rootfs, self.cgroup = work / "rootfs", CGROUPS / f"{NAME}-floor"
        self.path = copied(BUILT / "floor", "floor")
        self.options = ["devices" if devices else "no-devices"]

    def steps(self, kind, slot=0):
        """Of a life: what each is for, and what it asks of a stopwatch."""
        return {"run": ["run", *self.words(slot)]} if kind == "small" else {}

    def life(self, stopwatch, kind, slot=0):
        return {step: stopwatch.ask(*request) for step, request in self.steps(kind, slot).items()}

    def words(self, slot=0):
        words = [self.path, self.rootfs, f"{self.cgroup}-{slot}", "/bin/true", *self.options]
        return list(map(str, words))

    def forget(self):
        """It remembers nothing."""


class FloorWithState(Floor):
    """The yardstick with what a runtime has to do besides: read a config, keep a record, bring lo up, and know that
    the container is there before its program begins."""

    name, version = "floor+state", "least possible of what has a config and a state"

    def __init__(self, work, devices):
        super().__init__(work, devices)
        self.bundle, self.state = work / "floor-bundle", work / "floor-state"
        bundles.make(self.bundle, "small", PROGRAMS["true"], f"/{NAME}-floor", devices)

    def words(self, slot=0):
        return [*super().words(slot), f"{self.state}-{slot}", str(self.bundle / "config.json")]


class Runtime:
    """A runtime under measurement, with a state root of its own."""

    def __init__(self, name, path, work, devices):
        self.name, self.path, self.work, self.devices = name, copied(path, name), work, devices
        self.root = work / "state" / name
        lines = subprocess.run([self.path, "--version"], capture_output=True, text=True, check=False).stdout.splitlines()
        if not lines:
            raise Failed(f"{path} --version says nothing: is it a runtime?")
        # Two builds of one version are two programs.
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        self.version = f"{lines[0]} ({digest[:12]})"

    def id(self, slot):
        return f"{NAME}-{self.name}-{slot}"

    def bundle(self, kind, program, slot, memory=None):
        """A bundle whose cgroup no other container has; made at its first use."""
        directory = self.work / f"{kind}-{program}-{self.name}-{slot}"
        if not directory.exists():
            bundles.make(directory, kind, PROGRAMS[program], f"/{self.id(slot)}", self.devices, memory)
        return directory

    def words(self, verb, *rest):
        return [str(self.path), "--root", str(self.root), verb, *map(str, rest)]

    def create(self, kind, slot):
        pid_file = self.bundle(kind, "sleep", slot) / "pid"
        return self.words("create", "--bundle", pid_file.parent, "--pid-file", pid_file, self.id(slot)), pid_file

    def run(self, kind, slot):
        return self.words("run", "--bundle", self.bundle(kind, "true", slot), self.id(slot))

    def steps(self, kind, slot=0):
        """Of a life, one container through every verb and one by `run`: what each step is for, and what it asks of a
        stopwatch."""
        name, (create, pid_file) = self.id(slot), self.create(kind, slot)
        verb = lambda *words: ["run", *self.words(*words)]
        return {
            "create": ["run", *create],
            "state": verb("state", name),
            "start": verb("start", name),
            "exec": verb("exec", name, "/bin/true"),
            "list": verb("list"),
            "kill": verb("kill", name, "KILL"),
            PROCESS: ["reap", pid_file],
            "delete": verb("delete", name),
            "run": ["run", *self.run(kind, slot)],
        }

    def life(self, stopwatch, kind, slot=0):
        """A sample per verb and of its process."""
        samples, steps = {}, self.steps(kind, slot)
        for step, request in steps.items():
            samples[step] = stopwatch.ask(*request, check=step not in UNCHECKED)
            if step == "create":
                _, pid_file = steps[PROCESS]
                samples[WAITING] = usage(int(pid_file.read_text()))
        samples[LIFE] = in_all([samples[v] for v in CYCLE])
        return samples

    def forget(self):
        """Everything it has kept between containers, as a cache of compiled filters."""
        shutil.rmtree(self.root, ignore_errors=True)

    def clean_up(self, slots):
        for slot in slots:
            subprocess.run(self.words("delete", "--force", self.id(slot)), capture_output=True, check=False)


def usage(pid):
    """What a process that still lives has taken; its wall time is nobody's wait."""
    fields = proc.stat(pid)
    peak = re.search(r"VmHWM:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
    # minflt and majflt.
    return Sample(None, proc.on_cpu(pid) // 1000, int(peak.group(1)), int(fields[7]) + int(fields[9]))
