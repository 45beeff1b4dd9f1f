"""Numbers out of files that nobody vouches for: text and NumPy's formats, with limits."""

import array
import io
import math
import os
import stat
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from gesture3d.errors import Gesture3dError, naming
from gesture3d.zips import ZipReader

MAX_FILE_BYTES = 1 << 30
MAX_LINE = 1 << 20  # characters
LARGEST = 1e15  # of any measured value: sums of squares of such are finite in float32, too


def read_file(path: Path | str) -> bytes:
    """The content of a file of at most `MAX_FILE_BYTES`.

    Raises:
        Gesture3dError: there is none, it is no file (a folder, a pipe), too large or unreadable.
            It names no path.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Gesture3dError("not a file")
            if status.st_size > MAX_FILE_BYTES:
                raise Gesture3dError(
                    f"{status.st_size:,} bytes; at most {MAX_FILE_BYTES:,}: split it"
                )
            return file.read(status.st_size)
    except FileNotFoundError:
        raise Gesture3dError("no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Gesture3dError(f"cannot be read ({reason})") from None


def read_named(path: Path, suffixes: Collection[str] | None = None) -> bytes:
    """As `read_file`, with the path in messages.

    Args:
        suffixes: those that are read, where not all are.
    """
    if suffixes is not None and path.suffix.lower() not in suffixes:
        raise Gesture3dError(f"{path}: expected a file of {', '.join(sorted(suffixes))}")
    with naming(path):
        return read_file(path)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # for who writes to a pipe


def text_lines(content: bytes, where: str, longest: int = MAX_LINE) -> Iterator[str]:
    """The lines of a UTF-8 text with their ends.

    Raises:
        Gesture3dError: not UTF-8, or a line of more than ``longest`` characters.
    """
    file = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    number = 0
    try:
        while line := file.readline(longest + 1):
            number += 1
            if len(line) > longest:
                what = "case" if longest > MAX_LINE else "step in time"
                raise Gesture3dError(
                    f"{where}, line {number}: longer than {longest:,} characters; expected a line "
                    f"for every {what}"
                )
            yield line
    except UnicodeDecodeError:
        raise Gesture3dError(f"{where}: not a text file in UTF-8") from None


def parse_numbers(content: bytes, where: str, columns: int | None = None) -> np.ndarray:
    """Rows of numbers separated by blanks, ``NaN`` allowed → float64 (rows, columns).

    Args:
        columns: in every row; None: as many as in the first.

    Raises:
        Gesture3dError: a row of another length, or something that is no number: file and line.
    """
    content, count = content.rstrip(), 0
    for count, line in enumerate(text_lines(content, where), 1):
        fields = len(line.split())
        columns = fields if columns is None else columns
        if fields != columns:
            raise Gesture3dError(
                f"{where}, line {count}: {fields} numbers instead of {columns}; the file is "
                "truncated or of another format"
            )
    if not count:
        raise Gesture3dError(f"{where}: no numbers in it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = np.fromstring(content.decode("utf-8-sig"), dtype=np.float64, sep=" ")
        if values.size == count * columns:
            return values.reshape(count, columns)
    except (ValueError, DeprecationWarning):
        pass
    numbers = array.array("d")  # of what NumPy does not read as Python does, and what is wrong
    for number, line in enumerate(text_lines(content, where), 1):
        for field in line.split():
            try:
                numbers.append(float(field))
            except ValueError:
                raise Gesture3dError(
                    f"{where}, line {number}: {shown(field)} is no number"
                ) from None
    return np.array(numbers).reshape(count, columns)


def is_count(text: str) -> bool:
    """Whether it is a whole number of at most nine plain digits."""
    return text.isascii() and text.isdigit() and len(text) < 10


def is_number(text: str) -> bool:
    """Whether Python reads it as a number (``nan`` and ``inf``, too)."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def shown(text: str) -> str:
    """A value as a message quotes it: escaped, and cut off where it is long."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def no_number(text: str) -> str:
    """What is wrong with a cell that should hold a number."""
    hint = ": write it with a point" if is_number(text.replace(",", ".", 1)) else ""
    return f"{shown(text)} is no number{hint}"


def listed(names: Sequence[str]) -> str:
    """Names as a message lists them: the first of many."""
    return ", ".join(n[:40] for n in names[:20]) + (", …" if len(names) > 20 else "")


def numpy_array(content: bytes, where: str) -> np.ndarray:
    """The numbers of a ``.npy`` file, or of a ``.npz`` with one array. Nothing is unpickled.

    Raises:
        Gesture3dError: damaged, more than one array, or something else than real numbers.
    """
    try:
        if content[:2] == b"PK":
            with ZipReader(io.BytesIO(content)) as archive:
                if len(archive.names) != 1:
                    raise Gesture3dError(f"{len(archive.names)} arrays, expected one")
                content = archive.read(archive.names[0])
        return _npy(content)
    except Exception as error:  # NumPy raises of every kind on damaged headers
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise Gesture3dError(f"{where}: not a readable NumPy file ({reason})") from None


def _npy(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise Gesture3dError(f"version {version[0]}.{version[1]} of the format")
    shape, by_columns, dtype = read_header(file)
    if dtype.kind not in "fiu":
        raise Gesture3dError(f"values of type {str(dtype)[:40]}, expected one array of numbers")
    count, start = math.prod(shape), file.tell()
    if min(shape, default=0) < 0 or count * dtype.itemsize > len(content) - start:
        raise Gesture3dError(f"cut off: shape {shape} needs more than {len(content):,} bytes")
    values = np.frombuffer(content, dtype, count, start) if count else np.empty(0, dtype)
    return values.reshape(shape, order="F" if by_columns else "C")


def bad_value(values: np.ndarray) -> tuple[int, ...] | None:
    """Where the first value is that is not finite, or beyond ±`LARGEST`, as float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        good = np.abs(values.astype(np.float32, copy=False)) <= LARGEST
    return None if good.all() else tuple(int(i) for i in np.argwhere(~good)[0])
