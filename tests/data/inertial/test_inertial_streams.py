"""HAPT's recordings as streams: activities sample by sample."""

import numpy as np
import pytest

from gesture3d.config import load_data
from gesture3d.data import build_datasets, read_index
from gesture3d.data.batch import collate
from gesture3d.data.inertial.recording import read_pair
from gesture3d.data.inertial.signal import prepare
from gesture3d.data.streams import NOT_LEARNT
from gesture3d.errors import Gesture3dError
from tests.data.inertial.layouts import write_hapt


def settings(root, *overrides: str):
    data = [f"data.root={root}", "data.validation_groups=[]", *overrides]
    return load_data("hapt_stream", data)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Walking, then standing; one second in between has no label."""
    root = write_hapt(tmp_path_factory.mktemp("hapt"), seconds=40)
    path = root / "RawData/labels.txt"
    path.write_text(path.read_text().replace(" 1001 ", " 1051 "))
    return root


def test_a_recording_is_a_stream_with_its_activities(root) -> None:
    index = read_index(settings(root), progress=False)
    assert len(index.class_names) == 12
    (train,), (test,) = index.of("train"), index.of("test")
    assert (train.group, test.group) == ("1", "2")
    assert [(e.label, e.start, e.end) for e in train.events] == [
        ("WALKING", 0.0, 20.0),
        ("STANDING", 21.0, 40.0),
    ]
    assert train.content.shape == (1000, 9)


def test_filters_run_at_the_rate_of_the_recordings(root) -> None:
    def numbers(name: str, columns: int) -> np.ndarray:
        return np.loadtxt(root / name)

    raw = read_pair(numbers, "RawData/acc_exp01_user01.txt", "")
    data = settings(root)
    whole = prepare(raw, data.model_copy(update={"rate_hz": 50.0}))
    (train,) = read_index(data, progress=False).of("train")
    np.testing.assert_array_equal(train.content, whole[1::2])


def test_what_has_no_activity_is_not_learnt(root) -> None:
    sets = build_datasets(settings(root, "data.augmentation={}"), 0, progress=False)
    labels = sets.test[0].label
    assert (labels[:500] == 0).all()
    assert (labels[500:525] == NOT_LEARNT).all()
    assert (labels[525:1000] == 4).all()
    late = build_datasets(settings(root, "data.label_delay=0.4"), 0, progress=False).test[0].label
    assert (late[10:] == labels[:-10]).all()
    batch = collate([sets.train[0, 0], sets.train[1, 0]])
    assert batch.inputs.shape == (2, 500, 9)
    assert set(batch.labels.unique().tolist()) <= {NOT_LEARNT, 0, 4}
    basic = build_datasets(settings(root, "data.postural_transitions=false"), 0, progress=False)
    assert len(basic.class_names) == 6


def test_wrong_rates_and_labels_are_one_line(root, tmp_path) -> None:
    with pytest.raises(Gesture3dError, match="product must be the 50 Hz"):
        read_index(settings(root, "data.rate_hz=50"), progress=False)
    path = write_hapt(tmp_path) / "RawData/labels.txt"
    path.write_text(path.read_text().replace(" 1500", " 1501"))
    with pytest.raises(
        Gesture3dError, match=r"labels.txt, line 2: activity 5, samples 751 to 1501"
    ):
        read_index(settings(tmp_path), progress=False)
