"""Rows of the zoo out of finished runs, and out of the evaluation of one file of weights."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from gesture3d import checkpoint
from gesture3d.config import Experiment, load_data, load_experiment, read_settings
from gesture3d.cost import count_cost_of_one
from gesture3d.data import count_folds
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.bootstrap import compare_runs, top1_interval
from gesture3d.evaluation.corruptions import Robustness
from gesture3d.evaluation.predict import stream_of_step
from gesture3d.evaluation.predictions import SplitPredictions
from gesture3d.files import resource
from gesture3d.machine import choose_device, processor
from gesture3d.studies.runs import Outcome, compared_split, group_by_network
from gesture3d.studies.zoo import COLUMNS, Row
from gesture3d.training.result import read_result
from gesture3d.training.taught import Measured

# Where and how a run is computed, and what has a column of its own (seed, fold). All else in which
# it differs from its recipe is part of what a row is of.
NOT_SETTINGS = {"data.root", "data.num_workers", "data.fold", "train.seed", "train.processes"}
NOT_SETTINGS |= {"train.num_threads", "train.device", "train.eval_batch_size"}
NOT_SETTINGS |= {"train.checkpoint_minutes"}


EVENTS = {  # of streams: the measure, and how a row says it
    "SFINGE detection rate": "SFINGE: detected",
    "SFINGE false positives": "false",
    "SHREC'22 detection rate": "SHREC'22: detected",
    "SHREC'22 false positives": "false",
    "Levenshtein accuracy": "Levenshtein",
    "F1@0.5": "F1@0.5",
}


def rows_of_ablation(outcomes: Sequence[Outcome], command: str) -> tuple[list[Row], list[str]]:
    """A row for each network and data recipe all of whose runs are finished.

    Args:
        command: that made them.

    Returns:
        The rows, and a sentence for each network without one.

    Raises:
        Gesture3dError: the runs are not of the same samples.
    """
    planned = [(Path(o.run.network).stem, Path(o.run.data).stem) for o in outcomes]
    groups = {(g.network, g.data): g for g in group_by_network(outcomes)}
    rows, missing = [], []
    for names in dict.fromkeys(planned):
        found = groups[names].outcomes if names in groups else []
        if len(found) < planned.count(names):
            text = f"{len(found)} of {planned.count(names)} runs are finished"
            missing.append(f"not recorded: {', '.join(names)}: {text}")
            continue
        split = compared_split([groups[names]])
        by_seed = {o.run.seed: [o] for o in found}
        rows.append(_row_of_runs(by_seed, split, _named(split, found[0].run.experiment), command))
    return rows, missing


def row_of_folds(outcomes: Sequence[Outcome], command: str) -> Row:
    """The row of a cross-validation: of all seeds, each with all folds, whose mean is its top-1.

    Raises:
        Gesture3dError: a run has no result.
    """
    for outcome in outcomes:
        if outcome.error:
            raise Gesture3dError(f"{outcome.run.name}: {outcome.error}; nothing is recorded")
    by_seed: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        by_seed.setdefault(outcome.run.seed, []).append(outcome)
    count = len(outcomes) // len(by_seed)
    return _row_of_runs(by_seed, "test", f"{count} folds" if count > 1 else "test", command)


def _row_of_runs(
    by_seed: dict[int, list[Outcome]], split: str, measured_on: str, command: str
) -> Row:
    outcomes = [outcome for members in by_seed.values() for outcome in members]
    run, result = outcomes[0].run, outcomes[0].result
    streams = run.experiment.data.streams
    changed = differences(run.experiment, load_experiment(run.network, run.data))
    changed = [f"fine-tuned from {run.init}", *changed] if run.init else changed
    correct = np.stack(
        [np.concatenate([o.predictions[split].correct for o in m]) for m in by_seed.values()]
    )
    low, high = compare_runs(correct, np.zeros_like(correct))[1:3]
    top1 = [float(np.mean([o.top1(split) for o in members])) for members in by_seed.values()]
    validated = [o.top1("validation") for o in outcomes] if split == "test" else [None]
    _, parameters, multiply_adds = result["cost"][-1]
    return _row(
        network=Path(run.network).stem,
        data=Path(run.data).stem,
        settings=" ".join(changed),
        split=measured_on,
        samples=_samples([o.predictions[split] for o in next(iter(by_seed.values()))], streams),
        seeds=" ".join(map(str, by_seed)),
        top1_by_seed=" ".join(f"{100 * value:.1f}" for value in top1),
        top1=f"{100 * np.mean(top1):.1f}",
        std=f"{100 * np.std(top1, ddof=1):.1f}" if len(top1) > 1 else "",
        interval=_interval(max(low, 0.0), high),
        validation="" if None in validated else _mean(validated),
        parameters=str(parameters),
        multiply_adds="" if streams else str(multiply_adds),
        train_seconds=f"{np.mean([o.result['train_seconds'] for o in outcomes]):.0f}",
        command=command,
        code=_all(o.result["versions"]["gesture3d"] for o in outcomes),
        processor=_all(_processor(o.result) for o in outcomes),
        written_by=_tool(command),
        events=events_in_words([o.events[split] for o in outcomes if o.events]),
    )


def row_of_evaluation(
    weights: Path,
    experiment: Experiment,
    predictions: SplitPredictions,
    data: str | None,
    command: str,
    events: Mapping[str, float | None] | None = None,
) -> Row:
    """The row of one file of weights on one split.

    The network and the recipe are those in ``configs/`` from which its training differs least.

    Args:
        experiment: as it was evaluated.
        data: the recipe of another data set than the training's.
        events: of streams, how well they were found.

    Raises:
        Gesture3dError: no sample has a label; no such network or recipe.
    """
    known = predictions.labels >= 0
    if not known.any():
        raise Gesture3dError(f"{weights}: no sample of {predictions.split} has a label to record")
    model, description = checkpoint.load_model(weights)
    trained = description.validated_experiment(weights)
    network, recipe, changed = nearest_recipe(trained, weights)
    if data:
        plain = trained.model_copy(update={"data": load_data(data)})
        changed = [f"trained on {recipe}", *changed, *differences(experiment, plain)]
    else:
        changed = differences(experiment, load_experiment(network, recipe))
    beside = weights.with_name("result.json")
    of_run = weights.name == "best.safetensors" and beside.is_file()
    result = read_result(weights.parent) if of_run else None
    correct = predictions.correct[known]
    there, here = description.versions["gesture3d"], checkpoint.versions()["gesture3d"]
    is_gpu = choose_device(experiment.train.device).type == "cuda"
    return _row(
        network=network,
        data=Path(data).stem if data else recipe,
        settings=" ".join(changed),
        split=_named(predictions.split, experiment),
        samples=_samples([predictions], experiment.data.streams),
        seeds=str(trained.train.seed),
        top1_by_seed=f"{100 * correct.mean():.1f}",
        top1=f"{100 * correct.mean():.1f}",
        interval=_interval(*top1_interval(correct)),
        parameters=str(sum(parameter.numel() for parameter in model.parameters())),
        multiply_adds=_multiply_adds(model, experiment, description.num_features),
        train_seconds=f"{result['train_seconds']:.0f}" if result else "",
        command=command,
        code=here if here == there else f"{here}, trained by {there}",
        processor=processor(is_gpu),
        weights=str(weights),
        written_by=_tool(command),
        events=events_in_words([events] if events else []),
    )


def row_of_teaching(
    found: Sequence[Measured], parameters: int, settings: Sequence[str], command: str
) -> Row:
    """The row of gestures that were taught, and tested on other clips.

    Args:
        found: of each draw of the given clips, the first with seed 0.
        settings: of the data, as they were given.
    """
    top1 = [100 * one.right / one.known for one in found]
    events = f"known accepted {np.mean([100 * o.kept / o.known for o in found]):.1f} %"
    if found[0].unknown:
        events += f", unknown refused {np.mean([100 * o.refused / o.unknown for o in found]):.1f} %"
    return _row(
        network="templates",
        data="hand_folder",
        settings=" ".join(settings),
        split="test",
        samples=str(found[0].known),
        seeds=" ".join(map(str, range(len(found)))),
        top1_by_seed=" ".join(f"{value:.1f}" for value in top1),
        top1=f"{np.mean(top1):.1f}",
        std=f"{np.std(top1, ddof=1):.1f}" if len(top1) > 1 else "",
        parameters=str(parameters),
        command=command,
        code=checkpoint.versions()["gesture3d"],
        processor=processor(False),
        written_by=_tool(command),
        events=events,
    )


def row_of_corruptions(row: Row, found: Robustness, names: Sequence[str]) -> Row:
    """The row of an evaluation with the mean over corruptions in the place of its top-1.

    Args:
        names: of the corruptions; none: all.
    """
    which = f"corruptions={','.join(names)}" if names else "corruptions"
    settings = " ".join(filter(None, (row["settings"], which)))
    mean = f"{100 * found.mean:.1f}"
    return row | {"settings": settings, "top1": mean, "top1_by_seed": mean, "interval": ""}


def _multiply_adds(model: nn.Module, experiment: Experiment, num_features: int | None) -> str:
    """Of one sample; empty where sequences keep their own lengths, and of streams."""
    spec = experiment.data.input_spec(num_features)
    if spec.shape[0] is None or experiment.data.streams:
        return ""
    return str(count_cost_of_one(model, spec.example())[-1].multiply_adds)


def nearest_recipe(experiment: Experiment, source: Path | str) -> tuple[str, str, list[str]]:
    """The network and the recipe in ``configs/`` from which an experiment differs least.

    Returns:
        Their names and the settings that differ.

    Raises:
        Gesture3dError: there is none for this kind of network and data set.
    """
    folder = resource("configs")
    networks = [
        path
        for path in sorted(folder.glob("*.yaml"))
        if read_settings(path).get("name", "gesture_net") == experiment.model.name
    ]
    recipes = [
        path
        for path in sorted((folder / "data").glob("*.yaml"))
        if read_settings(path).get("data", {}).get("name") == experiment.data.name
    ]
    found = []
    for network in networks:
        for recipe in recipes:
            plain = load_experiment(str(network), str(recipe))
            found.append((network.stem, recipe.stem, differences(experiment, plain)))
    if not found:
        kind = f"{experiment.model.name} on {experiment.data.name}"
        raise Gesture3dError(f"{source}: nothing in configs/ is for {kind}")
    return min(found, key=lambda names: len(names[2]))


def differences(experiment: Experiment, plain: Experiment) -> list[str]:
    """The settings that differ, ``section.key=value`` as ``--set`` takes them.

    Without `NOT_SETTINGS`; but of anyone's own folder the place says which data it is, and counts.
    """
    ours, theirs = (dict(_leaves(e.model_dump(mode="json"))) for e in (experiment, plain))
    own = {"data.root"} if experiment.data.name.endswith("folder") else set()
    return [
        f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
        for key, value in ours.items()
        if (key not in theirs or value != theirs[key]) and key not in NOT_SETTINGS - own
    ]


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, dict):
        yield prefix, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{prefix}.{key}" if prefix else key)


def events_in_words(runs: Sequence[Mapping[str, float | None]]) -> str:
    """The means over runs of what people compare first; empty where there are none."""
    said = []
    for name, short in EVENTS.items():
        values = [run[name] for run in runs]
        said += [f"{short} {np.mean(values):.3f}"] if values and None not in values else []
    return ", ".join(said)


def _samples(predicted: Sequence[SplitPredictions], streams: bool) -> str:
    """How many have a label; of streams all."""
    if streams:
        return f"{len({stream_of_step(key) for found in predicted for key in found.keys})} streams"
    return str(sum(int((found.labels >= 0).sum()) for found in predicted))


def _named(split: str, experiment: Experiment) -> str:
    """The split and, where the set has several, the fold that was held out."""
    data = experiment.data
    count = data.num_official_folds if data.folds == "official" else count_folds(data)
    return split if count == 1 else f"{split}, fold {data.fold} of {count}"


def _row(**fields: str) -> Row:
    return dict.fromkeys(COLUMNS, "") | fields


def _tool(command: str) -> str:
    return Path(command.split()[0]).stem


def _processor(result: dict[str, Any]) -> str:
    return result["processor"] or ("" if result["device"] == "cpu" else result["device"])


def _all(values: Iterator[str]) -> str:
    return " and ".join(filter(None, dict.fromkeys(values)))


def _mean(shares: Sequence[float]) -> str:
    percents = 100 * np.array(shares)
    deviation = f" ± {percents.std(ddof=1):.1f}" if len(percents) > 1 else ""
    return f"{percents.mean():.1f}{deviation}"


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}"
