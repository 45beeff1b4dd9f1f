"""Generated performances as samples, and the setting ``data.hands``."""

import numpy as np
import pytest

from gesture3d.config import load_data
from gesture3d.data import build_datasets
from gesture3d.errors import Gesture3dError
from gesture3d.hands.features import NUM_FEATURES

FEW = ["data.clips_per_class={train: 2, validation: 1, test: 1}"]


def test_samples_are_features_of_hands_by_different_people() -> None:
    datasets = build_datasets(load_data("synthetic_hands", FEW), seed=0, progress=False)
    assert len(datasets.class_names) == 27
    assert [len(s) for s in (datasets.train, datasets.validation, datasets.test)] == [54, 27, 27]
    assert datasets.spec.shape == (32, NUM_FEATURES)
    first, again, later = (datasets.train[epoch, 0].inputs for epoch in (0, 0, 1))
    assert first.equal(again)
    assert not first.equal(later)
    assert datasets.validation[0, 3].inputs.equal(datasets.validation[1, 3].inputs)
    groups = [{i.group for i in s.items} for s in (datasets.train, datasets.test)]
    assert not groups[0] & groups[1]


def test_hands_need_their_joints_and_a_number_of_frames(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            np.save(tmp_path / name / f"{number}.npy", np.ones((5, 20, 3)))
    settings = [f"data.root={tmp_path}", "data.hands=true", "data.test_share=0"]
    with pytest.raises(Gesture3dError, match="hands needs num_frames"):
        load_data("skeleton_folder", settings)
    data = load_data("skeleton_folder", [*settings, "data.num_frames=32"])
    with pytest.raises(Gesture3dError, match=r"a.0\.npy: 20 joints a frame; hands have 21"):
        build_datasets(data, seed=0, progress=False)
