"""An ablation as one HTML file that needs no other: text, tables and curves drawn as SVG.

Readable on a telephone (tables scroll inside their own boxes) and in light and dark.
"""

from collections.abc import Sequence
from html import escape

import numpy as np

from gesture3d.studies.runs import Group, Section
from gesture3d.studies.tables import Table
from gesture3d.text import one_line

STYLE = """
:root { color-scheme: light dark; --text: #1c2024; --ground: #fdfdfc; --soft: #60646c;
  --line: #d9d9e0; --accent: #0b61c4; --pale: #7fb0ea; }
@media (prefers-color-scheme: dark) { :root { --text: #edeef0; --ground: #16181b; --soft: #b0b4ba;
  --line: #3a3f45; --accent: #70b8ff; --pale: #3f6f9f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; color: var(--text);
  background: var(--ground); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
p { max-width: 45rem; margin: 0.5rem 0; } .note, li { color: var(--soft); font-size: 0.9rem; }
.box { overflow-x: auto; border: 1px solid var(--line); border-radius: 0.4rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 0.7rem; text-align: left; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; color: var(--soft); font-weight: 600; }
td.long { white-space: normal; min-width: 16rem; }
tr:last-child td { border-bottom: 0; }
.charts { display: grid; gap: 1rem; padding: 0; margin: 0.5rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
figure { margin: 0; max-width: 30rem; } figcaption { font-size: 0.9rem; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.grid { stroke: var(--line); stroke-width: 1; }
.seed { stroke: var(--pale); stroke-width: 1; fill: none; }
.mean { stroke: var(--accent); stroke-width: 2.5; fill: none; }
circle.seed { fill: var(--ground); stroke: var(--accent); } circle.mean { fill: var(--accent); }
"""


def html_page(
    title: str,
    facts: Sequence[str],
    sections: Sequence[Section],
    tables: Sequence[Table],
    notes: Sequence[str],
) -> str:
    """The page's text."""
    parts = [f"<h1>{_escape(title)}</h1>", *(f"<p>{_escape(text)}</p>" for text in facts)]
    if sections:
        parts.append("<h2>Top-1 with its 95 % interval</h2>")
        parts.append('<p class="note">Rings: each seed; dot: their mean.</p>')
        parts.append(f'<div class="charts">{"".join(map(_intervals, sections))}</div>')
    parts += [_table(table) for table in tables]
    for section in sections:
        charts = "".join(_curves(group) for group in section.groups)
        parts.append(f"<h2>Validation top-1 over the epochs: {_escape(section.data)}</h2>")
        parts.append('<p class="note">Thick: mean of the seeds; thin: each seed.</p>')
        parts.append(f'<div class="charts">{charts}</div>')
    items = "".join(f"<li>{_escape(note)}</li>" for note in notes)
    parts.append(f"<h2>How to read this</h2><ul>{items}</ul>")
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _escape(text: str) -> str:
    """Text as HTML shows it as it is; control characters, which HTML forbids, by number."""
    return escape(one_line(text))


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_escape(cell)}</th>' for cell in table.header)
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in table.rows)
    notes = "".join(f'<p class="note">{_escape(note)}</p>' for note in table.notes)
    return (
        f'<h2>{_escape(table.title)}</h2>\n<div class="box" tabindex="0"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>\n</table></div>{notes}"
    )


def _cell(text: str) -> str:
    kind = ' class="long"' if len(text) > 60 else ""
    return f"<td{kind}>{_escape(text)}</td>"


def _curves(group: Group) -> str:
    """Validation top-1 of every seed and their mean; 320 × 200 units, y from 0 to 100 %."""
    seeds = []
    for outcome in group.outcomes:
        rows = [r for r in outcome.history if "validation_top1" in r]
        seeds.append({row["epoch"] + 1: row["validation_top1"] for row in rows})
    shared = sorted(set.intersection(*(set(seed) for seed in seeds)))
    if not shared:
        return f"<figure><figcaption>{_escape(group.network)}: no validation</figcaption></figure>"
    last = max(shared)
    mean = {epoch: float(np.mean([seed[epoch] for seed in seeds])) for epoch in shared}

    def line(values: dict[int, float], kind: str) -> str:
        points = [
            (36 + 276 * (epoch - 1) / max(last - 1, 1), 172 - 160 * value)
            for epoch, value in sorted(values.items())
        ]
        if len(points) == 1:
            return f'<circle class="{kind}" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3"/>'
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        return f'<polyline class="{kind}" points="{joined}"/>'

    grid = "".join(
        f'<line class="grid" x1="36" x2="312" y1="{172 - 1.6 * p:g}" y2="{172 - 1.6 * p:g}"/>'
        f'<text x="30" y="{176 - 1.6 * p:g}" text-anchor="end">{p}</text>'
        for p in (0, 25, 50, 75, 100)
    )
    axis = '<text x="36" y="190">1</text>' + (
        f'<text x="312" y="190" text-anchor="end">epoch {last}</text>' if last > 1 else ""
    )
    lines = "".join(line(seed, "seed") for seed in seeds) + line(mean, "mean")
    label = f"{group.network}: validation top-1 in % over {last} epochs"
    return (
        f'<figure><figcaption>{_escape(group.network)}, top-1 in %</figcaption><svg role="img" '
        f'viewBox="0 0 320 200" aria-label="{_escape(label)}">{grid}{axis}{lines}</svg></figure>'
    )


def _intervals(section: Section) -> str:
    """A row a network: its interval, its seeds (rings) and their mean (dot)."""
    found = [(group, group.interval(section.split)) for group in section.groups]
    tops = [[o.top1(section.split) for o in group.outcomes] for group in section.groups]
    values = [v for (_, i), seeds in zip(found, tops, strict=True) for v in (*i[1:3], *seeds)]
    low, high = min(values), max(values)
    if high - low < 0.02:
        low, high = max(low - 0.05, 0.0), min(high + 0.05, 1.0)
    height = 40 * len(found) + 20

    def x(value: float) -> float:
        return 12 + 296 * (value - low) / (high - low)

    parts = []
    for tick in np.linspace(low, high, 3):
        at = f"{x(tick):.1f}"
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="4" y2="{height - 16}"/>')
        anchor = "start" if tick == low else "end" if tick == high else "middle"
        parts.append(
            f'<text x="{at}" y="{height - 3}" text-anchor="{anchor}">{100 * tick:.1f} %</text>'
        )
    for row, ((group, interval), seeds) in enumerate(zip(found, tops, strict=True)):
        y = 40 * row + 30
        ends = f'x1="{x(interval.low):.1f}" x2="{x(interval.high):.1f}"'
        parts.append(f'<text x="12" y="{y - 12}">{_escape(group.network)}</text>')
        parts.append(f'<line class="mean" {ends} y1="{y}" y2="{y}"/>')
        parts += [f'<circle class="seed" cx="{x(v):.1f}" cy="{y}" r="4"/>' for v in seeds]
        mean = x(interval.difference)
        parts.append(f'<circle class="mean" cx="{mean:.1f}" cy="{y}" r="3.5"/>')
    label = f"top-1 on {section.split}, {section.data}"
    return (
        f"<figure><figcaption>{_escape(section.data)}, {section.split} split</figcaption>"
        f'<svg role="img" viewBox="0 0 320 {height}" aria-label="{_escape(label)}">'
        f"{''.join(parts)}</svg></figure>"
    )
