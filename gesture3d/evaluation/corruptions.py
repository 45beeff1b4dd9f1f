"""How much of a network's accuracy is left when cameras do to its clips what cameras do."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter
from tqdm import tqdm

from gesture3d.checkpoint import versions
from gesture3d.config import Experiment
from gesture3d.data.samples import Samples
from gesture3d.data.video.corruptions import BY_NAME, CORRUPTIONS, STRENGTHS
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.evaluation.evaluate import evaluated_experiment, open_split
from gesture3d.evaluation.predictions import SplitPredictions
from gesture3d.files import atomic_path, write_text
from gesture3d.rng import generator
from gesture3d.stored import Number, Text, parse_json
from gesture3d.text import csv_text

SHOWN = (0.6, 1.0)  # strengths in the picture
Strips = dict[str, list[np.ndarray]]  # name → a clip, uint8 (T, H, W, C), for each of `SHOWN`


@dataclass(frozen=True)
class Corrupt:
    """One corruption at one strength, as `ReadClip.changed` takes it.

    What is drawn depends on the seed, the corruption, its strength and the sample's key alone.
    """

    name: str
    strength: float
    seed: int
    modality: str

    def __call__(self, key: str, frames: np.ndarray) -> np.ndarray:
        rng = generator(self.seed, self.name, str(self.strength), key)
        return BY_NAME[self.name](frames, self.strength, rng, self.modality)


@dataclass(frozen=True)
class Robustness:
    """Top-1 (0 … 1) of the same labelled samples, clean and corrupted.

    Attributes:
        clean: of the clips as they are.
        top1: by corruption, one for each of `STRENGTHS`.
        predictions: of the clips as they are.
        strips: one of the clips, corrupted.
    """

    clean: float
    top1: dict[str, list[float]]
    predictions: SplitPredictions
    strips: Strips

    @property
    def means(self) -> dict[str, float]:
        """Of each corruption, over its strengths."""
        return {name: float(np.mean(values)) for name, values in self.top1.items()}

    @property
    def mean(self) -> float:
        """Over all corruptions."""
        return float(np.mean(list(self.means.values())))

    def relative(self, top1: float) -> float:
        """As a share of the clean; 0 where that is 0."""
        return top1 / self.clean if self.clean else 0.0


def measure_corruptions(
    weights: Path | str,
    split: str = "test",
    overrides: list[str] | None = None,
    data: str | None = None,
    *,
    names: Sequence[str] = (),
    limit: int | None = None,
    progress: bool = True,
) -> Robustness:
    """Evaluate a checkpoint on the clips of a split as they are, then corrupted.

    A clip is corrupted before its frames are chosen and cropped; the rest is as in
    `evaluate_checkpoint`, whose arguments these are. Under ``torchrun`` the processes share the
    work.

    Args:
        names: of corruptions; by default all that cameras do to the modality.
        limit: of so many labelled samples, spread over the split.

    Raises:
        Gesture3dError: other streams than video, other names, no labels; as `evaluate_checkpoint`.
    """
    settings = evaluated_experiment(weights, overrides, data)
    names = check_names(names, settings, weights)
    modality, seed = settings.data.modality, settings.train.seed
    with open_split(weights, split, overrides, data, progress) as opened:
        samples = _labelled(opened.samples, limit, weights)
        jobs = [Corrupt(name, s, seed, modality) for name in names for s in STRENGTHS]
        show = progress and opened.here.is_main
        bar = tqdm(jobs, unit="evaluation", leave=False, disable=None if show else True)
        clean = opened.predict(samples, progress)
        top1: dict[str, list[float]] = {name: [] for name in names}
        for job in bar:
            bar.set_description(f"{job.name} {job.strength}")
            corrupted = samples.read_by(samples.read.changed(job))
            found = opened.predict(corrupted, progress=False)
            top1[job.name].append(float(found.correct.mean()))
        item = samples.items[0]
        frames = samples.read.all_frames(item)
        shown = {
            name: [Corrupt(name, s, seed, modality)(item.key, frames) for s in SHOWN]
            for name in names
        }
        strips = {"clean": [frames] * len(SHOWN)} | shown
    return Robustness(float(clean.correct.mean()), top1, clean, strips)


def check_names(names: Sequence[str], experiment: Experiment, whose: Path | str) -> list[str]:
    """The corruptions of these names that there are for clips like these; by default all.

    Args:
        whose: clips they are, for the message.

    Raises:
        Gesture3dError: there is no such corruption, or none at all of this stream.
    """
    data = experiment.data
    if data.kind != "clips":
        raise Gesture3dError(
            f"{whose}: --corruptions are what cameras do to clips; {data.title} is "
            f"{data.stream} data"
        )
    known = [n for n, corruption in BY_NAME.items() if data.modality in corruption.modalities]
    for name in names:
        if name not in known:
            raise Gesture3dError(
                f"--corruptions: {name!r} is not known for {data.modality}."
                f"{did_you_mean(name, known)} There are {', '.join(known)}"
            )
    return list(dict.fromkeys(names)) or [name for name in known if name in CORRUPTIONS]


def table(found: Robustness) -> str:
    """Lines to print: top-1 in per cent, a row a corruption."""
    width = max(map(len, found.top1))
    head = f"{'top-1, %':<{width}}" + "".join(f"{s:>7.1f}" for s in STRENGTHS) + "   mean of clean"
    lines = [f"clean {100 * found.clean:.1f} % of {len(found.predictions.keys)} clips", head]
    for name, values in found.top1.items():
        mean = found.means[name]
        cells = "".join(f"{100 * value:>7.1f}" for value in (*values, mean))
        lines.append(f"{name:<{width}}{cells} {found.relative(mean):>8.1%}")
    worst = min(found.means, key=found.means.__getitem__)
    return "\n".join(
        [
            *lines,
            f"mean {100 * found.mean:.1f} %, {found.relative(found.mean):.1%} of clean; worst: "
            f"{worst}, {100 * found.means[worst]:.1f} %",
        ]
    )


class _Means(BaseModel):
    top1: Annotated[list[Number], Field(min_length=len(STRENGTHS), max_length=len(STRENGTHS))]


class Written(BaseModel):
    """What is read of a corruptions.json."""

    clean: Number
    corruptions: dict[Text, _Means]

    @property
    def top1(self) -> dict[str, list[float]]:
        """By corruption, one for each of `STRENGTHS`."""
        return {name: means.top1 for name, means in self.corruptions.items()}


_WRITTEN = TypeAdapter(Written)


def read_corruptions(path: Path) -> Written | None:
    """What `write_corruptions` wrote; None where there is no such file.

    Raises Gesture3dError where it is broken.
    """
    try:
        return parse_json(path.read_bytes(), _WRITTEN)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Gesture3dError(f"{path}: broken ({error}); remove it") from None


def write_corruptions(folder: Path, weights: Path, found: Robustness) -> None:
    """Write ``corruptions.csv``, a row a corruption and strength, ``.json`` and ``.png``."""
    count = len(found.predictions.keys)
    rows = [
        (name, strength, count, value)
        for name, values in found.top1.items()
        for strength, value in zip(STRENGTHS, values, strict=True)
    ]
    header = ["corruption", "strength", "samples", "top1"]
    text = csv_text([header, ["clean", 0, count, found.clean], *rows])
    write_text(folder / "corruptions.csv", text)
    by_name = {
        name: {"top1": values, "mean": found.means[name]} for name, values in found.top1.items()
    }
    content = {
        "weights": str(weights),
        "data": found.predictions.data,
        "split": found.predictions.split,
        "num_samples": count,
        "strengths": STRENGTHS,
        "clean": found.clean,
        "mean": found.mean,
        "relative": found.relative(found.mean),
        "corruptions": by_name,
        "versions": versions(),
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / "corruptions.json", text + "\n")
    from gesture3d.viz.plots import plot_strips

    with atomic_path(folder / "corruptions.png") as temporary:
        plot_strips(found.strips, [f"strength {s}" for s in SHOWN]).savefig(temporary, dpi=120)


def _labelled(samples: Samples, limit: int | None, weights: Path | str) -> Samples:
    """The samples with labels, or so many of them, evenly spaced."""
    rows = np.flatnonzero(samples.labels >= 0)
    if len(rows) == 0:
        raise Gesture3dError(f"{weights}: no sample of the split has a label")
    if limit is not None and limit < len(rows):
        rows = rows[np.arange(limit) * len(rows) // limit]
    return samples.taken(rows)
