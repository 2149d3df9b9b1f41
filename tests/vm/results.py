"""What a job's output says about its tests."""

import dataclasses
import re

# libtest and libtest-mimic, with the reason of a skip after a comma or a colon:
#   test cgroup::memory_limit ... ok
#   test cgroup::cpuset ... ignored, no cpuset controller
TEST = re.compile(
    r"^test (?P<name>.+?) \.\.\. (?P<word>ok|FAILED|failed|ignored|skipped)"
    r"(?:\s*[,:(]\s*(?P<reason>.*?)\)?)?\s*$"
)
# The start of what a failed test had printed, in the list after all tests.
DETAILS = re.compile(r"^---- (?P<name>.+?)(?: stdout)? ----$")
SKIPPED_EXIT = 77  # automake's convention


@dataclasses.dataclass
class Test:
    name: str
    outcome: str  # passed, failed or skipped
    details: str = ""  # a failure's output, a skip's reason


def parse(output: str) -> list[Test]:
    """The tests a libtest-like harness reports, in its order."""
    tests: dict[str, Test] = {}
    details_of = None
    for line in output.splitlines():
        if match := TEST.match(line):
            tests[match["name"]] = Test(match["name"], _outcome(match["word"]), match["reason"] or "")
        elif match := DETAILS.match(line):
            details_of = tests.get(match["name"])
        elif line in ("failures:", "successes:") or line.startswith("test result:"):
            details_of = None
        elif details_of:
            details_of.details += line + "\n"
    return list(tests.values())


def _outcome(word: str) -> str:
    return {"ok": "passed", "ignored": "skipped", "skipped": "skipped"}.get(word, "failed")


def judge(kind: str, exit_code: int | None, output: str) -> list[Test]:
    """A job's tests. `exit_code` is None for a job that met its deadline.

    No job is silently green: one that ends badly without a failed test, or
    well without any test, gains a failed test called "(job)".
    """
    last_line = (output.strip().splitlines() or [""])[-1]
    if kind == "exit":
        if exit_code == SKIPPED_EXIT:
            return [Test("(job)", "skipped", last_line)]
        if exit_code == 0:
            return [Test("(job)", "passed")]
    tests = parse(output) if kind == "libtest" else []
    if exit_code is None:
        return tests + [Test("(job)", "failed", "deadline met\n" + output[-4000:])]
    if exit_code != 0 and not any(test.outcome == "failed" for test in tests):
        return tests + [Test("(job)", "failed", f"exit status {exit_code}\n" + output[-4000:])]
    if not tests:
        return [Test("(job)", "failed", "no test was reported\n" + output[-4000:])]
    return tests
