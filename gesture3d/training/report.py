"""The closing report of a run: what was trained, how it went, how good the best epoch is."""

from pathlib import Path
from typing import Any

from gesture3d.checkpoint import versions
from gesture3d.config import Experiment, dump_experiment
from gesture3d.evaluation.metrics import Metrics
from gesture3d.files import atomic_path, write_text
from gesture3d.training.run_log import RunLog
from gesture3d.viz.plots import plot_confusion, plot_curves


def write_report(
    log: RunLog,
    experiment: Experiment,
    class_names: tuple[str, ...],
    history: list[dict[str, Any]],
    best_epoch: int,
    metrics: Metrics,
    order_top1: dict[str, float],
) -> Path:
    """Write ``report.md`` with its pictures into the run's folder.

    Args:
        metrics: of the best epoch on the validation split.
        order_top1: top-1 (0..1) by order of the frames, see `gesture3d.evaluation.order`.
    """
    folder = log.folder
    confusion = plot_confusion(metrics.confusion_matrix, class_names)
    for name, figure in (("curves.png", plot_curves(history)), ("confusion.png", confusion)):
        with atomic_path(folder / name) as temporary:
            figure.savefig(temporary, dpi=120)
    log.writer.add_figure("confusion", confusion, best_epoch + 1)
    matrix = metrics.confusion_matrix
    per_class = sorted(
        (matrix[i, i] / max(matrix[i].sum(), 1), name, int(matrix[i].sum()))
        for i, name in enumerate(class_names)
    )
    seconds = sum(row["seconds"] for row in history)
    lines = [
        f"# {folder.name}",
        "",
        f"Best of {len(history)} epochs on validation: epoch {best_epoch + 1}, "
        f"top-1 **{metrics.top1:.1%}**, top-5 {metrics.top5:.1%}, loss {metrics.loss:.3f}, "
        f"{int(matrix.sum())} samples. Training steps took {seconds:.0f} s.",
        "",
        "![loss, top-1 and learning rate over the epochs](curves.png)",
        "",
        *(["## Does time matter?", ""] if order_top1 else []),
        *_table(["frames", "top-1"], [[k, f"{v:.1%}"] for k, v in order_top1.items()]),
        "## Validation, class by class",
        "",
        "![confusion matrix](confusion.png)",
        "",
        *_table(["class", "samples", "correct"], [[n, c, f"{a:.0%}"] for a, n, c in per_class]),
        "## Epochs",
        "",
        *_table(list(history[-1]), [[_short(row.get(k)) for k in history[-1]] for row in history]),
        "## Experiment",
        "",
        f"Versions: {', '.join(f'{k} {v}' for k, v in versions().items())}.",
        "",
        "```yaml",
        dump_experiment(experiment).rstrip(),
        "```",
    ]
    write_text(folder / "report.md", "\n".join(lines) + "\n")
    return folder / "report.md"


def _table(header: list[str], rows: list[list[Any]]) -> list[str]:
    if not rows:
        return []
    cells = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(str(c) for c in row)} |" for row in cells] + [""]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
