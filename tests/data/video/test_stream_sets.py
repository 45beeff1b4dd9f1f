"""Sets of streams: frames as classes, windows to train on, whole streams elsewhere."""

import contextlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gesture3d.config import load_data
from gesture3d.data import build_datasets, read_index
from gesture3d.data.batch import collate
from gesture3d.data.streams import (
    NOT_LEARNT,
    frame_labels,
    random_window,
    steady_frames,
)
from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE, Event, write_events
from gesture3d.rng import generator
from tests.data.video.test_kinds_of_video import SLOW_THEN_FAST, make

NAMES = ("left", "right", NO_GESTURE)


def write_stream(path: Path, seconds: float, fps: float) -> None:
    """Each frame is as bright as its time: 30 and 20 levels a second."""
    path.parent.mkdir(exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (64, 48))
    for number in range(round(seconds * fps)):
        writer.write(np.full((48, 64, 3), 30 + 20 * number / fps, np.uint8))
    writer.release()


@pytest.fixture
def root(tmp_path) -> Path:
    """Three streams of 10 s, at 12, 24 and 30 frames a second, with the same events."""
    for name, fps in (("a", 12), ("b", 24), ("c", 30)):
        write_stream(tmp_path / f"videos/{name}.mp4", 10, fps)
    events = [Event("left", 2.0, 4.0), Event("right", 5.0, 5.5), Event("left", 6.0, 9.9)]
    write_events(tmp_path / "annotations.csv", {f"videos/{n}.mp4": events for n in "abc"})
    return tmp_path


def opened(root: Path, *overrides: str):
    shares = ["data.validation_share=0.34"]
    settings = [f"data.root={root}", *shares, "data.cache_size=null", "data.size=32", *overrides]
    return build_datasets(load_data("stream_folder", settings), 0, progress=False)


# Functions


def test_a_frame_is_of_the_event_in_which_it_lies():
    events = [Event("right", 0.5, 1.0), Event("left", 1.0, 1.25)]
    labels = frame_labels(events, np.arange(8) / 4, NAMES)
    assert [NAMES[n][0] for n in labels] == list("NNrrlNNN")


def test_labels_may_be_late():
    events = [Event("right", 0.5, 1.5), Event("left", 1.5, 1.75)]
    labels = frame_labels(events, np.arange(12) / 4, NAMES, delay=0.5)
    assert [NAMES[n][0] for n in labels] == list("NNNNrrrrlNNN")
    for wrong in (-0.1, 6.0):
        with pytest.raises(Gesture3dError, match="label_delay"):
            load_data("stream_folder", [f"data.label_delay={wrong}"])


@pytest.mark.parametrize(("source", "rate"), [(30, 12), (12, 12), (10, 12), (29.97, 12), (24, 12)])
def test_frames_are_taken_by_the_clock(source, rate):
    frames = steady_frames(round(20 * source), source, rate)
    assert len(frames) == pytest.approx(20 * rate, abs=1)
    assert (np.diff(frames) >= 0).all()
    off = (frames + 0.5) / source - (np.arange(len(frames)) + 0.5) / rate
    assert np.abs(off).max() <= 0.51 / source


def test_windows_reach_everywhere_and_their_pre_roll_is_not_learnt():
    labels = np.arange(40)
    starts, rolls = set(), set()
    for number in range(300):
        frames, learnt = random_window(labels, 16, 5, generator("window", number))
        assert (np.diff(frames) == 1).all()
        known = learnt >= 0
        roll = int((~known).sum())
        assert (learnt[roll:] == labels[frames[roll:]]).all()
        assert roll == 0 or frames[0] > 0  # the beginning of a stream is learnt
        starts.add(int(frames[0]))
        rolls.add(roll)
    assert starts == set(range(25))
    assert rolls == set(range(6))


def test_windows_around_gestures_have_one_behind_their_pre_roll():
    labels = np.full(200, 2)
    labels[[40, 41, 150]] = 0
    around = np.flatnonzero(labels == 0)
    for number in range(100):
        frames, _ = random_window(labels, 24, 6, generator("near", number), around)
        assert (labels[frames[6:]] == 0).any()
    frames, _ = random_window(labels, 24, 6, generator(0), np.array([], int))  # no gesture: any
    assert len(frames) == 24


def test_a_stream_that_is_shorter_than_a_window_is_led_on_without_labels():
    frames, learnt = random_window(np.array([2, 0, 1]), 5, 2, generator(0))
    assert frames.tolist() == [0, 1, 2, 2, 2]
    assert learnt.tolist() == [2, 0, 1, NOT_LEARNT, NOT_LEARNT]


# A folder of videos and a CSV


def test_videos_of_any_rate_are_the_same_stream_in_time(root):
    datasets = opened(root)
    assert datasets.class_names == NAMES
    assert datasets.spec.rate_hz == 12
    items = [*datasets.train.items, *datasets.validation.items]
    samples = [datasets.train.read(item, None) for item in items]
    assert len(samples) == 3
    times = np.arange(120) / 12
    for sample in samples:
        assert sample.inputs.shape == (120, 3, 32, 32)
        assert sample.inputs.dtype == torch.uint8
        off = sample.inputs.double().mean((1, 2, 3)).numpy() - 30 - 20 * times
        assert np.abs(off - np.median(off)).max() < 3  # levels: 0.15 s
        assert (sample.label == frame_labels(datasets.train.items[0].events, times, NAMES)).all()
    assert all((samples[0].label == sample.label).all() for sample in samples[1:])


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize("cached", [True, False])
def test_a_stream_whose_rate_varies_is_not_learnt_from(tmp_path, cached):
    (tmp_path / "annotations.csv").write_text(
        "path,label,start,end\na.mp4,wave,0.2,0.6\nb.mp4,wave,0.2,0.6\n"
    )
    side = ["data.cache_size=32" if cached else "data.cache_size=null", "data.size=32"]
    data = load_data("stream_folder", [f"data.root={tmp_path}", "data.validation_share=0.5", *side])
    for options in ("-c:v mpeg4", SLOW_THEN_FAST):
        for name in ("a.mp4", "b.mp4"):
            make(tmp_path / name, f"-y {options}")
        varies = options == SLOW_THEN_FAST
        refused = pytest.raises(Gesture3dError, match="its frame rate varies: frame 4 comes")
        with refused if varies else contextlib.nullcontext():
            build_datasets(data, 0, progress=False).train[0]


def test_streams_are_learnt_late_and_evaluated_so(root):
    late = opened(root, "data.label_delay=0.5", "data.num_frames=120", "data.pre_roll=0")
    item = late.train.items[0]
    asked = frame_labels(item.events, np.arange(120) / 12 - 0.5, NAMES)
    assert (asked != frame_labels(item.events, np.arange(120) / 12, NAMES)).any()
    assert (late.train[0, 0].label == asked).all()
    assert (late.train.read(item, None).label == asked).all()


def test_training_windows_show_the_frames_of_their_labels(root):
    as_it_is = [f"data.augmentation.{n}=[1, 1]" for n in ("gain", "channel_gain")]
    as_it_is.append("data.augmentation.corruption=0")
    datasets = opened(root, "data.num_frames=24", "data.pre_roll=8", *as_it_is)
    item = datasets.train.items[0]
    whole = frame_labels(item.events, np.arange(120) / 12, NAMES)
    for epoch in range(10):
        sample = datasets.train[epoch, 0]
        assert sample.inputs.shape == (24, 3, 32, 32)
        assert sample.label.shape == (24,)
        first = round((float(sample.inputs[12:].double().mean()) - 30) / 20 * 12 - 17.5)
        learnt = sample.label >= 0
        near = [whole[np.clip(first + d + np.arange(24), 0, 119)] for d in range(-1, 4)]
        assert any((sample.label == labels)[learnt].all() for labels in near)
    again = datasets.train[9, 0]
    assert (again.label == sample.label).all()
    assert again.inputs.equal(sample.inputs)


def test_a_batch_of_streams_is_as_long_as_the_longest(root):
    write_stream(root / "videos/d.mp4", 3, 12)
    write_events(root / "more.csv", {"videos/d.mp4": [Event("right", 1, 2)]})
    datasets = opened(root)
    short = opened(root, "data.csv=more.csv", "data.validation_share=0").train
    batch = collate([datasets.validation[0], short.read(short.items[0], None)])
    assert batch.inputs.shape[:2] == batch.labels.shape == (2, 120)
    assert batch.lengths.tolist() == [120, 36]
    assert (batch.labels[1, 36:] == NOT_LEARNT).all()
    assert batch.inputs[1, 36:].equal(batch.inputs[1, 35:36].expand(84, -1, -1, -1))
    steps = batch.step_labels(4)
    assert steps.shape == (2, 30)
    assert steps[0].equal(batch.labels[0, [*range(3, 120, 4)]])


def test_splits_are_given_by_files_and_other_classes_become_background(root):
    (root / "annotations.csv").rename(root / "all.csv")
    lines = (root / "all.csv").read_text().splitlines()
    for split, name in (("train", "a"), ("validation", "b"), ("test", "c")):
        rows = [lines[0], *(line for line in lines if f"/{name}." in line)]
        (root / f"{split}.csv").write_text("\n".join(rows))
    datasets = opened(root, "data.classes=[right]")
    assert datasets.class_names == ("right", NO_GESTURE)
    assert [getattr(datasets, s).keys for s in ("train", "validation", "test")] == [
        ["videos/a.mp4"],
        ["videos/b.mp4"],
        ["videos/c.mp4"],
    ]
    assert (datasets.test[0].label == 0).sum() == 6


def test_what_is_annotated_is_part_of_the_fingerprint(root):
    before = opened(root).fingerprint
    text = (root / "annotations.csv").read_text()
    (root / "annotations.csv").write_text(text.replace("2.0,4.0", "2.0,3.5"))
    after = opened(root).fingerprint
    assert before.keys() == after.keys()
    assert all(before[split] != after[split] for split in before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("9.9", "12.5"), r"annotations.csv: videos/a.mp4: left from 6 to 12.5 s; the stream ends"),
        (("videos/b.mp4", "videos/x.mp4"), r"videos/x.mp4: no such video"),
        (("5.0,5.5", "3.0,5.5"), "overlap"),
        (("5.0,5.5", "5.0,five"), "five"),
    ],
)
def test_wrong_annotations_are_named_in_one_line(root, change, message):
    text = (root / "annotations.csv").read_text()
    (root / "annotations.csv").write_text(text.replace(*change))
    with pytest.raises(Gesture3dError, match=message) as caught:
        opened(root)
    assert "\n" not in str(caught.value)


def test_an_event_may_end_a_frame_behind_its_stream(root):
    text = (root / "annotations.csv").read_text()
    (root / "annotations.csv").write_text(text.replace("9.9", "10.03"))
    index = read_index(load_data("stream_folder", [f"data.root={root}"]))
    assert {item.events[-1].end for item in index.items} == {10.0}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.few_shot=2", "few_shot"),
        ("data.pre_roll=200", "pre_roll"),
        ("data.augmentation.time_reversal=true", "time_reversal"),
    ],
)
def test_settings_of_clips_are_refused(root, setting, message):
    with pytest.raises(Gesture3dError, match=message):
        opened(root, setting)
