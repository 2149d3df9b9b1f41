"""What a job's output says about its tests."""

import collections
import dataclasses
import re

# One line per test, as the integration suite and as libtest print it:
#       12 ms  cgroup::limits_memory ... pass
#        0 ms  cgroup::limits_cpus ... skip (no cpuset controller)
#   test plan::caps::refuses_unknown_names ... ok
#   test cgroup::cpuset ... ignored, no cpuset controller
TEST = re.compile(
    r"^(?:test| *(?P<ms>\d+) ms) +(?P<name>.+?) \.\.\. (?P<word>\w+)"
    r"(?: \((?P<reason>.*)\)|[,:] *(?P<note>.*))?$"
)
OUTCOMES = {
    "pass": "passed",
    "ok": "passed",
    "FAIL": "failed",
    "FAILED": "failed",
    "skip": "skipped",
    "ignored": "skipped",
}
# The harness's own sum; libtest calls skips ignored.
TOTAL = re.compile(
    r"(?P<passed>\d+) passed[,;] (?P<failed>\d+) failed[,;] (?P<skipped>\d+) (?:skipped|ignored)"
)
# The start of what a failed test had to say, after all tests; and its end.
DETAILS = re.compile(r"^---- (?P<name>.+?)(?: stdout ----)?$")
DETAILS_END = re.compile(r"^(?:failures|successes|skipped|failed):$|^test result:|^took ")
SKIPPED_EXIT = 77  # automake's convention


@dataclasses.dataclass
class Test:
    name: str
    outcome: str  # passed, failed or skipped
    details: str = ""  # a failure's output, a skip's reason
    seconds: float = 0.0


def parse(output: str) -> list[Test]:
    """The tests a harness reports, in its order."""
    tests: dict[str, Test] = {}
    details_of = None
    for line in output.splitlines():
        if (match := TEST.match(line)) and match["word"] in OUTCOMES:
            tests[match["name"]] = Test(
                match["name"],
                OUTCOMES[match["word"]],
                match["reason"] or match["note"] or "",
                int(match["ms"] or 0) / 1000,
            )
        elif match := DETAILS.match(line):
            details_of = tests.get(match["name"])
        elif DETAILS_END.match(line):
            details_of = None
        elif details_of:
            details_of.details += line + "\n"
    return list(tests.values())


def miscounted(tests: list[Test], output: str) -> bool:
    """Whether the harness's sum is not that of the lines understood here."""
    claimed = [sum(map(int, column)) for column in zip(*TOTAL.findall(output))]
    counts = collections.Counter(test.outcome for test in tests)
    return bool(claimed) and claimed != [counts["passed"], counts["failed"], counts["skipped"]]


def judge(kind: str, exit_code: int | None, output: str) -> list[Test]:
    """A job's tests. `exit_code` is None for a job that met its deadline.

    No job is silently green: one that ends badly without a failed test, or
    well without any test, gains a failed test called "(job)".
    """
    if kind == "exit":
        if exit_code == 0:
            return [Test("(job)", "passed")]
        if exit_code == SKIPPED_EXIT:
            return [Test("(job)", "skipped", last_line(output))]
    tests = parse(output) if kind == "tests" else []
    if exit_code is None:
        wrong = "deadline met"
    elif exit_code != 0 and not any(test.outcome == "failed" for test in tests):
        wrong = f"exit status {exit_code}"
    elif not tests:
        wrong = "no test was reported"
    elif miscounted(tests, output):
        wrong = "the harness counts other tests than it reports"
    else:
        return tests
    return [*tests, Test("(job)", "failed", f"{wrong}: {last_line(output)}\n{output[-4000:]}")]


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no output"])[-1]
