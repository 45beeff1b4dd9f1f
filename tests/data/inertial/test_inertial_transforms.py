"""What each change of a training window does, and that no other window is changed."""

import io

import numpy as np
import pytest
from scipy.io import savemat

from gesture3d.data.inertial.transforms import augment, random_rotation, warped_positions
from gesture3d.rng import generator
from tests.data.inertial.layouts import (
    data_config,
    datasets,
    stacked,
)


def test_rotations_are_rotations_of_at_most_the_given_angle():
    for seed in range(50):
        matrix = random_rotation(20, np.random.default_rng(seed))
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)
        assert np.rad2deg(np.arccos((np.trace(matrix) - 1) / 2)) <= 20 + 1e-6


# The recipe's other changes switched off.
STILL = [
    f"data.augmentation.{change}"
    for change in ("scale=[1, 1]", "noise=0", "time_warp=0", "shift=0")
]


def test_rotation_turns_all_vectors_alike_and_keeps_their_lengths():
    config = data_config("utd_mhad_inertial", "data.augmentation.rotation_degrees=90", *STILL)
    x = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    x[:, 3:] = 2 * x[:, :3]
    y = augment(x, config.augmentation, x.std(0), generator(1))
    assert np.abs(y - x).max() > 0.1
    np.testing.assert_allclose(y[:, 3:], 2 * y[:, :3], atol=1e-5)
    lengths = [np.linalg.norm(v[:, :3], axis=1) for v in (x, y)]
    np.testing.assert_allclose(*lengths, rtol=1e-5)


def test_time_warp_moves_forward_and_keeps_the_ends():
    for seed in range(30):
        positions = warped_positions(64, 0.3, 0.0, np.random.default_rng(seed))
        assert (np.diff(positions) > 0).all()
        assert positions[[0, -1]].tolist() == pytest.approx([0, 63])


def test_training_samples_are_addressed_and_others_unchanged(tmp_path):
    good = io.BytesIO()
    savemat(good, {"d_iner": np.random.default_rng(0).normal(size=(80, 6))})
    for name in ("a1_s1_t1", "a1_s2_t1"):
        (tmp_path / f"{name}_inertial.mat").write_bytes(good.getvalue())
    found = datasets("utd_mhad_inertial", tmp_path)
    first, again, later = (found.train[e, 0].inputs for e in (0, 0, 1))
    assert (first == again).all()
    assert (first != later).any()
    assert (found.test[0, 0].inputs == stacked(found.test)[0]).all()
    assert (found.test[1, 0].inputs == stacked(found.test)[0]).all()
