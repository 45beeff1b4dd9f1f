"""Squares about hands, and what is read out of them."""

import numpy as np
import pytest

from gesture3d.hands.geometry import (
    Square,
    anchors,
    joints_in_frame,
    palms,
    square_about_joints,
    square_about_palm,
    world_in_frame,
)
from tests.hands.painted import SHAPE


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Clockwise in the picture."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    result = points.copy()
    result[:, :2] = points[:, :2] @ np.array([[cos, sin], [-sin, cos]])
    return result


@pytest.mark.parametrize("degrees", [0, 30, 90, 179, -120])
def test_a_square_turns_with_its_hand(degrees) -> None:
    upright = square_about_joints(SHAPE * 20)
    square = square_about_joints(turned(SHAPE * 20, degrees) + np.array([100, 50, 0]))
    assert square.side == pytest.approx(upright.side)
    assert np.rad2deg(square.angle) == pytest.approx(degrees)
    centre = turned(np.array([[upright.x, upright.y]]), degrees)[0] + np.array([100, 50])
    np.testing.assert_allclose((square.x, square.y), centre, atol=1e-9)


def test_a_picture_shows_what_the_square_is_about() -> None:
    """A bright pixel comes back to where it was."""
    frame = np.zeros((80, 100, 3), np.uint8)
    frame[33, 61] = 255
    square = Square(58, 37, 20, 0.7)
    picture = square.picture(frame, 160)[..., 0].astype(float)
    y, x = np.nonzero(picture)
    weights = picture[y, x]
    middle = np.array([(x + 0.5) @ weights, (y + 0.5) @ weights, 0]) / weights.sum()
    back = joints_in_frame(np.tile(middle, 21).astype(np.float32), square, 160)
    np.testing.assert_allclose(back[0, :2], (61, 33), atol=0.02)


def test_world_joints_turn_with_the_hand() -> None:
    world = world_in_frame((SHAPE * 0.05).ravel(), Square(0, 0, 10, np.deg2rad(90)))
    np.testing.assert_allclose(world, turned(SHAPE * 0.05, 90), atol=1e-6)


def test_a_palms_square_is_moved_towards_the_fingers() -> None:
    points = np.zeros((7, 2))
    points[0], points[2] = (40, 60), (40, 40)
    square = square_about_palm(np.array([[30.0, 40], [50, 60]]), points)
    assert square == Square(40, pytest.approx(40), pytest.approx(52), pytest.approx(0))


def test_overlapping_boxes_are_one_palm_their_mean_by_score() -> None:
    boxes, logits = np.zeros((2016, 18), np.float32), np.full(2016, -50.0)
    centre = anchors() * 192
    for number, (x, score) in {0: (50, 0.9), 5: (54, 0.6), 1500: (150, 0.8), 9: (90, 0.4)}.items():
        boxes[number, :4] = *((x, 60) - centre[number]), 30, 30
        boxes[number, 4:] = np.tile((x, 60) - centre[number], 7)
        logits[number] = np.log(score / (1 - score))
    first, second = palms(boxes, logits, 192, 0.5)
    assert (first.score, second.score) == (pytest.approx(0.9), pytest.approx(0.8))
    middle = (50 * 0.9 + 54 * 0.6) / 1.5
    np.testing.assert_allclose(first.box, [[middle - 15, 45], [middle + 15, 75]], atol=1e-4)
    np.testing.assert_allclose(first.points, np.tile((middle, 60), (7, 1)), atol=1e-4)
    np.testing.assert_allclose(second.points[0], (150, 60), atol=1e-4)
    assert palms(boxes, logits, 192, 0.95) == []
