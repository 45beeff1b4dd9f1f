"""Real samples of a checkpoint's network, to compare, quantise and measure on."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from gesture3d import checkpoint
from gesture3d.data.walk import find_files
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.evaluate import OpenedSplit, evaluated_experiment, open_split


def of_files(weights: Path, paths: Sequence[Path]) -> list[Tensor]:
    """What the network is given of files, as tools/classify.py reads them.

    Raises:
        Gesture3dError: a file cannot be read, or there is none.
    """
    _, description = checkpoint.load(weights)
    data = description.validated_experiment(weights).data
    spec = description.input_spec(data)
    files = [
        file for path in paths for file in find_files(path, data.suffixes, None, data.is_input)
    ]
    samples = [sample for file in files for sample in data.cut(file, spec).inputs]
    if not samples:
        raise Gesture3dError(f"{paths[0]}: nothing in there that the network reads")
    return [view for sample in samples for view in _views(sample)]


def of_split(
    weights: Path, split: str, count: int, settings: Sequence[str] = ()
) -> tuple[list[Tensor], str | None]:
    """So many samples, spread over a split, and why there are none."""
    try:
        with open_here(weights, split, settings) as opened:
            rows = np.linspace(0, len(opened.samples) - 1, min(count, len(opened.samples)))
            found = opened.samples.taken(rows.round().astype(int).tolist()).inputs
            return [view for sample in found for view in _views(sample)], None
    except Gesture3dError as problem:
        return [], str(problem)


@contextlib.contextmanager
def open_here(weights: Path, split: str, settings: Sequence[str] = ()) -> Iterator[OpenedSplit]:
    """`open_split`, but nothing is generated: the data lies here, or Gesture3dError is raised."""
    settings = list(settings)
    data = evaluated_experiment(weights, settings).data
    if not data.root.exists():
        raise Gesture3dError(f"its data is not in {data.root}; name its place: --set data.root=…")
    with open_split(weights, split, settings, progress=False) as opened:
        yield replace(opened, calibration=None)


def _views(sample: Tensor) -> list[Tensor]:
    return list(sample) if sample.dim() == 5 else [sample]
