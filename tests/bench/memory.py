"""What a container is charged for by the time it runs, and how small a limit it starts under.

This wants a memory controller. Where the machine has it only as a cgroup v1
hierarchy, runtimes that take nothing but v2 are not measured, and it is said why.
"""

import subprocess
import tempfile

from runtimes import CGROUPS

KIB = 1024
# More than any of them takes; a limit makes every runtime ask for the controller.
ROOMY = 256 * KIB * KIB
STEPS = [n * 256 * KIB for n in range(1, 33)]


def controller():
    """Where cgroups with a memory controller are, and the names of what they count."""
    unified = CGROUPS / "cgroup.controllers"
    if unified.exists() and "memory" in unified.read_text().split():
        return CGROUPS, "memory.current", "memory.peak"
    legacy = CGROUPS / "memory"
    if (legacy / "memory.usage_in_bytes").exists():
        return legacy, "memory.usage_in_bytes", "memory.max_usage_in_bytes"
    return None


def measure(runtime):
    """{what: bytes}, or {"why not": reason}."""
    place = controller()
    if place is None:
        return {"why not": "no memory controller here"}
    top, current, peak = place
    directory = runtime.bundle("small", "sleep", "roomy", ROOMY)
    name = runtime.id("roomy")
    result = {}

    def charged(when):
        cgroup = top / name
        result[f"charged {when}"] = int((cgroup / current).read_text())
        result[f"peak {when}"] = int((cgroup / peak).read_text())

    try:
        complaint = tried(runtime.words("create", "--bundle", directory, name))
        if complaint is not None:
            return {"why not": complaint}
        charged("created")
        complaint = tried(runtime.words("start", name))
        if complaint is not None:
            return {"why not": complaint}
        charged("started")
    finally:
        runtime.clean_up(["roomy"])
    result["least limit"] = next((limit for limit in STEPS if starts_under(runtime, limit)), None)
    return result


def starts_under(runtime, limit):
    """Whether /bin/true runs under it, three times out of three: what is charged varies."""
    slot = f"limit-{limit // KIB}"
    words = runtime.words("run", "--bundle", runtime.bundle("small", "true", slot, limit), runtime.id(slot))
    try:
        return all(tried(words) is None for _ in range(3))
    finally:
        runtime.clean_up([slot])


def tried(words):
    """None when it did it, otherwise its last line."""
    # Not a pipe: a container that lives on holds its other end.
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                                  timeout=20, check=False)
        except subprocess.TimeoutExpired:
            return "does not end"
        errors.seek(0)
        said = errors.read().strip().splitlines()
    return None if done.returncode == 0 else (said or [f"status {done.returncode}"])[-1]
