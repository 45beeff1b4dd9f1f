"""The zoo's tables out of ``configs/results.csv``: ``python -m gesture3d.studies.zoo``."""

import csv
from itertools import groupby
from pathlib import Path

from gesture3d.files import resource, write_text

BEGIN, END = "<!-- results -->", "<!-- /results -->"
COLUMNS = {  # of a table: its head, and what of a row stands there
    "`--cfg`": lambda r: r["network"],
    "`--data`": lambda r: r["data"],
    "measured on": lambda r: r["split"],
    "top-1, %": lambda r: r["top1"] + (f" ± {r['std']}" if r["std"] else ""),
    "seeds 0, 1, 2": lambda r: r["seeds"].replace(" ", ", "),
    "interval": lambda r: r["interval"],
    "validation": lambda r: r["validation"],
    "parameters": lambda r: r["parameters"],
    "multiply-adds": lambda r: r["multiply_adds"],
}


def zoo_tables(path: Path) -> str:
    """A table a group of rows, with the commands and the code that made it, in Markdown."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts = []
    for group, members in groupby(rows, key=lambda row: row["group"]):
        members = list(members)
        shown = {head: cell for head, cell in COLUMNS.items() if any(map(cell, members))}
        lines = ["| " + " | ".join(shown) + " |", "|---" * len(shown) + "|"]
        lines += ["| " + " | ".join(cell(r) for cell in shown.values()) + " |" for r in members]
        made = dict.fromkeys((row["command"], row["code"]) for row in members)
        lines += ["", *(f"- `{c}`" + (f" (code {code})" if code else "") for c, code in made)]
        parts.append("\n".join([f"### {group}", "", *lines]))
    return "\n\n".join(parts)


def with_tables(text: str, tables: str) -> str:
    """The README's text with the tables between its two marks."""
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def main() -> None:
    folder = resource("configs")
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8")
    write_text(readme, with_tables(text, zoo_tables(folder / "results.csv")))


if __name__ == "__main__":
    main()
