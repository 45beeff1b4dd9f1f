"""The closing report of a run: what was trained, how it went, how good the best epoch is."""

from pathlib import Path
from typing import Any

from gesture3d.config import Experiment
from gesture3d.evaluation.metrics import Metrics
from gesture3d.evaluation.report import class_table, experiment_section, markdown_table
from gesture3d.files import atomic_path, write_text
from gesture3d.text import markdown
from gesture3d.training.run_log import RunLog
from gesture3d.viz.plots import plot_confusion, plot_curves


def write_report(
    log: RunLog,
    experiment: Experiment,
    class_names: tuple[str, ...],
    history: list[dict[str, Any]],
    best_epoch: int,
    metrics: Metrics | None,
    order_top1: dict[str, float],
    calibration: str,
    left_out: dict[str, str],
) -> Path:
    """Write ``report.md`` with its pictures into the run's folder.

    Args:
        metrics: of the kept epoch on the validation split; None where there is none.
        order_top1: top-1 (0..1) by order of the frames, see `gesture3d.evaluation.order`.
        calibration: what it did, in words; empty where there is none.
        left_out: clips that could not be decoded, with the reasons.
    """
    folder = log.folder
    figures = {"curves.png": plot_curves(history)}
    if metrics:
        figures["confusion.png"] = plot_confusion(metrics.confusion_matrix, class_names)
        log.writer.add_figure("confusion", figures["confusion.png"], best_epoch + 1)
    for name, figure in figures.items():
        with atomic_path(folder / name) as temporary:
            figure.savefig(temporary, dpi=120)
    seconds = sum(row["seconds"] for row in history)
    epochs = [row | {"epoch": row["epoch"] + 1} for row in history]
    lines = [
        f"# {markdown(folder.name)}",
        "",
        f"{_summary(len(history), best_epoch, experiment.train.keep, metrics)} "
        f"Training steps took {seconds:.0f} s.",
        "",
        *([f"Calibrated: {calibration}.", ""] if calibration else []),
        "![loss, top-1 and learning rate over the epochs](curves.png)",
        "",
        *(["## Does time matter?", ""] if order_top1 else []),
        *markdown_table(["frames", "top-1"], [[k, f"{v:.1%}"] for k, v in order_top1.items()]),
        *(_class_by_class(metrics, class_names) if metrics else []),
        *([f"## Left out: {len(left_out)} clips that cannot be decoded", ""] if left_out else []),
        *markdown_table(["clip", "reason"], [[key, why] for key, why in sorted(left_out.items())]),
        "## Epochs",
        "",
        *markdown_table(
            list(history[-1]), [[_short(row.get(k)) for k in history[-1]] for row in epochs]
        ),
        *experiment_section(experiment),
    ]
    write_text(folder / "report.md", "\n".join(lines) + "\n")
    return folder / "report.md"


def _summary(epochs: int, kept: int, keep: str, metrics: Metrics | None) -> str:
    if metrics is None:
        return f"Last of {epochs} epochs; no validation split."
    which = "Best of" if keep == "best" else "Last of"
    return (
        f"{which} {epochs} epochs on validation: epoch {kept + 1}, top-1 **{metrics.top1:.1%}**, "
        f"top-5 {metrics.top5:.1%}, mean class accuracy {metrics.mean_class_accuracy:.1%}, "
        f"macro F1 {metrics.macro_f1:.1%}, loss {metrics.loss:.3f}, "
        f"{int(metrics.confusion_matrix.sum())} samples."
    )


def _class_by_class(metrics: Metrics, class_names: tuple[str, ...]) -> list[str]:
    return [
        "## Validation, class by class",
        "",
        "![confusion matrix](confusion.png)",
        "",
        *class_table(metrics, class_names),
    ]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
