"""Starts programs by way of stopwatch.c, which is too small to be in the way of what it measures."""

import collections
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
BUILT = HERE.parent.parent / "target/bench"

# wall in ns, cpu in us, rss in KiB, faults a count; none where it says nothing
Sample = collections.namedtuple("Sample", "wall cpu rss faults")


def in_all(samples):
    """What several programs took together, their wall times added up."""
    return Sample(sum(s.wall for s in samples), sum(s.cpu for s in samples), max(s.rss for s in samples),
                  sum(s.faults for s in samples))


class Failed(Exception):
    """A program of the run did not do what it was asked."""


class Stopwatch:
    """A stopwatch.c at the other end of two pipes. `errors` collects what its programs complain of."""

    def __init__(self, errors):
        requests, self.to = os.pipe()
        back, answers = os.pipe()
        self.errors, self.answers = errors, os.fdopen(back)
        with open(errors, "ab") as stderr:
            self.process = subprocess.Popen(
                [BUILT / "stopwatch", str(requests), str(answers)], pass_fds=(requests, answers),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
        os.close(requests)
        os.close(answers)

    def ask(self, *request, check=True):
        """Has it start a program (`run PATH ARG…`), or wait for one that was left behind (`reap FILE`)."""
        self.send(request)
        return self.receive(request, check)

    def send(self, request):
        os.write(self.to, ("\t".join(map(str, request)) + "\n").encode())

    def receive(self, request, check=True):
        """What came of a request, in the order in which they were sent."""
        answer = self.answers.readline().split()
        if not answer:
            raise Failed(f"the stopwatch ended ({self.process.wait()}) at {request}")
        status, wall, user, system, rss, faults = map(int, answer)
        if check and status != 0:
            complaint = pathlib.Path(self.errors).read_text(errors="replace").strip().splitlines()
            raise Failed(f"{' '.join(map(str, request[1:]))}: wait status {status}: {' '.join(complaint[-2:])}")
        return Sample(wall, user + system, rss, faults)

    def close(self):
        os.close(self.to)
        self.process.wait()
        self.answers.close()


def compile_programs():
    BUILT.mkdir(parents=True, exist_ok=True)
    for program in ("floor", "stopwatch"):
        source, binary = HERE / f"{program}.c", BUILT / program
        if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-static", "-o", binary, source], check=True)


def copied(program, name):
    """A copy to measure. All programs get into the page cache in the same way, as a package manager writes them: what
    a page fault maps, and takes, depends on it."""
    copy = BUILT / "programs" / name
    copy.parent.mkdir(exist_ok=True)
    copy.unlink(missing_ok=True)
    copy.write_bytes(pathlib.Path(program).read_bytes())
    copy.chmod(0o755)
    return copy
