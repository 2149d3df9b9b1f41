"""report.py LAB KERNEL...: turns what the machines left behind into results/.

results/KERNEL.xml is JUnit, results/KERNEL/ the jobs' output and the console,
results/summary.txt the same for people. The exit status is 1 if a test failed or
a job that should have run left no result.
"""

import collections
import json
import pathlib
import re
import shutil
import sys
import xml.etree.ElementTree as xml

import manifest
import results

OUTCOMES = ("passed", "failed", "skipped")
JOB = re.compile(r"lab: (\S+) \.\.\.")  # what run_jobs.py says when it begins one
LAST_WORDS = 8  # lines


def main(lab: pathlib.Path, kernels: list[str]) -> int:
    directory = lab / "results"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()

    machines = {}
    for kernel in kernels:
        share = lab / "run" / kernel
        out = share / "out"
        shutil.copytree(out, directory / kernel, ignore=shutil.ignore_patterns("*.json", "*.new"))
        jobs = manifest.selected(share / "in", kernel)
        machines[kernel] = (facts(out), [*deaths(out), *(result(out, job) for job in jobs)])
        junit(kernel, machines[kernel][1]).write(
            directory / f"{kernel}.xml", encoding="utf-8", xml_declaration=True
        )

    text = summary(machines)
    (directory / "summary.txt").write_text(text)
    print(text, end="")
    return 1 if count(machines)["failed"] else 0


def facts(out: pathlib.Path) -> dict:
    path = out / "facts.json"
    return json.loads(path.read_text()) if path.exists() else {"kernel": "did not boot"}


def result(out: pathlib.Path, job: manifest.Job) -> dict:
    path = out / f"{job.name}.json"
    if path.exists():
        return json.loads(path.read_text())
    details = "no result; on the console: " + last_words(out / "console.log")
    return unmeasured(job.name, job.user, results.Test("(job)", "failed", details))


def deaths(out: pathlib.Path) -> list[dict]:
    """Each time a machine died and was booted again, as if it were a job, so that it is counted."""
    return [death(console) for console in sorted(out.glob("died-*.log"))]


def death(console: pathlib.Path) -> dict:
    begun = JOB.findall(console.read_text(errors="replace"))
    during = f"in {begun[-1]}" if begun else "before its first job"
    details = f"the machine died {during} and was booted again: {last_words(console)}"
    return unmeasured("(machine)", "", results.Test(f"({console.stem})", "skipped", details))


def last_words(console: pathlib.Path) -> str:
    """What a machine that died had to say: its panic, or the last lines at least."""
    lines = [line.strip() for line in console.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line and "lab: " not in line] or ["nothing"]
    panics = [number for number, line in enumerate(lines) if "Kernel panic" in line]
    first = panics[0] if panics else len(lines) - LAST_WORDS
    return " | ".join(lines[max(first, 0) :][:LAST_WORDS])


def unmeasured(name: str, user: str, test: results.Test) -> dict:
    return {"name": name, "user": user, "seconds": 0.0, "tests": [vars(test)]}


def junit(kernel: str, entries: list[dict]) -> xml.ElementTree:
    root = xml.Element("testsuites", name=kernel)
    for entry in entries:
        counts = collections.Counter(test["outcome"] for test in entry["tests"])
        suite = xml.SubElement(
            root,
            "testsuite",
            name=f"{kernel}.{entry['name']}",
            tests=str(len(entry["tests"])),
            failures=str(counts["failed"]),
            skipped=str(counts["skipped"]),
            time=str(entry["seconds"]),
        )
        for test in entry["tests"]:
            case = xml.SubElement(
                suite,
                "testcase",
                classname=f"{kernel}.{entry['name']}",
                name=test["name"],
                time=str(test["seconds"]),
            )
            details = printable(test["details"])
            if test["outcome"] == "failed":
                xml.SubElement(case, "failure", message=headline(details)).text = details
            if test["outcome"] == "skipped":
                xml.SubElement(case, "skipped", message=details)
    tree = xml.ElementTree(root)
    xml.indent(tree)
    return tree


def headline(details: str) -> str:
    """A failure in a line: the message of a panic rather than its place."""
    lines = details.strip().splitlines() or ["no details"]
    messages = [line for line in lines if not line.startswith("panicked at ")]
    return (messages or lines)[0][:200]


def printable(text: str) -> str:
    """The text without the control characters that XML cannot hold."""
    return "".join(c for c in text if c in "\t\n" or (c.isprintable() and c < "\ufffe"))


def summary(machines: dict) -> str:
    lines = []
    for kernel, (known, entries) in machines.items():
        lines += [f"{kernel}: " + known["kernel"]]
        lines += [f"    {key}: {value}" for key, value in known.items() if key != "kernel"]
        lines += ["", f"    {'job':36} {'user':12} passed failed skipped  seconds"]
        for entry in entries:
            counts = collections.Counter(test["outcome"] for test in entry["tests"])
            lines += [
                f"    {entry['name']:36} {entry['user']:12}"
                f" {counts['passed']:6} {counts['failed']:6} {counts['skipped']:7} {entry['seconds']:8.1f}"
            ]
        lines += [""]
    lines += listing("skips, by reason", reasons(machines))
    lines += listing("failures", failures(machines))
    total = count(machines)
    lines += [", ".join(f"{total[outcome]} {outcome}" for outcome in OUTCOMES)]
    return "\n".join(lines) + "\n"


def listing(title: str, entries: list[str]) -> list[str]:
    return [f"{title}:", *(f"    {entry}" for entry in entries), ""] if entries else []


def reasons(machines: dict) -> list[str]:
    counts = collections.Counter(
        (kernel, test["details"] or "no reason given")
        for kernel, _, test in every(machines)
        if test["outcome"] == "skipped"
    )
    return [f"{number:4}  {kernel}: {reason}" for (kernel, reason), number in sorted(counts.items())]


def failures(machines: dict) -> list[str]:
    return [
        f"{kernel} {job} {test['name']}: {headline(test['details'])}"
        for kernel, job, test in every(machines)
        if test["outcome"] == "failed"
    ]


def count(machines: dict) -> collections.Counter:
    return collections.Counter(test["outcome"] for _, _, test in every(machines))


def every(machines: dict):
    """Each (kernel, job, test) of all machines."""
    for kernel, (_, entries) in machines.items():
        for entry in entries:
            for test in entry["tests"]:
                yield kernel, entry["name"], test


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2:]))
