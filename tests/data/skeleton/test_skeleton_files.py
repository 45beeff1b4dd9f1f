"""Files of skeletons in every format; a bad one is named with its frame."""

import numpy as np
import pytest

from gesture3d.data import build_datasets
from gesture3d.errors import Gesture3dError
from tests.data.skeleton.layouts import folder_config, folder_set, walk


def test_a_folder_of_files_in_all_formats(tmp_path) -> None:
    data = folder_config(folder_set(tmp_path), test_share=0.34)
    datasets = build_datasets(data, seed=0)
    assert len(datasets.train) + len(datasets.test) == 18
    for dataset in (datasets.train, datasets.test):
        for sample in (dataset[i] for i in range(len(dataset))):
            label, number = sample.key.removeprefix("class").split(".")[0].split("/")
            expected = walk(5 + int(number), 4, (int(label), int(number)))
            np.testing.assert_allclose(sample.inputs, expected.reshape(-1, 12), rtol=1e-5)
            assert sample.label == int(label)
    assert build_datasets(data, seed=0).fingerprint == datasets.fingerprint


def nan_at(values: np.ndarray, frame: int, joint: int, value: float) -> np.ndarray:
    values = values.copy()
    values[frame, joint, 1] = value
    return values


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npy", nan_at(walk(9, 4), 3, 2, np.nan), r"x\.npy: frame 3: joint 2 .* nan"),
        ("x.npy", nan_at(walk(9, 4), 8, 0, -np.inf), r"x\.npy: frame 8: joint 0 .* -inf"),
        ("x.npy", np.zeros((0, 4, 3)), r"x\.npy: has no frames"),
        ("x.npy", np.zeros((5, 4, 4)), r"x\.npy: shape \(5, 4, 4\); expected"),
        ("x.npy", np.zeros(7), r"x\.npy: shape \(7,\)"),
        ("x.npy", np.zeros((5, 13)), r"x\.npy: 13 values a frame.*data\.num_joints"),
        ("x.npy", np.array([None]), r"x\.npy: not a readable NumPy file"),
        ("x.npy", b"", r"x\.npy: not a readable NumPy file"),
        ("x.npz", b"PK\x03\x04 broken", r"x\.npz: not a readable NumPy file"),
        ("x.csv", b"", r"x\.csv: has no frames"),
        ("x.csv", b"1,2,3\n1,2\n", r"x\.csv: frame 1 has 2 values, frame 0 has 3"),
        ("x.csv", b"1,2,3\n1,two,3\n", r"x\.csv: frame 1: 'two' is no number"),
        ("x.csv", b"1,2,3\n1,nan,3\n", r"x\.csv: frame 1: joint 0 has the coordinate nan"),
        ("x.csv", b"\xff\xfe\x00", r"x\.csv: not a text file"),
        ("x.mp4", b"abc", r"x\.mp4: expected a file of \.csv, \.npy"),
    ],
)
def test_a_bad_file_is_named_with_its_frame(tmp_path, name, content, message) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(Gesture3dError, match=message) as caught:
        folder_config(tmp_path).load(path)
    assert "\n" not in str(caught.value)


def test_one_frame_is_enough(tmp_path) -> None:
    np.save(tmp_path / "x.npy", walk(1, 4))
    assert folder_config(tmp_path).load(tmp_path / "x.npy").shape == (1, 12)
