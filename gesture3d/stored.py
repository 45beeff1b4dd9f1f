"""JSON that was written here once and is read back: its types and ranges are checked before use."""

import json
from typing import Annotated, Any

from pydantic import Field, Strict, TypeAdapter, ValidationError

from gesture3d.text import one_line

Whole = Annotated[int, Strict(), Field(ge=0, lt=2**63)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
NonNegative = Annotated[Number, Field(ge=0.0)]
Share = Annotated[Number, Field(ge=0.0, le=1.0)]
Text = Annotated[str, Strict()]
DEEPEST = 64  # lists and objects in one another


def parse_json(text: str | bytes, kind: TypeAdapter) -> Any:
    """The value in ``text`` as ``kind`` describes it.

    Raises:
        ValueError: no JSON, a key twice, NaN or infinity, another type or range; in one line.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if isinstance(value, dict | list) and _is_deep(value):
        raise ValueError("nested too deep")
    return checked(value, kind)


def checked(value: Any, kind: TypeAdapter) -> Any:
    """``value`` as ``kind`` describes it. Raises ValueError as `parse_json`."""
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = one_line(".".join(map(str, first["loc"])), 100)
        shown = one_line(repr(first["input"]), 100)
        raise ValueError(f"{place}: {first['msg']}, not {shown}") from None


def _is_deep(value: Any) -> bool:
    """Whether there are lists in lists, or objects, beyond what is ever stored."""
    level = [value]
    for _ in range(DEEPEST):
        inner = (part.values() if isinstance(part, dict) else part for part in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
