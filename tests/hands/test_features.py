"""What the features of hands depend on, and what not."""

import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.hands.features import (
    COLUMNS,
    NUM_FEATURES,
    about_palm,
    acting_hand,
    apparent_size,
    as_hands,
    as_one_hand,
    even_pace,
    fill,
    hand_features,
    palm_centre,
)
from gesture3d.synthetic.tracks import performances

TRACKS = {p.label: p.joints for p in performances("train", 1, seed=3)}
SWIPE = TRACKS["Sliding Two Fingers Left"]


def mirrored(joints: np.ndarray) -> np.ndarray:
    return joints[:, ::-1] * [-1.0, 1.0, 1.0]


@pytest.mark.parametrize("label", ["Swiping Up", "Rolling Hand Forward", "Drumming Fingers"])
def test_place_and_distance_do_not_matter(label) -> None:
    joints = TRACKS[label]
    changed = 2.5 * joints + [40.0, -7.0, 0.0]
    np.testing.assert_allclose(hand_features(changed, 32), hand_features(joints, 32), atol=2e-4)


def test_a_way_played_at_another_speed_is_nearly_the_same() -> None:
    position = np.linspace(0, 1, 3 * len(SWIPE)) ** 1.5 * (len(SWIPE) - 1)
    hand = fill(SWIPE[:, acting_hand(SWIPE)], np.isfinite(SWIPE[:, acting_hand(SWIPE), 0, 0]))
    slow = np.stack(
        [
            hand[int(p)] * (1 - p % 1) + hand[min(int(p) + 1, len(hand) - 1)] * (p % 1)
            for p in position
        ]
    )
    one, other = (hand_features(as_hands(x), 32)[:, COLUMNS.course] for x in (hand, slow))
    assert np.abs(one - other).max() < 0.35 * np.abs(one).max()
    assert np.corrcoef(one[:, 0], other[:, 0])[0, 1] > 0.98


def test_a_mirror_changes_signs_of_what_goes_sideways_only() -> None:
    given, seen = hand_features(SWIPE, 32), hand_features(mirrored(SWIPE), 32)
    sign = np.ones(NUM_FEATURES)
    for part in (COLUMNS.course, COLUMNS.way, COLUMNS.speed):
        sign[part.start] = -1.0
    np.testing.assert_allclose(seen, given * sign, atol=1e-5)


def test_missing_frames_are_masked_and_interpolated() -> None:
    hand = acting_hand(SWIPE)
    some = SWIPE.copy()
    there = np.flatnonzero(np.isfinite(some[:, hand, 0, 0]))
    some[there[len(there) // 2 : len(there) // 2 + 3]] = np.nan
    whole, holed = hand_features(SWIPE, 32), hand_features(some, 32)
    assert np.isfinite(holed).all()
    assert whole[:, COLUMNS.presence].min() == 1.0
    assert holed[:, COLUMNS.presence].min() == 0.0
    assert np.abs(whole[:, COLUMNS.course] - holed[:, COLUMNS.course]).max() < 0.3


def test_without_a_hand_all_is_zero() -> None:
    features = hand_features(np.full((9, 2, 21, 3), np.nan), 16)
    assert features.shape == (16, NUM_FEATURES)
    assert not features.any()


def test_the_other_hand_is_masked_where_it_is_not_seen() -> None:
    alone, hand = SWIPE, acting_hand(SWIPE)
    both = alone.copy()
    both[5:, 1 - hand] = np.nanmean(alone[:, hand], axis=0) - [60.0, 0.0, 0.0]
    parts = (COLUMNS.other_way, COLUMNS.other_presence, COLUMNS.other_shape)
    assert all(hand_features(both, 32)[:, part].any() for part in parts)
    assert not any(hand_features(alone, 32)[:, part].any() for part in parts)
    np.testing.assert_array_equal(
        hand_features(both, 32)[:, COLUMNS.shape], hand_features(alone, 32)[:, COLUMNS.shape]
    )


def test_a_hand_whose_name_changes_is_one_hand() -> None:
    renamed = SWIPE.copy()
    renamed[: len(renamed) // 3] = renamed[: len(renamed) // 3, ::-1]
    joined = as_one_hand(renamed)
    np.testing.assert_array_equal(joined, SWIPE)
    two = np.zeros((8, 2, 21, 3))
    assert as_one_hand(two) is two


def test_sizes_and_shapes_are_of_the_palm() -> None:
    hand = SWIPE[:, acting_hand(SWIPE)]
    hand = hand[np.isfinite(hand[:, 0, 0])].astype(np.float64)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(apparent_size(hand @ turn), apparent_size(hand))
    np.testing.assert_allclose(about_palm(hand)[:, [0, 5, 9, 13, 17]].mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(palm_centre(2 * hand), 2 * palm_centre(hand))


def test_an_even_pace_passes_over_holds() -> None:
    hand = SWIPE[:, acting_hand(SWIPE)]
    hand = hand[np.isfinite(hand[:, 0, 0])].astype(np.float64)
    held = np.concatenate([hand, np.repeat(hand[-1:], 100, axis=0)])
    assert (even_pace(held, 32, 0.3) < len(hand)).mean() > 0.65
    assert (even_pace(held, 32, 1.0) < len(hand)).mean() < 0.35
    still = np.repeat(hand[:1], 5, axis=0)
    np.testing.assert_allclose(even_pace(still, 9, 0.3), np.linspace(0, 4, 9))


@pytest.mark.parametrize("size", [2, 3])
def test_one_hand_is_taken_for_the_right_one(size) -> None:
    given = np.random.default_rng(0).normal(size=(4, 21, size))
    given[2] = 0.0
    hands = as_hands(given)
    assert np.isnan(hands[:, 0]).all()
    assert np.isnan(hands[2]).all()
    np.testing.assert_array_equal(hands[[0, 1, 3], 1, :, :size], given[[0, 1, 3]])
    with pytest.raises(Gesture3dError, match="20 joints"):
        as_hands(given[:, :20])
