"""Cross-validation: one run a fold and seed, each tested once on its held-out part; one report."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, TypeAdapter

from gesture3d.config import dump_experiment, load_experiment
from gesture3d.data import count_folds
from gesture3d.errors import Gesture3dError
from gesture3d.files import write_text
from gesture3d.stored import Share, parse_json
from gesture3d.studies.runner import PlannedRun
from gesture3d.text import markdown, markdown_code


def plan_folds(
    network: str,
    data: str,
    folds: str,
    seeds: Sequence[int],
    overrides: Sequence[str],
    init: Path | None = None,
) -> list[PlannedRun]:
    """Every fold with every seed, all folds before the next seed.

    Args:
        folds: ``official``, ``leave_one_group_out``, a number k (k folds of whole groups), or
            ``""`` for what the recipe has.
        init: weights that every run starts from; those that have learnt from the same samples
            would know what is held out. The runs' names have theirs.

    Raises:
        Gesture3dError: the data set has no folds, a seed twice, a wrong setting.
    """
    doubles = sorted({seed for seed in seeds if list(seeds).count(seed) > 1})
    if doubles:
        raise Gesture3dError(f"--seeds: given twice: {', '.join(map(str, doubles))}")
    chosen = [f"data.folds={folds}"] if folds else []
    if folds.isdigit():
        chosen = ["data.folds=k_fold", f"data.num_folds={folds}"]
    common = [*overrides, *chosen]
    num_folds = count_folds(load_experiment(network, data, common).data)
    runs = []
    for seed in seeds:
        for fold in range(1, num_folds + 1):
            settings = (*common, f"data.fold={fold}", f"train.seed={seed}")
            experiment = load_experiment(network, data, list(settings))
            name = f"fold-{fold}-seed-{seed}" + (f"-from-{init.stem}" if init else "")
            runs.append(PlannedRun(name, network, data, seed, settings, experiment, init))
    return runs


def report_folds(runs: Sequence[PlannedRun], folder: Path) -> tuple[Path, str]:
    """Write ``folder/report.md`` of finished runs as `plan_folds` planned them.

    Returns:
        Its path and the summary.
    """
    seeds = list(dict.fromkeys(run.seed for run in runs))
    files = (folder / run.name / "evaluation-test" / "metrics.json" for run in runs)
    found = [_top1(path) for path in files]
    top1 = np.array(found).reshape(len(seeds), -1)
    path, said = folder / "report.md", summary(top1)
    experiment, started = runs[0].experiment, runs[0].init and markdown(str(runs[0].init))
    lines = [
        f"# {markdown(folder.name)}",
        "",
        f"Top-1 on the held-out part of each fold: **{said}**.",
        f"Folds: {experiment.data.folds}. Each held-out part was used once, with the weights of",
        f"the {experiment.train.keep} epoch." + (f" All began with {started}." if started else ""),
        "",
        "| seed | " + " | ".join(f"fold {n}" for n in range(1, top1.shape[1] + 1)) + " | mean |",
        "|" + " --- |" * (top1.shape[1] + 2),
        *(
            f"| {seed} | " + " | ".join(f"{100 * v:.1f}" for v in [*row, row.mean()]) + " |"
            for seed, row in zip(seeds, top1, strict=True)
        ),
        "",
        "The first run's settings; the others differ in fold and seed.",
        "",
        *markdown_code(dump_experiment(experiment).rstrip(), "yaml"),
    ]
    write_text(path, "\n".join(lines) + "\n")
    return path, said


class _Metrics(BaseModel):
    """What is read of an evaluation's metrics.json."""

    top1: Share


_METRICS = TypeAdapter(_Metrics)


def _top1(path: Path) -> float:
    try:
        return parse_json(path.read_bytes(), _METRICS).top1
    except (OSError, ValueError) as error:
        raise Gesture3dError(
            f"{path}: broken ({error}); remove its folder and give the same command again"
        ) from None


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
