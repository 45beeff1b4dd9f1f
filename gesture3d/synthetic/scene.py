"""What is behind and around the hand in a generated clip: room, person, light, camera, noise.

Pictures are BGR uint8 on the drawing canvas, ``SUPERSAMPLING`` times as fine as the clip and with
a margin of ``MARGIN`` canvas pixels on every side for a camera that moves.
"""

import functools
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from gesture3d.rng import generator
from gesture3d.synthetic.motion import Motion
from gesture3d.synthetic.performer import Performer

WIDTH, HEIGHT = 176, 100
SUPERSAMPLING = 2
MARGIN = 32
FOCAL_LENGTH = 132.0 * SUPERSAMPLING
"""In canvas pixels: a webcam that sees 67 degrees across."""

CENTRE = np.array([WIDTH, HEIGHT]) * SUPERSAMPLING / 2
_SIZE = (WIDTH * SUPERSAMPLING + 2 * MARGIN, HEIGHT * SUPERSAMPLING + 2 * MARGIN)

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Passer:
    """Something that moves behind the performer: a person or a blob (hard scenes only)."""

    start: np.ndarray
    """(2,): canvas pixels."""
    step: np.ndarray
    """(2,): canvas pixels a frame."""
    radii: tuple[int, int]
    colour: Colour
    has_head: bool


@dataclass(frozen=True)
class Scene:
    """Everything about a clip but the hand and the arm."""

    background: np.ndarray
    light: np.ndarray
    """(3,): unit vector towards the light, camera axes."""
    ambient: float
    noise: float
    """Standard deviation of the sensor noise in grey levels."""
    shake: np.ndarray
    """(T, 2): shift of the picture in whole canvas pixels, within the margin."""
    tone: np.ndarray | None = None
    """(T, 256): what the camera makes of each grey level over time; None: the same."""
    lag: float = 0.0
    """How much of the picture before each frame still has: motion blur, or a slow sensor."""
    passers: list[Passer] = field(default_factory=list)


def draw_scene(rng: np.random.Generator, performer: Performer, motion: Motion, hard: bool) -> Scene:
    """A random scene; ``hard``: cluttered, things move, camera and light are unsteady."""
    num_frames = len(motion.joints)
    light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-1.0, -0.2), rng.uniform(-1.0, -0.4)])
    kind = (
        "clutter" if hard else str(rng.choice(["plain", "gradient", "clutter"], p=[0.2, 0.2, 0.6]))
    )
    background = _wall(rng, flat=kind == "plain")
    if kind == "clutter":
        for _ in range(int(rng.integers(4, 10))):
            _THINGS[rng.integers(len(_THINGS))](background, rng)
        background = cv2.GaussianBlur(background, (0, 0), rng.uniform(0.8, 3.0))
    if motion.in_view:
        _person(background, rng, performer, motion.stand)
    background = cv2.convertScaleAbs(background, alpha=rng.uniform(0.7, 1.05))
    shakes = hard or rng.random() < 0.1
    return Scene(
        background=background,
        light=light / np.linalg.norm(light),
        ambient=rng.uniform(0.45, 0.7),
        noise=rng.uniform(5, 11) if hard else rng.uniform(0.5, 3.5),
        shake=_shake(rng, num_frames, rng.uniform(4, 9) if hard else 3.0 * shakes, pans=hard),
        tone=_tone(rng, num_frames) if hard else None,
        lag=rng.uniform(0.2, 0.5) if hard and rng.random() < 0.4 else 0.0,
        passers=[_passer(rng, num_frames) for _ in range(rng.integers(1, 4))] if hard else [],
    )


def few_frames(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """The frames that a slow camera takes of a hard clip: one in four has only 17 to 24."""
    kept = min(int(rng.integers(17, 25)), num_frames) if rng.random() < 0.25 else num_frames
    return np.rint(np.linspace(0, num_frames - 1, kept)).astype(int)


def _tone(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """(T, 256): unsteady light; at times exposure that drifts, a dark, flat or crooked picture."""

    def at_times(probability: float, low: float, high: float) -> float:
        value, happens = rng.uniform(low, high), rng.random() < probability
        return value if happens else 0.0

    time = np.linspace(-0.5, 0.5, num_frames)[:, None]
    light = 1 + rng.uniform(0.03, 0.12) * _smooth_noise(rng, num_frames, 1)
    light = light * np.exp(at_times(0.5, -0.7, 0.7) * time + at_times(0.25, -0.9, -0.2))
    offset = at_times(0.5, -20, 20) * 2 * time + at_times(0.3, -20, 20)
    contrast, gamma = 1 - at_times(0.3, 0.2, 0.6), np.exp(at_times(0.4, -0.5, 0.5))
    level = rng.uniform(40, 140)
    grey = 255 * (np.arange(256) / 255) ** gamma * light
    return np.clip(level + contrast * (grey - level) + offset, 0, 255).astype(np.uint8)


def _smooth_noise(rng: np.random.Generator, num_frames: int, channels: int) -> np.ndarray:
    """(T, channels) of slowly varying noise with about unit variance."""
    time = np.arange(num_frames)[:, None, None] / 12
    hertz = rng.uniform(0.4, 3.0, size=(1, channels, 4))
    return np.sin(2 * np.pi * (hertz * time + rng.random((1, channels, 4)))).sum(-1) / np.sqrt(2)


def _shake(rng: np.random.Generator, num_frames: int, pixels: float, pans: bool) -> np.ndarray:
    shift = pixels * _smooth_noise(rng, num_frames, 2)
    if pans and rng.random() < 0.4:  # by up to 12 % of the width from the first to the last frame
        way = rng.uniform(-0.12, 0.12, size=2) * [1, 0.5] * WIDTH * SUPERSAMPLING
        shift = 0.5 * shift + np.linspace(-0.5, 0.5, num_frames)[:, None] * way
    return np.clip(np.rint(shift).astype(int), -MARGIN, MARGIN)


def _passer(rng: np.random.Generator, num_frames: int) -> Passer:
    width, height = WIDTH * SUPERSAMPLING, HEIGHT * SUPERSAMPLING
    leftward, has_head = rng.random() < 0.5, rng.random() < 0.6
    speed = width * rng.uniform(0.5, 1.6) / num_frames
    radii = (int(rng.integers(14, 40)), int(rng.integers(14, 40)) + 30 * has_head)
    return Passer(
        start=np.array(
            [
                width * rng.uniform(0.5, 1.1) if leftward else width * rng.uniform(-0.1, 0.5),
                height * rng.uniform(0.2, 0.9),
            ]
        ),
        step=np.array([-speed if leftward else speed, rng.uniform(-1, 1)]),
        radii=radii,
        colour=_colour(rng),
        has_head=has_head,
    )


def passers_by(rng: np.random.Generator, num_frames: int) -> list[Passer]:
    """What passes in the course of a stream, one thing after the other, about every dozen seconds,
    as fast as in clips."""
    found = []
    for _ in range(1 + rng.poisson(num_frames / 150)):
        passer = _passer(rng, int(rng.integers(28, 90)))
        found.append(replace(passer, start=passer.start - passer.step * rng.uniform(0, num_frames)))
    return found


def held_frames(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """The frames that a stream of a hard set shows: one camera in four is slow, and shows each of
    its frames for more than one of ours."""
    share = rng.uniform(0.5, 0.8) if rng.random() < 0.25 else 1.0
    return np.rint(np.floor(np.arange(num_frames) * share) / share).astype(int)


def draw_passer(canvas: np.ndarray, passer: Passer, frame: int, shift: np.ndarray) -> None:
    """Draw it where it is in that frame, onto a canvas (H, W, 4) without margin."""
    x, y = (int(value) for value in passer.start + passer.step * frame + shift)
    colour = (*passer.colour, 0.0)
    cv2.ellipse(canvas, (x, y), passer.radii, 0, 0, 360, colour, -1)
    if passer.has_head:
        radius = max(passer.radii[0] // 2, 8)
        centre = (x, y - passer.radii[1] - radius // 2)
        cv2.circle(canvas, centre, radius, (110.0, 140.0, 190.0, 0.0), -1)


def _colour(rng: np.random.Generator, low: float = 30, high: float = 225) -> Colour:
    """A random colour, mostly muted as rooms are."""
    grey = rng.uniform(low, high)
    b, g, r = np.clip(grey + rng.normal(0, 22, size=3), 0, 255)
    return float(b), float(g), float(r)


def _wall(rng: np.random.Generator, flat: bool) -> np.ndarray:
    width, height = _SIZE
    first = np.array(_colour(rng, 60, 230))
    if flat:
        return np.full((height, width, 3), first, np.uint8)
    second = np.clip(first * rng.uniform(0.55, 1.3), 0, 255)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width]
    along = np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5) + 0.5
    return np.clip(first + np.clip(along, 0, 1)[..., None] * (second - first), 0, 255).astype(
        np.uint8
    )


def _corner(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(-30, _SIZE[0] - 20)), int(rng.integers(-20, _SIZE[1] - 20))


def _box(image: np.ndarray, rng: np.random.Generator) -> None:
    x, y = _corner(rng)
    end = (x + int(rng.integers(15, 110)), y + int(rng.integers(15, 110)))
    colour = _colour(rng)
    cv2.rectangle(image, (x, y), end, colour, -1)
    cv2.rectangle(image, (x, y), end, tuple(0.6 * c for c in colour), 2)


def _shelf(image: np.ndarray, rng: np.random.Generator) -> None:
    x, y = _corner(rng)
    length, tall = int(rng.integers(60, 200)), int(rng.integers(20, 45))
    end, at = x + length, x
    while at < end:
        wide = int(rng.integers(3, 11))
        top = y + int(rng.integers(0, tall // 3))
        cv2.rectangle(image, (at, top), (at + wide, y + tall), _colour(rng), -1)
        at += wide + 1
    cv2.rectangle(image, (x, y + tall), (end, y + tall + 4), _colour(rng, 40, 130), -1)


def _window(image: np.ndarray, rng: np.random.Generator) -> None:
    x, y = _corner(rng)
    w, h = int(rng.integers(50, 120)), int(rng.integers(60, 140))
    cv2.rectangle(image, (x, y), (x + w, y + h), _colour(rng, 190, 250), -1)
    frame = _colour(rng, 60, 240)
    cv2.rectangle(image, (x, y), (x + w, y + h), frame, 5)
    cv2.line(image, (x + w // 2, y), (x + w // 2, y + h), frame, 4)


def _door(image: np.ndarray, rng: np.random.Generator) -> None:
    x, wide, top = _corner(rng)[0], int(rng.integers(50, 110)), int(rng.integers(-10, 60))
    colour = _colour(rng, 60, 220)
    cv2.rectangle(image, (x, top), (x + wide, _SIZE[1]), colour, -1)
    cv2.rectangle(image, (x, top), (x + wide, _SIZE[1]), tuple(0.7 * c for c in colour), 3)


def _lamp(image: np.ndarray, rng: np.random.Generator) -> None:
    x, y = _corner(rng)
    radius = int(rng.integers(8, 30))
    cv2.line(image, (x, y), (x + int(rng.integers(-30, 30)), _SIZE[1]), _colour(rng, 20, 90), 4)
    cv2.ellipse(
        image, (x, y), (radius, max(radius * 2 // 3, 5)), 0, 0, 360, _colour(rng, 190, 250), -1
    )


def _plant(image: np.ndarray, rng: np.random.Generator) -> None:
    x, y = _corner(rng)
    for _ in range(9):
        green = (rng.uniform(20, 60), rng.uniform(70, 150), rng.uniform(20, 70))
        at = (x + int(rng.integers(-25, 25)), y + int(rng.integers(-30, 30)))
        size = (int(rng.integers(6, 20)), int(rng.integers(3, 8)))
        cv2.ellipse(image, at, size, float(rng.uniform(0, 180)), 0, 360, green, -1)


def _stripes(image: np.ndarray, rng: np.random.Generator) -> None:
    x, y = _corner(rng)
    colour, gap = _colour(rng), int(rng.integers(6, 14))
    for i in range(int(rng.integers(4, 10))):
        cv2.line(image, (x + i * gap, y), (x + i * gap, y + 120), colour, max(gap // 3, 1))


_THINGS = (_box, _box, _shelf, _window, _door, _lamp, _plant, _stripes)


_HAIR = np.array([[20, 22, 26], [28, 42, 66], [50, 80, 110], [90, 140, 180], [130, 135, 140]])


def _person(
    image: np.ndarray, rng: np.random.Generator, performer: Performer, stand: np.ndarray
) -> None:
    """Head and torso of the performer, about a metre from the camera where ``stand`` (3,) is 0."""
    pixels = FOCAL_LENGTH / (0.95 + stand[2])
    unit = pixels / (FOCAL_LENGTH / 0.95)  # of lengths in pixels
    x = int(CENTRE[0] + MARGIN + (performer.body_x + stand[0]) * pixels)
    head_y = int(CENTRE[1] + MARGIN + (stand[1] - 0.06 - rng.uniform(0, 0.08)) * pixels)
    skin, cloth = performer.skin, performer.cloth
    hair = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.8, 1.2)
    wide, tall = int(0.075 * pixels), int(0.105 * pixels)
    neck_y = head_y + tall
    shoulder_y, half = neck_y + int(0.06 * pixels), int(0.21 * pixels)
    bottom = image.shape[0]
    outline = [
        (-0.35, -0.3),
        (0.35, -0.3),
        (0.85, 0.0),
        (1.0, 0.35),
        (1.1, 99),
        (-1.1, 99),
        (-1.0, 0.35),
        (-0.85, 0.0),
    ]
    torso = [(x + int(a * half), min(shoulder_y + int(b * 40 * unit), bottom)) for a, b in outline]
    layer = image.copy()
    cv2.ellipse(
        layer,
        (x, head_y - tall // 6),
        (wide + int(5 * unit), tall + int(3 * unit)),
        0,
        0,
        360,
        hair.tolist(),
        -1,
    )
    neck = ((x - wide // 2, neck_y - int(12 * unit)), (x + wide // 2, shoulder_y))
    cv2.rectangle(layer, *neck, (0.75 * skin).tolist(), -1)
    cv2.fillPoly(layer, [np.array(torso, np.int32)], cloth.tolist(), cv2.LINE_AA)
    cv2.ellipse(layer, (x, head_y), (wide, tall), 0, 0, 360, (0.93 * skin).tolist(), -1)
    shade = (x - wide // 3, head_y), (wide * 2 // 3, tall - int(4 * unit))
    cv2.ellipse(layer, *shade, 0, 0, 360, skin.tolist(), -1)
    cv2.ellipse(layer, (x, head_y - tall), (wide, tall // 2), 0, 0, 180, hair.tolist(), -1)
    for dx in (-wide * 2 // 5, wide * 2 // 5):
        cv2.circle(
            layer, (x + dx, head_y - int(4 * unit)), max(int(3 * unit), 1), (30.0, 30.0, 40.0), -1
        )
    cv2.ellipse(
        layer,
        (x, head_y + tall // 2),
        (wide // 3, max(int(3 * unit), 1)),
        0,
        0,
        360,
        (90.0, 80.0, 150.0),
        -1,
    )
    cv2.GaussianBlur(layer, (0, 0), 1.2 * unit, dst=image)


@functools.cache
def _unit_noise() -> np.ndarray:
    """(2 H, 2 W, 3) of white noise, drawn once a process."""
    shape = (2 * HEIGHT, 2 * WIDTH, 3)
    return generator("sensor noise").standard_normal(shape, dtype=np.float32)


class SensorNoise:
    """Noise of one strength, a random window of one large field for every frame."""

    def __init__(self, strength: float):
        noise = strength * _unit_noise()
        self.brighter = np.rint(np.maximum(noise, 0)).astype(np.uint8)
        self.darker = np.rint(np.maximum(-noise, 0)).astype(np.uint8)

    def add_to(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A noisy copy of an image (H, W, 3)."""
        y, x = rng.integers(0, (HEIGHT, WIDTH))
        window = slice(y, y + HEIGHT), slice(x, x + WIDTH)
        return cv2.subtract(cv2.add(image, self.brighter[window]), self.darker[window])
