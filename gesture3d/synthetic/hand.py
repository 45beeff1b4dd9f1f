"""A hand in three dimensions: its bones, its poses, and where the joints are in space.

Axes. Space is the camera's: x to the right of the image, y down, z away from the camera, metres.
The hand's own axes are w (towards the thumb's side), u (towards the fingertips) and v (out of the
palm). An orientation is a rotation matrix with the columns [w u v] of a **right** hand. A left
hand is the same with w negated: for one orientation both hands point their fingers and their palm
the same way, and only the shape is mirrored.

A pose is 18 angles in degrees: for index, middle, ring and little finger the abduction towards
the thumb and the flexion of the first and second joint (the last joint follows with two thirds of
the second), then for the thumb's three bones the angle in the palm's plane from u towards w and
the elevation out of that plane towards v.
"""

from dataclasses import dataclass

import numpy as np

NUM_JOINTS = 21
"""Wrist, then four joints a finger from the root to the tip: thumb, index, middle, ring, little."""

FINGERTIPS = (4, 8, 12, 16, 20)
PARENTS = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)

# An average adult's hand. Roots are (w, u, v) from the wrist; metres.
_ROOTS = np.array(
    [
        [0.020, 0.020, 0.008],
        [0.025, 0.088, 0.001],
        [0.003, 0.092, -0.002],
        [-0.018, 0.086, -0.001],
        [-0.036, 0.077, 0.003],
    ]
)
_BONES = np.array(
    [
        [0.045, 0.034, 0.028],
        [0.042, 0.026, 0.022],
        [0.046, 0.029, 0.023],
        [0.043, 0.027, 0.023],
        [0.033, 0.021, 0.020],
    ]
)
_WRIST_RADIUS = 0.024
_RADII = np.array(
    [
        [0.0160, 0.0125, 0.0105, 0.0085],
        [0.0118, 0.0097, 0.0086, 0.0072],
        [0.0120, 0.0100, 0.0088, 0.0074],
        [0.0115, 0.0096, 0.0084, 0.0070],
        [0.0105, 0.0084, 0.0073, 0.0063],
    ]
)


@dataclass(frozen=True)
class HandShape:
    """The bones of one person's hand and arm; lengths in metres."""

    side: int
    """+1 for a right hand, -1 for a left one."""
    roots: np.ndarray
    """(5, 3): where thumb and fingers begin, in the hand's axes (w, u, v)."""
    bones: np.ndarray
    """(5, 3): the lengths of thumb and finger bones."""
    radii: np.ndarray
    """(21,): the thickness around each joint."""
    forearm: float
    upper_arm: float

    @property
    def reach_to_centre(self) -> float:
        """From the wrist to the middle of the hand along u: what trajectories are given for."""
        return 0.9 * float(self.roots[2, 1])


def draw_shape(rng: np.random.Generator) -> HandShape:
    """A random person's hand: one in five is a left hand, sizes vary as they do among adults."""
    side = -1 if rng.random() < 0.2 else 1
    size = rng.uniform(0.93, 1.1)
    fingers, width = rng.uniform(0.93, 1.08), rng.uniform(0.92, 1.1)
    each = rng.uniform(0.97, 1.03, size=(5, 1))
    thickness = size * rng.uniform(0.88, 1.15)
    radii = np.append(_WRIST_RADIUS, _RADII)
    return HandShape(
        side=side,
        roots=_ROOTS * size * np.array([width, 1.0, 1.0]),
        bones=_BONES * size * fingers * each,
        radii=radii * thickness,
        forearm=0.25 * size,
        upper_arm=0.30 * size,
    )


def _pose(*digits: tuple[float, ...]) -> np.ndarray:
    """Index, middle, ring and little finger (three angles each), then the thumb (six)."""
    return np.concatenate(digits).astype(np.float64)


_OPEN_THUMB = (52, 16, 42, 14, 34, 12)
_LOOSE_THUMB = (42, 25, 28, 25, 18, 22)
_OPPOSED_THUMB = (22, 46, 2, 45, -12, 40)
_TUCKED_THUMB = (30, 40, -40, 33, -78, 4)
_CURLED = ((2, 80, 98), (0, 82, 100), (-2, 82, 100), (-3, 80, 98))

POSES = {
    "open": _pose((5, 4, 6), (1, 2, 5), (-4, 4, 6), (-9, 6, 8), _OPEN_THUMB),
    "spread": _pose((15, 0, 2), (2, 0, 2), (-11, 0, 2), (-25, 0, 2), (64, 10, 62, 8, 60, 6)),
    "relaxed": _pose(
        (4, 24, 30), (1, 28, 34), (-2, 32, 36), (-5, 34, 38), (42, 25, 28, 25, 18, 22)
    ),
    "claw": _pose((13, 14, 48), (2, 14, 50), (-9, 14, 50), (-20, 14, 46), (60, 32, 46, 38, 28, 40)),
    "fist": _pose(*_CURLED, _TUCKED_THUMB),
    "two": _pose((5, 2, 4), (-4, 2, 4), *_CURLED[2:], _TUCKED_THUMB),
    "point": _pose((2, 2, 4), *_CURLED[1:], _TUCKED_THUMB),
    "three": _pose((9, 2, 4), (0, 2, 4), (-9, 3, 5), _CURLED[3], _TUCKED_THUMB),
    "four": _pose((9, 2, 4), (1, 2, 4), (-7, 3, 5), (-16, 3, 5), _TUCKED_THUMB),
    "pinch all": _pose(
        (-6, 62, 42), (-1, 60, 40), (5, 62, 42), (12, 66, 40), (22, 46, 2, 45, -12, 40)
    ),
    "pinch": _pose((0, 52, 50), *_CURLED[1:], (24, 42, 4, 42, -8, 36)),
    "wide pinch": _pose((16, 0, 4), *_CURLED[1:], (76, 12, 80, 8, 82, 6)),
    "thumb": _pose(*_CURLED, (74, 16, 90, 6, 98, 0)),
    "horns": _pose((6, 2, 4), *_CURLED[1:3], (-10, 2, 4), _TUCKED_THUMB),
}


def axis_rotation(axis: int, degrees: np.ndarray | float) -> np.ndarray:
    """Rotations about camera axis 0, 1 or 2, positive from axis+1 to axis+2: (…, 3, 3).

    About z, positive is clockwise in the image.
    """
    angle = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    result = np.zeros((*angle.shape, 3, 3))
    b, c = (axis + 1) % 3, (axis + 2) % 3
    result[..., axis, axis] = 1
    result[..., b, b] = result[..., c, c] = np.cos(angle)
    result[..., c, b] = np.sin(angle)
    result[..., b, c] = -np.sin(angle)
    return result


def orientation(fingers: np.ndarray, palm: np.ndarray) -> np.ndarray:
    """The rotation whose fingers point along ``fingers`` and whose palm faces ``palm``: (3, 3)."""
    u = np.asarray(fingers, dtype=np.float64)
    u = u / np.linalg.norm(u)
    v = np.asarray(palm, dtype=np.float64)
    v = v - (v @ u) * u
    v = v / np.linalg.norm(v)
    return np.stack([np.cross(u, v), u, v], axis=1)


def _bone_directions(pose: np.ndarray) -> np.ndarray:
    """Unit directions (T, 5, 3 bones, 3) in the hand's axes for poses (T, 18)."""
    angles = np.deg2rad(pose)
    fingers = angles[:, :12].reshape(-1, 4, 3)
    abduction = fingers[..., :1]
    second = fingers[..., 1] + fingers[..., 2]
    flexion = np.stack([fingers[..., 1], second, second + fingers[..., 2] * 2 / 3], axis=-1)
    thumb = angles[:, None, 12:].reshape(-1, 1, 3, 2)
    in_plane = np.concatenate([thumb[..., 0], np.repeat(abduction, 3, axis=-1)], axis=1)
    elevation = np.concatenate([thumb[..., 1], flexion], axis=1)
    flat = np.cos(elevation)
    return np.stack([flat * np.sin(in_plane), flat * np.cos(in_plane), np.sin(elevation)], axis=-1)


def forward_kinematics(
    shape: HandShape, wrist: np.ndarray, rotation: np.ndarray, pose: np.ndarray
) -> np.ndarray:
    """Joints (T, 21, 3) for wrist positions (T, 3), orientations (T, 3, 3) and poses (T, 18)."""
    steps = _bone_directions(pose) * shape.bones[:, :, None]
    chains = np.concatenate([np.broadcast_to(shape.roots[:, None], (len(pose), 5, 1, 3)), steps], 2)
    local = np.cumsum(chains, axis=2).reshape(len(pose), 20, 3) * np.array([shape.side, 1, 1])
    joints = np.einsum("tij,tkj->tki", rotation, local) + wrist[:, None]
    return np.concatenate([wrist[:, None], joints], axis=1)


def solve_elbow(shape: HandShape, wrist: np.ndarray, shoulder: np.ndarray) -> np.ndarray:
    """Elbows (T, 3) between wrists (T, 3) and a shoulder (3,): the forearm keeps its length.

    The elbow hangs down and outward. A shoulder out of reach is treated as leaning in.
    """
    line = shoulder - wrist
    distance = np.linalg.norm(line, axis=1, keepdims=True)
    line = line / distance
    a, b = shape.forearm, shape.upper_arm
    distance = np.clip(distance, abs(a - b) + 0.01, a + b - 0.01)
    along = (a**2 - b**2 + distance**2) / (2 * distance)
    aside = np.sqrt(np.maximum(a**2 - along**2, 0))
    pole = np.array([-0.5 * shape.side, 1.0, 0.15])
    pole = pole - (line @ pole)[:, None] * line
    pole = pole / np.linalg.norm(pole, axis=1, keepdims=True)
    return wrist + along * line + aside * pole
