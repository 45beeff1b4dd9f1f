"""What an evaluation leaves in its folder, and the tables that other reports share."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gesture3d.checkpoint import versions
from gesture3d.config import Experiment, dump_experiment
from gesture3d.evaluation.bootstrap import top1_interval
from gesture3d.evaluation.metrics import Metrics
from gesture3d.evaluation.predictions import SplitPredictions, write_predictions
from gesture3d.files import atomic_path, write_text
from gesture3d.text import csv_text, markdown, markdown_code

NAMES = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_class_accuracy": "mean class accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "calibration_error": "expected calibration error",
}


def evaluation_folder(
    weights: Path, split: str, data: str | None = None, changes: Sequence[str] = ()
) -> Path:
    """In the run's folder where the weights lie in one, else in the working folder.

    ``evaluation-<data>-<weights>-<split>-<changes>``, without the data set where it is the
    training's, and without the weights where they are a run's best: the run's own evaluation is
    what other commands compare and fuse, and no other takes its place.

    Args:
        changes: how samples are seen otherwise than in training, e.g. ``eval_clips=3``.
    """
    in_run = (weights.parent / "experiment.yaml").is_file()
    stem = "" if in_run and weights.name == "best.safetensors" else weights.stem
    changed = re.sub(r"[^\w.=-]+", "_", "-".join(changes))[:100]
    name = "-".join(filter(None, ("evaluation", data and Path(data).stem, stem, split, changed)))
    return weights.parent / name if in_run else Path(name)


def write_evaluation(
    folder: Path,
    weights: Path,
    experiment: Experiment,
    predictions: SplitPredictions,
    metrics: Metrics | None,
) -> Path:
    """Write ``predictions.csv`` and, where there are labels, ``metrics.json``, ``confusion.csv``,
    ``confusion.png`` and ``report.md``.

    Returns:
        The path of the predictions.
    """
    path = folder / "predictions.csv"
    write_predictions(path, predictions)
    if metrics is None:
        return path
    names = predictions.class_names
    write_text(folder / "metrics.json", _json(weights, predictions, metrics))
    write_text(folder / "confusion.csv", _confusion_csv(metrics, names))
    from gesture3d.viz.plots import plot_confusion

    with atomic_path(folder / "confusion.png") as temporary:
        plot_confusion(metrics.confusion_matrix, names).savefig(temporary, dpi=120)
    lines = [
        f"# {markdown(weights)}: {markdown(predictions.data)}, {predictions.split}",
        "",
        f"{_counted(predictions, metrics)}.",
        "",
        *markdown_table(["metric", "value"], summary_rows(predictions, metrics)),
        "## Class by class, worst first",
        "",
        "![confusion matrix](confusion.png)",
        "",
        *class_table(metrics, names),
        *experiment_section(experiment),
    ]
    write_text(folder / "report.md", "\n".join(lines) + "\n")
    return path


def summary(predictions: SplitPredictions, metrics: Metrics | None) -> str:
    """A few lines to print."""
    if metrics is None:
        count = len(predictions.keys)
        return f"{count} samples, none of them with a label: predictions only, no metrics"
    rows = [f"  {name:<28} {value}" for name, value in summary_rows(predictions, metrics)]
    return "\n".join([_counted(predictions, metrics), *rows])


def summary_rows(predictions: SplitPredictions, metrics: Metrics) -> list[list[str]]:
    """(name, value) of every metric."""
    values = metrics.all_scalars()
    rows = [[name, f"{100 * values[key]:.1f} %"] for key, name in NAMES.items()]
    low, high = _interval(predictions)
    rows[0][1] += f" (95 % interval {100 * low:.1f} to {100 * high:.1f})"
    return [*rows, ["loss", f"{metrics.loss:.4f}"]]


def class_table(metrics: Metrics, class_names: tuple[str, ...]) -> list[str]:
    """Lines of Markdown: a row a class, the least recalled first."""
    rows = zip(class_names, metrics.per_class(), strict=True)
    ordered = sorted(rows, key=lambda pair: (pair[1]["recall"], pair[0]))
    shares = ("precision", "recall", "f1")
    return markdown_table(
        ["class", "samples", "correct", "precision", "recall", "F1"],
        [
            [name, row["samples"], row["correct"], *(f"{row[share]:.1%}" for share in shares)]
            for name, row in ordered
        ],
    )


def experiment_section(experiment: Experiment) -> list[str]:
    """Lines of Markdown: what a result can be made from again."""
    return [
        "## Experiment",
        "",
        f"Versions: {', '.join(f'{k} {v}' for k, v in versions().items())}.",
        "",
        *markdown_code(dump_experiment(experiment).rstrip(), "yaml"),
    ]


def markdown_table(header: list[str], rows: list[list[Any]]) -> list[str]:
    """Lines of Markdown, with an empty one behind; nothing where there are no rows."""
    if not rows:
        return []
    cells = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(map(markdown, row))} |" for row in cells] + [""]


def _interval(predictions: SplitPredictions) -> tuple[float, float]:
    return top1_interval(predictions.correct[predictions.labels >= 0])


def _counted(predictions: SplitPredictions, metrics: Metrics) -> str:
    count, known = len(predictions.keys), int(metrics.samples.sum())
    text = f"{count} samples of {len(predictions.class_names)} classes"
    return text if count == known else f"{text}, {count - known} without a label are not counted"


def _json(weights: Path, predictions: SplitPredictions, metrics: Metrics) -> str:
    content = {
        "weights": str(weights),
        "data": predictions.data,
        "split": predictions.split,
        "num_samples": len(predictions.keys),
        "num_labelled": int(metrics.samples.sum()),
        **metrics.all_scalars(),
        "top1_interval": _interval(predictions),
        "classes": dict(zip(predictions.class_names, metrics.per_class(), strict=True)),
        "versions": versions(),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _confusion_csv(metrics: Metrics, class_names: tuple[str, ...]) -> str:
    rows = zip(class_names, metrics.confusion_matrix.tolist(), strict=True)
    return csv_text([["true \\ predicted", *class_names], *([name, *row] for name, row in rows)])
