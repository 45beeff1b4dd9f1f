"""CSV files as people write them: commas, semicolons or tabs, and a first line of column names."""

import csv
import re
from collections.abc import Collection, Iterator

from gesture3d.data.numeric import MAX_LINE, shown, text_lines
from gesture3d.errors import Gesture3dError


def separator_of(content: bytes, needed: Collection[str] = ()) -> str:
    """What separates the cells: comma, semicolon or tab, as often as the first line has it.

    Args:
        needed: names of columns; what gives them is taken first.
    """
    line = content[:MAX_LINE].split(b"\n", 1)[0]
    for separator in ",;\t" if needed else "":
        text = line.decode("utf-8-sig", errors="replace")
        try:
            cells = next(csv.reader([text], delimiter=separator, skipinitialspace=True), [])
        except csv.Error:  # which `csv_rows` names
            break
        if {cell.strip() for cell in cells} >= set(needed):
            return separator
    if needed:
        return ","
    if b";" in line and not re.search(rb"[A-Za-z]", line):  # other commas are in numbers
        return ";"
    return max(",;\t", key=lambda separator: line.count(separator.encode()))


def csv_rows(
    content: bytes, where: str, needed: Collection[str] = (), skip_blank: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row; all have as many cells as the first.

    Args:
        skip_blank: pass over lines with nothing in them.

    Raises:
        Gesture3dError: no CSV in UTF-8, or a row of another length, with its line.
    """
    separator, columns = separator_of(content, needed), 0
    reader = csv.reader(
        text_lines(content, where), delimiter=separator, skipinitialspace=True, strict=True
    )
    try:
        for row in reader:
            if not row and skip_blank:
                continue
            columns = columns or len(row)
            if len(row) != columns:
                raise Gesture3dError(
                    f"{where}, line {reader.line_num}: {len(row)} cells, {columns} columns"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise Gesture3dError(f"{where}, line {reader.line_num}: not a CSV: {error}") from None


def column_places(names: list[str], where: str) -> dict[str, int]:
    """Column name → number, of a header.

    Raises:
        Gesture3dError: a column without a name, or two of one name.
    """
    places: dict[str, int] = {}
    for column, name in enumerate(map(str.strip, names)):
        if not name or name in places:
            what = f"is called {shown(name)}, as an earlier one is" if name else "has no name"
            raise Gesture3dError(f"{where}, line 1: column {column + 1} {what}")
        places[name] = column
    return places
