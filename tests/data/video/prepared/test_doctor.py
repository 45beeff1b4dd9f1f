import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from gesture3d.config import load_data
from gesture3d.data import build_datasets, make_loader
from gesture3d.data.batch import EpochSampler
from gesture3d.data.video.prepared.doctor import check_data, inspect
from gesture3d.data.video.prepared.manifest import bad_list_path, read_manifest
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE
from tests.clips import square_clip, write_clip
from tests.forked_runs import run_forked

LABELS = ("Swiping Left", "Swiping Right")
TOOL = PACKAGE / "cli" / "prepare.py"


def make_set(root: Path, train: int = 8, frames: int = 9) -> Path:
    """A set in Jester's layout with ``train`` training clips and two for validation."""
    lists = {"labels": LABELS, "test": []}
    number = 0
    for split, count in (("train", train), ("validation", 2)):
        rows = []
        for n in range(count):
            number += 1
            clip = square_clip(("left", "right")[n % 2], number, frames=frames)
            write_clip(root / "20bn-jester-v1" / f"{number}.mp4", clip, fps=12)
            rows.append(f"{number};{LABELS[n % 2]}")
        lists[split] = rows
    for name, rows in lists.items():
        (root / f"jester-v1-{name}.csv").write_text("".join(f"{row}\n" for row in rows))
    return root


def clip_path(root: Path, number: int) -> Path:
    return root / "20bn-jester-v1" / f"{number}.mp4"


def recipe(root: Path, *overrides: str):
    settings = ["data.num_frames=4", "data.size=16", "data.num_workers=0", *overrides]
    return load_data("jester", [f"data.root={root}", *settings])


def check(root: Path, **options):
    return check_data(recipe(root), progress=False, **options)


def damage(root: Path) -> dict[str, str]:
    """Break clips in several ways; key → what a check must say."""
    folder = root / "20bn-jester-v1"
    clip_path(root, 1).write_bytes(b"")
    clip_path(root, 2).write_text("no video at all")
    whole = clip_path(root, 3).read_bytes()
    clip_path(root, 3).write_bytes(whole[: len(whole) // 2])
    clip_path(root, 4).unlink()
    for number, codec, suffix in ((5, "XVID", "avi"), (6, "VP80", "webm")):
        clip_path(root, number).unlink()
        # Noise, so that cutting off the end of the file cuts off frames.
        noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), dtype=np.uint8)
        path = write_clip(folder / f"{number}.{suffix}", noise, fourcc=codec)
        data = path.read_bytes()
        path.write_bytes(data[: 2 * len(data) // 3])
    clip_path(root, 7).unlink()
    for frame in (1, 2, 4):
        (folder / "7").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "7" / f"{frame:05}.jpg"), np.zeros((20, 30, 3), np.uint8))
    return {
        "1": "is empty",
        "2": "no video can be opened",
        "3": "is cut off",
        "4": "no such file",
        "5": "is cut off",
        "6": "is cut off",
        "7": "frame 3 is missing",
    }


def test_a_whole_set_is_described(tmp_path):
    root = make_set(tmp_path)
    manifest, found = check(root)
    assert manifest == root / "manifest-rgb.jsonl"
    records = read_manifest(manifest)
    assert list(records) == [str(n) for n in range(1, 11)]
    record = records["10"]
    assert (record.split, record.status) == ("validation", "ok")
    assert (record.num_frames, record.height, record.width) == (9, 32, 32)
    assert (record.fps, record.seconds) == (12.0, 0.75)
    assert len({record.hash for record in records.values()}) == 10
    assert found.bad == found.duplicates == []
    assert not bad_list_path(manifest).exists()


def test_bad_clips_are_found_named_and_keep_training_from_starting(tmp_path):
    root = make_set(tmp_path, train=9)
    expected = damage(root)
    manifest, found = check(root)
    assert {record.key for record in found.bad} == set(expected)
    for record in found.bad:
        assert expected[record.key] in record.reason
    listed = bad_list_path(manifest).read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == list(expected)

    clip_path(root, 4).write_bytes(b"x")  # back, but the check still knows the others
    with pytest.raises(Gesture3dError) as caught:
        build_datasets(recipe(root), 0, progress=False)
    assert "6 bad clips" in str(caught.value)
    assert "data.exclude=" in str(caught.value)
    assert "\n" not in str(caught.value)
    by_file = recipe(root, f"data.exclude_list={bad_list_path(manifest)}")
    by_name = recipe(root, "data.exclude=['1','2','3','4','5','6','7']")
    for config in (by_file, by_name):
        data = build_datasets(config, 0, progress=False)
        assert data.train.keys == ["8", "9"]
        assert data.train[0, 0].key == "8"


def test_only_what_has_changed_is_checked_again(tmp_path):
    root = make_set(tmp_path)
    assert check(root)[1].num_reused == 0
    assert check(root)[1].num_reused == 10
    assert check(root, fresh=True)[1].num_reused == 0
    clip_path(root, 2).write_bytes(b"")
    _, found = check(root)
    assert found.num_reused == 9
    assert [record.key for record in found.bad] == ["2"]
    shutil.copy(clip_path(root, 1), clip_path(root, 2))
    assert check(root)[1].bad == []


def test_a_bad_clip_is_looked_at_again_and_what_is_left_out_stays_listed(tmp_path):
    root = make_set(tmp_path)
    good = clip_path(root, 2).read_bytes()
    clip_path(root, 2).write_bytes(good[:40])
    manifest, found = check(root)
    assert [record.key for record in found.bad] == ["2"]
    excluding = recipe(root, f"data.exclude_list={bad_list_path(manifest)}", "data.exclude=[1]")
    assert len(check_data(excluding, progress=False)[1].records) == 10
    assert bad_list_path(manifest).read_text().startswith("2\t")
    status = clip_path(root, 2).stat()
    clip_path(root, 2).write_bytes(good)
    os.utime(clip_path(root, 2), ns=(status.st_atime_ns, status.st_mtime_ns))
    assert check(root)[1].bad == []
    assert not bad_list_path(manifest).exists()


def test_a_backend_that_is_not_there_is_no_clips_fault(tmp_path, monkeypatch):
    root = make_set(tmp_path)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(Gesture3dError, match="backend 'torchcodec' is not usable"):
        check(root, backend="torchcodec")
    assert not list(root.glob("manifest*"))


def test_duplicates_across_splits_are_reported(tmp_path):
    root = make_set(tmp_path)
    shutil.copy(clip_path(root, 3), clip_path(root, 9))  # training → validation
    shutil.copy(clip_path(root, 1), clip_path(root, 2))  # inside training: no leak
    (group,) = check(root)[1].duplicates
    assert [(record.key, record.split) for record in group] == [
        ("3", "train"),
        ("9", "validation"),
    ]


def test_a_lists_promise_counts_more_than_the_file(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", square_clip("left", 0, frames=9))
    assert inspect(path, 9)["status"] == "ok"
    assert inspect(path, 10) == {
        "status": "bad",
        "reason": "has 9 frames, its list says 10",
    }


@pytest.mark.parametrize("backend", ["opencv", "decord"])
def test_every_backend_gives_the_same_answer(tmp_path, backend):
    path = write_clip(tmp_path / "clip.mp4", square_clip("left", 0, frames=9))
    assert inspect(path, backend=backend) == inspect(path)


def test_a_frame_folder_is_described_too(tmp_path):
    for n in range(1, 4):
        cv2.imwrite(str(tmp_path / f"{n:05}.jpg"), np.full((20, 30, 3), n, np.uint8))
    found = inspect(tmp_path)
    assert (found["num_frames"], found["height"], found["width"]) == (3, 20, 30)
    assert found["fps"] is found["seconds"] is None
    cv2.imwrite(str(tmp_path / "00002.jpg"), np.zeros((40, 30, 3), np.uint8))
    assert "00002.jpg is 30x40, others 30x20" in inspect(tmp_path)["reason"]


def tool(*arguments) -> subprocess.CompletedProcess:
    return run_forked([sys.executable, str(TOOL), *map(str, arguments)])


def test_the_tool_checks_on_several_processes_and_says_what_to_do(tmp_path):
    root = make_set(tmp_path, train=40)
    clip_path(root, 30).write_bytes(b"")
    arguments = ("check", "--data", "jester", "--quiet", "--set", f"data.root={root}")
    done = tool(*arguments, "--workers", 2)
    assert done.returncode == 1
    assert f"bad: {clip_path(root, 30)}: is empty (0 bytes)" in done.stdout
    assert "42 clips, 369 frames" in done.stdout
    assert "fit for data.exclude_list" in done.stdout
    clip_path(root, 30).unlink()
    shutil.copy(clip_path(root, 31), clip_path(root, 30))
    done = tool(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "(41 clips unchanged since an earlier check); 0 bad" in done.stdout


def test_a_killed_check_goes_on_where_it_was(tmp_path):
    root = make_set(tmp_path, train=30, frames=200)
    command = [sys.executable, str(TOOL), "check", "--data", "jester", "--quiet", "--workers", "1"]
    process = subprocess.Popen([*command, "--set", f"data.root={root}"])
    journal = root / ".manifest-rgb.jsonl.partial"
    while not journal.exists() or journal.read_text().count("\n") < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (root / "manifest-rgb.jsonl").exists()
    with journal.open("a") as file:
        file.write('{"key": "9", "spl')  # as if killed in the middle of a line
    manifest, found = check(root)
    assert 5 <= found.num_reused < 32
    assert len(found.records) == len(read_manifest(manifest)) == 32
    assert not journal.exists()


def test_a_damaged_manifest_is_named(tmp_path):
    root = make_set(tmp_path)
    manifest, _ = check(root)
    manifest.write_text(manifest.read_text()[:-20])
    with pytest.raises(Gesture3dError, match=r"manifest-rgb\.jsonl:10: damaged"):
        build_datasets(recipe(root), 0, progress=False)


# --- clips that break after the check -----------------------------------------------------------


def epoch(data) -> tuple[list[str], dict[str, str]]:
    """Keys of all samples of an epoch, and those that were left out."""
    loader = make_loader(data.train, EpochSampler(len(data.train), 4, 0, shuffle=False))
    keys = [key for batch in loader for key in batch.keys]
    return keys, loader.broken


def test_a_clip_that_breaks_later_fails_the_run_with_its_path(tmp_path):
    root = make_set(tmp_path)
    data = build_datasets(recipe(root), 0, progress=False)
    clip_path(root, 5).write_bytes(b"broken")
    with pytest.raises(Gesture3dError, match=str(clip_path(root, 5))):
        epoch(data)


def test_or_it_is_left_out_and_counted_and_nothing_takes_its_place(tmp_path, capsys):
    root = make_set(tmp_path)
    data = build_datasets(recipe(root, "data.on_bad_clip=exclude"), 0, progress=False)
    clip_path(root, 5).write_bytes(b"broken")
    keys, broken = epoch(data)
    assert keys == ["1", "2", "3", "4", "6", "7", "8"]
    assert list(broken) == ["5"]
    assert f"left out (1 so far): {clip_path(root, 5)}" in capsys.readouterr().err
    for n in range(1, 9):
        clip_path(root, n).write_bytes(b"broken")
    with pytest.raises(Gesture3dError, match="every clip of a batch is broken"):
        epoch(data)


@pytest.mark.parametrize("checked", [True, False])
def test_known_bad_clips_are_left_out_by_option(tmp_path, capsys, checked):
    root = make_set(tmp_path)
    clip_path(root, 5).write_bytes(b"broken")
    if checked:
        check(root)
    config = recipe(root, "data.on_bad_clip=exclude", "data.cache_size=16")
    for _ in range(2):  # decoding, and using what is decoded
        data = build_datasets(config, 0)
        assert "5" not in data.train.keys
        assert len(data.train) == 7
        assert "1 bad clips are left out" in capsys.readouterr().out
    if not checked:
        with pytest.raises(Gesture3dError, match="1 of 10 clips cannot be decoded"):
            build_datasets(recipe(root, "data.cache_size=16"), 0, progress=False)


def test_the_manifest_is_lines_of_json(tmp_path):
    manifest, _ = check(make_set(tmp_path))
    first = json.loads(manifest.read_text().splitlines()[0])
    assert first["key"] == "1"
    assert first["status"] == "ok"


def test_prepare_cache_decodes_once_and_training_uses_it(tmp_path, capsys):
    root = make_set(tmp_path)
    settings = ["data.num_frames=4", "data.size=16", "data.cache_size=16", f"data.root={root}"]
    command = ["cache", "--data", "jester", "--set", *settings]
    first, second = tool(*command), tool(*command)
    assert first.returncode == second.returncode == 0, first.stderr
    assert "10 clips: decoding once" in first.stdout
    assert "using 10 decoded clips" in second.stdout
    build_datasets(recipe(root, "data.cache_size=16"), 0)
    assert "using 10 decoded clips" in capsys.readouterr().out
    refused = tool("cache", "--data", "jester", "--set", f"data.root={root}")
    assert refused.returncode == 2
    assert "data.cache_size=128" in refused.stderr
