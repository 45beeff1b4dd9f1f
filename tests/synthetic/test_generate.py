"""The generated data set: what is on disk, and that the gestures are what their names say."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from gesture3d.data.video.sets.jester import MIRROR_PAIRS
from gesture3d.errors import Gesture3dError
from gesture3d.synthetic.folder import make_missing
from gesture3d.synthetic.generate import LABELS, generate, num_performers
from gesture3d.synthetic.motion import MAX_FRAMES, MIN_FRAMES

OFFICIAL_LABELS = """Swiping Left
Swiping Right
Swiping Down
Swiping Up
Pushing Hand Away
Pulling Hand In
Sliding Two Fingers Left
Sliding Two Fingers Right
Sliding Two Fingers Down
Sliding Two Fingers Up
Pushing Two Fingers Away
Pulling Two Fingers In
Rolling Hand Forward
Rolling Hand Backward
Turning Hand Clockwise
Turning Hand Counterclockwise
Zooming In With Full Hand
Zooming Out With Full Hand
Zooming In With Two Fingers
Zooming Out With Two Fingers
Thumb Up
Thumb Down
Shaking Hand
Stop Sign
Drumming Fingers
No gesture
Doing other things
"""
ONE_OF_EACH = {"train": 1, "validation": 1, "test": 1}
PALM = [0, 5, 9, 13, 17]


def read_index(root: Path) -> dict:
    return json.loads((root / "dataset.json").read_text())


def read_video(path: Path) -> np.ndarray:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (grabbed := capture.read())[0]:
        frames.append(grabbed[1])
    return np.stack(frames)


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def clips_by_label(root: Path, split: str = "train") -> dict[str, str]:
    clips = read_index(root)["clips"]
    return {clip["label"]: id for id, clip in clips.items() if clip["split"] == split}


# On disk


def test_layout_and_lists_are_jesters(generated):
    assert (generated / "jester-v1-labels.csv").read_text() == OFFICIAL_LABELS
    clips = read_index(generated)["clips"]
    lines = {
        split: (generated / f"jester-v1-{split}.csv").read_text().splitlines()
        for split in ("train", "validation", "test", "test-labels")
    }
    for split in ("train", "validation", "test-labels"):
        rows = [line.split(";") for line in lines[split]]
        assert sorted(label for _, label in rows) == sorted(LABELS)
        assert all(clips[id] | {"label": label} == clips[id] for id, label in rows)
        assert {clips[id]["split"] for id, _ in rows} == {split.removesuffix("-labels")}
    assert lines["test"] == [line.split(";")[0] for line in lines["test-labels"]]
    assert len(clips) == 3 * 27
    for folder, suffix in (("20bn-jester-v1", "mp4"), ("depth", "mp4"), ("joints", "npy")):
        assert {p.name for p in (generated / folder).iterdir()} == {
            f"{id}.{suffix}" for id in clips
        }


def test_clips_have_jesters_size_and_agree_with_depth_and_joints(generated):
    for id in clips_by_label(generated).values():
        video = cv2.VideoCapture(str(generated / "20bn-jester-v1" / f"{id}.mp4"))
        depth = cv2.VideoCapture(str(generated / "depth" / f"{id}.mp4"))
        joints = np.load(generated / "joints" / f"{id}.npy")
        assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (
            176,
            100,
        )
        assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(12)
        assert MIN_FRAMES <= len(joints) <= MAX_FRAMES
        assert joints.shape[1:] == (21, 3)
        assert joints.dtype == np.float32
        assert video.get(cv2.CAP_PROP_FRAME_COUNT) == len(joints)
        assert depth.get(cv2.CAP_PROP_FRAME_COUNT) == len(joints)


def test_decord_reads_the_same_frames(generated):
    decord = pytest.importorskip("decord")
    path = generated / "20bn-jester-v1" / f"{clips_by_label(generated)['Stop Sign']}.mp4"
    expected = read_video(path)
    frames = decord.VideoReader(str(path))[:].asnumpy()
    assert frames.shape == expected.shape
    assert np.abs(frames[..., ::-1].astype(int) - expected).mean() < 3


def test_depth_shows_the_hand_where_and_how_far_the_joints_are(generated):
    for split in ONE_OF_EACH:
        id = clips_by_label(generated, split)["Stop Sign"]
        depth = read_video(generated / "depth" / f"{id}.mp4")[..., 0]
        joints = np.load(generated / "joints" / f"{id}.npy")
        middle = len(joints) // 2
        errors = []
        for x, y, z in joints[middle, PALM]:
            column, row = round(88 + 132 * x / z), round(50 + 132 * y / z)
            errors.append(2.25 - depth[middle, row, column] / 127.5 - z)
        assert abs(np.median(errors)) < 0.03
        assert np.abs(errors).max() < 0.08
        assert np.median(depth[middle]) < 3


def test_stored_joints_swipe_to_the_performers_side(generated):
    """Jester's convention: to the performer's left is to the right of the picture."""
    signs = []
    for split in ONE_OF_EACH:
        clips = clips_by_label(generated, split)
        for kind in ("Swiping", "Sliding Two Fingers"):
            for way, sign in (("Left", 1), ("Right", -1)):
                joints = np.load(generated / "joints" / f"{clips[f'{kind} {way}']}.npy")
                x, y = joints[:, PALM, :2].mean(1).T
                raised = y < y.min() + 0.08  # not on its way there, or back
                signs.append(sign * np.diff(x)[raised[1:] & raised[:-1]].sum() > 0.03)
    assert len(signs) == 12
    assert all(signs)


def test_in_real_clips_too_left_is_the_performers(shared_data):
    """What changes in the picture goes right where a hand swipes to the performer's left."""
    folder = shared_data / "webcam_real"
    if not folder.is_dir():
        pytest.skip(f"no clips in {folder}")
    with (folder / "clips.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    swap = {a: b for pair in MIRROR_PAIRS for a, b in (pair, pair[::-1])}
    for row in rows:
        performer, picture = row["label_performer"], row["label_picture"]
        assert picture == swap.get(performer, performer)
        if performer in ("Swiping Left", "Swiping Right"):
            frames = [cv2.resize(frame, (160, 90)) for frame in read_video(folder / row["file"])]
            change = np.abs(np.diff(np.stack(frames).astype(float).mean(-1), axis=0)).sum(1)
            change *= change > 100  # (T, 160): of the columns
            weights, columns = change.sum(1), np.arange(160)
            x = (change * columns).sum(1) / np.maximum(weights, 1)
            slope = np.cov(np.arange(len(x)), x, aweights=weights)[0, 1]
            assert (slope > 0) == (performer == "Swiping Left"), row["file"]


def test_performers_of_the_splits_are_different_people(generated):
    index = read_index(generated)
    train, validation, test = (
        {c["performer"] for c in index["clips"].values() if c["split"] == split}
        for split in ("train", "validation", "test")
    )
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert index["performers"]["train"] == sorted(train, key=lambda name: int(name[6:]))


def test_more_training_clips_are_of_more_performers():
    assert [num_performers("train", count) for count in (1, 60, 61, 600)] == [40, 40, 41, 400]
    assert num_performers("test", 600) == num_performers("test", 8)


@pytest.fixture
def some_labels(monkeypatch):
    """The only ones whose clips are drawn."""
    labels = [
        "Swiping Left",
        "Zooming In With Full Hand",
        "Thumb Up",
        "Drumming Fingers",
        LABELS[-1],
    ]

    def make_some(root: Path, clips: list, *how, **more) -> None:
        make_missing(root, [clip for clip in clips if clip.label in labels], *how, **more)

    monkeypatch.setattr("gesture3d.synthetic.generate.make_missing", make_some)
    return labels


def test_mixed_has_every_second_clip_of_a_class_hard(tmp_path, some_labels):
    sets = {}
    for hard in (False, "mixed"):
        root = tmp_path / str(hard)
        settings = {"clips_per_class": {"test": 2}, "hard": hard, "progress": False}
        generate(root, num_workers=1, **settings)
        generate(root, num_workers=1, **settings)  # found to be finished
        sets[hard] = contents(root)
        kept = read_index(root)
        assert kept["hard"] == hard
    drawn = {id: clip for id, clip in kept["clips"].items() if clip["label"] in some_labels}
    assert len(drawn) == 2 * len(some_labels)
    for id, clip in drawn.items():
        name = f"20bn-jester-v1/{id}.mp4"
        assert (sets["mixed"][name] == sets[False][name]) == (not clip["hard"])
    per_class = Counter((clip["label"], clip["hard"]) for clip in kept["clips"].values())
    assert set(per_class.values()) == {1}
    assert len(per_class) == 2 * 27


def test_killed_generation_is_completed_to_the_same_files(generated, tmp_path):
    """Of a split, which does not depend on the counts of others."""
    root, counts = tmp_path / "set", {"validation": 1}
    code = (  # as a careless script: no guard around the call
        "from pathlib import Path; from gesture3d.synthetic.generate import generate;"
        f"generate(Path({str(root)!r}), clips_per_class={counts}, num_workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    videos = root / "20bn-jester-v1"
    deadline = time.monotonic() + 60
    while len(list(videos.glob("*.mp4"))) < 5 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (root / "dataset.json").exists()
    generate(root, clips_per_class=counts, num_workers=1, progress=False)
    found, whole = contents(root), contents(generated)
    clips = [name for name in found if name.endswith((".mp4", ".npy", "validation.csv"))]
    assert len(clips) == 3 * 27 + 1
    assert {name: found[name] for name in clips}.items() <= whole.items()


def test_missing_files_are_made_again_and_leftovers_removed(generated, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(generated, root)
    (root / "dataset.json").unlink()
    lost = sorted((root / "20bn-jester-v1").iterdir())[:2]
    lost += sorted((root / "joints").iterdir())[-2:]
    for path in lost:
        path.unlink()
    (root / "depth" / ".123-abcd.mp4").write_bytes(b"half a clip")
    generate(root, clips_per_class=ONE_OF_EACH, num_workers=1, progress=False)
    assert contents(root) == contents(generated)


def test_finished_set_is_left_alone(generated):
    before = {path: path.stat().st_mtime_ns for path in generated.rglob("*")}
    generate(generated, clips_per_class=ONE_OF_EACH, progress=False)
    assert before == {path: path.stat().st_mtime_ns for path in generated.rglob("*")}


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_in_one_line(generated, tmp_path, finished):
    root = tmp_path / "set"
    shutil.copytree(generated, root)
    if not finished:
        (root / "dataset.json").unlink()
    with pytest.raises(Gesture3dError, match=r"seed is 0, asked for 1\).*delete") as caught:
        generate(root, clips_per_class=ONE_OF_EACH, seed=1, progress=False)
    assert "\n" not in str(caught.value)


def test_a_set_of_an_older_generator_says_what_to_do(generated, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(generated, root)
    index = read_index(root) | {"generator_version": 1}
    (root / "dataset.json").write_text(json.dumps(index))
    with pytest.raises(Gesture3dError, match=r"another version of the generator.*delete this one"):
        generate(root, clips_per_class=ONE_OF_EACH, progress=False)


def test_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "20bn-jester-v1").mkdir()
    with pytest.raises(Gesture3dError, match="empty folder"):
        generate(tmp_path, clips_per_class=ONE_OF_EACH, progress=False)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == ["20bn-jester-v1"]


@pytest.mark.parametrize("wrong", [{"val": 1}, {"train": -1}, {"train": 1.5}])
def test_impossible_counts_are_refused(tmp_path, wrong):
    with pytest.raises(Gesture3dError, match="clips_per_class"):
        generate(tmp_path / "set", clips_per_class=wrong, progress=False)
    assert not (tmp_path / "set").exists()


def test_seed_changes_everything_and_hard_the_scene_and_where_one_stands(
    generated, tmp_path, some_labels
):
    for name, settings in {"other": {"seed": 1}, "hard": {"hard": True}}.items():
        root = tmp_path / name
        generate(root, clips_per_class={"train": 1}, num_workers=1, progress=False, **settings)
        old, new = clips_by_label(generated), clips_by_label(root)
        for label in ("Swiping Left", "Drumming Fingers"):
            joints = [
                np.load(where / "joints" / f"{ids[label]}.npy")
                for where, ids in ((generated, old), (root, new))
            ]
            if name == "hard":  # the same person
                easy, hard = (np.linalg.norm(hand[0, 5] - hand[0, 0]) for hand in joints)
                assert easy == pytest.approx(hard, rel=1e-5)
            else:
                assert not np.array_equal(joints[0][:10], joints[1][:10])
            videos = [
                (where / "20bn-jester-v1" / f"{ids[label]}.mp4").read_bytes()
                for where, ids in ((generated, old), (root, new))
            ]
            assert videos[0] != videos[1]
