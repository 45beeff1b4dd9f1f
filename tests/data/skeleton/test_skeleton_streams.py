"""Streams of joints: spliced clips, SFINGE3D's recordings."""

import itertools
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d.config import load_data, load_experiment
from gesture3d.data import build_datasets, read_index
from gesture3d.data.batch import collate
from gesture3d.data.skeleton.sets.sfinge3d_stream import SFINGE3DStreamData, ground_truth
from gesture3d.data.skeleton.splice import SPEEDS, splice_stream
from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE, Event
from gesture3d.rng import generator
from tests.data.skeleton.layouts import walk

SMALL = {"num_train": 12, "stream_seconds": 12.0, "validation_recordings": []}


def settings(root: Path, **changes) -> SFINGE3DStreamData:
    given = {"centre_joint": 0, "scale_joints": (0, 8), "differences": True, **SMALL, **changes}
    return SFINGE3DStreamData(name="sfinge3d_stream", root=root, **given)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two instances of each class, and two recordings."""
    root = tmp_path_factory.mktemp("sfinge3d")
    for label in range(1, 14):
        (root / f"Dictionary/{label}").mkdir(parents=True)
        for number in (1, 7):
            rows = walk(24 + number, 47, (label, number)).reshape(24 + number, -1)
            path = root / f"Dictionary/{label}/{number}.txt"
            np.savetxt(path, rows[:, :140], delimiter=";", fmt="%.5f")
    with zipfile.ZipFile(root / "Sequences_1-2.zip", "w") as archive:
        archive.writestr("Sequences/sequencesGT.csv", "1,2,13,5,24,4,40,80\n2,1,7,0,30\n")
        for number, length in ((1, 80), (2, 60)):  # the first one ends a frame behind its file
            rows = walk(length, 47, number).reshape(length, -1)[:, :140]
            text = "\n".join(",".join(f"{v:.5f}" for v in row) for row in rows)
            archive.writestr(f"Sequences/{number}.txt", text)
    return root


def test_a_spliced_stream_has_its_gestures_where_it_says() -> None:
    """Class n turns joint 1 about the first, to the left or to the right, at a speed of its own."""
    turns = {"left": 1.0, "right": -1.0}
    angles = np.linspace(0, 2, 40)
    clips = {
        name: [np.stack([np.zeros((40, 3)), np.stack([np.cos(a), np.sin(a), 0 * a], 1)], axis=1)]
        for name, a in ((n, w * angles) for n, w in turns.items())
    }
    joints, events = splice_stream(clips, 60, 20, 1.0, generator("splice"))
    assert joints.dtype == np.float32
    assert 60 <= len(joints) / 20 < 90
    assert {e.label for e in events} == set(turns)
    assert all(a.end <= b.start for a, b in itertools.pairwise(events))
    assert events[-1].end < len(joints) / 20
    for event in events:
        assert 40 / 20 / SPEEDS[1] - 0.1 < event.length < 40 / 20 / SPEEDS[0] + 0.1
        first, last = round(event.start * 20), round(event.end * 20)
        hand = joints[first:last, 1] - joints[first:last, 0]
        np.testing.assert_allclose(np.linalg.norm(hand, axis=1), 1.0, atol=0.01)
        turned = np.cross(hand[:-1], hand[1:])[:, 2].sum()
        assert turned * turns[event.label] > 1.0


def test_recordings_are_tested_and_the_dictionary_is_spliced(root) -> None:
    index = read_index(settings(root), progress=False)
    assert index.class_names == (*map(str, range(1, 14)), NO_GESTURE)
    assert {split: len(items) for split, items in index.splits.items()} == {
        "train": 12,
        "validation": 0,
        "test": 2,
    }
    first, second = index.of("test")
    assert first.events == (Event("13", 0.25, 1.25), Event("4", 2.0, 4.0))  # clipped
    assert second.events == (Event("7", 0.0, 1.55),)
    again = read_index(settings(root), progress=False)
    other = read_index(settings(root, seed=1), progress=False)
    for one, same, changed in zip(index.items, again.items, other.items, strict=True):
        np.testing.assert_array_equal(one.content, same.content)
        assert (one.split == "test") == np.array_equal(one.content, changed.content)
    chosen = read_index(settings(root, validation_recordings=[2, 40]), progress=False)
    assert [item.key for item in chosen.of("validation")] == ["Sequences/2"]
    assert [item.key for item in chosen.of("test")] == ["Sequences/1"]


def test_windows_of_streams_are_batches_with_a_label_a_frame(root) -> None:
    changed = [f"data.{name}={value}" for name, value in SMALL.items()]
    data = load_data("sfinge3d_stream", [f"data.root={root}", *changed])
    sets = build_datasets(data, 0, progress=False)
    batch = collate([sets.train[0, 0], sets.train[0, 1]])
    assert batch.inputs.shape == (2, 160, 120)
    assert batch.labels.shape == (2, 160)
    assert (batch.labels >= 0).sum() > 160
    whole = collate([sets.test[0], sets.test[1]])
    assert whole.lengths.tolist() == [80, 60]
    assert (whole.labels[1, 60:] == -1).all()
    assert whole.labels[0, 5:25].unique().tolist() == [12]
    late = build_datasets(data.model_copy(update={"label_delay": 0.5}), 0, progress=False)
    assert (late.test[0].label[10:] == sets.test[0].label[:-10]).all()  # 20 frames a second
    assert torch.equal(whole.inputs[1, 59], whole.inputs[1, -1])
    assert not torch.equal(sets.train[0, 0].inputs, sets.train[1, 0].inputs)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,2,13,5,24", "line 1: '1,2,13,5,24'; expected a sequence"),
        ("1,1,14,5,24", "line 1"),
        ("1,1,13,24,5", "line 1"),
        ("1,1,13,x,24", "line 1"),
        ("1", "line 1"),
    ],
)
def test_a_wrong_line_of_the_ground_truth_is_named(line, said) -> None:
    with pytest.raises(Gesture3dError, match=re.escape(said)):
        list(ground_truth(line, "x", tuple(map(str, range(1, 14)))))


@pytest.mark.parametrize(
    "change", ["data.augmentation.time_warp=0.3", "data.few_shot=2", "data.pre_roll=160"]
)
def test_settings_that_streams_do_not_have_are_refused(change) -> None:
    with pytest.raises(Gesture3dError):
        load_experiment("gru", "sfinge3d_stream", [change])


def test_the_real_recordings(shared_data) -> None:
    data = settings(shared_data / "sfinge3d", num_train=1)
    items = read_index(data, progress=False).of("test")
    assert len(items) == 24
    assert sum(len(item.events) for item in items) == 98
    assert {len(item.content) for item in items if item.key == "Sequences/1"} == {426}
