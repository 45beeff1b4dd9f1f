"""Real arrays of numbers out of MATLAB's files, versions 4 to 7.2, with limits.

scipy's reader follows nested cells as deep as they go and unpacks whatever a file says; this one
walks over the elements, looks into one variable, and unpacks no more than its own size. The format:
MathWorks, "MAT-File Format".
"""

import itertools
import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from gesture3d.errors import Gesture3dError

MAX_BYTES = 1 << 28  # of an array that is packed
MATRIX, COMPRESSED = 14, 15
# Types of stored values, and of version 4's.
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TYPES_4 = ("f8", "f4", "i4", "i2", "u2", "u1")
CLASSES = {1: "cell", 2: "struct", 3: "object", 4: "text", 5: "sparse matrix", 16: "function"}
LOGICAL, COMPLEX = 0x200, 0x800


def read_array(content: bytes, name: str) -> np.ndarray:
    """The array ``name`` of a ``.mat`` file's content, in the type that it is stored in.

    Raises:
        Gesture3dError: no such variable, damaged, no real numbers, or version 7.3. It names no
            file.
    """
    try:
        if 0 in content[:4]:
            return _read_version_4(content, name)
        if content.startswith(b"\x89HDF") or content[124:126] in (b"\x00\x02", b"\x02\x00"):
            raise Gesture3dError("a .mat file of version 7.3 (HDF5); save it with -v7")
        order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
        if order is None:
            raise ValueError("it has no header of one")
        for kind, body in _elements(content[128:], order):
            if kind == COMPRESSED:
                kind, body = _unpacked(body, order, name)
            if kind == MATRIX and _header(body, order)[2] == name:
                return _matrix(body, order)
    except (ValueError, OverflowError, MemoryError, struct.error, zlib.error) as error:
        raise Gesture3dError(f"not a readable .mat file ({error})") from None
    raise Gesture3dError(f"no variable {name!r} in it")


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, content) one after another, each at a multiple of 8 bytes."""
    view, start = memoryview(data), 0
    while start + 8 <= len(view):
        kind, size = struct.unpack_from(f"{order}II", view, start)
        if kind >> 16:  # up to 4 bytes, in the tag itself
            size, kind = kind >> 16, kind & 0xFFFF
            if size > 4:
                raise ValueError("damaged element")
            yield kind, bytes(view[start + 4 : start + 4 + size])
            start += 8
            continue
        if size > len(view) - start - 8:
            raise ValueError("cut off")
        yield kind, bytes(view[start + 8 : start + 8 + size])
        start += 8 + size + (-size % 8 if kind != COMPRESSED else 0)


def _unpacked(body: bytes, order: str, name: str) -> tuple[int, bytes]:
    """The element in a compressed one; of another variable than ``name`` only its beginning."""
    unpack = zlib.decompressobj()
    head = unpack.decompress(body, 4096)
    kind, size = struct.unpack_from(f"{order}II", head)
    if kind != MATRIX or _header(head[8:], order)[2] != name:
        return 0, b""
    if size > MAX_BYTES:
        raise ValueError(f"{size:,} bytes; at most {MAX_BYTES:,}")
    if size + 8 > len(head):
        head += unpack.decompress(unpack.unconsumed_tail, size + 8 - len(head))
    if len(head) < size + 8:
        raise ValueError("cut off")
    return kind, head[8 : size + 8]


def _header(body: bytes, order: str) -> tuple[int, tuple[int, ...], str, Iterator]:
    """A matrix's flags, dimensions and name, and the elements that follow."""
    parts = _elements(body, order)
    found = list(itertools.islice(parts, 3))
    if len(found) < 3 or len(found[0][1]) < 4:
        raise ValueError("damaged header")
    (_, flags), (_, dimensions), (_, name) = found
    shape = np.frombuffer(dimensions, f"{order}i4").tolist()
    return struct.unpack_from(f"{order}I", flags)[0], tuple(shape), name.decode("latin-1"), parts


def _matrix(body: bytes, order: str) -> np.ndarray:
    flags, shape, _, parts = _header(body, order)
    if not 6 <= flags & 0xFF <= 15 or flags & (LOGICAL | COMPLEX):
        raise Gesture3dError(f"{CLASSES.get(flags & 0xFF, 'other')} values, expected real numbers")
    kind, values = next(parts, (0, b""))
    if kind not in TYPES:
        raise ValueError("damaged element")
    return _shaped(values, order + TYPES[kind], shape)


def _shaped(values: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if min(shape, default=0) < 0 or math.prod(shape) * np.dtype(dtype).itemsize != len(values):
        raise ValueError(f"{len(values):,} bytes for shape {shape}")
    return np.frombuffer(values, dtype).reshape(shape, order="F")


def _read_version_4(content: bytes, name: str) -> np.ndarray:
    start = 0
    while start + 20 <= len(content):
        order = "<" if struct.unpack_from("<i", content, start)[0] in range(5000) else ">"
        kind, *shape, imaginary, length = struct.unpack_from(f"{order}5i", content, start)
        stored, text_or_sparse = kind // 10 % 10, kind % 10
        if not 0 <= kind < 2000 or stored >= len(TYPES_4) or length < 1 or min(shape) < 0:
            raise ValueError("damaged header")
        dtype = np.dtype(order + TYPES_4[stored])
        first = start + 20 + length
        size = math.prod(shape) * dtype.itemsize
        if first + size > len(content):
            raise ValueError("cut off")
        if content[start + 20 : first].rstrip(b"\0").decode("latin-1") == name:
            if text_or_sparse or imaginary:
                raise Gesture3dError("no real numbers in it")
            return _shaped(content[first : first + size], dtype.str, tuple(shape))
        start = first + size * (2 if imaginary else 1)
    raise Gesture3dError(f"no variable {name!r} in it")
