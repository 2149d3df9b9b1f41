"""The surroundings in which the lives of containers are measured."""

import collections
import concurrent.futures
import contextlib
import ctypes
import os
import random
import shutil
import subprocess
import time

from runtimes import LIFE, WAITING, Runtime
from stopwatch import Failed, Sample, Stopwatch

libc = ctypes.CDLL(None, use_errno=True)
NUMBERED = ("mounts", "live", "parallel")
PLAIN = ("small", "engine", "engine-cold", "memory")
# Until the caches of the machine and the runtimes are what they will be.
WARMING = 2
AT_ONCE = "a whole life"
# Seconds in which the kernel tidies up what the one before has left, as the network namespace.
SETTLING = 0.004


def parts(scenario):
    """Kind and number of a scenario's name."""
    kind, _, number = scenario.partition("=")
    if kind in PLAIN and not number:
        return kind, 0
    if kind in NUMBERED and number.isdigit():
        return kind, int(number)
    raise Failed(f"no such scenario: {scenario}")


def measure(scenario, runtimes, work, seconds, seed):
    """Rounds of all runtimes until the time is up; {runtime: {verb: [Sample]}}."""
    kind, number = parts(scenario)
    surroundings = {
        "mounts": lambda: host_mounts(number, work),
        "live": lambda: live_containers(number, runtimes),
    }.get(kind, contextlib.nullcontext)
    config = "engine" if kind.startswith("engine") else "small"
    shuffle = random.Random(seed).shuffle
    collected = {r.name: collections.defaultdict(list) for r in runtimes}
    with surroundings(), stopwatches(work, number if kind == "parallel" else 1) as watches:
        deadline = time.monotonic() + seconds
        for round_ in range(1_000_000):
            if time.monotonic() > deadline and round_ >= WARMING + 5:
                break
            order = list(runtimes)
            shuffle(order)
            for runtime in order:
                if kind == "engine-cold":
                    runtime.forget()
                time.sleep(SETTLING)
                if kind == "parallel":
                    samples = {AT_ONCE: lives_at_once(runtime, watches)}
                else:
                    samples = runtime.life(watches[0], config)
                if round_ >= WARMING:
                    for verb, sample in samples.items():
                        collected[runtime.name][verb].append(sample)
    if kind == "engine-cold":
        # Its run came after its create and found the cache filled.
        for samples in collected.values():
            samples.pop("run", None)
    return collected


@contextlib.contextmanager
def host_mounts(count, work):
    """`count` more mounts in this namespace, each a bind of one directory."""
    top = work / "mounts"
    top.mkdir()
    try:
        for n in range(count):
            point = top / str(n)
            point.mkdir()
            if libc.mount(bytes(top), bytes(point), None, 0x1000, None) != 0:
                raise Failed(f"mount {point}: {os.strerror(ctypes.get_errno())}")
        yield
    finally:
        for n in range(count):
            libc.umount2(bytes(top / str(n)), 2)
        shutil.rmtree(top)


@contextlib.contextmanager
def live_containers(count, runtimes):
    """`count` running containers of each runtime."""
    live = [r for r in runtimes if isinstance(r, Runtime)]
    slots = range(1000, 1000 + count)
    try:
        for runtime in live:
            for slot in slots:
                create, _ = runtime.create("small", slot)
                for words in (create, runtime.words("start", runtime.id(slot))):
                    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        yield
    finally:
        for runtime in live:
            runtime.clean_up(slots)


def lives_at_once(runtime, watches):
    """One life on each of the stopwatches at once; wall time is of all together, divided by their number."""
    began = time.monotonic_ns()
    with concurrent.futures.ThreadPoolExecutor(len(watches)) as pool:
        lives = list(pool.map(lambda n: runtime.life(watches[n], "small", n), range(len(watches))))
    wall = (time.monotonic_ns() - began) // len(watches)
    samples = [s for life in lives for v, s in life.items() if v not in (LIFE, WAITING)]
    return Sample(wall, sum(s.cpu for s in samples) // len(watches), max(s.rss for s in samples),
                  sum(s.faults for s in samples) // len(watches))


@contextlib.contextmanager
def stopwatches(work, count):
    watches = [Stopwatch(work / f"stderr-{n}") for n in range(count)]
    try:
        yield watches
    finally:
        for watch in watches:
            watch.close()
