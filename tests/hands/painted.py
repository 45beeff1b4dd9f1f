"""Frames with painted hands, and two stand-ins for the networks that find them by their colour."""

import numpy as np

SIZE, RADIUS = 120, 9  # pixels of a frame, of a painted hand
RED, GREEN = (255, 0, 0), (0, 255, 0)  # looks like a right hand, looks like a left one
# A hand whose fingers point up, in radii about its middle.
SHAPE = np.zeros((21, 3))
SHAPE[0] = 0, 1.4, 0
for finger in range(5):
    for joint in range(4):
        SHAPE[1 + 4 * finger + joint] = (finger - 2) * 0.5, 0.4 - 0.6 * joint, 0.1 * joint


def paint(*hands: tuple[float, float, tuple[int, int, int]]) -> np.ndarray:
    """A black frame with discs: x, y, colour."""
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE]
    for centre_x, centre_y, colour in hands:
        frame[(x - centre_x) ** 2 + (y - centre_y) ** 2 <= RADIUS**2] = colour
    return frame


def blobs(picture: np.ndarray) -> list[tuple[float, float, float, bool]]:
    """Middle x, middle y, radius, is it red; edge to edge. At most one of each colour."""
    found = []
    for channel in (0, 1):
        y, x = np.nonzero(picture[..., channel] > 127)
        if len(x) > 20:
            found.append((x.mean() + 0.5, y.mean() + 0.5, (len(x) / np.pi) ** 0.5, channel == 0))
    return found


class PalmStandIn:
    """Counts its calls."""

    calls = 0

    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls += 1
        boxes = np.zeros((1, 2016, 18), np.float32)
        logits = np.full((1, 2016, 1), -100, np.float32)
        cell = 192 / 24
        for x, y, radius, _ in blobs(pictures[0]):
            row, column = int(y // cell), int(x // cell)
            number = 2 * (24 * row + column)
            offset = np.array([x - (column + 0.5) * cell, y - (row + 0.5) * cell])
            points = np.tile(offset, (7, 1))
            points[0] += 0, radius  # wrist below, fingers above
            points[2] -= 0, radius
            boxes[0, number] = np.concatenate([offset, [2 * radius] * 2, points.ravel()])
            logits[0, number] = 3
        return boxes, logits


def landmarks(pictures: np.ndarray) -> tuple[np.ndarray, ...]:
    """The blob nearest to the middle of each picture, as a hand."""
    count = len(pictures)
    joints, world = np.zeros((2, count, 63), np.float32)
    presence, right = np.zeros((2, count, 1), np.float32)
    for n, picture in enumerate(pictures):
        near = sorted(blobs(picture), key=lambda blob: abs(blob[0] - 112) + abs(blob[1] - 112))
        if near:
            x, y, radius, is_red = near[0]
            joints[n] = (SHAPE * radius + (x, y, 0)).ravel()
            world[n] = (SHAPE * 0.05).ravel()
            presence[n], right[n] = 0.9, 0.9 if is_red else 0.1
    return joints, presence, right, world
