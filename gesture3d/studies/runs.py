"""An ablation: networks × data recipes × seeds, and what their runs come to, with uncertainty.

Reproduces tables 1 and 2 of Zhang et al., "Attention in Convolutional LSTM for Gesture
Recognition", NeurIPS 2018, on any data set. Every word of the text is computed from the runs.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, TypeAdapter

from gesture3d.config import Experiment, find_config, load_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.bootstrap import Difference, compare_runs
from gesture3d.evaluation.corruptions import check_names, read_corruptions
from gesture3d.evaluation.order import ORDERS
from gesture3d.evaluation.predict import stream_of_step
from gesture3d.evaluation.predictions import SplitPredictions, read_predictions
from gesture3d.files import resource
from gesture3d.stored import Number, Text, parse_json
from gesture3d.studies.runner import CORRUPTIONS, PlannedRun, is_finished
from gesture3d.training.result import read_result
from gesture3d.training.state import ROW

NETWORKS = ("convlstm", "variant_a", "variant_b", "variant_c", "variant_d")


# --- what to run ---------------------------------------------------------------------------------


def plan_runs(
    networks: Sequence[str],
    data: Sequence[str],
    seeds: Sequence[int],
    overrides: Sequence[str],
    corruptions: Sequence[str] | None = None,
) -> tuple[list[PlannedRun], list[str]]:
    """Every network on every data recipe with every seed, all networks before the next seed.

    Args:
        networks: model configs; ``NETWORK:DATA`` goes with that recipe only.
        corruptions: of validation clips, to be measured with the trained networks; empty: all
            that cameras do to them; None: none.
        overrides: a setting of model or data that one of the networks or data sets has and another
            one has not is left out there.

    Returns:
        The runs, and a line for each setting that was left out.

    Raises:
        Gesture3dError: anything twice, an unknown name, a wrong setting.
    """
    for what, given in (("--seeds", seeds), ("--networks", networks), ("--data", data)):
        doubles = sorted({str(value) for value in given if list(given).count(value) > 1})
        if doubles:
            raise Gesture3dError(f"{what}: given twice: {', '.join(doubles)}")
    pairs = []
    for entry in networks:
        network, _, own = entry.partition(":")
        pairs += [(network, recipe) for recipe in ([own] if own else data)]
    for network, recipe in pairs:
        find_config(network, resource("configs"))
        find_config(recipe, resource("configs") / "data")
    plain = {pair: load_experiment(*pair) for pair in pairs}
    names = [_short_name(pair) for pair in pairs]
    if len(set(names)) < len(names):
        raise Gesture3dError(f"--networks: two of the same name: {', '.join(sorted(names))}")
    kept, left_out = {}, []
    for pair, experiment in plain.items():
        kept[pair] = [o for o in overrides if not _is_others(o, experiment, plain.values())]
        missing = [o for o in overrides if o not in kept[pair]]
        left_out += [f"{_short_name(pair)} has no {o.partition('=')[0]}: left out" for o in missing]
    runs = []
    for seed, pair in itertools.product(seeds, pairs):
        settings = (*kept[pair], f"train.seed={seed}")
        experiment = load_experiment(*pair, list(settings))
        measured = () if corruptions is None else check_names(corruptions, experiment, pair[1])
        name = f"{_short_name(pair)}-seed{seed}"
        runs.append(
            PlannedRun(name, *pair, seed, settings, experiment, corruptions=tuple(measured))
        )
    return runs, left_out


def _short_name(pair: tuple[str, str]) -> str:
    return "-".join(Path(name).stem for name in pair)


def _is_others(override: str, experiment: Experiment, all_: Sequence[Experiment]) -> bool:
    """Whether the setting is one that others have and this experiment has not."""
    section, _, key = override.partition("=")[0].strip().partition(".")
    if section not in ("model", "data"):
        return False
    key = key.partition(".")[0]
    having = [key in type(getattr(e, section)).model_fields for e in (experiment, *all_)]
    return any(having) and not having[0]


# --- what came out -------------------------------------------------------------------------------


class _Evaluation(BaseModel):
    """What is read of a stream evaluation's metrics.json."""

    measures: dict[Text, Number | None]


_EVENTS = TypeAdapter(_Evaluation)


@dataclass(frozen=True)
class Outcome:
    """One run. ``error`` is None for a finished one, which alone has the other fields."""

    run: PlannedRun
    error: str | None = None
    result: dict[str, Any] = field(default_factory=dict)  # see training/result.py
    history: list[dict[str, Any]] = field(default_factory=list)
    predictions: dict[str, SplitPredictions] = field(default_factory=dict)  # of labelled samples
    events: dict[str, dict[str, float | None]] = field(default_factory=dict)  # of streams: measures
    # Of validation: "clean" and each corruption, by strength; empty where they were not asked for.
    corruptions: dict[str, list[float]] = field(default_factory=dict)

    def top1(self, split: str) -> float | None:
        """0..1; None where the split has no labels."""
        found = self.predictions.get(split)
        return None if found is None else float(found.correct.mean())


@dataclass(frozen=True)
class Group:
    """The finished runs of one network on one data recipe, in the order of the seeds."""

    network: str
    data: str
    outcomes: list[Outcome]

    @property
    def experiment(self) -> Experiment:
        """The first run's; the others differ in their seed."""
        return self.outcomes[0].run.experiment

    def correct(self, split: str) -> np.ndarray:
        """(runs, N) bool, samples sorted by key."""
        return np.stack([outcome.predictions[split].correct for outcome in self.outcomes])

    def values(self, key: str) -> list[float]:
        """Of each run's result, see `gesture3d.training.result`."""
        return [outcome.result[key] for outcome in self.outcomes]

    def interval(self, split: str) -> Difference:
        """Mean accuracy and its interval over samples and, of several runs, over runs."""
        correct = self.correct(split)
        found = compare_runs(correct, np.zeros_like(correct))
        return found._replace(low=max(found.low, 0.0))


@dataclass(frozen=True)
class Pair:
    """Two networks on the same data: a minus b; ``p_value`` is corrected for all pairs."""

    a: Group
    b: Group
    difference: Difference
    p_value: float

    @property
    def is_significant(self) -> bool:
        """On the level of 5 %."""
        return self.p_value < 0.05


def gather(runs: Sequence[PlannedRun], folder: Path, errors: dict[str, str]) -> list[Outcome]:
    """What the runs in ``folder`` came to, in their order.

    Args:
        errors: what went wrong, by the name of the run.
    """
    outcomes = []
    for run in runs:
        error = errors.get(run.name)
        try:
            finished = error is None and is_finished(run, folder)
            outcomes.append(_read(run, folder / run.name) if finished else _missing(run, error))
        except (Gesture3dError, OSError, ValueError) as problem:
            outcomes.append(Outcome(run, f"its files are not readable: {problem}"))
    return outcomes


def _missing(run: PlannedRun, error: str | None) -> Outcome:
    return Outcome(run, error or "not finished; the same command goes on")


def _read(run: PlannedRun, folder: Path) -> Outcome:
    result = read_result(folder)
    predictions = {}
    for split in ("validation", "test"):
        if split in result["num_samples"]:
            found = _read_predictions(run, folder, split, result)
            known = [k for k, label in zip(found.keys, found.labels, strict=True) if label >= 0]
            if known:
                predictions[split] = found.take(known)
    if not predictions:
        raise Gesture3dError(f"{folder} has no predictions of labelled samples")
    path = folder / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        history = [parse_json(line, ROW) for line in lines]
    except ValueError as error:
        raise Gesture3dError(f"{path}: {error}") from None
    events, corruptions = _read_events(folder, result), _read_corruptions(run, folder)
    return Outcome(run, None, result, history, predictions, events, corruptions)


def _read_predictions(
    run: PlannedRun, folder: Path, split: str, result: dict[str, Any]
) -> SplitPredictions:
    """Those of a split, if they are what the run came to."""
    path = folder / f"evaluation-{split}" / "predictions.csv"
    found = read_predictions(path)
    keys = {stream_of_step(k) for k in found.keys} if result["events"] else found.keys
    count, expected = len(keys), result["num_samples"][split]
    may_lack = run.experiment.data.may_lack_samples
    if count > expected or (count < expected and not may_lack):
        raise Gesture3dError(f"{path}: {count} samples, and the run has {expected}")
    said = result["order_top1"].get(ORDERS[0]) if split == "validation" else None
    top1 = float(found.correct[found.labels >= 0].mean()) if (found.labels >= 0).any() else None
    if None not in (said, top1) and abs(said - top1) > 1e-4:
        raise Gesture3dError(f"{path}: top-1 {top1:.4f}, and result.json says {said:.4f}")
    return found


def _read_events(folder: Path, result: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Of streams: split → how well its events were found."""
    if not result["events"]:
        return {}
    path = folder / "evaluation-test" / "metrics.json"
    if "test" not in result["num_samples"]:
        return {"validation": result["events"]}
    try:
        test = parse_json(path.read_bytes(), _EVENTS).measures
    except ValueError as error:
        raise Gesture3dError(f"{path}: broken ({error})") from None
    return {"validation": result["events"], "test": test}


def _read_corruptions(run: PlannedRun, folder: Path) -> dict[str, list[float]]:
    found = read_corruptions(folder / CORRUPTIONS) if run.corruptions else None
    if found is None:
        return {}
    return {"clean": [found.clean]} | {name: found.top1[name] for name in run.corruptions}


def group_by_network(outcomes: Sequence[Outcome]) -> list[Group]:
    """Finished runs by network and data, in the order given.

    Raises:
        Gesture3dError: runs on one data recipe were evaluated on different samples.
    """
    found: dict[tuple[str, str], list[Outcome]] = {}
    samples: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for outcome in outcomes:
        run = outcome.run
        if outcome.error:
            continue
        for split, predictions in outcome.predictions.items():
            name, keys = samples.setdefault((run.data, split), (run.name, predictions.keys))
            if keys != predictions.keys:
                raise Gesture3dError(
                    f"{run.name} and {name} were evaluated on different {split} samples: the data "
                    "has changed in between; choose another --out"
                )
        found.setdefault((Path(run.network).stem, Path(run.data).stem), []).append(outcome)
    return [Group(*names, members) for names, members in found.items()]


def compared_split(groups: Sequence[Group]) -> str:
    """The test split where all runs have a labelled one, which chose nothing; else validation."""
    tested = all("test" in o.predictions for group in groups for o in group.outcomes)
    return "test" if tested else "validation"


def compare(groups: Sequence[Group], split: str) -> list[Pair]:
    """All pairs of networks; p-values corrected after Holm (1979) for the number of pairs."""
    pairs = list(itertools.combinations(groups, 2))
    found = [compare_runs(a.correct(split), b.correct(split)) for a, b in pairs]
    corrected = holm([difference.p_value for difference in found])
    zipped = zip(pairs, found, corrected, strict=True)
    return [Pair(a, b, difference, p_value) for (a, b), difference, p_value in zipped]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the chance of a single false claim among all stays below p."""
    count, largest = len(p_values), 0.0
    corrected = [0.0] * count
    for rank, place in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1.0, (count - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


@dataclass(frozen=True)
class Section:
    """What is shown of one data recipe."""

    data: str
    split: str  # the one that is compared
    groups: list[Group]
    pairs: list[Pair]


def make_sections(groups: Sequence[Group]) -> list[Section]:
    """A section for each data recipe, in the order of the groups."""
    sections = []
    for data in dict.fromkeys(group.data for group in groups):
        members = [group for group in groups if group.data == data]
        split = compared_split(members)
        sections.append(Section(data, split, members, compare(members, split)))
    return sections


def not_below_best(section: Section) -> list[Group]:
    """The group with the highest mean, and those that are not significantly below it."""
    best = max(section.groups, key=lambda group: group.correct(section.split).mean())
    below = {
        id(group)
        for pair in section.pairs
        if pair.is_significant and best in (pair.a, pair.b)
        for group in (pair.a, pair.b)
        if group is not best
    }
    return [group for group in section.groups if id(group) not in below]
