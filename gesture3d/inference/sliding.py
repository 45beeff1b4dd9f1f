"""A network for whole clips, slid over a stream that does not end: what it says of the last
seconds, again and again, becomes events.

For networks that read video (RGB) or hands, and for taught templates. Causal networks follow a
stream by themselves, see `gesture3d.inference.stream`.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import torch

from gesture3d.data.skeleton.hands import HandsData
from gesture3d.data.video.stream import VideoData
from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE, Event
from gesture3d.inference.classifier import Classifier
from gesture3d.inference.online import EventFinder, Follower

WINDOW_SECONDS = 2.4  # of networks that say nothing of it: Jester's clips last about 3 s
EVERY = 0.1  # seconds from window to window
FIRST_SHARE = 0.4  # of a window must have been seen before the first one
# After a longer time without frames, and with frames of another size, the stream begins anew.
GAP_SECONDS = 1.0
SEEN = 0.3  # seconds that a hand must be in sight, or there is nothing to read
OUT_OF_SIGHT = 0.4  # seconds without a hand, behind which another gesture begins
THRESHOLD, SMOOTHING = 0.6, 0.25  # of networks that say nothing of the decision
NOT_GESTURES = (NO_GESTURE, "Doing other things", "unclassified")
NOTHING = "nothing to read"  # a class behind the network's, of windows that are none of them
SURE = 50.0  # its score where it is so; else minus that
KEPT = 0.9  # of known clips, by a calibrated threshold; other windows are nothing


class Sliding(Follower):
    """``Sliding(classifier).push(frame, seconds)`` → the events that are decided with this frame.

    Args:
        window_seconds: length of a window; None: what the checkpoint says of it, or
            `WINDOW_SECONDS`.
        decision: None: the checkpoint's, or the same threshold for all gestures.

    Attributes:
        class_names: of the scores: the network's, and `NOTHING`.
        best: the network's own highest score of it, where that is of a gesture; else -inf.
        limit: a window whose highest score is below is nothing: by the checkpoint's calibration,
            or by what was recorded of nothing (``nothing_score`` in its metrics).

    Raises:
        Gesture3dError: the network reads neither RGB video nor hands, or follows streams.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        window_seconds: float | None = None,
        decision: OnlineDecision | None = None,
    ) -> None:
        super().__init__()
        data, said = classifier.experiment.data, classifier.description
        self.classifier, self.window = classifier, window_seconds or window_of(said.metrics)
        if data.streams:
            raise Gesture3dError(f"{classifier.weights}: it follows streams by itself; use Stream")
        self._eye = _eye(classifier)
        self.class_names = (*classifier.class_names, NOTHING)
        self.decision = decision or said.online or default_decision(classifier.class_names)
        calibration = classifier.calibration
        self.limit = -np.inf if calibration is None else calibration.threshold(KEPT)
        self.limit = max(self.limit, _number(said.metrics, "nothing_score", -np.inf))
        self.best = -np.inf
        self._frames: deque[tuple[Any, float]] = deque()
        self._looked = -np.inf

    def push(self, frame: np.ndarray, seconds: float) -> list[Event]:
        """The next frame, uint8 RGB (H, W, 3), and when it was taken.

        Raises:
            Gesture3dError: a time that runs backwards, a frame of another kind, scores that are
                not finite.
        """
        if self._frames and seconds < self._frames[-1][1]:
            raise Gesture3dError(f"a frame at {seconds:.3f} s after {self._frames[-1][1]:.3f} s")
        gap = self._frames and seconds - self._frames[-1][1] > GAP_SECONDS
        if self._finder is None or gap or frame.shape != self._shape:
            self._begin(seconds)
            self._shape = frame.shape
        self._frames.append((self._eye.look(frame, seconds), seconds))
        while self._frames[0][1] < seconds - self.window:
            self._frames.popleft()
        span = seconds - self._frames[0][1]
        if seconds - self._looked < EVERY - 1e-6 or span < FIRST_SHARE * self.window:
            return []
        self._looked = seconds
        return self._decide(self._scores(), seconds)

    def _begin(self, seconds: float) -> None:
        self._begin_with(EventFinder(self.decision, self.class_names, begin=seconds))
        self._frames.clear()
        self._looked = -np.inf

    @torch.inference_mode()
    def _scores(self) -> np.ndarray:
        """(K + 1,) of the window."""
        frames, seconds = zip(*self._frames, strict=True)
        clip = self._eye.clip(list(frames), np.array(seconds))
        scores = None if clip is None else self.classifier.scores([clip])[0]
        self.probabilities, self.best = None, -np.inf
        if scores is not None:
            if not scores.isfinite().all():
                raise Gesture3dError(f"{self.classifier.weights}: its scores are not finite")
            gesture = self.class_names[int(scores.argmax())] in self.decision.thresholds
            self.best = float(scores.max()) if gesture else -np.inf
        if scores is None or scores.max() < self.limit:
            return np.array([0.0] * (len(self.class_names) - 1) + [SURE])
        self.probabilities = scores.softmax(dim=0).numpy()
        return np.append(scores.numpy() - scores.max().item(), -SURE)


def window_of(metrics: dict[str, Any]) -> float:
    """The window (seconds) that a checkpoint's metrics name, or the usual one."""
    found = _number(metrics, "window_seconds", WINDOW_SECONDS)
    return found if 0.2 <= found <= 60.0 else WINDOW_SECONDS


def _number(metrics: dict[str, Any], name: str, otherwise: float) -> float:
    found = metrics.get(name)
    return float(found) if isinstance(found, (int, float)) and math.isfinite(found) else otherwise


def default_decision(class_names: list[str]) -> OnlineDecision:
    """One threshold for all classes that are gestures by their names."""
    gestures = [name for name in class_names if name not in NOT_GESTURES] or list(class_names)
    return OnlineDecision(dict.fromkeys(gestures, THRESHOLD), SMOOTHING, data="not chosen")


def _eye(classifier: Classifier) -> _VideoEye | _HandsEye:
    data = classifier.experiment.data
    if data.finds_hands:
        return _HandsEye(data)
    if data.stream == "video" and data.modality == "rgb":
        return _VideoEye(data)
    raise Gesture3dError(
        f"{classifier.weights}: it reads {data.stream}, not what a camera shows; choose a network "
        "that reads RGB video or hands"
    )


class _VideoEye:
    """Frames as they are kept, and a window of them as a clip."""

    def __init__(self, data: VideoData) -> None:
        self._data = data

    def look(self, frame: np.ndarray, seconds: float) -> np.ndarray:
        from gesture3d.data.video.framing import kept_side
        from gesture3d.data.video.pixels import prepare_frame

        if self._data.follows:
            return prepare_frame(frame, kept_side(*frame.shape[:2]), "rgb")
        return prepare_frame(frame, self._data.cache_size or self._data.size, "rgb")

    def clip(self, frames: list[np.ndarray], seconds: np.ndarray) -> torch.Tensor:
        from gesture3d.data.video.clips import clip_from_frames
        from gesture3d.data.video.framing import moving_part

        steady = np.linspace(seconds[0], seconds[-1], max(self._data.num_frames, len(seconds)))
        chosen = np.abs(seconds[:, None] - steady).argmin(axis=0)  # as of a steady camera
        clip = [frames[number] for number in chosen]
        moves = moving_part(clip) if self._data.follows else None
        return clip_from_frames(clip, self._data, moves)


class _HandsEye:
    """The hands in each frame, followed, and a window of them as a sequence."""

    def __init__(self, data: HandsData) -> None:
        from gesture3d.hands.tracker import HandTracker

        self._data, self._tracker = data, HandTracker()

    def look(self, frame: np.ndarray, seconds: float) -> np.ndarray:
        return self._data.joints_in(self._tracker.step(frame, seconds))[0]

    def clip(self, joints: list[np.ndarray], seconds: np.ndarray) -> torch.Tensor | None:
        """What the hands did since they were last out of sight."""
        shown = np.flatnonzero([frame.any() for frame in joints])
        gaps = np.flatnonzero(np.diff(seconds[shown]) > OUT_OF_SIGHT)
        first = shown[gaps[-1] + 1] if len(gaps) else shown[0] if len(shown) else 0
        shown = shown[shown >= first]
        if len(shown) < 2 or seconds[shown[-1]] - seconds[first] < SEEN:
            return None
        return self._data.sample(np.stack(joints[first : shown[-1] + 1]), "the window")
