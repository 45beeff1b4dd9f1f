"""Rows of figures as plain text."""

Row = dict[str, float | str | None]


def format_table(rows: list[Row]) -> str:
    """Plain text: a line of names, then a line for each row; nothing of no rows."""
    if not rows:
        return ""

    def text(value: float | str | None) -> str:
        if isinstance(value, float):
            return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
        return "" if value is None else str(value)

    names = [name for name in rows[0] if any(row.get(name) is not None for row in rows)]
    names = list(dict.fromkeys([*names, *(name for row in rows for name in row if row[name])]))
    lines = [names, *([text(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
