"""The tables of an ablation, the paper's numbers beside ours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gesture3d import paper
from gesture3d.cost import BlockCost, RecurrentCost, recurrent_costs
from gesture3d.data.video.corruptions import STRENGTHS
from gesture3d.studies.runs import Group, Outcome, Section, not_below_best


@dataclass(frozen=True)
class Table:
    """Cells are text; ``notes`` are sentences below."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


def accuracy_table(section: Section) -> Table:
    """One row a network; the paper's numbers beside ours."""
    modality = _modality(section.groups[0])
    columns = _paper_columns(modality)
    splits = [s for s in ("test", "validation") if _all_have(section.groups, s)]
    header = ["network", *(f"top-1, {split}" for split in splits)]
    header += [f"95 % interval, {section.split}", "frames shuffled, validation", *columns.values()]
    tied = not_below_best(section)
    rows = []
    for group in section.groups:
        low, high = group.interval(section.split)[1:3]
        mark = " †" if len(section.groups) > 1 and group in tied else ""
        printed = _paper_top1(group)
        rows.append(
            [
                group.network + mark,
                *(_with_seeds([o.top1(split) for o in group.outcomes]) for split in splits),
                f"{100 * low:.1f} to {100 * high:.1f}",
                _shuffled(group),
                *(f"{printed[key]:.2f}" if key in printed else "–" for key in columns),
            ]
        )
    notes = [_how_averaged([section], " (each seed's value)")]
    if len(section.groups) > 1:
        notes.append("† Highest mean, or not significantly below it.")
    if columns:
        notes.append("The paper's numbers are of other data and full-size networks.")
    return Table(f"Accuracy: {section.data}", header, rows, notes)


def events_table(section: Section) -> Table:
    """How well events are found in streams; empty for other data."""
    groups, split = section.groups, section.split
    measured = [[o.events.get(split, {}) for o in group.outcomes] for group in groups]
    rows = [
        [name, *(_measure([run.get(name) for run in runs]) for runs in measured)]
        for name in measured[0][0]
    ]
    header = ["measure", *(group.network for group in groups)]
    notes = [_how_averaged([section], " (each seed's value)")]
    notes.append(
        "The decision was chosen on the validation streams: gesture3d/inference/online.py."
    )
    return Table(f"Events: {section.data}", header, rows, notes)


def pairs_table(section: Section) -> Table:
    """The difference of every two networks."""
    header = ["networks", "difference", "95 % interval", "p, corrected", "significant"]
    rows = [
        [
            f"{pair.a.network} − {pair.b.network}",
            f"{100 * pair.difference.difference:+.1f}",
            f"{100 * pair.difference.low:+.1f} to {100 * pair.difference.high:+.1f}",
            f"{pair.p_value:.3f}" if pair.p_value >= 0.001 else "< 0.001",
            "yes" if pair.is_significant else "no",
        ]
        for pair in section.pairs
    ]
    notes = [
        f"Percentage points of top-1 on the {section.split} split. The intervals are of each pair "
        f"by itself; p is corrected for {counted(len(rows), 'comparison')} (Holm)."
    ]
    return Table(f"Differences: {section.data}", header, rows, notes)


def cost_table(section: Section) -> Table:
    """Size and speed; of the video network also the first recurrent layer, counted both ways."""
    has_layers = any(first_layer(group) for group in section.groups)
    header = ["network", "parameters", "multiply-adds a sample"]
    if has_layers:
        header += ["layer: parameters", "layer: M multiply-adds a step", "… as the paper counts"]
        header += ["paper's layer: parameters", "paper's layer: Mult-Adds"]
    header += ["training clips/s", "inference clips/s", "peak memory, MB"]
    rows, titles = [], {}
    for group in section.groups:
        _, parameters, multiply_adds = total_cost(group.outcomes[0])
        layer, cells = first_layer(group), []
        if layer:
            cells = [f"{layer.parameters:,}", f"{layer.multiply_adds / 1e6:.4g}"]
            cells.append(f"{layer.paper_multiply_adds / 1e6:.4g}")
            cells += paper.VARIANTS[layer.variant].printed or ["–", "–"]
            titles[layer.variant] = paper.VARIANTS[layer.variant].title
        speeds = (
            _range(group.values(f"{kind}_clips_per_second")) for kind in ("train", "inference")
        )
        rows.append(
            [
                group.network,
                f"{parameters:,}",
                f"{multiply_adds / 1e6:.4g} M",
                *(cells or ["–"] * 5 * has_layers),
                *speeds,
                _range([v and v / 1e6 for v in group.values("peak_memory")]),
            ]
        )
    notes = ["Speeds and memory: smallest to largest of the runs."]
    if section.groups[0].experiment.data.streams:
        notes.append("A sample is a stream.")
    if has_layers:
        notes.append(
            "Layer: the first recurrent one, parameters without biases. The paper charges its "
            "pooled gates at every pixel; its own columns are of 256 channels on 28×28 maps."
        )
        notes.append(f"Layers: {'; '.join(f'{name}: {what}' for name, what in titles.items())}.")
    return Table(f"Cost: {section.data}", header, rows, notes)


def modality_table(sections: Sequence[Section]) -> Table:
    """The paper's table 2: networks in rows, data recipes in columns; empty for a single recipe."""
    if len(sections) < 2:
        return Table("", [], [], [])
    groups = {(g.network, s.data): (g, s) for s in sections for g in s.groups}
    networks = list(dict.fromkeys(network for network, _ in groups))
    modalities = dict.fromkeys(m for m in (_modality(s.groups[0]) for s in sections) if m)
    rows = []
    for network in networks:
        cells = [groups.get((network, s.data)) for s in sections]
        shown = [mean_top1(c[0], c[1].split) if c else "–" for c in cells]
        printed = _paper_top1(next(c[0] for c in cells if c))
        shown += [f"{printed[m]:.2f}" if m in printed else "–" for m in modalities]
        rows.append([network, *shown])
    header = ["network", *(f"{s.data}, {s.split}" for s in sections)]
    header += [f"paper, IsoGD {modality}" for modality in modalities]
    notes = [_how_averaged(sections)]
    return Table("Accuracy by data", header, rows, notes)


def corruptions_table(section: Section) -> Table:
    """What the networks keep of validation clips that are corrupted; empty where none are.

    Of several corruptions their means over the strengths; of a single one every strength.
    """
    groups = [group for group in section.groups if all(o.corruptions for o in group.outcomes)]
    if not groups:
        return Table("", [], [], [])
    names = [name for name in groups[0].outcomes[0].corruptions if name != "clean"]

    def row(title: str, value: Callable[[dict[str, list[float]]], float]) -> list[str]:
        return [title, *(_with_seeds([value(o.corruptions) for o in g.outcomes]) for g in groups)]

    rows = [row("clean", lambda found: found["clean"][0])]
    if len(names) == 1:
        for place, strength in enumerate(STRENGTHS):
            rows.append(row(f"{names[0]} {strength}", lambda found, p=place: found[names[0]][p]))
    else:
        rows += [row(name, lambda found, n=name: np.mean(found[n])) for name in names]
    rows.append(row("mean", lambda found: np.mean([found[name] for name in names])))
    notes = [_how_averaged([section], " (each seed's value)")]
    notes.append(
        f"Top-1 of the validation clips; strengths {', '.join(map(str, STRENGTHS))}. "
        "Drawn in ablation-corruptions.png."
    )
    return Table(
        f"Corrupted: {section.data}", ["corruption", *(g.network for g in groups)], rows, notes
    )


def failure_table(outcomes: Sequence[Outcome]) -> Table:
    """Runs that did not come to an end, and why."""
    rows = [[o.run.name, " ".join(o.error.replace("|", "/").split())] for o in outcomes if o.error]
    return Table("Runs without a result", ["run", "why"], rows, [])


# --- small parts ---------------------------------------------------------------------------------


def _how_averaged(sections: Sequence[Section], more: str = "") -> str:
    single = all(len(group.outcomes) == 1 for section in sections for group in section.groups)
    return "In %; one run each." if single else f"In %: mean ± standard deviation over seeds{more}."


def _with_seeds(values: Sequence[float]) -> str:
    percents = [100 * value for value in values]
    if len(percents) == 1:
        return f"{percents[0]:.1f}"
    return f"{_plus_minus(percents)} ({', '.join(f'{p:.1f}' for p in percents)})"


def mean_top1(group: Group, split: str) -> str:
    """In %, with the deviation over several runs: ``95.0 ± 0.4``."""
    return _plus_minus([100 * o.top1(split) for o in group.outcomes])


def _plus_minus(values: Sequence[float]) -> str:
    deviation = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{deviation}"


def _measure(values: Sequence[float | None]) -> str:
    if None in values:
        return "–"
    each = f" ({', '.join(f'{v:.3f}' for v in values)})" if len(values) > 1 else ""
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}{each}"


def _range(values: Sequence[float | None]) -> str:
    if None in values:
        return "–"
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return low if low == high else f"{low} to {high}"


def span(percents: Sequence[float]) -> str:
    """``94.1 to 96.3``."""
    low, high = f"{min(percents):.1f}", f"{max(percents):.1f}"
    return low if low == high else f"{low} to {high}"


def counted(number: int, what: str) -> str:
    """``1 run``, ``3 runs``, ``2 classes``."""
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{number} {what if number == 1 else plural}"


def _shuffled(group: Group) -> str:
    if not has_order(group):
        return "–"
    return _plus_minus([100 * o.result["order_top1"]["shuffled frames"] for o in group.outcomes])


def has_order(group: Group) -> bool:
    """Whether all runs were measured on frames in other orders, too."""
    return all("shuffled frames" in o.result["order_top1"] for o in group.outcomes)


def _all_have(groups: Sequence[Group], split: str) -> bool:
    return all(o.top1(split) is not None for group in groups for o in group.outcomes)


def total_cost(outcome: Outcome) -> list:
    """[``total``, parameters, multiply-adds of a sample]."""
    return outcome.result["cost"][-1]


def _modality(group: Group) -> str | None:
    data = group.experiment.data
    return data.modality if data.kind == "clips" else None


def _paper_columns(modality: str | None) -> dict[str, str]:
    if modality is None:
        return {}
    jester = {"jester": "paper, Jester"} if modality == "rgb" else {}
    return jester | {modality: f"paper, IsoGD {modality}"}


def _paper_top1(group: Group) -> dict[str, float]:
    return paper.top1(group.experiment.model.recurrent_layers)


def first_layer(group: Group) -> RecurrentCost | None:
    """The first recurrent layer of the video network."""
    experiment = group.experiment
    rows = [BlockCost(*row) for row in group.outcomes[0].result["cost"]]
    layers = recurrent_costs(experiment.model, experiment.data.input_spec().shape, rows)
    return layers[0] if layers else None
