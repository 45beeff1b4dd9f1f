"""Ways to teach a network gestures from a few clips, side by side: what the page should do.

Every way gets the same clips (``data.few_shot`` of each class, drawn anew for each draw) and is
measured on the same held-out ones. ``hands``: templates of the hands' joints. The others begin with
the same weights: ``fine-tune`` trains all of the network, ``linear`` and ``means`` a new head.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gesture3d.benchmarks.tables import Row
from gesture3d.checkpoint import load_model, prepared_alike
from gesture3d.config import load_data, load_experiment
from gesture3d.data import build_datasets, read_index
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.predict import predict

WAYS = ("hands", "means", "linear", "fine-tune")
LEAST_STEPS, EPOCHS = 80, 40
BATCH = 16


def compare(
    data: str,
    settings: Sequence[str],
    init: Path,
    ways: Sequence[str],
    counts: Sequence[int],
    draws: int,
) -> Iterator[Row]:
    """A row for every way and number of clips, its accuracies (draw after draw) and seconds.

    Args:
        data: a recipe of clips with a validation split.
        init: the weights that the network ways begin with.

    Raises:
        Gesture3dError: an unknown way, no validation split.
    """
    unknown = [way for way in ways if way not in WAYS]
    if unknown:
        raise Gesture3dError(f"way {unknown[0]!r}: one of {', '.join(WAYS)}")
    if set(ways) != {"hands"}:  # decodes all once: what is chosen below is there then
        prepared = prepared_alike(load_experiment("variant_a", data, settings), init)
        build_datasets(prepared.data, 0, progress=False)
    for count in counts:
        for way in ways:
            found, seconds = [], []
            for draw in range(draws):
                chosen = [*settings, f"data.few_shot={count}", f"data.subset_seed={draw}"]
                started = time.monotonic()
                if way == "hands":
                    found.append(_hands(data, chosen))
                else:
                    found.append(_network(data, chosen, init, way, draw))
                seconds.append(time.monotonic() - started)
            yield {
                "way": way,
                "clips a class": str(count),
                "top-1, %": ", ".join(f"{100 * top1:.1f}" for top1 in found),
                "mean, %": f"{100 * np.mean(found):.1f}",
                "seconds": f"{np.median(seconds):.0f}",
            }


def _hands(data: str, settings: list[str]) -> float:
    """Accuracy of templates; a clip without a hand is not recognised."""
    from gesture3d.data.skeleton.sets.hand_folder import HandFolderData
    from gesture3d.training.taught import measure
    from gesture3d.training.teach import clips_of, teach

    clips = load_data(data, settings)
    fields = HandFolderData.model_fields.keys() & set(type(clips).model_fields)
    same = {name: getattr(clips, name) for name in fields & clips.model_fields_set}
    kept = {n: v for n, v in same.items() if n not in ("name", "num_frames", "augmentation")}
    hands = HandFolderData(name="hand_folder", **kept)
    index = read_index(hands, progress=False)
    learnt, _ = clips_of(index, hands.num_frames)
    found = measure(teach(learnt), index.of("validation"), [], hands.num_frames)
    return found.right / found.known


def _network(data: str, settings: list[str], init: Path, way: str, seed: int) -> float:
    """Accuracy of a network that was fine-tuned, or given a new head."""
    import torch

    from gesture3d.data.batch import collate
    from gesture3d.training.heads import fit_head
    from gesture3d.training.run import train

    settings = [*settings, f"train.seed={seed}", "train.keep=last", "train.processes=1"]
    experiment = prepared_alike(load_experiment("variant_a", data, settings), init)
    datasets = build_datasets(experiment.data, seed, progress=False)
    if datasets.validation is None:
        raise Gesture3dError(f"{data}: no validation split to measure on")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "best.safetensors"
        if way == "fine-tune":
            batch = min(BATCH, len(datasets.train))
            epochs = max(EPOCHS, LEAST_STEPS // (len(datasets.train) // batch))
            changes = {"epochs": epochs, "eval_every": epochs, "batch_size": batch}
            config = experiment.train.model_copy(update=changes)
            run = experiment.model_copy(update={"train": config})
            path = train(run, Path(folder) / "run", init=init, progress=False)
        else:
            fit_head(datasets, experiment, init, way, path)
        model, _ = load_model(path)
    split = datasets.validation
    parts = [range(len(split))[first : first + BATCH] for first in range(0, len(split), BATCH)]
    batches = (collate([split[row] for row in part]) for part in parts)
    return float(predict(model, batches, torch.device("cpu")).correct.mean())
