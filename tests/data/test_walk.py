"""Walks through folders: what is taken for a clip, where links lead, what cannot be read."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gesture3d.data import read_index
from gesture3d.data.inertial.sets.inertial_folder import InertialFolderData
from gesture3d.data.skeleton.sets.hand_folder import HandFolderData
from gesture3d.data.skeleton.sets.skeleton_folder import SkeletonFolderData
from gesture3d.data.video.reading import frame_count
from gesture3d.data.video.sets.folder import FolderData
from gesture3d.data.walk import Walk, find_files
from gesture3d.errors import Gesture3dError
from tests.clips import square_clip, write_clip


def y4m(path: Path) -> Path:
    """Two grey frames, by the format's own rules."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = b"FRAME\n" + bytes(64 * 64) + bytes(2 * 32 * 32)
    path.write_bytes(b"YUV4MPEG2 W64 H64 F25:1 Ip A1:1 C420jpeg\n" + 2 * frame)
    return path


def test_videos_are_known_by_their_content(tmp_path) -> None:
    whole = write_clip(tmp_path / "x.mp4", square_clip("left", 0)).read_bytes()
    for name in ("a.divx", "b", "c.MP4", "d.mp4.bak"):
        (tmp_path / name).write_bytes(whole)
    y4m(tmp_path / "e.yuv")
    (tmp_path / "notes.txt").write_text("G" * 400)
    (tmp_path / "cut.video").write_bytes(whole[:60])
    (tmp_path / "code.ts").write_text("export const x = 1;\n" * 30)
    (tmp_path / "table").write_bytes(b"\0" * 500)
    os.mkfifo(tmp_path / "pipe")
    walk = Walk()
    found = [clip.name for clip in find_files(tmp_path, walk=walk)]
    assert found == ["a.divx", "b", "c.MP4", "d.mp4.bak", "e.yuv", "x.mp4"]
    left_out = walk.left_out()
    assert left_out.startswith("left out: 2 without a suffix, ")
    for part in ("1 .txt", "1 .video (cannot be decoded)", "1 .ts"):
        assert part in left_out.split(", ")


MPEG2 = ["-c:v", "mpeg2video"]
CODERS = {
    **dict.fromkeys(
        (".gif", ".3gp", ".ogv", ".y4m", ".mjpeg", ".ivf", ".nut", ".vob", ".mxf", ".apng")
    ),
    **{".mts": MPEG2, ".m2ts": MPEG2, ".ts": MPEG2},
    ".qt": ["-c:v", "mpeg4", "-f", "mov"],
    **dict.fromkeys((".rm", ".swf")),
    ".mp4v": ["-c:v", "mpeg4", "-f", "m4v"],
    ".webp": ["-c:v", "libwebp_anim"],
}


def test_every_kind_that_decodes_is_a_clip_of_its_class(tmp_path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("FFmpeg's command line makes the files")
    made = []
    for suffix, coder in CODERS.items():
        path = tmp_path / "a" / f"clip{suffix}"
        path.parent.mkdir(exist_ok=True)
        source = ["-f", "lavfi", "-i", "testsrc2=s=176x144:r=25:d=0.2"]
        command = ["ffmpeg", "-v", "error", "-y", *source, *(coder or []), str(path)]
        if subprocess.run(command, capture_output=True, timeout=60).returncode == 0:
            made.append(f"a/{path.name}")
        else:
            path.unlink(missing_ok=True)
    assert len(made) > 6
    index = read_index(FolderData(name="folder", root=tmp_path))
    assert sorted(clip.key for clip in index.items) == sorted(made)
    assert {clip.path.suffix for clip in index.items if frame_count(clip.path) < 4} == set()
    assert len(find_files(tmp_path)) == len(made)


def test_folders_that_link_to_one_another_are_entered_once(tmp_path, monkeypatch) -> None:
    folders = [tmp_path / str(n) for n in range(9)]
    for folder in folders:
        y4m(folder / "clip.y4m")
    for folder in folders:
        for other in folders:
            (folder / f"to {other.name}").symlink_to(other)
        (folder / "round").symlink_to(folder / "round")
    entered = []
    enter = Walk.enter
    monkeypatch.setattr(Walk, "enter", lambda w, f: (entered.append(f), enter(w, f))[1])
    clips = find_files(tmp_path)
    assert len(clips) == len({os.path.realpath(clip) for clip in clips}) == 9
    assert len(entered) < 200


def test_a_folder_that_cannot_be_read_is_named_and_the_rest_found(tmp_path, monkeypatch) -> None:
    for name in ("a", "b", "c"):
        y4m(tmp_path / name / "clip.y4m")
    scandir = os.scandir

    def closed(path):
        if Path(path).name == "b":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    walk = Walk()
    assert [clip.parent.name for clip in find_files(tmp_path, walk=walk)] == ["a", "c"]
    assert walk.problems == [f"{tmp_path / 'b'}: cannot be read: Permission denied"]


def test_what_macos_leaves_behind_is_no_clip(tmp_path) -> None:
    y4m(tmp_path / "clip.y4m")
    for name in ("._clip.mp4", "__MACOSX/clip.mp4", "__MACOSX/._clip.mp4", ".Trashes/clip.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7" + bytes(100))
    walk = Walk()
    assert find_files(tmp_path, walk=walk) == [tmp_path / "clip.y4m"]
    assert walk.left_out() == ""


def test_folders_named_twice_are_walked_once(tmp_path) -> None:
    y4m(tmp_path / "a" / "clip.y4m")
    walk = Walk()
    assert len(find_files(tmp_path, walk=walk)) == 1
    assert find_files(tmp_path / "a", walk=walk) == []
    assert find_files(tmp_path / "a" / "clip.y4m", walk=walk) == [tmp_path / "a" / "clip.y4m"]


def test_a_deep_tree(tmp_path) -> None:
    """300 folders in one another, more than the longest path has room for at 20 bytes each."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 20, dir_fd=here)
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    y4m(tmp_path / "clip.y4m")
    walk = Walk()
    assert find_files(tmp_path, walk=walk) == [tmp_path / "clip.y4m"]
    assert "File name too long" in walk.problems[0]


def test_names_of_bytes_that_are_no_text(tmp_path) -> None:
    name = os.fsdecode(b"clip\xff")
    try:
        (tmp_path / name).write_bytes(y4m(tmp_path / "x.y4m").read_bytes())
    except OSError:
        pytest.skip("this file system has only names of text")
    assert [clip.name for clip in find_files(tmp_path)] == [name, "x.y4m"]


def test_one_file_by_two_paths_is_refused_for_every_stream(tmp_path) -> None:
    for name in ("a/0", "b/1"):
        (tmp_path / "joints" / name).parent.mkdir(parents=True)
        np.save(tmp_path / "joints" / f"{name}.npy", np.zeros((4, 2, 3), np.float32))
    (tmp_path / "joints" / "b" / "9.npy").symlink_to(tmp_path / "joints" / "a" / "0.npy")
    data = SkeletonFolderData(name="skeleton_folder", root=tmp_path / "joints")
    with pytest.raises(Gesture3dError, match=r"0\.npy and .*9\.npy are one file"):
        read_index(data)
    (tmp_path / "joints" / "b" / "9.npy").unlink()
    (tmp_path / "joints" / "c").symlink_to(tmp_path / "joints" / "a")
    with pytest.raises(Gesture3dError, match=r"c: a link to a folder that is another class"):
        read_index(data)
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "1.csv").write_text("label,x\n" + "walk,1\n" * 4)
    (tmp_path / "recordings" / "2.csv").symlink_to(tmp_path / "recordings" / "1.csv")
    windows = {"root": tmp_path / "recordings", "window": 2, "rate_hz": 10}
    with pytest.raises(Gesture3dError, match=r"1\.csv and .*2\.csv are one file"):
        read_index(InertialFolderData(name="inertial_folder", **windows))
    for name in ("a/0", "b/1"):
        write_clip(tmp_path / "clips" / f"{name}.mp4", square_clip("left", 1))
    (tmp_path / "clips" / "b" / "9.mp4").symlink_to(tmp_path / "clips" / "a" / "0.mp4")
    with pytest.raises(Gesture3dError, match=r"0\.mp4 and .*9\.mp4 are one file"):
        read_index(HandFolderData(name="hand_folder", root=tmp_path / "clips"))


def test_recordings_and_sequences_are_found_by_the_same_walk(tmp_path, monkeypatch) -> None:
    for name in ("b/1.csv", "b/._1.csv", "__MACOSX/b/1.csv", "a.csv", ".hidden/2.csv"):
        path = tmp_path / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("label,x\n" + "walk,1\n" * 4)
    (tmp_path / "recordings" / "b" / "up").symlink_to(tmp_path / "recordings")
    expected = [tmp_path / "recordings" / name for name in ("a.csv", "b/1.csv")]
    assert find_files(tmp_path / "recordings", [".csv"]) == expected
    data = InertialFolderData(
        name="inertial_folder", root=tmp_path / "recordings", window=2, rate_hz=10
    )
    assert {item.key.split(":")[0] for item in read_index(data).items} == {
        "a",
        "b/1",
    }
    (tmp_path / "recordings" / "b" / "1.CSV").write_text("label,x\nwalk,1\nwalk,2\n")
    if len(find_files(tmp_path / "recordings", [".csv"])) == 3:  # not where 1.CSV is the same file
        with pytest.raises(Gesture3dError, match=r"two samples with the key 'b/1:\d+'"):
            read_index(data)
    for name in ("train/a/1.npy", "val/a/2.npy", "train/a/._1.npy", "__MACOSX/a/1.npy"):
        path = tmp_path / "joints" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.save(file, np.ones((4, 5, 3), np.float32))
    index = read_index(SkeletonFolderData(name="skeleton_folder", root=tmp_path / "joints"))
    splits = {item.key: item.split for item in index.items}
    assert splits == {"train/a/1.npy": "train", "val/a/2.npy": "validation"}
    scandir = os.scandir

    def closed(path):
        if Path(path).name in ("a", "b"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    joints = SkeletonFolderData(name="skeleton_folder", root=tmp_path / "joints")
    for read in (lambda: read_index(data), lambda: read_index(joints)):
        with pytest.raises(Gesture3dError, match="cannot be read: Permission denied"):
            read()
    walk = Walk()
    assert find_files(tmp_path / "recordings", [".csv"], walk) == expected[:1]
    assert len(walk.problems) == 1
