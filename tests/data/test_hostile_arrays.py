"""Arrays and tables that are damaged or hostile: the right numbers, or one line with the file."""

import io
import os
import struct
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from gesture3d.config import HAPTData, InertialFolderData, SkeletonFolderData, UTDSkeletonData
from gesture3d.config.inertial import InertialAugmentation
from gesture3d.data import build_datasets, numeric
from gesture3d.data.inertial.sets.inertial_folder import read_inertial_folder, read_table
from gesture3d.data.inertial.sets.utd_mhad_inertial import parse_mat
from gesture3d.data.inertial.signal import prepare
from gesture3d.data.matlab import read_array
from gesture3d.data.numeric import numpy_array, parse_numbers
from gesture3d.data.skeleton.dataset import load_skeleton
from gesture3d.data.skeleton.files import plain_joints, read_joints, utd_joints
from gesture3d.errors import Gesture3dError
from tests.data.skeleton.test_ntu import body, ntu_text
from tests.data.test_zips import mutated, outcome

VALUES = np.random.default_rng(0).normal(size=(20, 3, 6))


def mat(values: np.ndarray, name: str = "d", **options) -> bytes:
    content = io.BytesIO()
    savemat(content, {"other": VALUES[0], name: values, "word": "text"}, **options)
    return content.getvalue()


# --- .mat ----------------------------------------------------------------------------------------


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


# --- .npy, .npz ----------------------------------------------------------------------------------


def npy(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def header(shape: str, descr: str = "'<f8'", version: int = 1) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header("(1000000000,)"), "needs more than"),
        (header("(99999999999999, 99999999999999)") + bytes(80), "needs more than"),
        (header("(-1, 3)") + bytes(80), "not a readable NumPy file"),
        (header("(2, 'x')") + bytes(80), "not a readable NumPy file"),
        (header("(" * 500 + ")" * 500) + bytes(80), "not a readable NumPy file"),
        (header("(1,)", "[('a', '<f8'), ('b', '<i4')]") + bytes(80), "values of type"),
        (header("(1,)", "'|O'") + bytes(80), "values of type object"),
        (header("(1,)", "'<M8[s]'") + bytes(80), "values of type datetime"),
        (header("(1,)", "'|S4'") + bytes(80), "values of type"),
        (header("(1,)", version=9) + bytes(80), r"version 9\.0|not a readable"),
        (npy(VALUES)[:-1], "cut off"),
        (npy(np.array([1j])), "values of type complex"),
        (npz(a=VALUES, b=VALUES), "2 arrays, expected one"),
        (npz(), "0 arrays, expected one|not a readable"),
        (npz(a=VALUES)[:-40], "not a readable NumPy file"),
    ],
)
def test_numpy_files_that_cannot_be_used_say_why(content, message) -> None:
    tracemalloc.start()
    with pytest.raises(Gesture3dError, match=message) as caught:
        numpy_array(content, "x.npy")
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert "x.npy" in str(caught.value)


def test_nothing_is_unpickled(tmp_path) -> None:
    trap = np.array([Trap(tmp_path / "executed")], object)
    for content in (npy(trap), npz(a=trap)):
        with pytest.raises(Gesture3dError, match="values of type object"):
            numpy_array(content, "x.npy")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "values",
    [
        VALUES.transpose(2, 0, 1),
        np.asfortranarray(VALUES),
        VALUES.astype(">f4"),
        VALUES.astype("f2"),
        (VALUES * 9).astype("i1"),
        np.array(3.0),
        np.zeros((0, 4, 3)),
    ],
)
def test_numpy_files_of_every_order_and_type_are_read(values) -> None:
    for content in (npy(values), npz(a=values)):
        found = numpy_array(content, "x")
        assert (found.dtype, found.shape) == (values.dtype, values.shape)
        np.testing.assert_array_equal(found, values)


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1e39, -1e300, 1e16, np.inf, np.nan])
def test_joints_are_finite_after_the_cast(tmp_path, value) -> None:
    joints = VALUES.transpose(2, 0, 1).copy()
    joints[4, 7, 1] = value
    message = r"frame 4: joint 7 has the coordinate"
    with pytest.raises(Gesture3dError, match=rf"x: {message}"):
        plain_joints(npy(joints), "x", ".npy")
    with pytest.raises(Gesture3dError, match=rf"x: {message}"):
        plain_joints("\n".join(",".join(map(str, r.ravel())) for r in joints).encode(), "x", ".csv")
    with pytest.raises(Gesture3dError, match=rf"x: {message}"):
        utd_joints(mat(joints.transpose(1, 2, 0), "d_skel"), "x")


def test_whole_numbers_of_any_size_are_no_joints() -> None:
    for dtype, value in (("i8", -(2**63)), ("u8", 2**64 - 1), ("f2", np.inf)):
        joints = np.ones((2, 4, 3), dtype)
        joints[1, 0, 0] = value
        with pytest.raises(Gesture3dError, match="frame 1: joint 0"):
            plain_joints(npy(joints), "x", ".npy")


@pytest.mark.parametrize("value", [1e300, -1e39, 1e16, np.inf])
def test_recordings_are_finite_after_the_cast(value) -> None:
    config = HAPTData(name="hapt", median_steps=3, lowpass_hz=20.0, gravity_hz=0.3)
    recording = np.random.default_rng(0).normal(size=(300, 6))
    assert np.isfinite(prepare(recording, config)).all()
    recording[57, 2] = value
    with pytest.raises(Gesture3dError, match="x, line 58: channel 3 is"):
        prepare(recording, config, "x")
    with pytest.raises(Gesture3dError, match="x: has no samples"):
        prepare(recording[:0], config, "x")


@pytest.mark.parametrize("value", ["1e39", "-1e300", "nan", ""])
def test_windows_that_were_cut_already_are_finite_after_the_cast(tmp_path, value) -> None:
    rows = [f"{n // 4},{value if n == 5 else n},a" for n in range(16)]
    (tmp_path / "w.csv").write_text("\n".join(["window,x,label", *rows]))
    config = InertialFolderData(name="inertial_folder", root=tmp_path, window=4)
    with pytest.raises(Gesture3dError, match=r"w\.csv, line 7: a window with"):
        read_inertial_folder(config)


def test_too_many_frames_or_joints_are_no_gesture() -> None:
    for shape in ((100_001, 1, 3), (1, 1001, 3)):
        with pytest.raises(Gesture3dError, match="a gesture has at most"):
            plain_joints(npy(np.zeros(shape, "f2")), "x", ".npy")


# --- tables --------------------------------------------------------------------------------------

FOLDER = InertialFolderData(name="inertial_folder")


def test_a_table_of_50_000_columns_takes_no_time(tmp_path) -> None:
    names = [f"c{n}" for n in range(50_000)]
    path = tmp_path / "wide.csv"
    row = ",".join(["1"] * 50_000)
    path.write_text("\n".join([",".join([*names, "label"]), *[f"{row},a"] * 4]))
    started = time.process_time()
    assert read_table(path, FOLDER).channels.shape == (4, 50_000)
    assert time.process_time() - started < 5
    other = tmp_path / "other.csv"
    other.write_text("x,label\n1,a\n2,a\n")
    config = FOLDER.model_copy(update={"root": tmp_path, "resample": True})
    with pytest.raises(Gesture3dError, match="c19, …, but") as caught:
        read_inertial_folder(config)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x,label\n" + b"1" * 200_000 + b",a\n", "line 2: field larger than"),
        (b'x,label\n"' + b"1,a\n" * 50_000, "field larger than"),
        (b"x,label\n" + b"1," * 600_000, "line 2: longer than 1,048,576 characters"),
        (b"x,label\n1\x00,a\n", r"NUL|line 2: x '1\\x00' is no number"),
        (b"x,label\n" + b"one " * 5000 + b",a\n", r"line 2: x 'one .{36}…' is no number"),
        (b"x,label\n\xff\xfe,a\n", "not a text file in UTF-8"),
        (b"x,label\n1,a\n1\n", "line 3: 1 cells, 2 columns"),
        (b"x,label", "at least one row are needed"),
        (b"", "at least one row are needed"),
    ],
)
def test_tables_that_cannot_be_used_say_where(tmp_path, content, message) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(Gesture3dError, match=message) as caught:
        read_table(path, FOLDER)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_a_line_of_any_length_is_no_frame() -> None:
    for parse in (lambda c: plain_joints(c, "x", ".csv"), lambda c: parse_numbers(c, "x")):
        with pytest.raises(Gesture3dError, match="x, line 2: longer than 1,048,576 characters"):
            parse(b"1 1 1\n" + b"1 " * 600_000)


def test_what_is_no_file_is_not_waited_for(tmp_path, monkeypatch) -> None:
    data = SkeletonFolderData(name="skeleton_folder", root=tmp_path)
    (tmp_path / "x.npy").mkdir()
    with pytest.raises(Gesture3dError, match=r"x\.npy: (not a file|cannot be read)"):
        read_joints(tmp_path / "x.npy", data)
    monkeypatch.setattr(numeric, "MAX_FILE_BYTES", 100)
    (tmp_path / "y.npy").write_bytes(npy(VALUES))
    with pytest.raises(Gesture3dError, match=r"y\.npy: 3,008 bytes; at most 100"):
        read_joints(tmp_path / "y.npy", data)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "z.npy")
        with pytest.raises(Gesture3dError, match=r"z\.npy: not a file"):
            read_joints(tmp_path / "z.npy", data)


# --- mutations of every format -------------------------------------------------------------------


def csv_text(values: np.ndarray, header: str) -> bytes:
    rows = [",".join(f"{v:.4f}" for v in row) for row in values.reshape(len(values), -1)]
    return "\n".join([header, *rows]).encode()


JOINTS = VALUES.transpose(2, 0, 1)
SKELETON_DATA = SkeletonFolderData(name="skeleton_folder")
FORMATS = {
    "x.npy": npy(JOINTS),
    "x.npz": npz(a=JOINTS),
    "x.csv": csv_text(JOINTS[:, :4], ",".join("abcdefghijkl")),
    "x.skeleton": ntu_text([[body("7", n)] for n in range(3)]).encode(),
    "d_skel.mat": mat(VALUES, "d_skel"),
    "packed d_skel.mat": mat(VALUES, "d_skel", do_compression=True),
    "d_iner.mat": mat(VALUES[:, :, 0].repeat(2, 1), "d_iner"),
    "old d_iner.mat": mat(VALUES[:, :, 0].repeat(2, 1), "d_iner", format="4"),
    "table.csv": csv_text(VALUES[:, :, 0], "x,y,z"),
    "numbers.txt": b"\n".join(b"%.4f %.4f %.4f" % tuple(row) for row in VALUES[:, :, 0]),
}


def parse(path: Path) -> np.ndarray:
    where = str(path)
    if path.name.startswith("x."):
        return read_joints(path, SKELETON_DATA)
    if path.name.endswith("skel.mat"):
        return read_joints(path, UTDSkeletonData(name="utd_mhad_skeleton"))
    if path.name.endswith("iner.mat"):
        return prepare(parse_mat(path.read_bytes(), where), FOLDER, where)
    if path.name == "table.csv":
        return prepare(read_table(path, FOLDER).channels, FOLDER, where)
    return prepare(parse_numbers(path.read_bytes(), where, 3), FOLDER, where)


@pytest.mark.filterwarnings("error:overflow", "error:invalid value")
@pytest.mark.parametrize("name", FORMATS)
def test_a_mutated_file_is_finite_numbers_or_one_line_with_its_name(tmp_path, name) -> None:
    path, rng = tmp_path / name, np.random.default_rng(zlib.crc32(name.encode()))
    path.write_bytes(FORMATS[name])
    assert parse(path).dtype == np.float32
    refused = 0
    tracemalloc.start()
    for _ in range(300):
        path.write_bytes(mutated(FORMATS[name], rng))
        found = outcome(lambda: parse(path))
        if isinstance(found, str):
            assert str(path) in found
            refused += 1
        else:
            assert np.isfinite(found).all()
            assert np.abs(found).max() < 2e15
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert refused > 50


# --- separators, names ---------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_by_comma_semicolon_or_tab_are_read_alike(tmp_path, separator) -> None:
    joints = csv_text(JOINTS[:, :4], ",".join("abcdefghijkl")).replace(b",", separator.encode())
    found = plain_joints(joints, "x", ".csv")
    np.testing.assert_allclose(found, JOINTS[:, :4], atol=1e-4)
    path = tmp_path / "x.csv"
    path.write_text("x,y,label\n1,2,sit; still\n3,,sit; still\n".replace(",", separator))
    if separator != ";":
        table = read_table(path, FOLDER)
        assert table.names == ("x", "y")
        np.testing.assert_array_equal(table.channels, [[1, 2], [3, np.nan]])
        assert table.texts == {"label": ["sit; still"] * 2}


def test_a_set_without_files_is_named(tmp_path) -> None:
    (tmp_path / "Skeleton").mkdir()
    data = UTDSkeletonData(name="utd_mhad_skeleton", root=tmp_path)
    with pytest.raises(Gesture3dError, match=r"Skeleton: no \.mat files in it"):
        build_datasets(data, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are UTF-8 there")
def test_names_that_are_not_utf_8_are_trained_on_like_others(tmp_path) -> None:
    plain, odd = tmp_path / "plain", tmp_path / "odd"
    for root, letter in ((plain, b"e"), (odd, b"\xe9")):
        for label in (b"wave", b"caf" + letter):
            folder = os.fsencode(root) + b"/" + label
            Path(os.fsdecode(folder)).mkdir(parents=True)
            for n in range(4):
                np.save(os.fsdecode(folder + b"/take" + letter + b"%d.npy" % n), JOINTS + n)
    noise = {"noise": 0.1, "time_warp": 0.2}
    for root in (plain, odd):
        data = SkeletonFolderData(name="skeleton_folder", root=root, augmentation=noise)
        found = build_datasets(data, 0)
        assert len(found.train) + len(found.test) == 8
        assert found.train[1, 0].inputs.shape == (6, 60)
    csvs = tmp_path / "csvs"
    csvs.mkdir()
    for n in (1, 2):
        Path(os.fsdecode(os.fsencode(csvs) + b"/ann\xe9%d.csv" % n)).write_text(
            "x,label\n" + "1,sit\n" * 20
        )
    found = build_datasets(
        FOLDER.model_copy(
            update={"root": csvs, "window": 8, "augmentation": InertialAugmentation(noise=0.1)}
        ),
        0,
    )
    assert found.train[0, 0].inputs.shape == (8, 1)


def test_tables_take_little_more_memory_than_their_numbers(tmp_path) -> None:
    """Lines of two bytes, of which an object each would take 50 times the file."""
    content = b"1\n" * 90_000
    (tmp_path / "x.csv").write_bytes(b"x\n" + content)
    readers = (
        lambda: parse_numbers(content, "x"),
        lambda: read_table(tmp_path / "x.csv", FOLDER),
        lambda: plain_joints(b"1,1,1\n" * 30_000, "x", ".csv"),
    )
    for read in readers:
        tracemalloc.start()
        read()
        assert tracemalloc.get_traced_memory()[1] < 20 * len(content)
        tracemalloc.stop()
    with pytest.raises(Gesture3dError, match="x: a gesture has at most 100,000 frames"):
        plain_joints(b"1,1,1\n" * 100_001, "x", ".csv")


def test_a_chain_without_length_gives_no_infinite_features(tmp_path) -> None:
    joints = np.full((3, 4, 3), 1e14, np.float32)
    joints[:, :2] = np.array([[0, 0, 0], [1e-30, 0, 0]])
    np.save(tmp_path / "x.npy", joints)
    data = SKELETON_DATA.model_copy(update={"scale_joints": (0, 1)})
    with pytest.raises(Gesture3dError, match=r"x\.npy: centred, scaled .* data\.scale_joints"):
        load_skeleton(tmp_path / "x.npy", data)
