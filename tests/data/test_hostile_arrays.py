"""Files of every format, mutated; folders and names that are not as expected."""

import os
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from gesture3d.data import build_datasets
from gesture3d.data.inertial.recording import parse_mat, read_table
from gesture3d.data.inertial.sets.inertial_folder import InertialFolderData
from gesture3d.data.inertial.signal import prepare
from gesture3d.data.inertial.stream import InertialAugmentation
from gesture3d.data.numeric import parse_numbers
from gesture3d.data.skeleton.sets.skeleton_folder import SkeletonFolderData
from gesture3d.data.skeleton.sets.utd_mhad_skeleton import UTDSkeletonData
from gesture3d.errors import Gesture3dError
from tests.data.contents import JOINTS, VALUES, csv_text, mat, npy, npz
from tests.data.skeleton.test_ntu import body, ntu_text
from tests.test_zips import mutated, outcome

FOLDER = InertialFolderData(name="inertial_folder")
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
        return SKELETON_DATA.joints_of(path)
    if path.name.endswith("skel.mat"):
        return UTDSkeletonData(name="utd_mhad_skeleton").joints_of(path)
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
