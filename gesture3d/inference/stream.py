"""A stream that does not end: frames in as they come, events out as they are decided."""

import numpy as np
import torch
from torch import Tensor

from gesture3d.errors import Gesture3dError
from gesture3d.events import Event
from gesture3d.inference.classifier import NOT_FINITE, Classifier
from gesture3d.inference.clock import Clock
from gesture3d.inference.online import EventFinder, Follower


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
        if not classifier.model.causal or not data.streams:
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
        self._clock = Clock(data.recorded_hz)
        self.num_frames = 0

    def push(self, frame: np.ndarray, seconds: float) -> list[Event]:
        """The next frame.

        Args:
            frame: uint8 (H, W, 3) RGB or (H, W, 1); joints (J, C); the values of a sensor (D,).
            seconds: when it was taken, of any clock that runs on.

        Raises:
            Gesture3dError: a time that runs backwards, a frame of another size or kind, scores that
                are not finite. What was decided before is not lost, and the stream can go on as if
                the frame had not been there.
        """
        frame, seconds, before = np.asarray(frame), float(seconds), self._clock.state
        ticks = self._clock.push(seconds)
        try:
            if ticks.restarts or self._finder is None:
                self._begin(frame.shape, seconds)
            prepared = [self._prepare(frame) for _ in ticks.seconds]
        except Gesture3dError:
            self._clock = Clock(self._clock.rate_hz, state=before)
            raise
        decided: list[Event] = []
        for now, inputs in zip(ticks.seconds, prepared, strict=True):
            if inputs is not None:
                decided += self._add(inputs, now, seconds)
        return decided

    def _begin(self, shape: tuple[int, ...], seconds: float) -> None:
        said = self._classifier.description
        prepare = self._data.preparation(shape)
        self._begin_with(EventFinder(said.online, said.class_names, begin=seconds))
        self._prepare = prepare
        self._waiting: list[Tensor] = []
        self._state: tuple[Tensor, ...] | None = None

    @torch.inference_mode()
    def _add(self, prepared: Tensor, now: float, known: float) -> list[Event]:
        model = self._classifier.model
        self.num_frames += 1
        self._waiting.append(prepared)
        if len(self._waiting) < model.step_frames:
            return []
        chunk = torch.stack(self._waiting)[None].to(self._classifier.device)
        self._waiting = []
        if self._state is None:
            self._state = model.initial_state(1, tuple(chunk.shape[3:]))
        scores, state = model.step(chunk, self._state)
        if not scores.isfinite().all():
            raise Gesture3dError(f"at {now:.2f} s: {NOT_FINITE}")
        self._state = state
        self.probabilities = scores[0].softmax(dim=0).cpu().numpy()
        return self._decide(scores[0].cpu().numpy(), now + 1 / self._data.rate_hz, known)
