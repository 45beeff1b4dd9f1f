"""Parameters and multiply-adds of every block of any network, by counting its real calls."""

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
    """The cost of classifying one clip or sequence of the experiment's size.

    Sequences' features, length (where the recipe leaves their own, the median) and classes are
    those of the data set, which is read for what is not given. Clips need no data set.

    Args:
        num_classes: None: 27 for clips.
        num_frames, num_features: of sequences; those of clips are the experiment's.

    Returns:
        The input in words, the blocks' cost, and that of a recurrent layer's step.
    """
    import torch

    data = experiment.data
    if data.kind == "clips":
        shape = (data.num_frames, data.num_channels, data.size, data.size)
        model = build_model(experiment.model, num_classes or 27)
        rows = count_cost_of_one(model, torch.zeros(1, *shape, dtype=torch.uint8))
        text = f"a clip of {shape[0]} × {shape[2]} × {shape[3]} × {shape[1]}"
        return text, rows, recurrent_costs(experiment.model, (shape[0], *shape[2:]), rows)
    if None in (num_classes, num_frames, num_features):
        from gesture3d.data import build_datasets

        datasets = build_datasets(data, experiment.train.seed)
        num_classes = num_classes or len(datasets.class_names)
        num_features = num_features or datasets.spec.num_features
        num_frames = num_frames or _median_length(datasets.train)
    model = build_model(experiment.model, num_classes, num_features)
    rows = count_cost_of_one(model, torch.zeros(1, num_frames, num_features))
    return f"a sequence of {num_frames} frames of {num_features} features", rows, []


def _median_length(dataset) -> int:
    lengths = getattr(dataset, "lengths", None)
    if lengths is None:
        return len(dataset[0].inputs)
    return int(sorted(lengths)[len(lengths) // 2])


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
