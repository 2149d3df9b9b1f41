"""Transcripts: scenarios written as what is typed and what is seen (README.md says how)."""

import dataclasses
import re

ANY_FAILURE = -1


@dataclasses.dataclass
class Step:
    """One command and what is expected of it."""

    command: str  # for bash
    patient: bool = False  # to be repeated until it is as expected
    status: int = 0  # or ANY_FAILURE
    lines: list[str] = dataclasses.field(default_factory=list)  # none: output is not looked at


@dataclasses.dataclass
class Scenario:
    title: str
    steps: list[Step] = dataclasses.field(default_factory=list)


def parse(text: str) -> list[Scenario]:
    """The scenarios of a transcript, in its order. Raises ValueError, naming the line."""
    scenarios: list[Scenario] = []
    step = None
    for number, line in enumerate(text.splitlines(), 1):
        mark, _, rest = line.partition(" ")
        match mark:
            case "==":
                scenarios.append(Scenario(rest))
                step = None
            case "#" | "":
                continue
            case "$" | "~" if scenarios:
                step = Step(rest, patient=mark == "~")
                scenarios[-1].steps.append(step)
            case ">" if step:
                step.command += "\n" + rest
            case "?" if step:
                step.status = ANY_FAILURE if rest == "*" else int(rest)
            case _ if step:
                step.lines.append(line.removeprefix("\\"))
            case _:
                raise ValueError(f"line {number}: nothing that could print this: {line}")
    return scenarios


def status_fits(step: Step, status: int) -> bool:
    return status != 0 if step.status == ANY_FAILURE else status == step.status


def output_fits(step: Step, output: str) -> bool:
    """Whether the lines printed are those expected; `*` is any text, a line `...` any lines."""
    if not step.lines:
        return True
    pattern = "".join("(?s:.*\n)?" if line == "..." else line_pattern(line) for line in step.lines)
    shown = "".join(line.rstrip() + "\n" for line in output.replace("\r", "").splitlines())
    return re.fullmatch(pattern, shown) is not None


def line_pattern(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.rstrip().split("*")) + "\n"
