"""Offline classification: paths of clips in, ranked classes out."""

import itertools
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gesture3d import checkpoint
from gesture3d.data.batch import Sample, collate
from gesture3d.data.video.reading import VIDEO_SUFFIXES
from gesture3d.data.walk import Walk
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.predict import score
from gesture3d.files import resource
from gesture3d.machine import choose_device

NOT_FINITE = "the network's scores are not finite; its weights or the values are out of range"
DEFAULT_WEIGHTS = "variant_a-synthetic.safetensors"


@dataclass(frozen=True)
class RankedClass:
    """A class and its probability (0..1)."""

    name: str
    probability: float


@dataclass(frozen=True)
class Result:
    """What became of one clip: classes from most to least probable, or an error.

    ``seconds`` is the time to decode it and its share of its batch's time in the network.
    """

    path: Path
    classes: list[RankedClass]
    seconds: float
    error: str | None = None


class Classifier:
    """A trained network, ready for clips.

    ``Classifier()("clip.mp4")`` returns all classes, most probable first. A path is a video file
    or a folder of frames, of which flow is computed first where the network reads flow; for a
    network that reads skeletons, a file of joints. Decoding, sampling
    and preprocessing are those the network was evaluated with, read from its checkpoint.

    Args:
        weights: a checkpoint; by default the one that comes with gesture3d: variant (a) for the 27
            classes of Jester, trained on generated clips.
        device: ``auto``, ``cpu`` or ``cuda``.
        compile: compile the network with its weights frozen at the first clip, which takes about
            half a minute: worth it for many clips on a GPU, or for clips that come one by one.

    Raises:
        Gesture3dError: the checkpoint cannot be used; calling: the clip cannot be read.
    """

    def __init__(
        self, weights: Path | str | None = None, device: str = "auto", *, compile: bool = False
    ) -> None:
        self.weights = Path(weights) if weights else resource("weights") / DEFAULT_WEIGHTS
        model, self.description = checkpoint.load_model(self.weights)
        self.device = choose_device(device)
        self.model = model.to(self.device)
        if compile:
            self.model = torch.compile(self.model, options={"freezing": True})
        self._smallest_batch = 0 if compile else None  # once compiled, for all batches
        self.experiment = self.description.validated_experiment(self.weights)
        self.spec = self.description.input_spec(self.experiment.data)
        self.class_names = self.description.class_names

    def __call__(self, path: Path | str) -> list[RankedClass]:
        """All classes for one clip, most probable first."""
        return self._rank(self.scores([self.load(path)])[0], path)

    @property
    def suffixes(self) -> frozenset[str]:
        """Of the files that the network can read."""
        return self.experiment.data.suffixes

    def load(self, path: Path | str) -> Tensor:
        """The clip as the network gets it: uint8 ``(T, C, H, W)``; a skeleton's ``(T, D)``."""
        inputs = self.experiment.data.load(Path(path))
        self.spec.check(inputs, path)
        return inputs

    @torch.inference_mode()
    def scores(self, clips: Sequence[Tensor] | Tensor) -> Tensor:
        """Scores ``(B, num_classes)``, before the softmax, of clips as `load` returns them."""
        samples = [Sample(str(row), clip, -1) for row, clip in enumerate(clips)]
        if self._smallest_batch is not None:  # a smaller batch would be compiled anew
            self._smallest_batch = max(self._smallest_batch, len(samples))
            samples += samples[:1] * (self._smallest_batch - len(samples))
        batch = collate(samples)
        return score(self.model, batch.inputs.to(self.device), batch.lengths)[: len(clips)].cpu()

    def classify(
        self, paths: Iterable[Path], *, batch_size: int = 16, num_threads: int = 2
    ) -> Iterator[Result]:
        """Results in the order of ``paths``; a clip that cannot be read becomes a named error.

        Args:
            num_threads: threads that decode.
        """
        with ThreadPoolExecutor(num_threads) as pool:
            for batch in _batched(paths, batch_size):
                loaded = list(pool.map(self._try_load, batch))
                good = [clip for clip, _, _ in loaded if clip is not None]
                started = time.perf_counter()
                scores = iter(self.scores(good) if good else ())
                share = (time.perf_counter() - started) / max(len(good), 1)
                for path, (clip, seconds, error) in zip(batch, loaded, strict=True):
                    classes = []
                    if clip is not None:
                        seconds += share
                        try:
                            classes = self._rank(next(scores), path)
                        except Gesture3dError as problem:
                            error = str(problem)
                    yield Result(path, classes, seconds, error)

    def _try_load(self, path: Path) -> tuple[Tensor | None, float, str | None]:
        started = time.perf_counter()
        try:
            clip, error = self.load(path), None
        except Gesture3dError as problem:
            clip, error = None, str(problem)
        return clip, time.perf_counter() - started, error

    def _rank(self, scores: Tensor, path: Path | str) -> list[RankedClass]:
        if not scores.isfinite().all():
            raise Gesture3dError(f"{path}: {NOT_FINITE}")
        probabilities, order = scores.softmax(dim=0).sort(descending=True)
        return [
            RankedClass(self.class_names[index], probability)
            for index, probability in zip(order.tolist(), probabilities.tolist(), strict=True)
        ]


def find_clips(
    path: Path | str, suffixes: Collection[str] = VIDEO_SUFFIXES, walk: Walk | None = None
) -> list[Path]:
    """The clips at a path: a video file, a folder of frames, or a directory with such in it.

    A file that is named itself is always taken; inside a directory, the suffix decides, and for
    videos of other suffixes the content. Folders of frames (and of no videos) are clips where
    ``suffixes`` are those of videos.

    Args:
        walk: collects what is left out and what cannot be read, over several calls; directories
            that it has been in are not entered again.

    Raises:
        Gesture3dError: the path does not exist, or has no clips in it.
    """
    path, walk = Path(path), walk or Walk()
    if os.path.isfile(path):  # noqa: PTH113 (False, not an error, where a folder is closed)
        return [path]
    if not os.path.isdir(path):  # noqa: PTH112
        raise Gesture3dError(f"{path}: no such file or directory")
    if walk.has_entered(path):
        return []
    clips = walk.clips_below(path, suffixes)
    if not clips:
        videos = set(suffixes) >= VIDEO_SUFFIXES
        left_out = walk.left_out()
        raise Gesture3dError(
            f"{path}: no clips: neither files ({', '.join(sorted(suffixes))}) "
            f"{'nor folders of frames' if videos else 'nor folders of them'}"
            f"{f'; {left_out}' if left_out else ''}"
        )
    return clips


def _batched(paths: Iterable[Path], size: int) -> Iterator[list[Path]]:
    remaining = iter(paths)
    while batch := list(itertools.islice(remaining, size)):
        yield batch
