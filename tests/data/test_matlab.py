""".mat files of every kind, damaged and hostile ones: the right numbers, or one line."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from gesture3d.data.matlab import read_array
from gesture3d.errors import Gesture3dError
from tests.data.contents import VALUES, mat


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "i2", "u2", "u1"])
@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
def test_mat_files_of_every_kind_are_read(dtype, options) -> None:
    values = (VALUES * 50).astype(dtype)
    values = values[:, :, 0] if "format" in options else values
    found = read_array(mat(values, **options), "d")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


def test_big_endian_mat_files_are_read() -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    parts = [
        element(6, struct.pack(">II", 6, 0)),
        element(5, struct.pack(">ii", 2, 3)),
        struct.pack(">HH", 1, 1) + b"d\0\0\0",
        element(9, np.arange(6, dtype=">f8").tobytes()),
    ]
    content = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + element(14, b"".join(parts))
    np.testing.assert_array_equal(read_array(content, "d"), np.arange(6).reshape(3, 2).T)


def nested_cell(depth: int) -> bytes:
    """An array ``d`` of cells in cells, on which scipy's reader overflows its stack."""
    inner = b""
    for level in range(depth):
        name = struct.pack("<HH4s", 1, 1, b"d") if level == depth - 1 else struct.pack("<II", 1, 0)
        header = struct.pack("<IIII", 6, 8, 1, 0) + struct.pack("<IIii", 5, 8, 1, 1) + name
        inner = struct.pack("<II", 14, len(header) + len(inner)) + header + inner
    return b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + inner


def bomb(size: int) -> bytes:
    """A compressed array ``d`` that says 8 bytes and goes on for ``size``."""
    head = struct.pack("<IIIIII", 14, 48 + 8, 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, 1, 1)
    head += struct.pack("<HH4s", 1, 1, b"d") + struct.pack("<II", 9, size)
    packed = zlib.compress(head + bytes(size))
    return b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(packed)) + packed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable .mat file"),
        (b"text " * 100, "not a readable .mat file"),
        (mat(VALUES)[:300], "not a readable .mat file|no variable"),
        (mat(VALUES)[:-500], "not a readable .mat file"),
        (mat(VALUES[:, :, 0], format="4")[:-300], "not a readable .mat file"),
        (mat(VALUES, "e"), "no variable 'd' in it"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", r"version 7\.3 .HDF5.; save it with"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), r"version 7\.3"),
        (mat(np.array(["word"], object)), "cell values, expected real numbers"),
        (mat({"field": 1}), "struct values, expected real numbers"),
        (mat(VALUES + 1j), "expected real numbers"),
        (mat(VALUES > 0), "expected real numbers"),
        (mat("text"), "text values, expected real numbers"),
        (nested_cell(3), "cell values, expected real numbers"),
        (nested_cell(2000), "cell values, expected real numbers"),
        (bomb(50 << 20), "not a readable .mat file"),
    ],
)
def test_mat_files_that_cannot_be_used_say_why(content, message) -> None:
    tracemalloc.start()
    with pytest.raises(Gesture3dError, match=message) as caught:
        read_array(content, "d")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
