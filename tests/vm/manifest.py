"""The list of jobs: read by the runner inside a machine and by the report outside."""

import dataclasses
import fnmatch
import itertools
import pathlib
import tomllib


@dataclasses.dataclass(frozen=True)
class Job:
    """One command to run in every machine whose name matches `kernels`."""

    name: str
    command: str  # for sh -c, in an empty directory of the job's own
    user: str = "root"  # one of USERS
    output: str = "tests"  # one line per test; "exit": the exit status says it all
    timeout: int = 300  # seconds
    kernels: list[str] = dataclasses.field(default_factory=lambda: ["uml-*", "qemu-*"])
    env: dict[str, str] = dataclasses.field(default_factory=dict)


USERS = {
    "root": "root, in a delegated service of the system's manager",
    "user": "an ordinary user, in a delegated service of their own manager",
    "undelegated": "an ordinary user, in a service that owns no cgroup",
}
OUTPUTS = ("tests", "exit")
EMULATED = 5  # times as long may a job take without hardware to run its code


def selected(directory: pathlib.Path, kernel: str) -> list[Job]:
    """The jobs of a share's in/ directory that a machine is to run."""
    patterns = (directory / "selection").read_text().split()
    times = patience(kernel)
    return [
        dataclasses.replace(job, timeout=times * job.timeout)
        for file in ("jobs.toml", "engines/jobs.toml")
        for job in load(directory / file)
        if matches(kernel, job.kernels) and matches(job.name, patterns)
    ]


def patience(kernel: str) -> int:
    """How many times longer than elsewhere anything may take."""
    return EMULATED if kernel.startswith("qemu-") else 1


def matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def jobs_of(entry: dict) -> list[Job]:
    """The jobs of an entry: one for each choice of values that `each` has for variables.

    A job's name is then followed by the last parts of its values, as of paths.
    """
    each = entry.pop("each", {})
    jobs = []
    for values in itertools.product(*each.values()):
        name = "-".join([entry["name"], *(value.rpartition("/")[2] for value in values)])
        env = {**entry.get("env", {}), **dict(zip(each, values))}
        jobs.append(Job(**{**entry, "name": name, "env": env}))
    return jobs


def load(path: pathlib.Path) -> list[Job]:
    with path.open("rb") as file:
        jobs = [job for entry in tomllib.load(file)["job"] for job in jobs_of(entry)]
    names = [job.name for job in jobs]
    for job in jobs:
        if names.count(job.name) > 1:
            raise ValueError(f"two jobs are called {job.name}")
        if job.user not in USERS or job.output not in OUTPUTS:
            raise ValueError(f"{job.name}: unknown user or output")
    return jobs
