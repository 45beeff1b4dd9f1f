"""Generated performances as a hand tracker would give them."""

import numpy as np

from gesture3d.hands.features import COLUMNS, apparent_size, hand_features
from gesture3d.synthetic.gestures import GESTURES
from gesture3d.synthetic.tracks import performances


def test_performances_depend_on_their_address_alone() -> None:
    few, more = list(performances("train", 1, seed=0)), list(performances("train", 2, seed=0))
    assert len(more) == 2 * len(GESTURES)
    by_key = {p.key: p for p in more}
    for one in few:
        np.testing.assert_array_equal(one.joints, by_key[one.key].joints)
    other = next(performances("train", 1, seed=1))
    assert not np.array_equal(other.joints, few[0].joints, equal_nan=True)


def test_hands_are_in_the_picture_or_missing() -> None:
    for one in performances("test", 1, seed=0):
        assert one.joints.dtype == np.float32
        assert one.joints.shape[1:] == (2, 21, 3)
        seen = np.isfinite(one.joints)
        assert (seen == seen[:, :, :1, :1]).all()
        place = one.joints[..., :2][seen[..., :2]].reshape(-1, 2)
        assert ((place > [-90, -60]) & (place < [266, 160])).all()
        assert np.nanmax(np.abs(one.joints[:, :, 0, 2]), initial=0.0) == 0.0  # the wrist's depth
        sizes = apparent_size(one.joints)
        assert np.nanmin(sizes, initial=99.0) > 2.0


def test_up_and_down_are_told_by_the_fingertips() -> None:
    """Also where the palm hardly moves and the fingers alone are flicked."""
    rises = {"Up": [], "Down": []}
    for one in performances("train", 12, seed=0):
        if one.label in ("Swiping Up", "Swiping Down"):
            tip = hand_features(one.joints, 32)[:, COLUMNS.shape][:, 2 * 12 + 1]  # middle finger, y
            way = hand_features(one.joints, 32)[:, COLUMNS.way][:, 1] / 8
            height = -(tip + way)
            rises[one.label.rpartition(" ")[2]].append(height[12:26].mean() - height[2:12].mean())
    assert np.median(rises["Up"]) > 0 > np.median(rises["Down"])


def test_directions_are_the_performers() -> None:
    for label, sign in (("Swiping Left", 1), ("Swiping Right", -1)):
        ways = [
            hand_features(p.joints, 32)[[4, 27], COLUMNS.way.start]
            for p in performances("train", 9, seed=0)
            if p.label == label
        ]
        moved = np.array([sign * (last - first) for first, last in ways])
        assert (moved > 0).mean() > 0.8
