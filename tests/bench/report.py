"""What the run says: statistics, tables in Markdown, JSON."""

import statistics

from runtimes import LIFE, PROCESS, WAITING
from scenarios import AT_ONCE, KERNEL

VERBS = ["create", "start", "delete", LIFE, "run", "exec", "state", "kill", "list", AT_ONCE]
PROCESSES = [WAITING, PROCESS, KERNEL]
MEMORY = {
    "charged created": "charged when created",
    "peak created": "most charged until created",
    "charged started": "charged when started",
    "peak started": "most charged until started",
    "least limit": "least limit that /bin/true runs under",
}


def summary(samples):
    """{verb: statistics} of {verb: [Sample]}: times in us, memory in KiB."""
    result = {}
    for verb, taken in samples.items():
        result[verb] = {"rounds": len(taken)}
        for key, quantity in (("cpu_us", "cpu"), ("peak_rss_kib", "rss"), ("page_faults", "faults")):
            values = [getattr(s, quantity) for s in taken if getattr(s, quantity) is not None]
            if values:
                result[verb][key] = statistics.median(values)
        walls = sorted(s.wall / 1000 for s in taken if s.wall is not None)
        if walls:
            result[verb]["wall_us"] = {
                "min": walls[0], "p10": walls[len(walls) // 10], "median": statistics.median(walls),
                "p90": walls[len(walls) * 9 // 10]}
    return result


def head(document):
    lines = [f"Linux {document['kernel']}, {document['cpus']} CPUs"
             + ("" if document["device_rules"] else ", configs without device rules") + ".", ""]
    return [*lines, *(f"- {name}: {version}" for name, version in document["runtimes"].items()), ""]


def whole(document):
    """Everything, as a page."""
    lines = ["# Measured by `make bench`", "",
             "Ratios are of medians, in brackets of the least; tests/bench/bench says what the scenarios are.", ""]
    lines += head(document)
    if document["memory"]:
        lines += memory(document["memory"])
    for name, results in document["scenarios"].items():
        lines += scenario(name, results)
    return lines


def scenario(name, results):
    """A scenario's tables as lines."""
    rounds = max(v["rounds"] for r in results.values() for v in r.values())
    names = [n for n, verbs in results.items() if verbs]
    present = lambda verbs: [v for v in verbs if any(v in results[n] for n in names)]
    verbs, everything = present(VERBS), present([*VERBS, *PROCESSES])
    lines = [f"## {name}", "", f"{rounds} rounds.", ""]
    quantities = [
        ("wall ms, median (least)", verbs, wall),
        ("CPU ms", everything, lambda m: (m["cpu_us"] / 1000, None)),
        ("peak RSS KiB", everything, lambda m: plain(m.get("peak_rss_kib"))),
        ("page faults", everything, lambda m: plain(m.get("page_faults"))),
        ("system calls: its own + of what it starts", verbs,
         lambda m: m.get("syscalls") and (sum(m["syscalls"]), m["syscalls"])),
    ]
    for title, rows, pick in quantities:
        picked = {n: {v: pick(results[n][v]) for v in rows if v in results[n]} for n in names}
        rows = [v for v in rows if any(picked[n].get(v) for n in names)]
        if rows:
            lines += table(title, names, rows, picked)
    return lines


def plain(value):
    return None if value is None else (value, None)


def wall(measured):
    return measured["wall_us"]["median"] / 1000, measured["wall_us"]["min"] / 1000


def table(title, names, rows, picked):
    """One quantity; what the first runtime takes beside the others, too."""
    subject, others = names[0], names[1:]
    cells = [[title, *names, *(f"{subject} / {other}" for other in others)]]
    for row in rows:
        line = [row, *(form(picked[n].get(row)) for n in names)]
        line += [ratio(picked[subject].get(row), picked[other].get(row)) for other in others]
        cells.append(line)
    return [*markdown(cells), ""]


def form(value):
    match value:
        case None: return ""
        case (int(total), (own, rest)): return f"{total} = {own} + {rest}"
        case (total, None): return f"{total:.2f}" if total < 100 and total != int(total) else f"{total:.0f}"
        case (total, least): return f"{total:.2f} ({least:.2f})"


def ratio(subject, other):
    if not subject or not other or not other[0]:
        return ""
    text = f"{subject[0] / other[0]:.2f}"
    if isinstance(subject[1], float) and other[1]:
        text += f" ({subject[1] / other[1]:.2f})"
    return text


def memory(results):
    """The table of what containers are charged."""
    lines = ["## memory", "", "KiB that the container's memory cgroup is charged, of the config `small`.", ""]
    measured = [n for n, result in results.items() if "why not" not in result]
    if measured:
        cells = [["", *measured]]
        for key, title in MEMORY.items():
            kib = lambda n: "more than 8192" if results[n][key] is None else str(results[n][key] // 1024)
            cells.append([title, *(kib(n) for n in measured)])
        lines += [*markdown(cells), ""]
    lines += [f"{n} is not measured: {result['why not']}" for n, result in results.items() if "why not" in result]
    return [*lines, ""]


def markdown(cells):
    """A table whose source is as readable as what is made of it."""
    widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))]
    line = lambda row: "| " + " | ".join(
        cell.ljust(width) if not n else cell.rjust(width) for n, (cell, width) in enumerate(zip(row, widths))) + " |"
    rule = "|" + "|".join("-" * (width + 2) if not n else "-" * (width + 1) + ":" for n, width in enumerate(widths)) + "|"
    return [line(cells[0]), rule, *map(line, cells[1:])]
