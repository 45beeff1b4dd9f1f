"""Generated streams: what is on disk, and what is performed in them."""

import itertools
import json
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.events import read_annotations
from gesture3d.rng import generator
from gesture3d.synthetic import performance
from gesture3d.synthetic.gestures import GESTURES
from gesture3d.synthetic.performance import (
    NO_GESTURES,
    REPEAT_SECONDS,
    SPOTTED,
    perform_stream,
)
from gesture3d.synthetic.performer import draw_performer
from gesture3d.synthetic.streams import generate_streams, performers_of

COUNTS = {"train": 2, "validation": 1, "test": 1}
FPS = 12


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("generated") / "streams"
    generate_streams(root, num_streams=COUNTS, num_workers=1, progress=False)
    return root


@pytest.fixture(scope="module")
def performances():
    """60 of as many performers: motions and events."""
    return [
        perform_stream(draw_performer(generator(0, "p", n)), generator(0, "stream", n), 40.0)
        for n in range(60)
    ]


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def read_video(path: Path) -> np.ndarray:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (grabbed := capture.read())[0]:
        frames.append(grabbed[1])
    assert capture.get(cv2.CAP_PROP_FPS) == FPS
    return np.stack(frames)


# On disk


def test_every_stream_has_video_depth_joints_and_annotations(root):
    for split, count in COUNTS.items():
        streams = read_annotations(root / f"{split}.csv", labels=SPOTTED)
        assert list(streams) == [f"rgb/{split}-{n:04d}.mp4" for n in range(count)]
        for name, events in streams.items():
            video = read_video(root / name)
            depth = read_video(root / name.replace("rgb", "depth"))
            joints = np.load(root / name.replace("rgb", "joints").replace("mp4", "npy"))
            assert video.shape == depth.shape == (len(joints), 100, 176, 3)
            assert joints.shape[1:] == (21, 3)
            assert 30 <= len(joints) / FPS <= 60
            assert events
            assert events[-1].end <= len(joints) / FPS


def test_depth_shows_the_hand_where_the_joints_are(root):
    depth = read_video(root / "depth/test-0000.mp4")[..., 0]
    joints = np.load(root / "joints/test-0000.npy")
    palm = joints[:, [0, 5, 9, 13, 17]].mean(1)
    x, y = (np.rint(c + 132 * palm[:, i] / palm[:, 2]).astype(int) for i, c in ((0, 88), (1, 50)))
    seen = np.flatnonzero((x > 10) & (x < 166) & (y > 10) & (y < 90))
    assert len(seen) > 50
    away = 2.25 - depth[seen, y[seen], x[seen]] / 127.5 - palm[seen, 2]
    assert abs(np.median(away)) < 0.03


def test_performers_of_the_splits_are_different_people(root):
    streams = json.loads((root / "dataset.json").read_text())["streams"]
    assert len(streams) == 4
    for key, stream in streams.items():
        assert stream["performer"].rsplit("-", 1)[0] == stream["split"] == key.split("-")[0]


def test_the_same_settings_give_the_same_files_in_any_number_of_processes(root, tmp_path):
    shutil.copytree(root, tmp_path / "set")
    for name in ("dataset.json", "rgb/train-0001.mp4", "joints/test-0000.npy", "train.csv"):
        (tmp_path / "set" / name).unlink()
    (tmp_path / "set/depth/.half.mp4").write_bytes(b"half a stream")
    generate_streams(tmp_path / "set", num_streams=COUNTS, num_workers=2, progress=False)
    assert contents(tmp_path / "set") == contents(root)


def test_hard_streams_are_of_the_same_people_and_look_otherwise(root, tmp_path):
    generate_streams(
        tmp_path / "set", num_streams={"test": 1}, hard=True, num_workers=1, progress=False
    )
    places = root, tmp_path / "set"
    joints = [np.load(where / "joints/test-0000.npy")[0] for where in places]
    plain, hard = (np.linalg.norm(hand[5] - hand[0]) for hand in joints)
    assert plain == pytest.approx(hard, rel=1e-5)
    plain, hard = (read_video(where / "rgb/test-0000.mp4") for where in places)
    change = [np.abs(np.diff(v[:48, :20].astype(float), axis=0)).mean() for v in (plain, hard)]
    assert change[1] > 2 * change[0]  # noise, shaking and light in the upper edge


def test_other_settings_and_wrong_counts_are_refused(root, tmp_path):
    with pytest.raises(Gesture3dError, match="seed is 0, asked for 1"):
        generate_streams(root, num_streams=COUNTS, seed=1, progress=False)
    with pytest.raises(Gesture3dError, match="num_streams: no split is called 'val'"):
        generate_streams(tmp_path / "new", num_streams={"val": 1}, progress=False)


# Performances


def test_all_gestures_occur_and_never_overlap(performances):
    labels = Counter(event.label for _, events in performances for event in events)
    assert set(labels) == set(SPOTTED) == set(GESTURES) - set(NO_GESTURES)
    for motion, events in performances:
        assert all(0.7 < event.length < 3 for event in events)
        assert all(a.end < b.start for a, b in itertools.pairwise(events))
        assert events[-1].end <= len(motion.joints) / FPS


def test_a_fifth_of_the_gestures_is_made_once_more_within_two_seconds(performances):
    pairs = [pair for _, events in performances for pair in itertools.pairwise(events)]
    repeats = [b.start - a.end for a, b in pairs if a.label == b.label]
    assert 0.12 < len(repeats) / len(pairs) < 0.28
    assert np.mean([gap <= REPEAT_SECONDS for gap in repeats]) > 0.95
    assert min(repeats) > 0.4


def test_most_of_a_stream_is_no_gesture_and_the_hand_moves_there_too(performances):
    shares, speeds = [], []
    for motion, events in performances:
        times = np.arange(len(motion.joints)) / FPS
        idle = np.all([(times < e.start) | (times >= e.end) for e in events], axis=0)
        shares.append(idle.mean())
        speed = FPS * np.linalg.norm(np.diff(motion.joints[:, 9], axis=0), axis=-1)
        speeds.append((speed[idle[1:]] > 0.1).mean())
    assert 0.6 < np.mean(shares) < 0.8
    assert np.mean(speeds) > 0.25


def test_gestures_are_broken_off_between_the_others(monkeypatch):
    """A sixth of what lies between; the hand comes up and moves, and there is no event."""
    whole, paths, streams = performance._Course.half_gesture, [], []

    def spied(course):
        begin, events = len(course.keys), len(course.performed)
        whole(course)
        assert len(course.performed) == events
        paths.append(np.stack([key.place for key in course.keys[begin:]]))

    monkeypatch.setattr(performance._Course, "half_gesture", spied)
    monkeypatch.setattr(performance, "_motion", lambda course: None)
    for n in range(60):
        rng = generator(0, "stream", n)
        streams.append(perform_stream(draw_performer(generator(0, "p", n)), rng, 40.0)[1])
    between = sum(map(len, streams)) / 1.2  # a fifth more are repetitions
    assert len(paths) / between == pytest.approx(0.17, abs=0.04)
    assert np.mean([np.ptp(path, axis=0).max() > 0.05 for path in paths]) > 0.9


def test_hands_move_as_hands_can(performances):
    """No jumps: neither of the hand, nor of the other one, nor between the parts of a stream."""
    for motion, _ in performances:
        for hand in filter(None, (motion, motion.other)):
            speed = FPS * np.linalg.norm(np.diff(hand.joints[:, 9], axis=0), axis=-1)
            assert speed.max() < 5.0  # metres a second
            turns = np.einsum("tij,tij->t", hand.rotation[1:], hand.rotation[:-1])
            assert np.degrees(np.arccos(np.clip((turns - 1) / 2, -1, 1))).max() < 130


def test_both_hands_are_used_in_some_streams(performances):
    others = [motion.other for motion, _ in performances if motion.other]
    assert 0.1 < len(others) / len(performances) < 0.9
    raised = [other.joints[:, 9, 1].min() < 0.15 for other in others]
    assert all(raised)


@pytest.mark.parametrize(
    "text", ["{}", "[]", "[" * 100_000, "{", '{"streams": 5}', '{"streams": {"a": 5}}']
)
def test_a_set_whose_list_is_damaged_is_one_line(tmp_path, text) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(Gesture3dError, match=r"dataset\.json is damaged; delete"):
        performers_of(tmp_path)
