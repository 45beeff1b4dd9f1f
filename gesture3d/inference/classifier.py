"""Offline classification: files of any stream in, ranked classes out."""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gesture3d import checkpoint
from gesture3d.data.batch import Sample, collate
from gesture3d.data.sets import Cut
from gesture3d.data.walk import Walk, find_files
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.predict import score
from gesture3d.files import DEFAULT_WEIGHTS, resource
from gesture3d.helpers import MOST_SECONDS, in_threads
from gesture3d.inference.segments import RankedClass, Segment, cover, merge, rank
from gesture3d.machine import choose_device, has_native_bf16
from gesture3d.models.folding import fold_batch_norms, in_bf16
from gesture3d.models.gesture_net import GestureNet

NOT_FINITE = "the network's scores are not finite; its weights or the values are out of range"
TOO_LONG = "too long: stopped; is it damaged, or on a disk that does not answer?"
READING_THREADS = 2
MOST_WINDOWS = 500  # in a batch of recordings


@dataclass(frozen=True)
class Result:
    """What became of one file: segments, or an error.

    Attributes:
        segments: one without times where the file is one sample; of a recording, from its first
            to its last second; none where there is an error.
        seconds: the time to read the file and its share of the network's time.
        signal: (T, D), what a recording's windows were cut from.
        rate_hz: of the signal.
        length: of a stream, seconds; its segments are the events in it.
    """

    path: Path
    segments: list[Segment]
    seconds: float
    error: str | None = None
    signal: np.ndarray | None = None
    rate_hz: float | None = None
    length: float | None = None


@dataclass(frozen=True)
class Read:
    """A file as the network takes it, or why not.

    Attributes:
        scores: of the cut, where the network has seen it already; then it has no inputs.
    """

    path: Path
    cut: Cut | None
    seconds: float
    error: str | None = None
    scores: Tensor | None = None


class Classifier:
    """A trained network, ready for files of its stream.

    ``Classifier()("clip.mp4")`` returns all classes, most probable first. A path is a video file
    or a folder of frames, of which flow is computed first where the network reads flow; for a
    network that reads skeletons, a file of joints; for one that reads windows, a recording.
    Decoding, sampling, filters and windows are those that the network was evaluated with, read
    from its checkpoint.

    Args:
        weights: a checkpoint; by default the one that comes with gesture3d: variant (a) for the 27
            classes of Jester, trained on generated clips.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``fp32``, the same scores as in evaluation, on any machine; ``bf16``: video
            networks where the processor computes in it, about 1.4 times as many clips in batches.
        compile: compile the network with its weights frozen at the first clip, which takes about
            half a minute: worth it for many clips on a GPU, or for clips that come one by one.
        mirror: whether the camera mirrors, so that videos are turned back; None: as the clips of
            the training were.
        reject: name what is of no known class "none of these", with a threshold that keeps this
            share (0..1) of the samples that the checkpoint was calibrated on.

    Raises:
        Gesture3dError: the checkpoint cannot be used; calling: the file cannot be read.
    """

    def __init__(
        self,
        weights: Path | str | None = None,
        device: str = "auto",
        *,
        precision: str = "fp32",
        compile: bool = False,
        mirror: bool | None = None,
        reject: float | None = None,
    ) -> None:
        self.weights = Path(weights) if weights else resource("weights") / DEFAULT_WEIGHTS
        model, self.description = checkpoint.load_model(self.weights)
        self.calibration = self.description.calibration
        self.device = choose_device(device)
        self.model = fold_batch_norms(model).to(self.device)
        if precision == "bf16":
            self._to_bf16()
        if compile:
            self.model = torch.compile(self.model, options={"freezing": True})
        self._smallest_batch = 0 if compile else None  # once compiled, for all batches
        experiment = self.description.validated_experiment(self.weights)
        if mirror is not None:
            if "mirrored_camera" not in type(experiment.data).model_fields:
                raise Gesture3dError(f"--mirror turns videos; {self.weights} reads none")
            data = experiment.data.model_copy(update={"mirrored_camera": mirror})
            experiment = experiment.model_copy(update={"data": data})
        self.experiment = experiment
        self.threshold = -np.inf if reject is None else self._threshold(reject)
        self.spec = self.description.input_spec(experiment.data)
        self.class_names = self.description.class_names

    def __call__(self, path: Path | str) -> list[RankedClass]:
        """All classes for the one sample of a file, most probable first."""
        return self._rank(self._values(path, self.scores([self.load(path)]))[0])

    @property
    def suffixes(self) -> frozenset[str]:
        """Of the files that the network can read."""
        return self.experiment.data.suffixes

    def find(self, path: Path | str, walk: Walk | None = None) -> list[Path]:
        """The files at a path that the network can read, see `find_files`."""
        return find_files(path, self.suffixes, walk, self.experiment.data.is_input)

    def load(self, path: Path | str) -> Tensor:
        """A file's one sample as the network gets it: uint8 ``(T, C, H, W)``, float32 ``(T, D)``.

        Raises:
            Gesture3dError: the file cannot be read; it is a recording of several windows.
        """
        inputs = self._cut(path).inputs
        if len(inputs) > 1:
            raise Gesture3dError(
                f"{path}: a recording of {len(inputs)} windows, not one sample; use `classify`"
            )
        return inputs[0]

    @torch.inference_mode()
    def scores(self, clips: Sequence[Tensor] | Tensor) -> Tensor:
        """Scores ``(B, num_classes)``, before the softmax and divided by the checkpoint's
        temperature, of clips as `load` returns them."""
        samples = [Sample(str(row), clip, -1) for row, clip in enumerate(clips)]
        if self._smallest_batch is not None:  # a smaller batch would be compiled anew
            self._smallest_batch = max(self._smallest_batch, len(samples))
            samples += samples[:1] * (self._smallest_batch - len(samples))
        batch = collate(samples)
        found = score(self.model, batch.inputs.to(self.device), batch.lengths)[: len(clips)].cpu()
        return found / self.calibration.temperature if self.calibration else found

    def classify(
        self,
        paths: Iterable[Path],
        *,
        batch_size: int = 16,
        num_threads: int = READING_THREADS,
        most_seconds: float = MOST_SECONDS,
    ) -> Iterator[Result]:
        """Results in the order of ``paths``; a file that cannot be read becomes a named error.

        Args:
            batch_size: files that go through the network together.
            num_threads: threads that read, while the network works.
            most_seconds: for reading one file; what takes longer hangs, and is an error.
        """

        def late(path: Path) -> Read:
            return Read(path, None, most_seconds, f"{path}: reading it takes {TOO_LONG}")

        read = in_threads(
            paths, self._try_cut, late, num_threads, most_seconds, batch_size + num_threads
        )
        yield from self.results(read, batch_size)

    def results(self, read: Iterable["Read"], batch_size: int) -> Iterator[Result]:
        """The results of files that are read.

        Where the windows of a recording overlap, their probabilities are averaged (and the scores
        that decide whether to reject); neighbours with the same name become one segment.
        """
        for batch in _batched(read, batch_size):
            new = [file for file in batch if file.cut and file.scores is None]
            inputs = [sample for file in new for sample in file.cut.inputs]
            started = time.perf_counter()
            parts = _batched(inputs, max(batch_size, MOST_WINDOWS))
            scores = torch.cat([self.scores(part) for part in parts]) if inputs else None
            share = (time.perf_counter() - started) / max(len(inputs), 1)
            first = 0
            for file in batch:
                if file.cut is None:
                    yield Result(file.path, [], file.seconds, file.error)
                elif file.scores is not None:
                    yield self._result(file.path, file.cut, file.scores, file.seconds)
                else:
                    last = first + len(file.cut.inputs)
                    seconds = file.seconds + (last - first) * share
                    yield self._result(file.path, file.cut, scores[first:last], seconds)
                    first = last

    def _cut(self, path: Path | str) -> Cut:
        return self.experiment.data.cut(Path(path), self.spec)

    def _try_cut(self, path: Path) -> "Read":
        started = time.perf_counter()
        try:
            cut, error = self._cut(path), None
        except Gesture3dError as problem:
            cut, error = None, str(problem)
        return Read(path, cut, time.perf_counter() - started, error)

    def _result(self, path: Path, cut: Cut, scores: Tensor, seconds: float) -> Result:
        try:
            values = self._values(path, scores)
        except Gesture3dError as problem:
            return Result(path, [], seconds, str(problem))
        if cut.spans is None:
            spans = [(None, None)]
        else:
            spans, values = cover(cut.spans, values)
            labels = np.where(self._rejected(values), -1, values[:, :-1].argmax(axis=1))
            spans, values = merge(spans, values, labels)
        segments = [
            Segment(start, stop, self._rank(row))
            for (start, stop), row in zip(spans, values, strict=True)
        ]
        return Result(path, segments, seconds, None, cut.signal, cut.rate_hz)

    def _values(self, path: Path | str, scores: Tensor) -> np.ndarray:
        """(N, K + 1): the probabilities, and the highest score."""
        if not scores.isfinite().all():
            raise Gesture3dError(f"{path}: {NOT_FINITE}")
        return torch.cat([scores.softmax(dim=1), scores.amax(dim=1, keepdim=True)], 1).numpy()

    def _rejected(self, values: np.ndarray) -> np.ndarray:
        return values[..., -1] < self.threshold

    def _rank(self, values: np.ndarray) -> list[RankedClass]:
        return rank(values[:-1], self.class_names, bool(self._rejected(values)))

    def _to_bf16(self) -> None:
        if not isinstance(self.model, GestureNet) or self.model.causal:
            raise Gesture3dError(f"{self.weights}: only video networks for clips compute in bf16")
        if not has_native_bf16(self.device):
            raise Gesture3dError("bf16: this processor does not compute in it; leave it out")
        self.model = in_bf16(self.model)

    def _threshold(self, kept: float) -> float:
        if not 0.0 < kept < 1.0:
            raise Gesture3dError(f"reject {kept}: a share of the known to keep, between 0 and 1")
        if self.experiment.data.streams:
            raise Gesture3dError(
                f"{self.weights} finds gestures in streams, where what is none of them is no event "
                "anyway: leave --reject out"
            )
        if self.calibration is None:
            raise Gesture3dError(
                f"{self.weights}: not calibrated, so nothing can be rejected; "
                f"tools/evaluate.py --weights {self.weights} --calibrate adds it"
            )
        return self.calibration.threshold(kept)


def _batched(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(values)
    while batch := list(itertools.islice(remaining, size)):
        yield batch
