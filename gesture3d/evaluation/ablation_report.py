"""The tables and the text of an ablation, and its files ablation.md, ablation.csv, ablation.html."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gesture3d.config import GestureNetConfig, VideoData
from gesture3d.cost import BlockCost, RecurrentCost, recurrent_costs
from gesture3d.evaluation.ablation import (
    Group,
    Outcome,
    Pair,
    compare,
    compared_split,
    group_by_network,
)
from gesture3d.evaluation.report import markdown_table
from gesture3d.files import write_text

# Top-1 (%) that Zhang et al. print, by the variants of the two recurrent layers: table 1 (Jester,
# IsoGD's RGB) and table 2 (IsoGD's depth and flow), all on validation splits.
PAPER_TOP1 = {
    ("convlstm", "convlstm"): {"jester": 95.11, "rgb": 52.01, "depth": 51.30, "flow": 45.59},
    ("a", "a"): {"jester": 95.12, "rgb": 55.98, "depth": 53.28, "flow": 46.51},
    ("b", "a"): {"jester": 94.18, "rgb": 43.93},
    ("c", "a"): {"jester": 95.13, "rgb": 53.27},
    ("d", "a"): {"jester": 95.10, "rgb": 54.11},
}
# Its "Parameter Size" and "Mult-Adds" of a layer of 256 channels on 28×28 maps.
PAPER_COST = {
    "convlstm": ("4.719M", "3700M"),
    "a": ("0.529M", "415M"),
    "b": ("0.667M", "522M"),
    "c": ("0.601M", "472M"),
    "d": ("0.601M", "472M"),
}


@dataclass(frozen=True)
class Table:
    """Cells are text; ``notes`` are sentences below."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


@dataclass(frozen=True)
class Section:
    """What is shown of one data recipe."""

    data: str
    split: str  # the one that is compared
    groups: list[Group]
    pairs: list[Pair]


def write_report(outcomes: Sequence[Outcome], folder: Path, notes: Sequence[str] = ()) -> Path:
    """Write the three files.

    Args:
        notes: further sentences for the end, such as settings that were left out.

    Returns:
        The path of the Markdown file.

    Raises:
        Gesture3dError: the runs are not of the same samples.
    """
    from gesture3d.viz.ablation_page import html_page

    sections = make_sections(group_by_network(outcomes))
    title, facts = f"Ablation: {folder.name}", describe(sections, outcomes)
    tables = [t for s in sections for t in (accuracy_table(s), pairs_table(s), cost_table(s))]
    tables = [modality_table(sections), *tables, failure_table(outcomes)]
    tables = [table for table in tables if table.rows]
    closing = [*method(sections, outcomes), *notes]
    lines = [f"# {title}", ""]
    for paragraph in facts:
        lines += [paragraph, ""]
    for table in tables:
        lines += [f"## {table.title}", "", *markdown_table(table.header, table.rows)]
        lines += [line for note in table.notes for line in (note, "")]
    lines += ["## How to read this", "", *(f"- {note}" for note in closing)]
    write_text(folder / "ablation.md", "\n".join(lines) + "\n")
    write_text(folder / "ablation.csv", runs_csv(outcomes))
    write_text(folder / "ablation.html", html_page(title, facts, sections, tables, closing))
    return folder / "ablation.md"


def make_sections(groups: Sequence[Group]) -> list[Section]:
    sections = []
    for data in dict.fromkeys(group.data for group in groups):
        members = [group for group in groups if group.data == data]
        split = compared_split(members)
        sections.append(Section(data, split, members, compare(members, split)))
    return sections


# --- tables --------------------------------------------------------------------------------------


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
        paper = _paper_top1(group)
        rows.append(
            [
                group.network + mark,
                *(_with_seeds([o.top1(split) for o in group.outcomes]) for split in splits),
                f"{100 * low:.1f} to {100 * high:.1f}",
                _shuffled(group),
                *(f"{paper[key]:.2f}" if key in paper else "–" for key in columns),
            ]
        )
    notes = ["In %: mean ± standard deviation over seeds (each seed's value)."]
    if len(section.groups) > 1:
        notes.append("† Highest mean, or not significantly below it.")
    if columns:
        notes.append("The paper's numbers are of other data and full-size networks.")
    return Table(f"Accuracy: {section.data}", header, rows, notes)


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
        f"by itself; p is corrected for {_count(len(rows), 'comparison')} (Holm)."
    ]
    return Table(f"Differences: {section.data}", header, rows, notes)


def cost_table(section: Section) -> Table:
    """Size and speed; of the video network also the first recurrent layer, both ways of counting."""
    has_layers = any(_layer(group) for group in section.groups)
    header = ["network", "parameters", "multiply-adds a sample"]
    if has_layers:
        header += ["layer: parameters", "layer: M multiply-adds a step", "… as the paper counts"]
        header += ["paper's layer: parameters", "paper's layer: Mult-Adds"]
    header += ["training clips/s", "inference clips/s", "peak memory, MB"]
    rows = []
    for group in section.groups:
        _, parameters, multiply_adds = _total(group.outcomes[0])
        layer, cells = _layer(group), []
        if layer:
            cells = [f"{layer.parameters:,}", f"{layer.multiply_adds / 1e6:.4g}"]
            cells += [f"{layer.paper_multiply_adds / 1e6:.4g}", *PAPER_COST[layer.variant]]
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
    if has_layers:
        notes.append(
            "Layer: the first recurrent one, parameters without biases. The paper charges its "
            "pooled gates at every pixel; its own columns are of 256 channels on 28×28 maps."
        )
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
        shown = [f"{_mean(c[0], c[1].split)}" if c else "–" for c in cells]
        paper = _paper_top1(next(c[0] for c in cells if c))
        shown += [f"{paper[m]:.2f}" if m in paper else "–" for m in modalities]
        rows.append([network, *shown])
    header = ["network", *(f"{s.data}, {s.split}" for s in sections)]
    header += [f"paper, IsoGD {modality}" for modality in modalities]
    notes = ["Top-1 in %, mean ± standard deviation over seeds."]
    return Table("Accuracy by data", header, rows, notes)


def failure_table(outcomes: Sequence[Outcome]) -> Table:
    rows = [[o.run.name, " ".join(o.error.replace("|", "/").split())] for o in outcomes if o.error]
    return Table("Runs without a result", ["run", "why"], rows, [])


def runs_csv(outcomes: Sequence[Outcome]) -> str:
    """One row a run; shares are 0..1, memory in bytes."""
    rows = []
    for o in outcomes:
        row = {"network": Path(o.run.network).stem, "data": Path(o.run.data).stem}
        row |= {"seed": o.run.seed, "error": o.error or ""}
        if not o.error:
            order = o.result["order_top1"]
            row |= {f"{split}_top1": o.top1(split) for split in ("validation", "test")}
            row |= {"shuffled_top1": order.get("shuffled frames")}
            row |= {key: o.result[key] for key in ("kept_epoch", "epochs")}
            row |= dict(zip(("parameters", "multiply_adds"), _total(o)[1:], strict=True))
            for key in ("train_seconds", "train_clips_per_second", "inference_clips_per_second"):
                row[key] = round(o.result[key], 3)
            for key in ("peak_memory", "peak_gpu_memory", "device", "num_processes"):
                row[key] = o.result[key]
            row["version"] = o.result["versions"]["gesture3d"]
        rows.append(row)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


# --- text ----------------------------------------------------------------------------------------


def describe(sections: Sequence[Section], outcomes: Sequence[Outcome]) -> list[str]:
    """Two paragraphs of facts: what differs in accuracy, and what in order of frames and cost."""
    finished = sum(not o.error for o in outcomes)
    text = [f"{finished} of {_count(len(outcomes), 'run')} finished."]
    text += [sentence for section in sections for sentence in _accuracy_facts(section)]
    more = [sentence for section in sections for sentence in _other_facts(section)]
    return [" ".join(text), *([" ".join(more)] if more else [])]


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


def _accuracy_facts(section: Section) -> list[str]:
    groups, split = section.groups, section.split
    best = max(groups, key=lambda group: group.correct(split).mean())
    count = best.correct(split).shape[1]
    seeds = sorted({len(group.outcomes) for group in groups})
    text = [
        f"{section.data}, {split} split ({count} samples; runs a network: "
        f"{', '.join(map(str, seeds))}): the highest mean top-1 is that of {best.network}, "
        f"{_mean(best, split)} %."
    ]
    if not section.pairs:
        return text
    claims = []
    for pair in (p for p in section.pairs if p.is_significant):
        upper, lower = (pair.a, pair.b) if pair.difference.difference > 0 else (pair.b, pair.a)
        points = 100 * abs(pair.difference.difference)
        claims.append(f"{upper.network} above {lower.network} by {points:.1f} points")
    number = _count(len(section.pairs), "pair")
    if not claims:
        return [*text, f"No difference is significant at 95 % (of {number})."]
    return [*text, f"Significant at 95 % ({len(claims)} of {number}): {'; '.join(claims)}."]


def _other_facts(section: Section) -> list[str]:
    text = []
    with_order = [g for g in section.groups if _all_shuffled(g)]
    if with_order:
        real, shuffled = (
            [100 * np.mean([o.result["order_top1"][k] for o in g.outcomes]) for g in with_order]
            for k in ("real order", "shuffled frames")
        )
        text.append(
            f"{section.data}: with shuffled frames, validation top-1 is {_span(shuffled)} % "
            f"instead of {_span(real)} %."
        )
    layers = {layer.variant: layer for layer in map(_layer, section.groups) if layer}
    if "convlstm" in layers and len(layers) > 1:
        original = layers.pop("convlstm")
        parts = [
            f"({v}) {original.parameters / layer.parameters:.1f} times fewer parameters and "
            f"{original.multiply_adds / layer.multiply_adds:.1f} times fewer multiply-adds a step"
            for v, layer in layers.items()
        ]
        text.append(f"Against the original's, the first recurrent layer has {'; '.join(parts)}.")
    speeds = {g.network: np.mean(g.values("train_clips_per_second")) for g in section.groups}
    if len(speeds) > 1:
        slow, fast = min(speeds, key=speeds.get), max(speeds, key=speeds.get)
        text.append(
            f"Training was fastest with {fast} ({speeds[fast]:.0f} clips/s) and slowest with "
            f"{slow} ({speeds[slow]:.0f} clips/s)."
        )
    return text


def method(sections: Sequence[Section], outcomes: Sequence[Outcome]) -> list[str]:
    """How the numbers came about."""
    finished = [o for o in outcomes if not o.error]
    text = [
        "All networks of one data recipe are trained with the same settings and seeds; a network "
        "without one of them (such as width) goes without.",
    ]
    keeps = {o.run.experiment.train.keep for o in finished}
    if "best" in keeps:
        text.append(
            "The kept epoch is the one with the highest top-1 on validation, so validation "
            "numbers flatter; the test split chose nothing."
        )
    if "last" in keeps:
        text.append("train.keep=last: the last epoch is evaluated, none is chosen.")
    text += [
        "Intervals and p-values: bootstrap over samples in pairs and, of several runs, over runs "
        "(10,000 resamples, see gesture3d/evaluation/bootstrap.py). Samples count as independent; "
        "where several come from one person, the true uncertainty is larger. With a single run a "
        "network, nothing is said about other seeds.",
        "Significant: p below 0.05 after Holm's correction for all pairs on that data.",
        "Inference speed: the network alone, fp32, batches as in evaluation. Peak memory: of the "
        "main training process, shared file cache included. Runs side by side slow each other.",
    ]
    machines = {(o.result["device"], o.result["num_processes"]) for o in finished}
    text += [f"Trained on {d}, {_count(n, 'process')} a run." for d, n in sorted(machines)]
    revisions = sorted({o.result["versions"]["gesture3d"] for o in finished})
    text += [f"Revision of the code: {', '.join(revisions)}."] if revisions else []
    return text


# --- small parts ---------------------------------------------------------------------------------


def _with_seeds(values: Sequence[float]) -> str:
    percents = [100 * value for value in values]
    if len(percents) == 1:
        return f"{percents[0]:.1f}"
    return f"{_plus_minus(percents)} ({', '.join(f'{p:.1f}' for p in percents)})"


def _mean(group: Group, split: str) -> str:
    return _plus_minus([100 * o.top1(split) for o in group.outcomes])


def _plus_minus(values: Sequence[float]) -> str:
    deviation = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{deviation}"


def _range(values: Sequence[float | None]) -> str:
    if None in values:
        return "–"
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return low if low == high else f"{low} to {high}"


def _span(percents: Sequence[float]) -> str:
    low, high = f"{min(percents):.1f}", f"{max(percents):.1f}"
    return low if low == high else f"{low} to {high}"


def _count(number: int, what: str) -> str:
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{number} {what if number == 1 else plural}"


def _shuffled(group: Group) -> str:
    if not _all_shuffled(group):
        return "–"
    return _plus_minus([100 * o.result["order_top1"]["shuffled frames"] for o in group.outcomes])


def _all_shuffled(group: Group) -> bool:
    return all("shuffled frames" in o.result["order_top1"] for o in group.outcomes)


def _all_have(groups: Sequence[Group], split: str) -> bool:
    return all(o.top1(split) is not None for group in groups for o in group.outcomes)


def _total(outcome: Outcome) -> list:
    return outcome.result["cost"][-1]


def _modality(group: Group) -> str | None:
    data = group.experiment.data
    return data.modality if isinstance(data, VideoData) else None


def _paper_columns(modality: str | None) -> dict[str, str]:
    if modality is None:
        return {}
    jester = {"jester": "paper, Jester"} if modality == "rgb" else {}
    return jester | {modality: f"paper, IsoGD {modality}"}


def _paper_top1(group: Group) -> dict[str, float]:
    return PAPER_TOP1.get(getattr(group.experiment.model, "variants", None), {})


def _layer(group: Group) -> RecurrentCost | None:
    """The first recurrent layer of the video network."""
    experiment = group.experiment
    if not isinstance(experiment.model, GestureNetConfig):
        return None
    data = experiment.data
    rows = [BlockCost(*row) for row in group.outcomes[0].result["cost"]]
    return recurrent_costs(experiment.model, (data.num_frames, data.size, data.size), rows)[0]
