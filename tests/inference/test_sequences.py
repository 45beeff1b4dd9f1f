"""Classification of joints and recordings: what cannot be read is named, and the others go on."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d.data.walk import find_files
from gesture3d.errors import Gesture3dError
from gesture3d.inference.classifier import Classifier
from tests.data.skeleton.test_ntu import body, ntu_text
from tests.inference.networks import untrained


@pytest.fixture(scope="module")
def joints_classifier(tmp_path_factory) -> Classifier:
    """For one body of NTU RGB+D, centred on joint 20."""
    folder = tmp_path_factory.mktemp("joints")
    settings = ("data.centre_joint=20", "data.differences=false")
    return untrained(folder, "gru", "skeleton_folder", 75, *settings)


def write_joints(folder: Path) -> dict[str, str]:
    """Files of joints, good and bad; name → what is wrong."""
    (folder / "a.skeleton").write_text(ntu_text([[body("7", n)] for n in range(5)]))
    np.save(folder / "b.npy", np.ones((5, 25, 3)))
    np.save(folder / "c.npy", np.ones((5, 4, 3)))
    np.save(folder / "d.npy", np.ones((5, 26, 3)))
    np.save(folder / "e.npy", np.full((5, 25, 3), 1e39))
    np.save(folder / "f.npy", np.array([None]))
    (folder / "g.skeleton").write_text("3\n0\n0\n0\n")
    return {
        "a.skeleton": "",
        "b.npy": "",
        "c.npy": "data.centre_joint: no joint 20; the sequences have joints 0 to 3",
        "d.npy": "78 features a frame",
        "e.npy": "frame 0: joint 0 has the coordinate 1e+39",
        "f.npy": "not a readable NumPy file",
        "g.skeleton": "nobody is seen in any of its 3 frames",
    }


def test_joints_that_cannot_be_classified_are_named_with_their_file(tmp_path, joints_classifier):
    wanted = write_joints(tmp_path)
    paths = joints_classifier.find(tmp_path)
    assert [path.name for path in paths] == list(wanted)
    for result in joints_classifier.classify(paths, batch_size=3):
        if wanted[result.path.name]:
            assert result.error.startswith(f"{result.path}: {wanted[result.path.name]}")
        else:
            assert result.error is None
            (segment,) = result.segments
            assert sum(c.probability for c in segment.classes) == pytest.approx(1)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are UTF-8 there")
def test_a_name_that_is_not_utf_8_stops_no_batch(tmp_path, joints_classifier) -> None:
    for name in (b"\xff1.npy", b"\xff2.npy"):
        np.save(os.fsdecode(os.fsencode(tmp_path) + b"/" + name), np.ones((5, 25, 3)))
    results = list(joints_classifier.classify(find_files(tmp_path, {".npy"})))
    assert [result.error for result in results] == [None, None]


def test_scores_that_are_not_finite_are_no_answer(tmp_path, joints_classifier, monkeypatch) -> None:
    np.save(tmp_path / "a.npy", np.ones((5, 25, 3)))
    np.save(tmp_path / "b.npy", np.ones((6, 25, 3)))
    scores = torch.tensor([[0.0, 1.0], [torch.nan, 0.0]])
    monkeypatch.setattr(joints_classifier, "scores", lambda clips: scores)
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    first, second = joints_classifier.classify(paths)
    assert first.error is None
    assert second.error.startswith(f"{paths[1]}: the network's scores are not finite")
    monkeypatch.setattr(joints_classifier, "scores", lambda clips: scores[1:])
    with pytest.raises(Gesture3dError, match="scores are not finite"):
        joints_classifier(paths[1])


@pytest.fixture(scope="module")
def recordings_classifier(tmp_path_factory) -> Classifier:
    folder = tmp_path_factory.mktemp("recordings")
    settings = ("data.window=16", "data.step=8")
    return untrained(folder, "cnn1d", "inertial_folder", 6, *settings)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"a,b\n1,2\n", "2 channels; the network was trained on 6"),
        ("x.csv", b"a,b,c,d,e,f\n" + b"1,1,1,1,1,1e300\n" * 20, "line 2: channel 6 is 1e.300"),
        ("x.mat", b"MATLAB", "not a readable .mat file"),
        ("acc_[1].txt", b"1 2 3\n" * 20, r"gyro_\[1\]\.txt: no such file"),
        ("acc_1.txt", b"1 2\n" * 20, "line 1: 2 numbers instead of 3"),
        ("x.txt", b"1 2 3\n", "not a recording"),
    ],
)
def test_a_recording_that_cannot_be_read_is_named(
    tmp_path, recordings_classifier, name, content, message
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    (result,) = recordings_classifier.classify([path])
    assert re.search(message, result.error)
    assert str(tmp_path) in result.error
    assert "\n" not in result.error
    assert (result.segments, result.signal) == ([], None)


def test_files_of_any_name_are_a_recording(tmp_path, recordings_classifier) -> None:
    """Also where the name looks like a pattern; other files in the folder are left alone."""
    for sensor in ("acc", "gyro"):
        np.savetxt(tmp_path / f"{sensor}_[1]*.txt", np.ones((40, 3)))
    (found,) = recordings_classifier.classify(recordings_classifier.find(tmp_path))
    assert found.path == tmp_path / "acc_[1]*.txt"
    assert found.signal.shape == (40, 6)


def test_a_recording_is_one_sample_only_where_it_is_one_window(
    tmp_path, recordings_classifier
) -> None:
    rows = ["a,b,c,d,e,f", *["1,2,3,4,5,6"] * 17]
    (tmp_path / "one.csv").write_text("\n".join(rows[:17]))
    (tmp_path / "two.csv").write_text("\n".join(rows))
    assert recordings_classifier.load(tmp_path / "one.csv").shape == (16, 6)
    assert len(recordings_classifier(tmp_path / "one.csv")) == 2
    with pytest.raises(Gesture3dError, match=r"two\.csv: a recording of 2 windows, not one sample"):
        recordings_classifier(tmp_path / "two.csv")
