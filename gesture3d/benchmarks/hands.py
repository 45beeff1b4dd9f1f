"""Finding hands: every engine on the same frames of one rendered hand, in turn, on one thread."""

from collections.abc import Callable

import cv2
import numpy as np
import torch

from gesture3d.benchmarks.tables import Row
from gesture3d.benchmarks.timing import Clock, interleave, milliseconds
from gesture3d.errors import Gesture3dError
from gesture3d.hands.tracker import SEARCH_EVERY, HandTracker
from gesture3d.rng import generator
from gesture3d.synthetic.motion import perform
from gesture3d.synthetic.performer import draw_performer
from gesture3d.synthetic.render import render
from gesture3d.synthetic.scene import draw_scene

NUM_FRAMES, SIZE = 40, (640, 480)
ENGINES = {
    "LiteRT": {"engine": "litert"},
    "PyTorch, bf16": {"engine": "torch", "precision": "bf16"},
    "PyTorch, fp32": {"engine": "torch", "precision": "fp32"},
}
SIZES, WORK = ("lite", "full"), ("followed", "detected", "nothing", "clip")
TARGETS = {"followed": 8.0, "detected": 25.0, "clip": 400.0}  # ms, at most; lite, bf16


def rendered_clip() -> np.ndarray:
    """A hand that stops, uint8 RGB (40, 480, 640, 3)."""
    performer = draw_performer(generator(0, "performer"), False)
    motion = perform("Stop Sign", performer, generator(0, "motion"))
    motion = motion.at(np.linspace(8, len(motion.joints) - 9, NUM_FRAMES).astype(int))
    rng = generator(0, "scene")
    colour, _ = render(motion, performer, draw_scene(rng, performer, motion, False), rng)
    return np.stack([cv2.resize(frame, SIZE)[..., ::-1] for frame in colour])


def measure(seconds: float) -> list[Row]:
    """A row for each size and engine, milliseconds: a frame in which a hand is ``followed`` (every
    fifth is searched for a second one, and they are counted), one in which it is ``detected``, one
    with ``nothing`` in it, and a ``clip`` of 40 frames, backwards, too.

    Args:
        seconds: of each measurement.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    clip, rows = rendered_clip(), []
    clock = Clock(torch.device("cpu"))
    for size in SIZES:
        sides: dict[tuple[str, str], Callable[[], object]] = {}
        for name, settings in ENGINES.items():
            try:
                for what in WORK:
                    sides[what, name] = _work(what, HandTracker(size, **settings), clip)
            except Gesture3dError:
                if name != "LiteRT":  # which need not be installed
                    raise
        times = interleave(sides, clock, seconds * len(sides))
        for name in dict.fromkeys(name for _, name in sides):
            found = {what: milliseconds(times[what, name]) for what in WORK}
            found["followed"] /= SEARCH_EVERY
            rows.append({"size": size, "engine": name, **found})
    return rows


def _work(what: str, tracker: HandTracker, clip: np.ndarray) -> Callable[[], object]:
    if what == "clip":
        return lambda: tracker.track(clip)
    if what == "followed":
        tracker.step(clip[0], 0.0)
        return lambda: [tracker.step(frame, 0.0) for frame in clip[:SEARCH_EVERY]]
    frame = clip[0] if what == "detected" else np.zeros_like(clip[0])

    def begin() -> None:
        tracker.reset()
        tracker.step(frame, 0.0)

    return begin
