"""The model zoo: the rows of ``configs/results.csv``, and the tables made of them.

A row is what one network came to on one data set with the same settings. ``--record
configs/results.csv`` of ablate, evaluate and train --folds writes it (`gesture3d.studies.record`
makes it); rows ``written_by`` "typed" were copied by hand from reports of earlier runs. ``python -m
gesture3d.studies.zoo`` writes the tables into ``configs/README.md``, as does every recorded row.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from gesture3d.errors import Gesture3dError
from gesture3d.files import check_writable, locked, resource, write_text
from gesture3d.text import csv_text, markdown, one_line

Row = dict[str, str]

BEGIN, END = "<!-- results -->", "<!-- /results -->"
COLUMNS = (
    *("group", "network", "data", "settings", "split", "samples", "seeds", "top1_by_seed", "top1"),
    *("std", "interval", "validation", "parameters", "multiply_adds", "train_seconds", "command"),
    *("code", "processor", "weights", "written_by", "events"),
)
KEY = ("network", "data", "settings", "split", "weights")  # one row each
TYPED = "typed"
SHOWN = {  # of a table: its head, and what of a row stands there
    "`--cfg`": lambda r: r["network"],
    "`--data`": lambda r: r["data"],
    "settings": lambda r: r["settings"],
    "weights": lambda r: r["weights"],
    "measured on": lambda r: ", ".join(filter(None, (r["split"], _samples(r)))),
    "top-1, %": lambda r: r["top1"] + (f" ± {r['std']}" if r["std"] else ""),
    "each seed": lambda r: r["top1_by_seed"].replace(" ", ", ") if " " in r["seeds"] else "",
    "interval": lambda r: r["interval"],
    "events": lambda r: r["events"],
    "validation": lambda r: r["validation"],
    "parameters": lambda r: _count(r["parameters"], 2),
    "multiply-adds": lambda r: _count(r["multiply_adds"], 1),
    "training": lambda r: _time(r["train_seconds"]),
    "row by": lambda r: r["written_by"],
}


# --- rows ----------------------------------------------------------------------------------------


def read_rows(path: Path) -> list[tuple[str, Row]]:
    """Every row: its text as it stands in the file, line end included, and its fields.

    Raises:
        Gesture3dError: other columns, a row that does not fit them, two rows of one key.
    """
    try:
        lines = list(_records(path.read_bytes().decode("utf-8")))
        cells = [next(csv.reader(io.StringIO(line, newline=""), strict=True)) for line in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Gesture3dError(f"{path}: no CSV ({error})") from None
    if not cells:
        return []
    if cells[0] != list(COLUMNS):
        found = one_line(", ".join(cells[0]), 300)
        raise Gesture3dError(
            f"{path}: no table of results: its columns are {found}; they must be "
            f"{', '.join(COLUMNS)}; name another file, which need not be there"
        )
    rows, keys = [], set()
    for number, (line, row) in enumerate(zip(lines[1:], cells[1:], strict=True), start=1):
        where = f"{path}: row {number}"
        if len(row) != len(COLUMNS):
            raise Gesture3dError(f"{where} has {len(row)} fields; the head has {len(COLUMNS)}")
        fields = dict(zip(COLUMNS, row, strict=True))
        if not re.fullmatch(r"\d+(\.\d+)?", fields["top1"]):
            raise Gesture3dError(f"{where}: top1 {one_line(fields['top1'], 50)!r}: not in per cent")
        if not fields["written_by"]:
            raise Gesture3dError(f"{where}: written_by is empty; of a row by hand it is {TYPED}")
        if _key(fields) in keys:
            raise Gesture3dError(f"{where}: there already: {_named(fields)}; remove one of the two")
        keys.add(_key(fields))
        rows.append((line, fields))
    return rows


def check_results(path: Path) -> None:
    """Find out before the work whether its rows can be recorded in ``path``.

    Raises:
        Gesture3dError: as `read_rows`; the file cannot be written.
    """
    check_writable(path)
    if path.is_file():
        read_rows(path)


def record(path: Path, new: Sequence[Row]) -> list[str]:
    """Write rows into the file, each in the place of the one with its `KEY`, or behind those
    of its group on the same data.

    All other rows stay as they are, byte for byte; the file is whole at any time, and of several
    commands the next one waits. Where a README.md with the marks of the tables lies beside the
    file, its tables are written, too.

    Args:
        new: with all of `COLUMNS`; ``group`` may be empty: then it is that of the row replaced, of
            rows on the same data, or the data's name.

    Returns:
        What was done, a sentence a row.

    Raises:
        Gesture3dError: as `read_rows`; nothing is written then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        rows = read_rows(path)
        said = [_put(rows, row) for row in new]
        lines = [line if line.endswith("\n") else f"{line}\n" for line, _ in rows]
        write_text(path, csv_text([COLUMNS]) + "".join(lines))
        readme = path.with_name("README.md")
        text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
        if BEGIN in text and END in text:
            write_text(readme, with_tables(text, zoo_tables(path)))
            said.append(f"tables: {readme}")
    return [f"{path}: {line}" if not line.startswith("tables") else line for line in said]


def _put(rows: list[tuple[str, Row]], new: Row) -> str:
    keys = [_key(row) for _, row in rows]
    there = keys.index(_key(new)) if _key(new) in keys else None
    if there is not None:
        old = rows[there][1]
        new = new | {"group": new["group"] or old["group"]}
        rows[there] = (_line(new), new)
        return f"{_named(new)}: {new['top1']} % replaces {old['top1']} % ({old['written_by']})"
    alike = [row["group"] for _, row in rows if row["data"] == new["data"]]
    closest = [r["group"] for _, r in rows if all(r[k] == new[k] for k in ("data", "settings"))]
    new = new | {"group": new["group"] or next(iter(closest + alike), new["data"])}
    of_group = [n for n, (_, row) in enumerate(rows) if row["group"] == new["group"]]
    beside = [n for n in of_group if rows[n][1]["data"] == new["data"]]
    place = [len(rows) - 1, *of_group, *beside][-1] + 1
    rows.insert(place, (_line(new), new))
    return f"{_named(new)}: {new['top1']} %, a new row"


def _records(text: str) -> Iterator[str]:
    """The rows of a CSV as they stand there; quoted fields may hold line ends."""
    held = ""
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        held += line
        if held.count('"') % 2 == 0:
            yield held
            held = ""
    if held:
        yield held


def _line(row: Row) -> str:
    return csv_text([[one_line(row[column]) for column in COLUMNS]])


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[column] for column in KEY)


def _named(row: Row) -> str:
    return one_line(", ".join(filter(None, _key(row))), 200)


# --- tables --------------------------------------------------------------------------------------


def zoo_tables(path: Path) -> str:
    """A table a group of rows, with the commands and the code that made it, in Markdown."""
    parts = []
    for group, members in groupby((row for _, row in read_rows(path)), key=lambda r: r["group"]):
        members = list(members)
        shown = {head: cell for head, cell in SHOWN.items() if any(map(cell, members))}
        lines = ["| " + " | ".join(shown) + " |", "|---" * len(shown) + "|"]
        lines += [
            f"| {' | '.join(markdown(cell(r)) for cell in shown.values())} |" for r in members
        ]
        made = dict.fromkeys((row["command"], _made_with(row)) for row in members)
        lines += ["", *(f"- `{c}`" + (f" ({how})" if how else "") for c, how in made)]
        parts.append("\n".join([f"### {markdown(group)}", "", *lines]))
    return "\n\n".join(parts)


def with_tables(text: str, tables: str) -> str:
    """The README's text with the tables between its two marks."""
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def _made_with(row: Row) -> str:
    return "; ".join(filter(None, (row["code"] and f"code {row['code']}", row["processor"])))


def _samples(row: Row) -> str:
    return f"{row['samples']} samples" if row["samples"].isdigit() else row["samples"]


def _count(text: str, digits: int) -> str:
    """A number in full as people read it; one that was typed rounded stays as it is."""
    if not text.isdigit():
        return text
    return f"{int(text):,}" if int(text) < 250_000 else f"{int(text) / 1e6:.{digits}f} M"


def _time(seconds: str) -> str:
    if not seconds:
        return ""
    return f"{float(seconds):.0f} s" if float(seconds) < 600 else f"{float(seconds) / 60:.0f} min"


def main() -> None:
    folder = resource("configs")
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8")
    write_text(readme, with_tables(text, zoo_tables(folder / "results.csv")))


if __name__ == "__main__":
    main()
