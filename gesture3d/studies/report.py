"""What an ablation writes: ablation.md, ablation.csv and ablation.html, every word computed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gesture3d import paper
from gesture3d.evaluation.report import markdown_table
from gesture3d.files import atomic_path, write_text
from gesture3d.studies.runs import Outcome, Section, group_by_network, make_sections
from gesture3d.studies.tables import (
    accuracy_table,
    corruptions_table,
    cost_table,
    counted,
    events_table,
    failure_table,
    first_layer,
    has_order,
    mean_top1,
    modality_table,
    pairs_table,
    span,
    total_cost,
)
from gesture3d.text import csv_text, markdown


def write_report(outcomes: Sequence[Outcome], folder: Path, notes: Sequence[str] = ()) -> Path:
    """Write the three files, and a picture of corruptions where they were measured.

    Args:
        notes: further sentences for the end, such as settings that were left out.

    Returns:
        The path of the Markdown file.

    Raises:
        Gesture3dError: the runs are not of the same samples.
    """
    from gesture3d.studies.page import html_page

    sections = make_sections(group_by_network(outcomes))
    title, facts = f"Ablation: {folder.name}", describe(sections, outcomes)
    kinds = (accuracy_table, events_table, corruptions_table, pairs_table, cost_table)
    tables = [kind(section) for section in sections for kind in kinds]
    tables = [modality_table(sections), *tables, failure_table(outcomes)]
    tables = [table for table in tables if table.rows]
    closing = [*method(sections, outcomes), *notes]
    lines = [f"# {markdown(title)}", ""]
    for paragraph in facts:
        lines += [markdown(paragraph), ""]
    for table in tables:
        lines += [f"## {markdown(table.title)}", "", *markdown_table(table.header, table.rows)]
        lines += [line for note in table.notes for line in (markdown(note), "")]
    lines += ["## How to read this", "", *(f"- {markdown(note)}" for note in closing)]
    write_text(folder / "ablation.md", "\n".join(lines) + "\n")
    write_text(folder / "ablation.csv", runs_csv(outcomes))
    write_text(folder / "ablation.html", html_page(title, facts, sections, tables, closing))
    measured = {
        f"{section.data}: {group.network}": [o.corruptions for o in group.outcomes]
        for section in sections
        for group in section.groups
        if all(o.corruptions for o in group.outcomes)
    }
    if measured:
        from gesture3d.viz.plots import plot_corruptions

        if len(sections) == 1:
            measured = {name.partition(": ")[2]: found for name, found in measured.items()}
        with atomic_path(folder / "ablation-corruptions.png") as temporary:
            plot_corruptions(measured).savefig(temporary, dpi=120)
    return folder / "ablation.md"


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
            row |= dict(zip(("parameters", "multiply_adds"), total_cost(o)[1:], strict=True))
            for key in ("train_seconds", "train_clips_per_second", "inference_clips_per_second"):
                row[key] = round(o.result[key], 3)
            for key in ("peak_memory", "peak_gpu_memory", "device", "num_processes"):
                row[key] = o.result[key]
            row["version"] = o.result["versions"]["gesture3d"]
        rows.append(row)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return csv_text([columns, *([row.get(key, "") for key in columns] for row in rows)])


# --- text ----------------------------------------------------------------------------------------


def describe(sections: Sequence[Section], outcomes: Sequence[Outcome]) -> list[str]:
    """A paragraph of facts on each data set, and one on the cost of the layers."""
    finished = sum(not o.error for o in outcomes)
    text = [f"{finished} of {counted(len(outcomes), 'run')} finished."]
    text += [" ".join([*_accuracy_facts(s), *_order_and_speed_facts(s)]) for s in sections]
    return text + [fact for section in sections for fact in _layer_facts(section)][:1]


def _accuracy_facts(section: Section) -> list[str]:
    groups, split = section.groups, section.split
    means = [group.correct(split).mean() for group in groups]
    best = [group for group, mean in zip(groups, means, strict=True) if mean == max(means)]
    count = best[0].correct(split).shape[1]
    seeds = sorted({len(group.outcomes) for group in groups})
    text = [
        f"{section.data}, {split} split ({count} samples; runs a network: "
        f"{', '.join(map(str, seeds))}): the highest mean top-1 is that of "
        f"{' and '.join(group.network for group in best)}, {mean_top1(best[0], split)} %."
    ]
    if not section.pairs:
        return text
    claims = []
    for pair in (p for p in section.pairs if p.is_significant):
        upper, lower = (pair.a, pair.b) if pair.difference.difference > 0 else (pair.b, pair.a)
        points = 100 * abs(pair.difference.difference)
        claims.append(f"{upper.network} above {lower.network} by {points:.1f} points")
    number = counted(len(section.pairs), "pair")
    if len(claims) > 6:
        return [*text, f"Significant at 95 %: {len(claims)} of {number}, see the table."]
    if not claims:
        return [*text, f"No difference is significant at 95 % (of {number})."]
    return [*text, f"Significant at 95 % ({len(claims)} of {number}): {'; '.join(claims)}."]


def _order_and_speed_facts(section: Section) -> list[str]:
    text = []
    with_order = [g for g in section.groups if has_order(g)]
    if with_order:
        real, shuffled = (
            [100 * np.mean([o.result["order_top1"][k] for o in g.outcomes]) for g in with_order]
            for k in ("real order", "shuffled frames")
        )
        text.append(
            f"With shuffled frames, validation top-1 is {span(shuffled)} % instead of "
            f"{span(real)} %."
        )
    speeds = {g.network: np.mean(g.values("train_clips_per_second")) for g in section.groups}
    slow, fast = min(speeds, key=speeds.get), max(speeds, key=speeds.get)
    if slow != fast:
        text.append(
            f"Training was fastest with {fast} ({speeds[fast]:.4g} clips/s) and slowest with "
            f"{slow} ({speeds[slow]:.4g} clips/s)."
        )
    return text


def _layer_facts(section: Section) -> list[str]:
    layers = {layer.variant: layer for layer in map(first_layer, section.groups) if layer}
    if paper.ORIGINAL not in layers or len(layers) == 1:
        return []
    original = layers.pop(paper.ORIGINAL)
    parts = [
        f"{original.parameters / layer.parameters:.1f} times the parameters and "
        f"{original.multiply_adds / layer.multiply_adds:.1f} times the multiply-adds of ({variant})"
        for variant, layer in layers.items()
    ]
    return [f"The original's first recurrent layer has {', '.join(parts)}."]


def method(sections: Sequence[Section], outcomes: Sequence[Outcome]) -> list[str]:
    """How the numbers came about."""
    finished = [o for o in outcomes if not o.error]
    text = [
        "All networks of one data recipe are trained with the same settings and seeds; a network "
        "without one of them (such as width) goes without.",
    ]
    keeps = {o.run.experiment.train.keep for o in finished}
    on_test = any(o.run.experiment.data.validate_on_test for o in finished)
    if "best" in keeps:
        flattered = (
            "and validation was the test split (data.validate_on_test), so both flatter."
            if on_test
            else "so validation numbers flatter; the test split chose nothing."
        )
        text.append(f"The kept epoch is the one with the highest top-1 on validation, {flattered}")
    if "last" in keeps:
        text.append("train.keep=last: the last epoch is evaluated, none is chosen.")
    text += [
        "Intervals and p-values: of several runs a network, Welch's t with the variance of samples "
        "(in pairs) and of runs; of one, a bootstrap over the samples in pairs, which says nothing "
        "about other seeds (see gesture3d/evaluation/bootstrap.py). Samples count as independent; "
        "where several come from one person, the true uncertainty is larger. Where all are right, "
        "or none, an interval is one point, which says too little.",
        "Significant: p below 0.05 after Holm's correction for all pairs on that data.",
        "Inference speed: the network alone, fp32, batches as in evaluation. Peak memory: of the "
        "main training process, shared file cache included. Runs side by side slow each other.",
    ]
    machines = {(o.result["device"], o.result["num_processes"]) for o in finished}
    text += [f"Trained on {d}, {counted(n, 'process')} a run." for d, n in sorted(machines)]
    revisions = sorted({o.result["versions"]["gesture3d"] for o in finished})
    text += [f"Revision of the code: {', '.join(revisions)}."] if revisions else []
    return text
