"""System calls, counted by strace in runs that are not timed."""

import collections
import contextlib
import os
import re
import signal
import subprocess
import time

from runtimes import CYCLE, LIFE, Floor
from stopwatch import Failed

Calls = collections.namedtuple("Calls", "launcher others")


def count(runtime, kind, work):
    """{verb: Calls until the verb is done}, of the command itself and of all that it starts."""
    if isinstance(runtime, Floor):
        return {"run": traced(runtime.words(), work)} if kind == "small" else {}
    name, calls = runtime.id(0), {}
    create, pid_file = runtime.create(kind, 0)
    pid_file.unlink(missing_ok=True)
    calls["create"] = traced(create, work)
    calls["state"] = traced(runtime.words("state", name), work)
    calls["start"] = traced(runtime.words("start", name), work)
    calls["exec"] = traced(runtime.words("exec", name, "/bin/true"), work)
    calls["list"] = traced(runtime.words("list"), work)
    calls["kill"] = traced(runtime.words("kill", name, "KILL"), work)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(int(pid_file.read_text()), 0)
    calls["delete"] = traced(runtime.words("delete", name), work)
    calls["run"] = traced(runtime.run(kind, 0), work)
    calls[LIFE] = Calls(*(sum(calls[v][n] for v in CYCLE) for n in range(2)))
    return calls


def traced(words, work):
    """Counts until the first process has ended; what outlives it is let go."""
    log, errors = work / "strace", work / "strace-stderr"
    log.unlink(missing_ok=True)
    with open(errors, "wb") as stderr:
        tracer = subprocess.Popen(["strace", "-f", "-q", "-I2", "-o", log, *words],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
    deadline = time.monotonic() + 20
    while True:
        running = tracer.poll() is None
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        first = lines[0].split()[0] if lines else ""
        end = next((line for line in lines if re.match(rf"{first} +\+\+\+ (exited|killed)", line)), None)
        if end or not running or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    if running:
        tracer.send_signal(signal.SIGINT)
    tracer.wait()
    if not end or "exited with 0" not in end:
        raise Failed(f"strace {' '.join(words)}: {end or 'does not end'} {errors.read_text(errors='replace')[-300:]}")
    callers = [line.split()[0] for line in lines if re.match(r"\d+ +\w+\(", line)]
    return Calls(callers.count(first), len(callers) - callers.count(first))
