"""Parameters and multiply-adds of every block of any network, by counting its real calls."""

import numpy as np

from gesture3d.config import Experiment
from gesture3d.cost import BlockCost, RecurrentCost, count_cost_of_one, recurrent_costs
from gesture3d.models import build_model
from gesture3d.paper import VARIANTS


def network_cost(
    experiment: Experiment,
    num_classes: int | None = None,
    num_frames: int | None = None,
    num_features: int | None = None,
) -> tuple[str, list[BlockCost], list[RecurrentCost]]:
    """The cost of classifying one clip or sequence.

    The data set is read for what is neither given nor in its settings: a sequence's features, the
    median length where sequences keep their own, their classes. Clips need no data set.

    Args:
        num_classes: None: 27 for clips.
        num_frames: None: the recipe's.
        num_features: of a sequence's frame.

    Returns:
        The input in words, the blocks' cost, and that of a recurrent layer's step.
    """
    data = experiment.data
    num_classes = num_classes or (27 if data.kind == "clips" else None)
    spec = data.input_spec(num_features)
    num_frames = num_frames or spec.shape[0]
    if None in (num_classes, num_frames, *spec.shape[1:]):
        from gesture3d.data import build_datasets

        datasets = build_datasets(data, experiment.train.seed)
        num_classes = num_classes or len(datasets.class_names)
        spec = data.input_spec(num_features or datasets.spec.num_features)
        num_frames = num_frames or int(np.median(datasets.train.lengths))
    sample = spec.example(num_frames=num_frames)
    model = build_model(experiment.model, num_classes, spec.num_features)
    rows = count_cost_of_one(model, sample)
    shape = tuple(sample.shape[1:])
    text = f"{spec.kind} of {' × '.join(map(str, shape))}"
    return text, rows, recurrent_costs(experiment.model, shape, rows)


def print_cost(text: str, rows: list[BlockCost], steps: list[RecurrentCost]) -> None:
    """A table on the standard output."""
    print(text)
    print(f"{'block':<14}{'parameters':>12}{'multiply-adds':>16}")
    for row in rows:
        print(f"{row.block:<14}{row.parameters:>12,}{_short(row.multiply_adds):>16}")
    if steps:
        print("\none step of a recurrent layer (parameters without biases)")
        print(f"{'block':<14}{'variant':<10}{'parameters':>12}{'true':>12}{'as in the paper':>18}")
    for step in steps:
        true, paper = _short(step.multiply_adds), _short(step.paper_multiply_adds)
        print(f"{step.block:<14}{step.variant:<10}{step.parameters:>12,}{true:>12}{paper:>18}")
    for name in dict.fromkeys(step.variant for step in steps):
        print(f"{name}: {VARIANTS[name].title}")


def _short(count: int) -> str:
    """In millions with four digits at least, from ten thousand millions on in thousand millions."""
    if count >= 1e10:
        return f"{count / 1e9:.1f} G"
    return f"{count / 1e6:.0f} M" if count >= 1e9 else f"{count / 1e6:.4g} M"
