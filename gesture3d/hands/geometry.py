"""Squares around hands, and what the two networks say about them, in pixels of the frame.

As MediaPipe Hands works (Zhang et al., "MediaPipe Hands: On-device Real-time Hand Tracking",
arXiv 2006.10214; its anchors, thresholds and factors). Points are (x, y) with the centre of the
first pixel at (0, 0); angles are radians, positive clockwise in the picture.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

WRIST, MIDDLE_ROOT = 0, 9  # joints
PALM = (0, 5, 9, 13, 17)  # wrist and the roots of the four fingers
_ABOUT_PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)  # without what moves most
_DETECTION_WRIST, _DETECTION_MIDDLE = 0, 2  # of a detection's seven points
# Side of the square, in sides of the box about a palm (joints), and how far it is moved towards
# the fingers.
_FROM_PALM, _FROM_JOINTS = (2.6, 0.5), (2.0, 0.1)
_MIN_OVERLAP = 0.3  # of boxes that are one hand's


@dataclass(frozen=True)
class Square:
    """A square about a hand whose fingers point up in it: centre, side, and how it is turned."""

    x: float
    y: float
    side: float
    angle: float

    def to_frame(self, size: int) -> np.ndarray:
        """(2, 3): points in the square's own picture of ``size`` pixels → points in the frame.

        Its own points run from 0 to ``size``, edge to edge, as the networks count them.
        """
        scale = self.side / size
        cos, sin = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        half = size / 2
        x, y = self.x - (cos - sin) * half, self.y - (sin + cos) * half
        return np.array([[cos, -sin, x], [sin, cos, y]])

    def picture(self, frame: np.ndarray, size: int) -> np.ndarray:
        """What the square shows, uint8 (size, size, 3); black outside of the frame."""
        matrix = self.to_frame(size)
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5)  # a pixel's centre is half a pixel from its edge
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(frame, matrix, (size, size), flags=how)


def joints_in_frame(values: np.ndarray, square: Square, size: int) -> np.ndarray:
    """The landmark network's 63 values, pixels of the square's picture → joints (21, 3)."""
    local, matrix = values.reshape(-1, 3).astype(np.float64), square.to_frame(size)
    joints = np.empty((len(local), 3), np.float32)
    joints[:, :2] = local[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    joints[:, 2] = local[:, 2] * square.side / size
    joints[:, 2] -= joints[WRIST, 2]
    return joints


def world_in_frame(values: np.ndarray, square: Square) -> np.ndarray:
    """The landmark network's 63 values in metres, turned as the hand is in the frame: (21, 3)."""
    cos, sin = math.cos(square.angle), math.sin(square.angle)
    world = values.reshape(-1, 3).astype(np.float32)
    world[:, :2] = world[:, :2] @ np.array([[cos, sin], [-sin, cos]], np.float32)
    return world


def square_about_joints(joints: np.ndarray) -> Square:
    """Where to look for the hand in the next frame: joints (21, 2 or 3)."""
    points = np.asarray(joints[:, :2], np.float64)
    roots = ((points[5] + points[13]) / 2 + points[MIDDLE_ROOT]) / 2
    angle = _angle(roots - points[WRIST])
    cos, sin = math.cos(angle), math.sin(angle)
    turned = points[list(_ABOUT_PALM)] @ np.array([[cos, -sin], [sin, cos]])
    low, high = turned.min(0), turned.max(0)
    centre = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    return _square(centre, high - low, angle, *_FROM_JOINTS)


def square_about_palm(box: np.ndarray, points: np.ndarray) -> Square:
    """Where a detected palm's hand is: its box (2, 2), corner to corner, and its points (7, 2)."""
    angle = _angle(points[_DETECTION_MIDDLE] - points[_DETECTION_WRIST])
    return _square(box.mean(0), box[1] - box[0], angle, *_FROM_PALM)


def _angle(towards_fingers: np.ndarray) -> float:
    """How a hand is turned whose fingers point there: 0 where they point up."""
    return math.atan2(towards_fingers[0], -towards_fingers[1])


def _square(
    centre: np.ndarray, size: np.ndarray, angle: float, factor: float, shift: float
) -> Square:
    """``shift`` is in heights of the box: towards the fingers."""
    x = centre[0] + size[1] * shift * math.sin(angle)
    y = centre[1] - size[1] * shift * math.cos(angle)
    return Square(float(x), float(y), float(max(*size, 1.0)) * factor, angle)


def palm_length(joints: np.ndarray) -> float:
    """From the wrist to the root of the middle finger, pixels of the frame."""
    return float(np.linalg.norm(joints[MIDDLE_ROOT, :2] - joints[WRIST, :2]))


def palm_centre(joints: np.ndarray) -> np.ndarray:
    """The middle of the palm (2,) of joints (21, 2 or 3)."""
    return joints[list(PALM), :2].mean(0)


def is_same_hand(joints: np.ndarray, others: np.ndarray) -> bool:
    """Whether two sets of joints (21, 3) in one frame lie on one hand."""
    apart = np.linalg.norm(joints[:, :2] - others[:, :2], axis=1).mean()
    return bool(apart < 0.5 * max(palm_length(joints), palm_length(others)))


def anchors() -> np.ndarray:
    """(2016, 2): where the palm detector's boxes are centred, in parts of its picture's sides.

    Two a cell of a 24 × 24 grid, then six a cell of a 12 × 12 grid.
    """
    grids = []
    for cells, each in ((24, 2), (12, 6)):
        y, x = np.divmod(np.arange(cells * cells), cells)
        grids.append(np.repeat(np.stack([x, y], 1) + 0.5, each, axis=0) / cells)
    return np.concatenate(grids).astype(np.float32)


_ANCHORS = anchors()


@dataclass(frozen=True)
class Palm:
    """A detected palm: box (2, 2) corner to corner, seven points (7, 2), score in 0 … 1."""

    box: np.ndarray
    points: np.ndarray
    score: float


def palms(boxes: np.ndarray, logits: np.ndarray, size: int, min_score: float) -> list[Palm]:
    """What the palm detector found, most certain first, in pixels of its picture, edge to edge.

    Boxes that overlap are one hand: their mean, weighted by their scores, is taken.

    Args:
        boxes: (2016, 18): centre, width and height of a box, then seven points; pixels, centre
            and points from the anchor.
        logits: (2016,) of the scores.
        size: pixels of the picture.
    """
    wanted = logits > math.log(min_score / (1 - min_score))
    if not wanted.any():
        return []
    scores = 1 / (1 + np.exp(-np.minimum(logits[wanted].astype(np.float64), 100)))
    values, origin = boxes[wanted].astype(np.float64), _ANCHORS[wanted, None] * size
    centre, half = values[:, None, :2] + origin, values[:, None, 2:4] / 2
    corners = np.concatenate(
        [centre - half, centre + half, values[:, 4:].reshape(-1, 7, 2) + origin], 1
    )
    found, order = [], np.argsort(-scores, kind="stable")
    while len(order):
        same = _overlap(corners[order, :2], corners[order[0], :2]) > _MIN_OVERLAP
        same[0] = True
        weights = scores[order[same]]
        mean = np.einsum("n,nij->ij", weights, corners[order[same]]) / weights.sum()
        found.append(Palm(mean[:2], mean[2:], float(scores[order[0]])))
        order = order[~same]
    return found


def _overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (N, 2, 2) with one (2, 2)."""
    sides = np.minimum(boxes[:, 1], box[1]) - np.maximum(boxes[:, 0], box[0])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(boxes[:, 1] - boxes[:, 0], axis=1) + np.prod(box[1] - box[0])
    return shared / np.maximum(areas - shared, 1e-9)
