"""table.py LAB TRANSCRIPTS RESULTS [KERNEL...]: what engines made of each runtime, as tables.

The results of machines that have just run (LAB/run/KERNEL/out) are added to those kept in the
directory RESULTS, so that a few scenarios can be played again alone. Prints one table for each
runtime, scenario by engine, and writes them to RESULTS/engines.md. The exit status is 1 if
cloison fails where another runtime passes, or where there is no other to excuse it.
"""

import json
import pathlib
import re
import sys

RUNTIMES = ("cloison", "crun", "runc")
OWN = RUNTIMES[0]
JOB = re.compile(r"^engine-(?P<engine>.+)-(?P<runtime>" + "|".join(RUNTIMES) + ")$")
STAGES = ("before", "after each", "after")

# {(engine, runtime): {scenario: (outcome, details)}}
Results = dict[tuple[str, str], dict[str, tuple[str, str]]]


def main(lab: pathlib.Path, transcripts: pathlib.Path, kept: pathlib.Path, kernels: list[str]) -> int:
    kept.mkdir(parents=True, exist_ok=True)
    for kernel in kernels:
        for file in sorted((lab / "run" / kernel / "out").glob("engine-*.json")):
            keep(json.loads(file.read_text()), kept)
    results = load(kept)
    order = titles(transcripts)
    text = markdown(results, order)
    (kept / "engines.md").write_text(text)
    print(text)
    worse = faults(results)
    print("\n".join(worse) or "cloison passes wherever another runtime does")
    return 1 if worse else 0


def keep(job: dict, kept: pathlib.Path) -> None:
    """Adds a job's results to those of its earlier runs."""
    if not JOB.match(job["name"]):
        return
    file = kept / f"{job['name']}.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    for test in job["tests"]:
        known[test["name"]] = [test["outcome"], test["details"]]
    file.write_text(json.dumps(known, indent=1))


def load(kept: pathlib.Path) -> Results:
    results: Results = {}
    for file in sorted(kept.glob("engine-*.json")):
        match = JOB.match(file.stem)
        if match:
            tests = {name: tuple(value) for name, value in json.loads(file.read_text()).items()}
            results[match["engine"], match["runtime"]] = tests
    return results


def titles(transcripts: pathlib.Path) -> list[str]:
    """All scenarios in the order in which they are written, each once."""
    found: dict[str, None] = {}
    for file in ("podman-docker.txt", *sorted(p.name for p in transcripts.glob("*.txt"))):
        for line in (transcripts / file).read_text().splitlines():
            if line.startswith("== ") and line[3:] not in STAGES:
                found[line[3:]] = None
    return list(found)


def markdown(results: Results, order: list[str]) -> str:
    engines = sorted({engine for engine, _ in results})
    lines = []
    for runtime in RUNTIMES:
        columns = [engine for engine in engines if (engine, runtime) in results]
        if not columns:
            continue
        lines += [f"## {runtime}", "", "| scenario | " + " | ".join(columns) + " |"]
        lines += ["|---|" + "---|" * len(columns)]
        notes: dict[str, int] = {}
        for title in order:
            cells = [cell(results[engine, runtime].get(title), notes) for engine in columns]
            if any(cells):
                lines.append(f"| {title} | " + " | ".join(cells) + " |")
        sums = [total(results[engine, runtime], order) for engine in columns]
        lines += ["| **passed / failed / skipped** | " + " | ".join(sums) + " |", ""]
        lines += [f"{number}. {reason}" for reason, number in notes.items()]
        lines += [""]
    return "\n".join(lines)


def cell(result: tuple[str, str] | None, notes: dict[str, int]) -> str:
    if result is None:
        return ""
    outcome, details = result
    if outcome == "skipped":
        return f"skip ({notes.setdefault(details, len(notes) + 1)})"
    return "pass" if outcome == "passed" else "**fail**"


def total(tests: dict[str, tuple[str, str]], order: list[str]) -> str:
    outcomes = [tests[title][0] for title in order if title in tests]
    return " / ".join(str(outcomes.count(word)) for word in ("passed", "failed", "skipped"))


def faults(results: Results) -> list[str]:
    """Where cloison fails and no other runtime that was tried does."""
    found = []
    for (engine, runtime), tests in results.items():
        others = [results[engine, other] for other in RUNTIMES if (engine, other) in results and other != OWN]
        for title, (outcome, _) in tests.items() if runtime == OWN else ():
            outcomes = [other[title][0] for other in others if title in other]
            if outcome == "failed" and ("passed" in outcomes or not outcomes):
                found.append(f"{engine}: {title}: fails with {OWN}")
    return found


if __name__ == "__main__":
    sys.exit(main(*map(pathlib.Path, sys.argv[1:4]), sys.argv[4:]))
