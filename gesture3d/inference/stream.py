"""A stream that does not end: frames in as they come, events out as they are decided."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gesture3d.data.sets import DataSet
from gesture3d.errors import Gesture3dError
from gesture3d.events import Event
from gesture3d.inference.classifier import NOT_FINITE, Classifier
from gesture3d.inference.clock import Clock
from gesture3d.inference.online import EventFinder, Follower

Prepare = Callable[[np.ndarray], Tensor | None]  # a frame → one of the network's, or none


class Stream(Follower):
    """``Stream(classifier).push(frame, seconds)`` → the events that are decided with this frame.

    Frames may come at any rate; the network is given those of its own, by their times, and goes on
    from the state that it left. After a gap of more than a second the stream begins anew.

    An event is returned once, when it is decided; its ``end`` is only that moment. `take_ended`
    returns the same events with their ends once they are over.

    Attributes:
        num_frames: that the network was given.

    Raises:
        Gesture3dError: the checkpoint's network is not causal, or says nothing of a decision.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        weights, data = classifier.weights, classifier.experiment.data
        if not getattr(classifier.model, "causal", False) or not data.streams:
            raise Gesture3dError(
                f"{weights}: a network for whole clips, which cannot follow a stream; train one "
                "with a set of streams, e.g. --data stream_folder (model.causal=true)"
            )
        if classifier.description.online is None:
            raise Gesture3dError(
                f"{weights}: it does not say how events are decided; tools/evaluate.py --weights "
                f"{weights} --calibrate chooses it on its validation streams"
            )
        self._classifier, self._data = classifier, data
        self._clock = Clock(data.rate_hz * getattr(data, "decimation", 1))
        self.num_frames = 0

    def push(self, frame: np.ndarray, seconds: float) -> list[Event]:
        """The next frame.

        Args:
            frame: uint8 (H, W, 3) RGB or (H, W, 1); joints (J, C); the values of a sensor (D,).
            seconds: when it was taken, of any clock that runs on.

        Raises:
            Gesture3dError: a time that runs backwards, a frame of another size or kind, scores that
                are not finite. What was decided before is not lost, and the stream can go on.
        """
        ticks = self._clock.push(seconds)
        if ticks.restarts or self._finder is None:
            self._begin(frame, seconds)
        decided: list[Event] = []
        for now in ticks.seconds:
            prepared = self._prepare(np.asarray(frame))
            if prepared is not None:
                decided += self._add(prepared, now)
        return decided

    def _begin(self, frame: np.ndarray, seconds: float) -> None:
        said = self._classifier.description
        prepare = preparation(self._data, np.shape(frame))
        self._begin_with(EventFinder(said.online, said.class_names, begin=seconds))
        self._prepare = prepare
        self._waiting: list[Tensor] = []
        self._state: tuple[Tensor, ...] | None = None

    @torch.inference_mode()
    def _add(self, prepared: Tensor, now: float) -> list[Event]:
        model = self._classifier.model
        self.num_frames += 1
        self._waiting.append(prepared)
        if len(self._waiting) < model.step_frames:
            return []
        chunk = torch.stack(self._waiting)[None].to(self._classifier.device)
        self._waiting = []
        if self._state is None:
            self._state = model.initial_state(1, tuple(chunk.shape[3:]))
        scores, self._state = model.step(chunk, self._state)
        if not scores.isfinite().all():
            raise Gesture3dError(f"at {now:.2f} s: {NOT_FINITE}")
        self.probabilities = scores[0].softmax(dim=0).cpu().numpy()
        return self._decide(scores[0].cpu().numpy(), now + 1 / self._data.rate_hz)


def preparation(data: DataSet, shape: tuple[int, ...]) -> Prepare:
    """How a stream's frames of this shape become the network's, with what it carries."""
    return {"video": _video, "skeleton": _joints, "inertial": _samples}[data.stream](data, shape)


def _checked(frame: np.ndarray, shape: tuple[int, ...]) -> None:
    if frame.shape != shape:
        raise Gesture3dError(
            f"a frame of shape {frame.shape} in a stream of {shape}: begin a new stream where the "
            "size changes"
        )


def _video(data: DataSet, shape: tuple[int, ...]) -> Prepare:
    from gesture3d.data.video.clips import to_tensor
    from gesture3d.data.video.crops import evaluation_crops
    from gesture3d.data.video.pixels import prepare_frame

    if len(shape) != 3 or shape[2] not in (1, 3):
        raise Gesture3dError(f"a frame of shape {shape}; expected (height, width, 1 or 3), uint8")

    def prepare(frame: np.ndarray) -> Tensor:
        _checked(frame, shape)
        small = prepare_frame(frame, data.cache_size, data.pixels)
        crop = evaluation_crops(*small.shape[:2], 1)[0]
        return to_tensor(crop.apply(small[None], data.size), data)[0]

    return prepare


def _joints(data: DataSet, shape: tuple[int, ...]) -> Prepare:
    from gesture3d.data.skeleton.files import check_joints
    from gesture3d.data.skeleton.transforms import features_of_chunk

    past = None

    def prepare(joints: np.ndarray) -> Tensor:
        nonlocal past
        _checked(joints, shape)
        found, past = features_of_chunk(check_joints(joints[None], "a frame"), data, past)
        return torch.from_numpy(found[0])

    return prepare


def _samples(data: DataSet, shape: tuple[int, ...]) -> Prepare:
    from gesture3d.data.inertial.causal import filter_chunk

    decimation = getattr(data, "decimation", 1)
    filters = data.model_copy(update={"rate_hz": data.rate_hz * decimation})
    past, count = None, 0

    def prepare(values: np.ndarray) -> Tensor | None:
        nonlocal past, count
        _checked(values, shape)
        found, past = filter_chunk(values[None], filters, past)
        count += 1
        return torch.from_numpy(found[0]) if count % decimation == 0 else None

    return prepare
