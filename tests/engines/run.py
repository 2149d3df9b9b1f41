"""run.py TRANSCRIPT...: plays transcripts inside the laboratory and prints a line per scenario.

Each command is bash's, with prelude.sh read before it, in a directory of its
scenario's own. `== before` is played first, `== after each` after every scenario, `== after` last.
The file `wanted` holds words; if there are any, only titles that have one of them are played.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import transcript

HERE = pathlib.Path(__file__).parent
COMMAND_SECONDS = 90
PATIENCE_SECONDS = 30
SKIP = 77
STAGES = ("before", "after each", "after")


class Skip(Exception):
    pass


def main(names: list[str]) -> int:
    scenarios = [s for name in names for s in transcript.parse((HERE / name).read_text())]
    stages = {stage: [s for s in scenarios if s.title == stage] for stage in STAGES}
    failures: dict[str, str] = {}

    if failed := first_failure(stages["before"]):
        print(f"    0 ms  before ... FAIL\n\n---- before\n{failed}")
        return 1
    for scenario in scenarios:
        if scenario.title in STAGES or not wanted(scenario.title):
            continue
        started = time.monotonic()
        try:
            word = "pass"
            if failed := play(scenario):
                failures[scenario.title] = failed
                word = "FAIL"
        except Skip as reason:
            word = f"skip ({reason})"
        spent = int((time.monotonic() - started) * 1000)
        print(f"{spent:5} ms  {scenario.title} ... {word}", flush=True)
        first_failure(stages["after each"])
    for title, failed in failures.items():
        print(f"\n---- {title}\n{failed}")
    first_failure(stages["after"])
    return 1 if failures else 0


def wanted(title: str) -> bool:
    words = (HERE / "wanted").read_text().split()
    return not words or any(word in title for word in words)


def first_failure(scenarios: list[transcript.Scenario]) -> str | None:
    for scenario in scenarios:
        if failed := play(scenario):
            return failed
    return None


def play(scenario: transcript.Scenario) -> str | None:
    """What went wrong, with the commands until then; None if nothing did."""
    told = ""
    scratch = tempfile.TemporaryDirectory(
        dir=os.environ.get("TMPDIR"), ignore_cleanup_errors=True
    )
    with scratch as directory:
        os.chmod(directory, 0o755)
        for step in scenario.steps:
            fits, shown = patiently(step, directory)
            told += shown
            if not fits:
                return told
    return None


def patiently(step: transcript.Step, directory: str) -> tuple[bool, str]:
    end = time.monotonic() + (PATIENCE_SECONDS if step.patient else 0)
    while True:
        fits, shown = once(step, directory)
        if fits or time.monotonic() >= end:
            return fits, shown
        time.sleep(0.3)


def once(step: transcript.Step, directory: str) -> tuple[bool, str]:
    """Whether a command did as expected, and how it looked."""
    try:
        ran = subprocess.run(
            ["bash", "-c", step.command],
            cwd=directory,
            env={**os.environ, "BASH_ENV": str(HERE / "prelude.sh")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"") + (late.stderr or b"")
        return False, f"$ {step.command}\n{output.decode(errors='replace')}(did not end)\n"
    output, errors = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
    if ran.returncode == SKIP and step.status != SKIP:
        raise Skip((output.strip().splitlines() or ["no reason given"])[-1])
    fits = transcript.status_fits(step, ran.returncode) and transcript.output_fits(step, output)
    shown = f"$ {step.command}\n{output}{errors}? {ran.returncode}\n"
    if not fits:
        expected = "".join(f"    {line}\n" for line in step.lines)
        shown += f"expected status {step.status}" + (f" and\n{expected}" if expected else "\n")
    return fits, shown


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
