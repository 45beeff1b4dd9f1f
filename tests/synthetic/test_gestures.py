"""The hand and its gestures, as they are performed: what is true of every performance."""

import itertools

import cv2
import numpy as np
import pytest

from gesture3d.rng import generator
from gesture3d.synthetic.generate import LABELS
from gesture3d.synthetic.hand import FINGERTIPS, PARENTS, POSES, draw_shape, forward_kinematics
from gesture3d.synthetic.motion import perform
from gesture3d.synthetic.performer import draw_performer

WRIST, THUMB_TIP, INDEX_TIP = 0, FINGERTIPS[0], FINGERTIPS[1]
PALM = [0, 5, 9, 13, 17]
PERFORMERS = range(64)

# Hands


def test_left_hand_mirrors_the_shape_and_keeps_the_orientation():
    shapes = {shape.side: shape for shape in map(draw_shape, map(generator, range(30)))}
    assert set(shapes) == {-1, 1}
    right = shapes[1]
    left = type(right)(**(vars(right) | {"side": -1}))
    rotation = np.stack([[1, 0, 0], [0, -1, 0], [0, 0, -1]], axis=1)[None].astype(float)
    wrist, pose = np.zeros((1, 3)), POSES["open"][None]
    one = forward_kinematics(right, wrist, rotation, pose)
    other = forward_kinematics(left, wrist, rotation, pose)
    assert np.allclose(one * [-1, 1, 1], other)
    assert one[0, 4, 0] > one[0, 20, 0]  # palm to the camera: a right thumb is on the frame's right


def test_bones_keep_their_lengths():
    for number in range(5):
        motion = act("Doing other things", number)
        bones = np.linalg.norm(motion.joints[:, 1:] - motion.joints[:, PARENTS[1:]], axis=-1)
        assert np.ptp(bones, axis=0).max() < 1e-9
        forearm = np.linalg.norm(motion.joints[:, 0] - motion.elbow, axis=-1)
        assert np.ptp(forearm) < 1e-9


# Gestures


def act(label: str, number: int):
    """The motion of performer ``number``."""
    performer = draw_performer(generator(0, "performer", "train", number), roams=True)
    return perform(label, performer, generator("test", label, number))


def during(label: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints and orientations while the gesture itself takes place."""
    motion = act(label, number)
    start, stop = (round(time * (len(motion.joints) - 1)) for time in motion.gesture)
    return motion.joints[start : stop + 1], motion.rotation[start : stop + 1]


def test_both_hands_occur():
    sides = {draw_performer(generator(0, "performer", "train", p)).shape.side for p in PERFORMERS}
    assert sides == {-1, 1}


@pytest.mark.parametrize("kind", ["Swiping", "Sliding Two Fingers"])
@pytest.mark.parametrize(
    ("direction", "axis", "sign"),
    [("Left", 0, 1), ("Right", 0, -1), ("Down", 1, 1), ("Up", 1, -1)],
)
def test_swipes_go_where_the_performer_says(kind, direction, axis, sign):
    """To the performer's left is to the right (+x) of the picture."""
    for number in PERFORMERS:
        joints, _ = during(f"{kind} {direction}", number)
        moved = joints[-1].mean(0) - joints[0].mean(0)
        assert sign * moved[axis] > 0.05
        assert abs(moved[1 - axis]) < abs(moved[axis])


@pytest.mark.parametrize("what", ["Hand", "Two Fingers"])
def test_pushing_comes_near_the_camera_and_pulling_leaves_it(what):
    for number in PERFORMERS:
        for label, sign in ((f"Pushing {what} Away", -1), (f"Pulling {what} In", 1)):
            wrist = during(label, number)[0][:, WRIST, 2]
            assert sign * (wrist[-1] - wrist[0]) > 0.1


def test_hand_turns_clockwise_for_the_performer_whichever_hand_it_is():
    """About the forearm, as a screw is driven in, or about the line of sight: positive about an
    axis is clockwise to who looks along it."""
    for number in PERFORMERS:
        for label, sign in (("Turning Hand Clockwise", 1), ("Turning Hand Counterclockwise", -1)):
            joints, rotation = during(label, number)
            forearm = (joints[:, WRIST] - act(label, number).elbow[: len(joints)]).mean(0)
            steps = [b @ a.T for a, b in itertools.pairwise(rotation)]
            turned = np.sum([cv2.Rodrigues(step)[0][:, 0] for step in steps], axis=0)
            axes = [forearm / np.linalg.norm(forearm), [0, 0, -1]]
            assert max(sign * np.rad2deg(turned @ axis) for axis in axes) > 40


def test_rolling_goes_round_over_the_top_to_the_camera_or_back():
    for number in PERFORMERS:
        for label, sign in (("Rolling Hand Forward", 1), ("Rolling Hand Backward", -1)):
            motion, start = act(label, number), during(label, number)[0]
            hands = [start]
            if motion.other:
                first, last = (round(t * (len(motion.joints) - 1)) for t in motion.gesture)
                hands.append(motion.other.joints[first : last + 1])
            for joints in hands:
                knuckle = joints[:, 9]
                y, z = (knuckle - (knuckle.max(0) + knuckle.min(0)) / 2)[:, 1:].T
                angle = np.unwrap(np.arctan2(-z / 0.1, -y / 0.08))
                assert sign * np.rad2deg(angle[-1] - angle[0]) > 180
                assert np.ptp(y) > 0.1
                assert np.ptp(z) > 0.1


@pytest.mark.parametrize("what", ["Full Hand", "Two Fingers"])
def test_zooming_in_opens_the_hand_and_zooming_out_closes_it(what):
    for number in PERFORMERS:
        for way, sign in (("In", 1), ("Out", -1)):
            joints, _ = during(f"Zooming {way} With {what}", number)
            gap = np.linalg.norm(joints[:, THUMB_TIP] - joints[:, INDEX_TIP], axis=-1)
            assert sign * (gap[-1] - gap[0]) > 0.05


def test_thumbs_point_up_and_down():
    for number in PERFORMERS:
        for label, sign in (("Thumb Up", -1), ("Thumb Down", 1)):
            joints = during(label, number)[0][len(PARENTS) // 3 :]
            assert (sign * (joints[:, THUMB_TIP, 1] - joints[:, WRIST, 1]) > 0.03).all()
            others = joints[:, FINGERTIPS[1:], 1]
            assert (sign * (joints[:, THUMB_TIP, 1:2] - others) > 0).all()


def test_open_hands_are_in_the_frame_near_and_far():
    heights = []
    for number in PERFORMERS:
        motion = act("Stop Sign", number)
        middle = motion.joints[round(len(motion.joints) * np.mean(motion.gesture))]
        pixels = np.array([88, 50]) + 132 * middle[:, :2] / middle[:, 2:]
        assert (pixels > 0).all()
        assert (pixels < [176, 110]).all()
        heights.append(np.ptp(pixels[:, 1]))
    assert min(heights) > 8
    assert 0.2 < np.mean(np.array(heights) < 30) < 0.7
    assert max(heights) > 45


def test_waving_and_drumming_go_to_and_fro_and_a_stop_sign_does_not():
    def reversals(values: np.ndarray) -> int:
        steps = np.diff(values)
        return int((np.sign(steps[1:]) != np.sign(steps[:-1])).sum())

    for number in PERFORMERS:
        waving = during("Shaking Hand", number)[0]
        still = during("Stop Sign", number)[0][4:]
        assert reversals(waving[:, 12, 0]) >= 2
        assert np.ptp(waving[:, 12, 0]) > 0.06
        assert np.ptp(still[:, 12], axis=0).max() < 0.04
        drumming = during("Drumming Fingers", number)[0]
        reach = np.linalg.norm(drumming[:, 12] - drumming[:, WRIST], axis=-1)
        assert reversals(reach) >= 1
        assert np.ptp(reach) > 0.02


def test_without_a_gesture_the_hand_stays_low():
    for number in PERFORMERS:
        motion = act("No gesture", number)
        tips = motion.joints[:, FINGERTIPS, 1] - motion.stand[1]
        assert tips.min() > -0.02


def test_number_of_frames_tells_nothing_about_the_class():
    performer = draw_performer(generator(0, "performer", 0))
    lengths = {len(perform(label, performer, generator("same")).joints) for label in LABELS}
    assert len(lengths) == 1
