"""The results as SVG: dots on a logarithmic scale per verb, lines over what grows on the host."""

import math
import re
from xml.sax.saxutils import escape

from report import VERBS

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 160, 24, 78, 34
# Okabe and Ito's colours, which the colour-blind tell apart; by place in the run.
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00"]
FLOORS = {"floor": "#8a8a8a", "floor+state": "#5f5f5f"}
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.quiet { fill: #6e7781 }
.grid { stroke: #d0d7de; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #8b949e } .grid { stroke: #30363d }
}"""


def times(measured):
    """10th percentile, median and 90th percentile of the wall time in ms; none where nobody waits."""
    wall = measured.get("wall_us")
    return wall and tuple(wall[p] / 1000 for p in ("p10", "median", "p90"))


def one(value):
    return value and (value, value, value)


QUANTITIES = {
    "wall": ("wall time, ms: median, and from the 10th to the 90th percentile", times),
    "syscalls": ("system calls", lambda m: one(sum(m.get("syscalls", ())))),
    "faults": ("page faults", lambda m: one(m["page_faults"])),
    "rss": ("peak resident memory, KiB", lambda m: one(m["peak_rss_kib"])),
}
GROWING = (("mounts", "run", "mounts on the host"), ("live", "list", "live containers"))


def draw(document, directory):
    """Writes a plot of each kind of which there are results."""
    made, colours = document["scenarios"], colours_of(document)
    under = f"Linux {document['kernel']}, {document['cpus']} CPUs; " + ", ".join(
        re.sub(r"^(\w+) version (\S+).*", r"\1 \2", version)
        for name, version in document["runtimes"].items() if name not in FLOORS)
    for scenario in ("small", "engine", "engine-cold"):
        for kind, (title, pick) in QUANTITIES.items():
            rows = rows_of(made.get(scenario, {}), pick)
            if rows:
                save(directory / f"{kind}-{scenario}.svg", dots(f"{scenario} config: {title}", under, rows, colours))
    for kind, verb, what in GROWING:
        scenarios = {0: "small"} | {int(name.partition("=")[2]): name for name in made if name.startswith(f"{kind}=")}
        if len(scenarios) > 1 and "small" in made:
            series = {name: {n: made[s][name][verb]["wall_us"]["min"] / 1000 for n, s in sorted(scenarios.items())
                             if verb in made[s][name]} for name in document["runtimes"]}
            series = {name: points for name, points in series.items() if points}
            save(directory / f"{kind}.svg", lines(f"{verb} by {what}: least wall time, ms", under, what, series, colours))


def rows_of(results, pick):
    """{verb: {runtime: spread}}, of what there is."""
    rows = {verb: {name: pick(verbs[verb]) for name, verbs in results.items() if verb in verbs} for verb in VERBS}
    rows = {verb: {name: spread for name, spread in of.items() if spread} for verb, of in rows.items()}
    return {verb: of for verb, of in rows.items() if of}


def colours_of(document):
    names = [name for name in document["runtimes"] if name not in FLOORS]
    return dict(zip(names, COLOURS)) | FLOORS


def save(path, parts):
    height, body = parts
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
                    f'height="{height}" role="img">\n<style>{STYLE}\n</style>\n' + "\n".join(body) + "\n</svg>\n")


def dots(title, under, rows, colours):
    """A row per verb, a dot per runtime, a whisker where the values spread."""
    values = [v for of in rows.values() for spread in of.values() for v in spread]
    x = logarithmic(min(values), max(values), LEFT, WIDTH - RIGHT)
    bottom = TOP + ROW * len(rows)
    body = heading(title, under, list(dict.fromkeys(name for of in rows.values() for name in of)), colours)
    for tick in ticks(min(values), max(values)):
        body.append(rule(x(tick), TOP, x(tick), bottom))
        body.append(text(x(tick), bottom + 18, f"{tick:g}", "quiet", "middle"))
    for n, (row, of) in enumerate(rows.items()):
        y = TOP + ROW * n + ROW / 2
        body.append(text(LEFT - 14, y + 4, row, anchor="end"))
        # The first, which the others are compared with, on top.
        for name in reversed(of):
            low, middle, high = of[name]
            body.append(f"<g><title>{escape(name)}: {middle:.4g}</title>")
            if high > low:
                body.append(f'<line x1="{x(low):.1f}" y1="{y:.1f}" x2="{x(high):.1f}" y2="{y:.1f}" '
                            f'stroke="{colours[name]}" stroke-width="3" stroke-linecap="round" opacity="0.35"/>')
            body.append(f'<circle cx="{x(middle):.1f}" cy="{y:.1f}" r="5.5" fill="{colours[name]}"/></g>')
    return bottom + 40, body


def lines(title, under, what, series, colours):
    """A line per runtime; the places on the x axis are even, as the numbers grow by leaps."""
    height, bottom, left, right = 380, 330, LEFT / 2, WIDTH - RIGHT - 80
    places = sorted({n for points in series.values() for n in points})
    values = [value for points in series.values() for value in points.values()]
    y = logarithmic(min(values), max(values), bottom, TOP + 10)
    x = lambda place: left + (right - left) * places.index(place) / (len(places) - 1)
    body = heading(title, under, list(series), colours)
    for tick in ticks(min(values), max(values)):
        body.append(rule(left, y(tick), right, y(tick)))
        body.append(text(left - 12, y(tick) + 4, f"{tick:g}", "quiet", "end"))
    for place in places:
        body.append(text(x(place), bottom + 18, f"{place:,}", "quiet", "middle"))
    body.append(text((left + right) / 2, bottom + 38, what, "quiet", "middle"))
    for name, points in reversed(series.items()):
        corners = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in points.items())
        body.append(f'<polyline points="{corners}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        for n, value in points.items():
            body.append(f'<circle cx="{x(n):.1f}" cy="{y(value):.1f}" r="4.5" fill="{colours[name]}">'
                        f"<title>{escape(name)}, {n:,}: {value:.2f} ms</title></circle>")
    ends = [(y(points[max(points)]), points[max(points)], name) for name, points in series.items()]
    at = math.inf
    for height_of, value, name in sorted(ends, reverse=True):
        at = min(height_of + 4, at - 14)
        body.append(text(right + 10, at, f"{value:.1f} {name}", "quiet"))
    return height, body


def heading(title, under, names, colours):
    body, at = [text(16, 24, title, "title"), text(16, 43, under, "quiet")], 16
    for name in names:
        body.append(f'<circle cx="{at + 5}" cy="60" r="5" fill="{colours[name]}"/>')
        body.append(text(at + 15, 64, name))
        at += 34 + 7 * len(name)
    return body


def text(x, y, words, kind="", anchor="start"):
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind} text-anchor="{anchor}">{escape(words)}</text>'


def rule(x1, y1, x2, y2):
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def logarithmic(low, high, begin, end):
    """A scale from values to pixels, with some air at both ends."""
    low, high = math.log(low / 1.15), math.log(high * 1.15)
    return lambda value: begin + (end - begin) * (math.log(value) - low) / (high - low)


def ticks(low, high):
    """1, 2 and 5 of every power of ten between the ends."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [n * 10.0 ** p for p in powers for n in (1, 2, 5) if low / 1.15 <= n * 10.0 ** p <= high * 1.15]
