"""Cross-validation: one run a fold and seed, each tested once on its held-out part; one report."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gesture3d.config import Experiment, dump_experiment, with_overrides
from gesture3d.data import count_folds
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.evaluate import evaluate_checkpoint
from gesture3d.files import write_text
from gesture3d.training.run import train


def folds_overrides(folds: str) -> list[str]:
    """``official``, ``leave_one_group_out`` or a number k (k folds of whole groups) as settings."""
    if folds.isdigit():
        return ["data.folds=k_fold", f"data.num_folds={folds}"]
    return [f"data.folds={folds}"]


def cross_validate(
    experiment: Experiment, folder: Path, seeds: Sequence[int], *, progress: bool = True
) -> Path:
    """Train and test every fold with every seed; the test part of a fold is touched once.

    Runs lie in ``folder/fold-<n>-seed-<n>``. Called again with the same experiment and folder, it
    continues where it stopped.

    Returns:
        The path of the report.

    Raises:
        Gesture3dError: the data set has no folds, or the folder holds another experiment.
    """
    num_folds = count_folds(experiment.data)
    _begin(experiment, folder)
    top1 = np.full((len(seeds), num_folds), np.nan)
    for row, seed in enumerate(seeds):
        for fold in range(1, num_folds + 1):
            run = folder / f"fold-{fold}-seed-{seed}"
            result = run / "test.json"
            if not result.is_file():
                settings = [f"data.fold={fold}", f"train.seed={seed}"]
                resume = (run / "last.ckpt").is_file()
                weights = train(
                    with_overrides(experiment, settings), run, resume=resume, progress=progress
                )
                _, metrics = evaluate_checkpoint(weights, "test", progress=progress)
                write_text(result, json.dumps(metrics.scalars()) + "\n")
            top1[row, fold - 1] = json.loads(result.read_text(encoding="utf-8"))["top1"]
            print(f"seed {seed}, fold {fold} of {num_folds}: test top-1 {top1[row, fold - 1]:.1%}")
    report = folder / "report.md"
    write_text(report, _report(experiment, folder.name, seeds, top1))
    print(f"test top-1 {summary(top1)}; report: {report}")
    return report


def summary(top1: np.ndarray) -> str:
    """Mean over all runs ± standard deviation over seeds, and over folds.

    Args:
        top1: (seeds, folds), shares 0..1. Folds count alike, whatever their size.
    """
    text = f"{100 * top1.mean():.1f} %"
    for axis, name in ((1, "seeds"), (0, "folds")):
        means = top1.mean(axis=axis)
        if len(means) > 1:
            text += f" ± {100 * means.std(ddof=1):.1f} over {len(means)} {name}"
    return text


def _begin(experiment: Experiment, folder: Path) -> None:
    path, text = folder / "experiment.yaml", dump_experiment(experiment)
    if not folder.exists():
        write_text(path, text)
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        raise Gesture3dError(f"{folder} exists and is of another experiment; choose another --name")


def _report(experiment: Experiment, name: str, seeds: Sequence[int], top1: np.ndarray) -> str:
    folds = range(1, top1.shape[1] + 1)
    lines = [
        f"# {name}",
        "",
        f"Top-1 on the held-out part of each fold: **{summary(top1)}**.",
        f"Folds: {experiment.data.folds}. Each held-out part was used once, with the weights of",
        f"the {experiment.train.keep} epoch.",
        "",
        "| seed | " + " | ".join(f"fold {n}" for n in folds) + " | mean |",
        "|" + " --- |" * (len(folds) + 2),
        *(
            f"| {seed} | " + " | ".join(f"{100 * v:.1f}" for v in [*row, row.mean()]) + " |"
            for seed, row in zip(seeds, top1, strict=True)
        ),
        "",
        "```yaml",
        dump_experiment(experiment).rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"
