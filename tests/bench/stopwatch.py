"""Starts programs by way of stopwatch.c, which is too small to be in the way of what it measures."""

import collections
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
BUILT = HERE.parent.parent / "target/bench"

# wall in ns, cpu in us, rss in KiB, faults a count
Sample = collections.namedtuple("Sample", "wall cpu rss faults")


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

    def run(self, words):
        return self.ask("run", *words)

    def reap(self, pid):
        """What a process that such a program left behind took until its end."""
        return self.ask("reap", pid, check=False)

    def ask(self, *words, check=True):
        os.write(self.to, ("\t".join(map(str, words)) + "\n").encode())
        answer = self.answers.readline().split()
        if not answer:
            raise Failed(f"the stopwatch ended ({self.process.wait()}) at {words}")
        status, wall, user, system, rss, faults = map(int, answer)
        if check and status != 0:
            complaint = pathlib.Path(self.errors).read_text(errors="replace").strip().splitlines()
            raise Failed(f"{' '.join(map(str, words[1:]))}: wait status {status}: {' '.join(complaint[-2:])}")
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
