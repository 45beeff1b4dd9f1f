"""Two networks as two questions: where are palms in this frame, and what is in these squares?"""

from dataclasses import dataclass

import cv2
import numpy as np

from gesture3d.hands.engines import Network
from gesture3d.hands.geometry import (
    Palm,
    Square,
    joints_in_frame,
    palms,
    world_in_frame,
)

PALM_SIZE, LANDMARK_SIZE = 192, 224  # pixels of the networks' pictures


@dataclass(frozen=True, eq=False)
class Hand:
    """One hand in one frame.

    Attributes:
        joints, world: (21, 3) as in `HandTrack`.
        presence: 0 … 1.
        looks_right: 0 … 1: how much it looks like a right hand, in a picture no mirror has turned.
    """

    joints: np.ndarray
    world: np.ndarray
    presence: float
    looks_right: float


class PalmDetector:
    """``detect(frame)`` → palms, the most certain first, in pixels of the frame."""

    def __init__(self, network: Network, min_score: float = 0.5) -> None:
        self._network, self._min_score = network, min_score

    def detect(self, frame: np.ndarray, window: tuple[int, int, int, int]) -> list[Palm]:
        """Palms in a part of a frame (H, W, 3).

        Args:
            window: the part: left, top, width, height, in pixels.
        """
        left, top, width, height = window
        part = frame[top : top + height, left : left + width]
        scale = PALM_SIZE / max(width, height)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        shrinks = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
        x, y = (PALM_SIZE - size[0]) // 2, (PALM_SIZE - size[1]) // 2
        picture = np.zeros((PALM_SIZE, PALM_SIZE, 3), np.uint8)
        picture[y : y + size[1], x : x + size[0]] = cv2.resize(part, size, interpolation=shrinks)
        boxes, logits = self._network(picture[None])
        found = palms(boxes[0], logits[0, :, 0], PALM_SIZE, self._min_score)
        scales, origin = np.divide((width, height), size), np.array((left - 0.5, top - 0.5))

        def in_frame(points: np.ndarray) -> np.ndarray:
            return (points - (x, y)) * scales + origin

        return [Palm(in_frame(palm.box), in_frame(palm.points), palm.score) for palm in found]


class Landmarks:
    """``read(frame, squares)`` → what each square shows: a hand, or little presence of one."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def read(self, frame: np.ndarray, squares: list[Square]) -> list[Hand]:
        if not squares:
            return []
        pictures = np.stack([square.picture(frame, LANDMARK_SIZE) for square in squares])
        joints, presence, looks_right, world = self._network(pictures)
        return [
            Hand(
                joints_in_frame(joints[n], square, LANDMARK_SIZE),
                world_in_frame(world[n], square),
                float(presence[n, 0]),
                float(looks_right[n, 0]),  # its first label is the left hand, of mirrored pictures
            )
            for n, square in enumerate(squares)
        ]
