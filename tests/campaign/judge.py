"""What a case came to.

No fault:

- ``same``: read, with the result of the good file;
- ``different``: read, with as many items (frames, rows, samples, names) as the good file and other
  contents: most damage to pixels and numbers cannot be seen without a checksum;
- ``other size``: read, with more items than the good file, or with fewer where a second opinion
  (`Kind.holds`: another program, or a count of lines) finds that the damaged file is a consistent
  file of just so many, as when a mutation takes whole lines out of a list;
- ``refused``: one line that names the file (or, of two lists that do not fit, the other one), as
  the command line prints it.

Faults:

- ``good file``: it is refused before any damage;
- ``crash``, ``hang``, ``memory``: see `children`;
- ``traceback``: any other exception than those that the command line turns into one line;
- ``message``: refused in a line that names no file;
- ``loss``: read, with fewer items than the good file, and no second opinion defends it;
- ``not finite``: NaN or an infinite number in a result.
"""

import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gesture3d.command_line import LONGEST_MESSAGE
from gesture3d.errors import Gesture3dError
from gesture3d.text import one_line

from .mutate import Mutator

PASSES = ("same", "different", "other size", "refused")
FAULTS = ("good file", "crash", "hang", "memory", "traceback", "message", "loss", "not finite")


@dataclass(frozen=True)
class Outcome:
    """What reading gave: how many items (of each sort), a hash of all, and whether it is finite."""

    sizes: tuple[int, ...]
    digest: str
    finite: bool = True


def outcome(sizes: tuple[int, ...], *contents: Any) -> Outcome:
    """Of arrays, and of anything whose ``repr`` says it all."""
    digest, finite = hashlib.blake2b(digest_size=8), True
    for content in contents:
        if isinstance(content, np.ndarray):
            digest.update(f"{content.shape}{content.dtype}".encode())
            digest.update(np.ascontiguousarray(content).tobytes())
            finite &= content.dtype.kind not in "fc" or bool(np.isfinite(content).all())
        else:
            text = repr(content)
            digest.update(text.encode(errors="surrogateescape"))
    return Outcome(sizes, digest.hexdigest(), finite)


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        make: fills an empty folder with good files; returns those that are to be mutated.
        read: (folder, one of these files) → what the project's public entry point makes of it.
        holds: of a damaged file that was read with fewer items: how many items it holds in
            another's opinion, and None where it is visibly damaged; says why in its docstring.
        odd: a mutator that knows the format.
        names_file: whether a refusal must name the file. A text on the command line has none, and
            settings that do not fit each other, each in its own place, are named by their keys.
    """

    name: str
    make: Callable[[Path], list[Path]]
    read: Callable[[Path, Path], Outcome]
    holds: Callable[[Path], int | None] = field(default=lambda _: None)
    odd: Mutator | None = None
    names_file: bool = True
    cases: int = 300


def read_good(kind: Kind, folder: Path, path: Path) -> Outcome | str:
    """What the undamaged file gives, or how it is refused."""
    try:
        return kind.read(folder, path)
    except Gesture3dError as error:
        return str(error)


def judge(kind: Kind, folder: Path, path: Path, good: Outcome | str) -> tuple[str, str]:
    """The verdict on a damaged file, and a line about it."""
    if isinstance(good, str):
        return "good file", good
    try:
        found = kind.read(folder, path)
    except Gesture3dError as error:
        return _refusal(kind, folder, path, str(error))
    except OSError as error:  # as gesture3d.command_line prints it
        return _refusal(kind, folder, path, f"{error.strerror or error}: {error.filename}")
    except MemoryError:
        return "memory", _where_raised()
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"[:300] + f" ({_where_raised()})"
    if not found.finite:
        return "not finite", str(found.sizes)
    if found == good:
        return "same", ""
    if found.sizes == good.sizes:
        return "different", ""
    if all(n >= m for n, m in zip(found.sizes, good.sizes, strict=True)):
        return "other size", f"{found.sizes} instead of {good.sizes}"
    held = kind.holds(path)
    verdict = "other size" if held == found.sizes[0] else "loss"
    return verdict, f"{found.sizes} instead of {good.sizes}; {held} in another's opinion"


def _refusal(kind: Kind, folder: Path, path: Path, message: str) -> tuple[str, str]:
    message = one_line(message, LONGEST_MESSAGE)
    files = [f for f in folder.rglob("*") if f.is_file()]
    names = {path.name, *(file.name for file in files)}  # of two that do not fit, one is named
    if kind.names_file and not any(name in message for name in names):
        return "message", f"names no {path.name}: {message}"
    return "refused", message


def _where_raised() -> str:
    lines = traceback.format_exc().splitlines()
    places = [line.strip() for line in lines if line.strip().startswith("File ")]
    ours = [place for place in places if "/gesture3d/" in place]
    return (ours or places or ["?"])[-1]
