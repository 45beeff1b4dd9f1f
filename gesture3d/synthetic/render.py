"""Draws a performed gesture: a clip in colour and the same clip in depth.

The limbs are tapered capsules, each drawn as a few slices from its silhouette (dark, far) to the
line nearest to the camera (light, near); the palm and the back of the hand are flat plates. All
slices of a frame are painted from far to near, which settles what occludes what. Depth travels as
the fourth channel of the drawing canvas, so both clips come from the same strokes.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from gesture3d.synthetic.hand import PARENTS
from gesture3d.synthetic.motion import Motion
from gesture3d.synthetic.performer import Performer
from gesture3d.synthetic.scene import (
    CENTRE,
    FOCAL_LENGTH,
    HEIGHT,
    MARGIN,
    SUPERSAMPLING,
    WIDTH,
    Scene,
    SensorNoise,
    draw_passer,
)

DEPTH_NEAR, DEPTH_FAR = 0.25, 2.25
"""Metres that map to grey 255 and to grey 0; the background is 0."""

_SLICES = (0.0, 0.5, 0.85)
_SLICE_SHADES = (0.58, 0.86, 1.0)
_SLICE_ORDER = (1.2, 0.0, -1.0)
"""In radii: a limb's dark slices are painted early and its light ones late, so that the pieces of
one limb join without seams."""

_CORNERS = 12
_SUBPIXEL_BITS = 4
_NEAREST = 0.12


@dataclass
class _Strokes:
    """Filled convex polygons; T frames, N polygons a frame."""

    corners: np.ndarray
    """(T, N, 12, 2): canvas pixels."""
    colours: np.ndarray
    """(T, N, 4): BGR and depth, 0 … 255."""
    order: np.ndarray
    """(T, N): metres from the camera by which strokes are painted, far to near; inf: unseen."""


def render(
    motion: Motion, performer: Performer, scene: Scene, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The clip (T, H, W, 3) in BGR and its depth (T, H, W) as grey levels, both uint8."""
    arms = [(motion, performer)]
    if motion.other:
        side = -performer.shape.side
        arms.append((motion.other, replace(performer, shape=replace(performer.shape, side=side))))
    strokes = [part(*arm, scene) for arm in arms for part in (_limbs, _plates, _nails)]
    corners = np.concatenate([s.corners for s in strokes], axis=1)
    corners += scene.shake[:, None, None, :]
    corners = np.rint(np.clip(corners, -2000, 2000) * 2**_SUBPIXEL_BITS).astype(np.int32)
    colours = np.clip(np.concatenate([s.colours for s in strokes], axis=1), 0, 255)
    order = np.concatenate([s.order for s in strokes], axis=1)
    sequence = np.argsort(-order, axis=1, kind="stable")
    num_hidden = np.isinf(order).sum(axis=1)
    backdrop = cv2.cvtColor(scene.background, cv2.COLOR_BGR2BGRA)
    backdrop[..., 3] = 0
    num_frames, noise = len(corners), SensorNoise(scene.noise)
    colour = np.empty((num_frames, HEIGHT, WIDTH, 3), np.uint8)
    depth = np.empty((num_frames, HEIGHT, WIDTH), np.uint8)
    for frame in range(num_frames):
        canvas = _backdrop_at(backdrop, scene, frame)
        values = colours[frame].tolist()
        for stroke in sequence[frame, num_hidden[frame] :].tolist():
            cv2.fillConvexPoly(
                canvas, corners[frame, stroke], values[stroke], cv2.LINE_8, _SUBPIXEL_BITS
            )
        depth[frame] = canvas[::SUPERSAMPLING, ::SUPERSAMPLING, 3]
        small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        picture = small[..., :3]
        if scene.tone is not None:
            picture = cv2.LUT(picture, scene.tone[frame])
        if scene.lag:
            before = picture if frame == 0 else before
            picture = before = cv2.addWeighted(before, scene.lag, picture, 1 - scene.lag, 0)
        colour[frame] = noise.add_to(picture, rng)
    return colour, depth


def _backdrop_at(backdrop: np.ndarray, scene: Scene, frame: int) -> np.ndarray:
    """A fresh canvas (H, W, 4) with the background as the shaking camera sees it."""
    x, y = MARGIN - scene.shake[frame]
    height, width = HEIGHT * SUPERSAMPLING, WIDTH * SUPERSAMPLING
    canvas = backdrop[y : y + height, x : x + width].copy()
    for passer in scene.passers:
        draw_passer(canvas, passer, frame, scene.shake[frame])
    return canvas


def _project(points: np.ndarray) -> np.ndarray:
    """Camera metres (…, 3) to canvas pixels (…, 2)."""
    depth = np.maximum(points[..., 2:], _NEAREST)
    return CENTRE + FOCAL_LENGTH * points[..., :2] / depth


def depth_to_grey(depth: np.ndarray) -> np.ndarray:
    """Metres to grey levels 1 … 255, linear, near is bright."""
    return np.clip(255 * (DEPTH_FAR - depth) / (DEPTH_FAR - DEPTH_NEAR), 1, 255)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _pad_normals(motion: Motion, side: int) -> np.ndarray:
    """(T, 21, 3): out of the inner (palmar) side of the bone that ends in each joint."""
    joints, rotation = motion.joints, motion.rotation
    along = _unit(joints - joints[:, np.maximum(PARENTS, 0)])
    normals = np.cross(rotation[:, None, :, 0], along)
    palm = rotation[:, None, :, 2]
    normals[:, 1:5] = 0.7 * palm + 0.7 * side * np.cross(palm, along[:, 1:5])
    normals[:, [0, 5, 9, 13, 17]] = palm
    return _unit(normals)


def _skin(performer: Performer, normals: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Skin colours (…, 3): the palmar side is lighter and more pink than the back of the hand."""
    facing = -(normals * _unit(points)).sum(-1, keepdims=True)
    inner = np.clip(0.5 + 0.9 * facing, 0, 1)
    back = performer.skin * np.array([0.82, 0.85, 0.9])
    palm = 0.72 * performer.skin + 0.28 * np.array([185, 190, 245])
    return back + inner * (palm - back)


class _Capsules:
    """Gathers tapered capsules, cut into pieces short enough to be painted in one order."""

    def __init__(self) -> None:
        self.starts, self.ends, self.radii, self.colours, self.shifts = [], [], [], [], []

    def add(
        self,
        line: tuple[np.ndarray, np.ndarray],
        radii: tuple[float, float],
        colour: np.ndarray,
        pieces: int,
        shift: float = 0.0,
    ) -> None:
        """From and to (T, 3), with a colour (T, 3); painted as if ``shift`` metres farther."""
        (start, end), (first, last) = line, radii
        for i in range(pieces):
            f, g = i / pieces, (i + 1) / pieces
            self.starts.append(start + f * (end - start))
            self.ends.append(start + g * (end - start))
            self.radii.append((first + f * (last - first), first + g * (last - first)))
            self.colours.append(colour)
            self.shifts.append(shift)

    def strokes(self, scene: Scene) -> _Strokes:
        """Each of N capsules in slices: (T, slices · N, …)."""
        start, end, colours = (np.stack(x, 1) for x in (self.starts, self.ends, self.colours))
        radii, shift = np.array(self.radii), np.array(self.shifts)
        lit = np.linalg.norm(np.cross(_unit(end - start), scene.light), axis=-1, keepdims=True)
        lit = scene.ambient + (1 - scene.ambient) * (0.35 + 0.65 * lit)
        depth, radius = (start[..., 2] + end[..., 2]) / 2, radii.mean(axis=1)
        corners, shaded, order = [], [], []
        for height, shade, behind in zip(_SLICES, _SLICE_SHADES, _SLICE_ORDER, strict=True):
            lean = 0.55 * height * radii[:, :, None] * scene.light * [1, 1, 0]
            scale = np.sqrt(1 - height**2)
            corners.append(_capsule_outline(start + lean[:, 0], end + lean[:, 1], scale * radii))
            grey = depth_to_grey(depth - height * radius)[..., None]
            shaded.append(np.concatenate([colours * lit * shade, grey], axis=-1))
            order.append(depth + behind * radius + shift)
        return _Strokes(*(np.concatenate(parts, 1) for parts in (corners, shaded, order)))


def _limbs(motion: Motion, performer: Performer, scene: Scene) -> _Strokes:
    """Finger bones, the bones of the palm, forearm and upper arm as capsules."""
    shape, joints = performer.shape, motion.joints
    pads = _pad_normals(motion, shape.side)
    capsules = _Capsules()
    for joint in range(1, 21):
        parent = PARENTS[joint]
        start, end = joints[:, parent], joints[:, joint]
        colour = _skin(performer, pads[:, joint], (start + end) / 2)
        radii = shape.radii[parent], shape.radii[joint]
        if parent == 0:  # inside the palm
            start, radii = start + 0.25 * (end - start), (shape.radii[5], radii[1])
        capsules.add((start, end), radii, colour, pieces=1 if joint % 4 in (0, 3) else 2)
    _add_arm(capsules, motion, performer, _skin(performer, pads[:, 0], joints[:, 0]))
    return capsules.strokes(scene)


def _add_arm(capsules: _Capsules, motion: Motion, performer: Performer, skin: np.ndarray) -> None:
    wrist, elbow = motion.joints[:, 0], motion.elbow
    sleeve, thin = performer.sleeve, performer.shape.radii[0]
    thick = 1.75 * thin
    cuff, at_cuff = elbow + sleeve * (wrist - elbow), thick + sleeve * (thin - thick)
    knuckle = motion.joints[:, 9]
    cloth = np.broadcast_to(performer.cloth, skin.shape)
    capsules.add((wrist, wrist + 0.3 * (knuckle - wrist)), (thin, 0.95 * thin), skin, 1)
    capsules.add((cuff, wrist), (at_cuff, thin), skin, 6 if sleeve < 0.7 else 2, shift=0.015)
    if sleeve > 0:
        capsules.add((elbow, cuff), (1.2 * thick, 1.2 * at_cuff), cloth, 6, shift=-0.015)
    shoulder = np.broadcast_to(motion.shoulder, elbow.shape)
    capsules.add((shoulder, elbow), (1.5 * thick, 1.2 * thick), cloth, 6)


def _capsule_outline(start: np.ndarray, end: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Outlines (T, N, 12, 2) on the canvas of capsules between points (T, N, 3)."""
    a, b = _project(start), _project(end)
    radius_a = FOCAL_LENGTH * radii[:, 0] / np.maximum(start[..., 2], _NEAREST)
    radius_b = FOCAL_LENGTH * radii[:, 1] / np.maximum(end[..., 2], _NEAREST)
    line = b - a
    heading = np.arctan2(line[..., 1], line[..., 0])
    length = np.maximum(np.hypot(line[..., 0], line[..., 1]), 1e-6)
    half = np.arccos(np.clip((radius_a - radius_b) / length, -1, 1))  # where the tangents touch
    sweep = np.linspace(0, 1, _CORNERS // 2)
    around_a = heading[..., None] + half[..., None] + sweep * (2 * np.pi - 2 * half)[..., None]
    around_b = heading[..., None] - half[..., None] + sweep * 2 * half[..., None]
    angles = np.concatenate([around_a, around_b], axis=-1)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    reach = np.repeat(np.stack([radius_a, radius_b], axis=-1), _CORNERS // 2, axis=-1)
    centre = np.repeat(np.stack([a, b], axis=2), _CORNERS // 2, axis=2)
    return centre + reach[..., None] * circle


def _plates(motion: Motion, performer: Performer, scene: Scene) -> _Strokes:
    """The palm and the back of the hand: quads between neighbouring bones of the palm."""
    joints = motion.joints
    wrist, normal = joints[:, :1], motion.rotation[:, None, :, 2]
    roots = joints[:, [2, 5, 9, 13, 17]]
    thickness = 0.92 * performer.shape.radii[5]
    quads = []
    for finger in range(4):
        near = 0.55 if finger == 0 else 1.0  # the web between thumb and index is set back
        left, right = roots[:, finger : finger + 1], roots[:, finger + 1 : finger + 2]
        for f, g in ((0.12, 0.56), (0.56, 1.0)):
            f, g = near * f, near * g
            if finger == 0:
                edge = [wrist + f * 1.6 * (left - wrist), wrist + g * 1.6 * (left - wrist)]
                edge += [wrist + g * 1.45 * (right - wrist), wrist + f * 1.45 * (right - wrist)]
            else:
                edge = [wrist + f * (left - wrist), wrist + g * (left - wrist)]
                edge += [wrist + g * (right - wrist), wrist + f * (right - wrist)]
            quads.append(np.concatenate(edge, axis=1))
    middle = np.stack(quads, axis=1)  # (T, 8, 4, 3)
    sides = [_plate_side(middle, sign, normal, thickness, performer, scene) for sign in (1, -1)]
    joined = (np.concatenate(parts, axis=1) for parts in zip(*sides, strict=True))
    return _Strokes(*joined)


def _plate_side(middle, sign, normal, thickness, performer, scene):
    """Corners, colours and order of one side of the plates; ``sign`` +1 palm, -1 back."""
    surface = middle + sign * thickness * normal[:, :, None]
    centre = surface.mean(axis=2)
    seen = -(sign * normal * _unit(centre)).sum(-1)
    lambert = np.clip((sign * normal * scene.light).sum(-1, keepdims=True), 0, 1)
    lit = scene.ambient + (1 - scene.ambient) * (0.3 + 0.7 * lambert)
    colour = _skin(performer, normal, centre) * lit * (1.0 if sign > 0 else 0.97)
    corners = _project(np.repeat(surface, _CORNERS // 4, axis=2))
    grey = depth_to_grey(centre[..., 2:])
    order = np.where(seen > 0.05, centre[..., 2] - 0.003, np.inf)
    return corners, np.concatenate([colour, grey], axis=-1), order


def _nails(motion: Motion, performer: Performer, scene: Scene) -> _Strokes:
    """A light oval on the outer side of every fingertip."""
    tips = np.array([4, 8, 12, 16, 20])
    tip, last = motion.joints[:, tips], motion.joints[:, tips - 1]
    along = _unit(tip - last)
    out = -_pad_normals(motion, performer.shape.side)[:, tips]
    out = _unit(out - (out * along).sum(-1, keepdims=True) * along)
    across = np.cross(along, out)
    radius = performer.shape.radii[tips][:, None]
    centre = tip - 0.3 * radius * along + 0.9 * radius * out
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)[:, None]
    oval = np.cos(angles) * along[..., None, :] * 0.9 + np.sin(angles) * across[..., None, :] * 0.62
    corners = _project(centre[..., None, :] + radius[..., None] * oval)
    seen = -(out * _unit(centre)).sum(-1)
    light = 0.4 * performer.skin + 0.6 * np.array([205, 205, 245])
    colours = np.broadcast_to(light * (0.6 + 0.4 * scene.ambient), centre.shape)
    order = np.where(seen > 0.1, centre[..., 2] - 0.1 * radius[:, 0], np.inf)
    return _Strokes(corners, np.concatenate([colours, depth_to_grey(centre[..., 2:])], -1), order)
