""".npy and .npz files, damaged and hostile ones; joints are finite and of bounded number."""

import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from gesture3d.data import numeric
from gesture3d.data.numeric import numpy_array
from gesture3d.data.skeleton.files import plain_joints
from gesture3d.data.skeleton.sets.skeleton_folder import SkeletonFolderData
from gesture3d.data.skeleton.sets.utd_mhad_skeleton import utd_joints
from gesture3d.errors import Gesture3dError
from tests.data.contents import VALUES, mat, npy, npz


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


def test_too_many_frames_or_joints_are_no_gesture() -> None:
    for shape in ((100_001, 1, 3), (1, 1001, 3)):
        with pytest.raises(Gesture3dError, match="a gesture has at most"):
            plain_joints(npy(np.zeros(shape, "f2")), "x", ".npy")


def test_what_is_no_file_is_not_waited_for(tmp_path, monkeypatch) -> None:
    data = SkeletonFolderData(name="skeleton_folder", root=tmp_path)
    (tmp_path / "x.npy").mkdir()
    with pytest.raises(Gesture3dError, match=r"x\.npy: (not a file|cannot be read)"):
        data.joints_of(tmp_path / "x.npy")
    monkeypatch.setattr(numeric, "MAX_FILE_BYTES", 100)
    (tmp_path / "y.npy").write_bytes(npy(VALUES))
    with pytest.raises(Gesture3dError, match=r"y\.npy: 3,008 bytes; at most 100"):
        data.joints_of(tmp_path / "y.npy")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "z.npy")
        with pytest.raises(Gesture3dError, match=r"z\.npy: not a file"):
            data.joints_of(tmp_path / "z.npy")


def test_a_chain_without_length_gives_no_infinite_features(tmp_path) -> None:
    joints = np.full((3, 4, 3), 1e14, np.float32)
    joints[:, :2] = np.array([[0, 0, 0], [1e-30, 0, 0]])
    np.save(tmp_path / "x.npy", joints)
    data = SkeletonFolderData(name="skeleton_folder", scale_joints=(0, 1))
    with pytest.raises(Gesture3dError, match=r"x\.npy: centred, scaled .* data\.scale_joints"):
        data.load(tmp_path / "x.npy")
