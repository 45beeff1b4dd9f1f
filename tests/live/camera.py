"""Rendered people in front of a camera, whose gestures are known: what Chromium takes for one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from gesture3d.events import Event
from gesture3d.rng import generator
from gesture3d.synthetic import performance
from gesture3d.synthetic.folder import FPS
from gesture3d.synthetic.performer import draw_performer
from gesture3d.synthetic.render import render
from gesture3d.synthetic.scene import draw_scene

GESTURES = {"flick": "Swiping Left", "halt": "Stop Sign", "twist": "Turning Hand Clockwise"}
"""What is taught, and how it is performed."""
PERSON = 1


def perform(
    labels: Sequence[str], seed: int, take: str, nothing: int = 0
) -> tuple[np.ndarray, list[Event]]:
    """RGB frames (T, H, W, 3), `FPS` a second, of one person (by ``seed``) in one place who makes
    these gestures, with rests between them, then ``nothing`` movements that are none."""
    performer = draw_performer(generator(seed, "performer"), False)
    down = np.array([1.0, 0.0, 0.0])  # lowers the hand after each one, as the page asks
    performer = replace(performer, endings=down, starts=down)
    rng = generator(seed, "take", take)
    course = performance._Course(performer, rng)
    course.go(2.5)
    for label in labels:
        course.gesture(label)
        course.lead_out()
        course.go(0.6)
    for number in range(nothing):
        course.other_motion() if number % 2 else course.fidget()
        course.go(1.0)
    motion = performance._motion(course)
    place = generator(seed, "scene")
    scene = draw_scene(place, performer, motion, False)
    colour, _ = render(motion, performer, scene, rng)
    return colour[..., ::-1], course.performed


def write_y4m(path: Path, frames: np.ndarray, height: int = 240) -> None:
    """Frames as Chromium's --use-file-for-fake-video-capture reads them."""
    width = round(frames.shape[2] * height / frames.shape[1] / 2) * 2
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{FPS:.0f}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            large = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)
            file.write(b"FRAME\n" + cv2.cvtColor(large, cv2.COLOR_RGB2YUV_I420).tobytes())
