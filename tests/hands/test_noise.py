"""What detectors get wrong, drawn from a generator."""

import numpy as np
import pytest

from gesture3d.hands import noise
from gesture3d.hands.features import COLUMNS, NUM_FEATURES
from gesture3d.synthetic.tracks import performances

TRACK = next(performances("train", 1, seed=3)).joints
JOINTS = TRACK.reshape(len(TRACK), 42, 3)
SEEN = np.isfinite(JOINTS[..., 0])


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize(
    "change",
    [
        lambda x, r: noise.jitter(x, 0.1, r),
        lambda x, r: noise.deepen(x, 0.5, 1.5, r),
        lambda x, r: noise.lose_frames(x, 0.5, r),
        lambda x, r: noise.find_late(x, 0.3, r),
        lambda x, r: noise.swap_hands(x, 1.0, r),
    ],
)
def test_the_same_generator_gives_the_same_and_the_input_stays(change) -> None:
    before = JOINTS.copy()
    one, other = change(JOINTS, rng()), change(JOINTS, rng())
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(JOINTS, before)
    assert one.shape == JOINTS.shape
    assert not np.array_equal(one, JOINTS, equal_nan=True)


def test_jitter_is_in_palms_and_makes_no_hand_appear() -> None:
    near, far = (noise.jitter(s * JOINTS, 0.1, rng()) - s * JOINTS for s in (1.0, 3.0))
    np.testing.assert_allclose(far, 3 * near, atol=1e-3)
    np.testing.assert_array_equal(np.isfinite(near[..., 0]), SEEN)


def test_frames_are_lost_and_none_is_won() -> None:
    lost = [noise.lose_frames(JOINTS, 0.5, np.random.default_rng(s)) for s in range(20)]
    shares = [np.isfinite(x[..., 0]).sum() / SEEN.sum() for x in lost]
    assert min(shares) < 0.8
    assert max(shares) <= 1.0
    late = noise.find_late(JOINTS, 0.4, rng())
    kept = np.flatnonzero(np.isfinite(late[..., 0]).any(axis=1))
    there = np.flatnonzero(SEEN.any(axis=1))
    assert there[0] <= kept[0]
    assert kept[-1] <= there[-1]
    assert len(kept) < len(there)


def test_swapped_hands_keep_their_joints() -> None:
    swapped = noise.swap_hands(JOINTS, 1.0, rng())
    both = np.nansum(JOINTS.reshape(-1, 2, 21, 3), axis=1)
    np.testing.assert_array_equal(np.nansum(swapped.reshape(-1, 2, 21, 3), axis=1), both)
    assert noise.swap_hands(JOINTS, 0.0, rng()) is JOINTS


def test_parts_are_hidden_whole() -> None:
    features = np.ones((4, NUM_FEATURES), np.float32)
    np.testing.assert_array_equal(noise.hide_parts(features, 0.0, rng()), features)
    hidden = noise.hide_parts(features, 1.0, rng())
    assert hidden[:, COLUMNS.presence].all()
    assert hidden.sum() == 4
