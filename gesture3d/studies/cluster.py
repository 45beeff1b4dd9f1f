"""Many runs on a Ray cluster: one a GPU (or a CPU) anywhere; its machines share their folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from gesture3d.config import load_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.studies.runner import PlannedRun, Runner, is_finished
from gesture3d.work import spread


@dataclass(frozen=True)
class _Task:
    """A run that is handed out."""

    block: int
    run: PlannedRun
    errors: dict[str, str] = field(repr=False)

    def question(self) -> list:
        run = self.run
        init = run.init and str(run.init.resolve())
        settings, corruptions = list(run.overrides), list(run.corruptions)
        return [run.name, run.network, run.data, run.seed, settings, init, corruptions]

    def finish(self, error: str | None, started: float, ended: float) -> tuple[int, int]:
        if error:
            self.errors[self.run.name] = error
        return 1, int(error is not None)


def run_on_ray(
    runs: Sequence[PlannedRun], folder: Path, tools: Path, address: str, gpu: bool | None = None
) -> dict[str, str]:
    """Bring all runs to their end, as `Runner.run`; a run whose machine is lost goes on elsewhere.

    Args:
        address: as of `spread.on_ray`.
        gpu: one GPU a run; None: where the cluster has any.

    Returns:
        What went wrong, by the name of the run.
    """
    errors: dict[str, str] = {}
    unfinished = []
    for run in runs:
        try:
            if not is_finished(run, folder):
                unfinished.append(run)
        except Gesture3dError as error:
            errors[run.name] = str(error)
    tasks = [_Task(number, run, errors) for number, run in enumerate(unfinished)]
    how = {"folder": str(folder.resolve()), "tools": str(tools), "here": str(Path.cwd())}
    done = spread.on_ray(spread.Job(__name__, "open_worker", how), tasks, address, gpu=gpu)
    for one in tqdm(done, total=len(tasks), unit="run", disable=None):
        if one.lost:
            number, _, why = one.lost.removeprefix("block ").partition(": ")
            errors[unfinished[int(number)].name] = f"lost in the cluster, several times: {why}"
    return errors


def open_worker(how: dict[str, str]) -> Callable[[list], str | None]:
    """In the cluster: brings one run to its end; returns what went wrong."""
    os.chdir(how["here"])

    def work(question: list) -> str | None:
        name, network, data, seed, overrides, init, corruptions = question
        experiment = load_experiment(network, data, overrides)
        run = PlannedRun(
            name,
            network,
            data,
            seed,
            tuple(overrides),
            experiment,
            init and Path(init),
            tuple(corruptions),
        )
        runner = Runner(Path(how["folder"]), Path(how["tools"]))
        return runner.run_unlocked([run]).get(name)

    return work
