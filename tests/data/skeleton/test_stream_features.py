"""Features of joints in streams that do not end: nothing of the future, in any chunks the same."""

import numpy as np
import pytest

from gesture3d.data.skeleton.sets.sfinge3d import SFINGE3DData
from gesture3d.data.skeleton.transforms import features, features_of_chunk
from gesture3d.errors import Gesture3dError


def settings(**changes):
    options = {
        "centre": "running_mean",
        "centre_joint": 1,
        "centre_frames": 6,
        "scale_joints": (0, 2, 3),
        "differences": True,
    }
    return SFINGE3DData(name="sfinge3d", **options | changes)


def make_joints(seed=0, frames=40):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(frames, 4, 3)), axis=0)


def test_running_centre_and_scale_are_those_of_their_equations():
    joints, data = make_joints(), settings(differences=False)
    lengths = [np.linalg.norm(x[0] - x[2]) + np.linalg.norm(x[2] - x[3]) for x in joints]
    centre, length = joints[0, 1], lengths[0]
    found = features(joints, data).reshape(joints.shape)
    for t in range(len(joints)):
        weight = max(1 / (t + 1), 1 / 6)
        centre = (1 - weight) * centre + weight * joints[t, 1]
        length = (1 - weight) * length + weight * lengths[t]
        np.testing.assert_allclose(found[t], (joints[t] - centre) / length, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scale_joints": ()},
        {"differences": False},
        {"relative": True},
        {"centre": "every_frame", "scale_joints": ()},
        {"centre": "none", "scale_joints": ()},
    ],
)
def test_a_stream_in_any_chunks_has_the_features_of_the_whole(changes):
    joints, data = make_joints(1), settings(**changes)
    whole = features(joints, data)
    rng = np.random.default_rng(2)
    for count in (1, 7, 39):
        past, found = None, []
        for chunk in np.split(joints, np.sort(rng.choice(np.arange(1, 40), count, replace=False))):
            part, past = features_of_chunk(chunk, data, past)
            found.append(part)
        np.testing.assert_allclose(np.concatenate(found), whole, rtol=1e-6, atol=1e-6)


def test_relative_joints_are_the_same_wherever_the_hand_is():
    joints = make_joints(4)
    plain, found = (
        features(joints, settings(differences=False, relative=r)).reshape(joints.shape)
        for r in (False, True)
    )
    np.testing.assert_array_equal(found[:, 1], plain[:, 1])
    others = [0, 2, 3]
    np.testing.assert_allclose(found[:, others], (plain - plain[:, 1:2])[:, others], atol=1e-5)


def test_the_future_changes_nothing_before_it_and_places_cancel():
    joints, data = make_joints(3), settings()
    changed = joints.copy()
    changed[20:] += 100
    np.testing.assert_array_equal(features(changed, data)[:20], features(joints, data)[:20])
    moved = features(joints + np.array([1.0, -2.0, 3.0]), data)
    np.testing.assert_allclose(moved, features(joints, data), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"centre": "first_frame", "scale_joints": ()}, r"data\.centre needs the whole"),
        ({"num_frames": 20}, r"data\.num_frames needs the whole"),
        ({"centre": "none"}, r"data\.scale_joints needs the whole"),
        ({"centre_joint": 4}, "no joint 4"),
    ],
)
def test_what_needs_the_whole_sequence_is_refused(changes, message):
    with pytest.raises(Gesture3dError, match=message):
        features_of_chunk(make_joints(), settings(**changes))
