import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gesture3d.config import load_data
from gesture3d.data import build_datasets, read_index
from gesture3d.data.video.depth import cut_to_foreground, depth_to_grey, read_mat
from gesture3d.data.video.reading import VideoError, open_video, read_frames
from gesture3d.errors import Gesture3dError

savemat = pytest.importorskip("scipy.io").savemat


def person(num_frames: int = 12, height: int = 60, width: int = 80) -> np.ndarray:
    """A box 3 m away in front of nothing, in whose middle a hand comes 10 mm nearer a frame."""
    depth = np.zeros((height, width, num_frames), np.uint16)
    depth[10:50, 30:50] = 3000
    for t in range(num_frames):
        depth[20:30, 35:45, t] = 2900 - 10 * t
    return depth


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The first trials of two actions of all subjects, zipped as the official file is."""
    root = tmp_path_factory.mktemp("utd_mhad")
    with zipfile.ZipFile(root / "Depth.zip", "w") as archive:
        archive.writestr("Depth/", "")
        for action in (1, 27):
            for subject in range(1, 9):
                path = root / f"a{action}_s{subject}_t1_depth.mat"
                savemat(path, {"d_depth": person(8 + subject)}, do_compression=True)
                archive.write(path, f"Depth/{path.name}")
                path.unlink()
    return root


def recipe(root: Path, *overrides: str):
    return load_data("utd_mhad_depth", [f"data.root={root}", "data.cache_size=null", *overrides])


def test_the_mapping_to_grey_is_the_documented_one():
    depth = np.array([[[0, 3000, 3000, 3000, 2900, 3050, 1000, 9000]]], np.uint16)
    assert depth_to_grey(depth).ravel().tolist() == [0, 128, 128, 128, 148, 118, 255, 1]
    assert not depth_to_grey(np.zeros((2, 2, 2), np.uint16)).any()


def test_the_person_fills_the_square_wherever_it_stands():
    depth = person()
    depth[0, 0] = 500  # a stray pixel
    square = cut_to_foreground(depth)
    assert square.shape[:2] == (42, 42)  # 40 rows and 3 % on either side
    rows, columns = (np.flatnonzero(square.any(axis=(axis, 2))) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (1, 40)
    assert (columns[0], columns[-1]) == (11, 30)
    moved = np.roll(depth, (-10, 29), axis=(0, 1))  # partly at the edge of the image
    moved[:, :9] = 0
    assert np.array_equal(cut_to_foreground(moved)[1:41, 11:31], square[1:41, 11:31])


def test_clips_are_read_out_of_the_zip_file(root):
    path = root / "Depth.zip" / "Depth" / "a1_s3_t1_depth.mat"
    reader = open_video(path)
    assert (reader.num_frames, reader.size, reader.fps) == (11, (60, 80), None)
    grey = read_frames(path, pixels="grey", short_side=21)
    assert grey.shape == (11, 21, 21, 1)
    assert (np.diff(grey[:, 8, 10, 0].astype(int)) == 2).all()  # 10 mm nearer: two levels
    rgb = read_frames(path, [0, 5])
    assert rgb.shape == (2, 42, 42, 3)
    assert (rgb == rgb[..., :1]).all()


def test_the_official_protocol(root):
    index = read_index(recipe(root, "data.validation_groups=[7]"))
    subjects = {s: sorted({c.key[-4] for c in clips}) for s, clips in index.splits.items()}
    assert subjects == {
        "train": ["1", "3", "5"],
        "validation": ["7"],
        "test": ["2", "4", "6", "8"],
    }
    assert {clip.key: clip.label for clip in index.splits["validation"]} == {
        "a1_s7_t1": 0,
        "a27_s7_t1": 26,
    }
    held_in = build_datasets(recipe(root, "data.validation_groups=[]"), 0, progress=False)
    assert held_in.validation is None
    assert {key[-4] for key in held_in.train.keys} == {"1", "3", "5", "7"}


def test_one_channel_goes_from_the_file_to_the_network(root, monkeypatch):
    for cache_size in ("null", "24"):
        data = build_datasets(recipe(root, f"data.cache_size={cache_size}"), 0, progress=False)
        for dataset in (data.train, data.test):
            assert dataset[0].inputs.shape == (16, 1, 48, 48)
    data = build_datasets(recipe(root, "data.channels=3"), 0, progress=False)
    assert data.test[0].inputs.shape == (16, 3, 48, 48)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_forked_process_opens_the_zip_file_itself(root):
    """Otherwise it would share the place in the file with its parent, and read damaged clips."""
    path = root / "Depth.zip" / "Depth" / "a1_s3_t1_depth.mat"
    read_mat(path, "d_depth")
    before = _descriptors(root)
    assert before
    child = os.fork()
    if child == 0:
        read_mat(path, "d_depth")
        os._exit(len(_descriptors(root)) - len(before))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def _descriptors(root: Path) -> list[Path]:
    """The open files of this process that are the archive."""
    links = Path("/proc/self/fd").iterdir()
    return [link for link in links if os.path.realpath(link) == str(root / "Depth.zip")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a readable .mat file"),
        (b"MATLAB 5.0 MAT-file, but no more than this", "not a readable .mat file"),
        ({"other": np.zeros((2, 2, 2))}, "no variable 'd_depth'"),
        ({"d_depth": np.zeros((2, 2), np.uint16)}, "expected (H, W, T)"),
    ],
)
def test_broken_depth_files_are_one_line(tmp_path, content, reason):
    path = tmp_path / "a1_s1_t1_depth.mat"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        savemat(path, content)
    with pytest.raises(VideoError) as caught:
        open_video(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(Gesture3dError, match=r"no depth clips: expected Depth\.zip"):
        read_index(recipe(tmp_path))
    (tmp_path / "Depth.zip").write_bytes(b"PK half")
    with pytest.raises(Gesture3dError, match="not a readable zip"):
        read_index(recipe(tmp_path))
    with zipfile.ZipFile(tmp_path / "Depth.zip", "w") as archive:
        archive.writestr("x", "")
    with pytest.raises(VideoError, match="no such file in the archive"):
        open_video(tmp_path / "Depth.zip" / "a1_s1_t1_depth.mat")


def test_the_real_set(shared_data):
    index = read_index(recipe(shared_data / "utd_mhad"))
    counts = {split: len(clips) for split, clips in index.splits.items()}
    assert counts["train"] + counts["validation"] == 431
    assert counts["test"] == 430
    assert len({clip.label for clip in index.splits["train"]}) == 27
    for clip in index.splits["test"][::100]:
        grey = read_frames(clip.path, pixels="grey", short_side=60)
        assert grey.shape[1:] == (60, 60, 1)
        assert 0.05 < (grey > 0).mean() < 0.6  # a person, and background around
