"""The surroundings in which the lives of containers are measured."""

import collections
import contextlib
import ctypes
import os
import random
import shutil
import subprocess
import time

import proc
from runtimes import UNCHECKED, Runtime
from stopwatch import Failed, Sample, Stopwatch, in_all

libc = ctypes.CDLL(None, use_errno=True)
NUMBERED = ("mounts", "live", "parallel")
PLAIN = ("small", "engine", "engine-cold", "memory")
# Until the caches of the machine and the runtimes are what they will be.
WARMING = 2
AT_ONCE = "a whole life"
# What the kernel does apart from all processes: the end of namespaces, cgroups and what waits for RCU.
KERNEL = "kernel threads"
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
                    samples = lives_at_once(runtime, watches)
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
    """One life on each of the stopwatches at once; wall time is of all together, divided by their number. Each is told
    of its whole life at the beginning, so that between two verbs it waits for nobody here."""
    lives = [list(runtime.steps("small", n).items()) for n in range(len(watches))]
    kernel, began = kernel_threads(), time.monotonic_ns()
    for watch, life in zip(watches, lives):
        for _, request in life:
            watch.send(request)
    samples = [watch.receive(request, check=step not in UNCHECKED)
               for watch, life in zip(watches, lives) for step, request in life]
    wall = time.monotonic_ns() - began
    each = lambda total: total // len(watches)
    taken = in_all(samples)
    result = {AT_ONCE: Sample(each(wall), each(taken.cpu), taken.rss, each(taken.faults))}
    if kernel:
        ns = sum(after - kernel.get(pid, 0) for pid, after in kernel_threads().items())
        result[KERNEL] = Sample(None, each(ns) // 1000, None, None)
    return result


def kernel_threads():
    """{pid: ns on a CPU}; nothing in a pid namespace of one's own."""
    taken = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            _, parent, *_ = proc.stat(pid)
            if parent == "2":
                taken[pid] = proc.on_cpu(pid)
    return taken


@contextlib.contextmanager
def stopwatches(work, count):
    watches = [Stopwatch(work / f"stderr-{n}") for n in range(count)]
    try:
        yield watches
    finally:
        for watch in watches:
            watch.close()
