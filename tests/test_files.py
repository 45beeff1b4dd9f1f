"""Files that are written whole, and outputs that are checked before the work."""

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE, check_writable, write_text


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "挥" * 85, "a." + "b" * 253, "\udce9\n.csv"])
def test_every_name_that_the_disk_takes_is_written(tmp_path, name: str) -> None:
    check_writable(tmp_path / name)
    write_text(tmp_path / name, "a\r\nb\n")
    assert (tmp_path / name).read_bytes() == b"a\r\nb\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_but_files_is_replaced(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Gesture3dError, match="there already, and not a file"):
        write_text(tmp_path / "pipe", "")
    assert (tmp_path / "pipe").is_fifo()


def test_an_output_is_checked_and_nothing_is_left_behind(tmp_path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link.csv").symlink_to("file")
    frames = tmp_path / "frames"
    frames.mkdir()
    before = sorted(tmp_path.rglob("*"))

    def refusal(name: str, *inputs: Path, is_folder: bool = False) -> str:
        with pytest.raises(Gesture3dError) as caught:
            check_writable(tmp_path / name, inputs, is_folder=is_folder)
        return str(caught.value)

    check_writable(tmp_path / "new" / "deep" / "a.csv", [tmp_path / "file", tmp_path / "none"])
    check_writable(tmp_path / "new", is_folder=True)
    check_writable(tmp_path / "file", [frames])
    assert "not a file" in refusal("frames")
    assert "not a folder" in refusal("file", is_folder=True)
    assert "Not a directory" in refusal("file/a.csv")
    assert "File name too long" in refusal("x" * 256)
    assert "over an input" in refusal("frames/../file", tmp_path / "file")
    assert "over an input" in refusal("file", tmp_path / "link.csv")
    assert "over an input" in refusal("frames/1.png", frames)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_noticed_before_the_work(tmp_path, monkeypatch) -> None:
    """A real one where a small file system can be made, else what it answers."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = [shutil.which("mount"), "-t", "tmpfs", "-o", "size=4k", "none", str(disk)]
    mounted = made[0] and subprocess.run(made, capture_output=True).returncode == 0
    try:
        if mounted:
            (disk / "filler").write_bytes(bytes(4096))
        else:

            def full(handle: int) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(Gesture3dError, match=r"a\.csv: cannot be written \(No space left"):
            check_writable(disk / "a.csv")
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


# ------------------------------------------------------------------------------------- the tools


@pytest.mark.parametrize(
    "arguments",
    [
        ["fuse", "a.csv", "b.csv", "--out", "a.csv"],
        ["fuse", "a.csv", "b.csv", "--weights-from", "va.csv", "vb.csv", "--out", "./vb.csv"],
        ["fuse", "a.csv", "b.csv", "--out", "folder"],
        ["classify", "video.mp4", "--out", "folder/deep.csv/x.csv"],
        ["classify", "frames", "--picture", "frames/00001.png"],
        ["explain", "frames", "--out", "frames"],
        ["evaluate", "--weights", "WEIGHTS", "--set", "data.root=.", "--out", "run"],
        ["evaluate", "--weights", "WEIGHTS", "--set", "data.root=.", "--out", "a.csv"],
        ["ablate", "--networks", "variant_a", "--out", "a.csv"],
        ["benchmark", "network", "--out", "folder"],
        ["prepare", "fetch", "utd_mhad", "--to", "a.csv"],
        ["sine_wave", "--picture", "folder"],
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[-1:]),
)
def test_tools_refuse_a_bad_output_at_once(tmp_path, monkeypatch, capsys, arguments) -> None:
    """Before anything is read or computed: the inputs here are empty."""
    for name in ("a.csv", "b.csv", "va.csv", "vb.csv", "video.mp4", "run/experiment.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("frames", "folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "frames" / "00001.png").write_text("")
    (tmp_path / "folder" / "deep.csv").write_text("")
    monkeypatch.chdir(tmp_path)
    weights = str(PACKAGE.parent / "weights" / "variant_a-synthetic.safetensors")
    arguments = [weights if a == "WEIGHTS" else a for a in arguments]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    folder = PACKAGE.parent / "tools" if arguments[0] == "sine_wave" else PACKAGE / "cli"
    tool = folder / f"{arguments[0]}.py"
    monkeypatch.setattr(sys, "argv", [str(tool), *arguments[1:]])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tool), run_name="__main__")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert any(
        reason in line
        for reason in ("over an input", "cannot be written", "and not a f", "a run's folder")
    ), line
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


@pytest.fixture
def read_only(tmp_path) -> Iterator[Path]:
    """A folder that nothing can be written into."""
    disk = tmp_path / "read only"
    disk.mkdir()
    if os.geteuid():
        disk.chmod(0o555)
        yield disk
        disk.chmod(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=4k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("root may write anywhere, and nothing can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--cfg", "gru", "--data", "skeleton_folder", "--runs", "OUT"],
        ["train", "--cfg", "gru", "--data", "sfinge3d", "--folds", "3", "--runs", "OUT"],
        ["ablate", "--networks", "gru", "--data", "skeleton_folder", "--out", "OUT/study"],
        ["evaluate", "--weights", "WEIGHTS", "--set", "data.root=.", "--out", "OUT/scores"],
        ["explain", "clip.mp4", "--out", "OUT"],
        ["export", "--weights", "WEIGHTS", "--to", "onnx", "--out", "OUT/a.onnx"],
        ["export", "--weights", "WEIGHTS", "--to", "web", "--out", "OUT/page"],
        ["fuse", "a.csv", "b.csv", "--out", "OUT/fused.csv"],
        ["classify", "clip.mp4", "--out", "OUT/a.csv"],
        ["classify", "clip.mp4", "--picture", "OUT/a.png"],
        ["classify", "--list", "list.txt", "--out", "OUT/results"],
        ["watch", "clip.mp4", "--out", "OUT/events.csv"],
        ["teach", "clips", "--out", "OUT/mine.safetensors"],
        ["serve", "--folder", "OUT"],
        ["prepare", "fetch", "utd_mhad", "--to", "OUT"],
        ["benchmark", "network", "--out", "OUT/table.json"],
    ],
    ids=lambda arguments: " ".join(a for a in arguments if not a.startswith("data.")),
)
def test_tools_notice_a_read_only_output_before_the_work(
    tmp_path, read_only, monkeypatch, capsys, arguments
) -> None:
    """The inputs are empty, or not there: of them nothing may be said."""
    (tmp_path / "clips" / "wave").mkdir(parents=True)
    for name in ("a.csv", "b.csv", "clip.mp4", "clips/wave/a.mp4"):
        (tmp_path / name).write_text("")
    (tmp_path / "list.txt").write_text("clip.mp4\n")
    monkeypatch.chdir(tmp_path)
    weights = str(PACKAGE.parent / "weights" / "variant_a-synthetic.safetensors")
    words = [a.replace("OUT", str(read_only)).replace("WEIGHTS", weights) for a in arguments]
    tool = PACKAGE / "cli" / f"{words[0]}.py"
    monkeypatch.setattr(sys, "argv", [str(tool), *words[1:]])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tool), run_name="__main__")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert str(read_only) in line
    assert "ead-only" in line or "denied" in line
