"""Many runs from one command: each a subprocess, finished ones reused, interrupted ones resumed."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gesture3d.config import Experiment, read_settings, validate_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.corruptions import read_corruptions
from gesture3d.files import locked
from gesture3d.machine import num_cores, total_memory
from gesture3d.studies.cores import Cores
from gesture3d.training.result import read_result
from gesture3d.training.stopping import on_stop_signals

CORRUPTIONS = Path("evaluation-validation", "corruptions.json")  # in a run's folder
MEMORY_OF_A_RUN = 4 << 30  # bytes; the generated set's recipe reaches 2.3 GB


@dataclass(frozen=True)
class PlannedRun:
    """One network trained once: what ``tools/train.py`` gets, and what that comes to."""

    name: str  # of its folder
    network: str  # --cfg
    data: str  # --data
    seed: int
    overrides: tuple[str, ...]  # --set
    experiment: Experiment
    init: Path | None = None  # --init
    corruptions: tuple[str, ...] = ()  # what happens to its validation clips afterwards


class Stopped(Exception):
    """The runs were asked to stop and have been saved."""


def choose_jobs(wanted: int | None, overrides: Sequence[str]) -> tuple[int, list[str]]:
    """How many runs go side by side, and their GPUs as CUDA_VISIBLE_DEVICES names them.

    As wanted; None: one a GPU, on a CPU one a core where each has ``MEMORY_OF_A_RUN``.

    Raises:
        Gesture3dError: fewer than one job, or more than there are GPUs.
    """
    import torch

    if wanted is not None and wanted < 1:
        raise Gesture3dError(f"--jobs {wanted}: at least 1")
    if "train.device=cpu" in overrides or not torch.cuda.is_available():
        fitting = max(1, min(num_cores(), total_memory() // MEMORY_OF_A_RUN))
        return wanted or fitting, []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]
    jobs = wanted or len(gpus)
    if jobs > len(gpus):
        raise Gesture3dError(f"--jobs {jobs}: one run a GPU, and there are {len(gpus)}")
    return jobs, gpus[:jobs]


def check_folder(run: PlannedRun, folder: Path, option: str = "--out") -> None:
    """Raise Gesture3dError where the run's folder holds another experiment; the keys are named.

    A setting that its experiment.yaml does not have, being older, counts as its default.

    Args:
        option: what the user can choose otherwise.
    """
    path, advice = folder / run.name / "experiment.yaml", f"choose another {option}"
    if not path.is_file():
        if any(not p.name.startswith(".") for p in (folder / run.name).glob("*")):
            raise Gesture3dError(f"{path.parent} is no run's folder; {advice}")
        return
    try:
        tree = read_settings(path)
    except Gesture3dError:
        raise Gesture3dError(f"{path}: not readable; remove {path.parent}") from None
    try:
        there = validate_experiment(tree, str(path)).model_dump(mode="json")
    except Gesture3dError as error:
        raise Gesture3dError(f"{error}; {advice}") from None
    differing = [
        f"{key}: {old} there, {new} here"
        for (key, old), (_, new) in _pairs(there, run.experiment.model_dump(mode="json"))
        if old != new
    ]
    if differing:
        more = f"; and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise Gesture3dError(
            f"{path.parent} holds another experiment ({'; '.join(differing[:4])}{more}); {advice}"
        )


def is_finished(run: PlannedRun, folder: Path) -> bool:
    """Trained, tested where there is a test split, and its corruptions measured."""
    return _next_step(run, folder / run.name) is None


def _next_step(run: PlannedRun, folder: Path) -> list[str] | None:
    """What is to be started next: a tool's name and its arguments."""
    if (folder / "result.json").is_file():
        splits = read_result(folder)["num_samples"]
        evaluate = ["evaluate.py", "--weights", str(folder / "best.safetensors"), "--split"]
        if "test" in splits and not (folder / "evaluation-test" / "predictions.csv").is_file():
            return [*evaluate, "test"]
        if run.corruptions and "validation" in splits:
            found = read_corruptions(folder / CORRUPTIONS)
            if not (found and set(run.corruptions) <= set(found.top1)):
                return [*evaluate, "validation", "--corruptions", *run.corruptions]
        return None
    if (folder / "last.ckpt").is_file():
        return ["train.py", "--resume", str(folder)]
    start = ["train.py", "--cfg", run.network, "--data", run.data]
    start += ["--runs", str(folder.parent), "--name", run.name]
    start += ["--init", str(run.init)] if run.init else []
    return [*start, "--set", *run.overrides]


class Runner:
    """Brings runs to their end, ``jobs`` at a time.

    On a CPU each job has its own share of the cores, idle ones where another command runs, too; on
    GPUs each has its own GPU. What the runs print goes to ``folder/logs/<run>.log``.
    """

    def __init__(self, folder: Path, tools: Path, jobs: int = 1, gpus: Sequence[str] = ()) -> None:
        self.folder, self.tools, self.jobs, self.gpus = folder, tools, jobs, gpus
        self.cores = Cores(jobs)
        # By job: the run, the step it is at, and its process.
        self.active: dict[int, tuple[PlannedRun, list[str], subprocess.Popen]] = {}
        self.errors: dict[str, str] = {}
        self._stop = False

    def run(self, runs: Sequence[PlannedRun]) -> dict[str, str]:
        """Bring all to their end, and go on where one fails.

        Returns:
            What went wrong, by the name of the run.

        Raises:
            Stopped: SIGINT or SIGTERM arrived; what ran has been saved.
            Gesture3dError: called under torchrun.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise Gesture3dError("several runs share the machine by themselves; without torchrun")
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / ".lock"):  # of two commands in one folder the second waits
            return self.run_unlocked(runs)

    def run_unlocked(self, runs: Sequence[PlannedRun]) -> dict[str, str]:
        """As `run`, of runs that nobody else has, beside others in the same folder."""
        waiting = [run for run in runs if not self._done(run)]
        if len(waiting) < len(runs):
            tqdm.write(f"{len(runs) - len(waiting)} of {len(runs)} runs are finished already")
        numbers = {run.name: number for number, run in enumerate(runs, start=1)}
        total = sum(run.experiment.train.epochs for run in runs)
        before, started = self._epochs(runs), time.monotonic()
        with self._stoppable(), tqdm(total=total, unit="epoch", disable=None) as bar:
            while waiting or self.active:
                for job in range(self.jobs):
                    if job not in self.active and waiting:
                        run = waiting.pop(0)
                        tqdm.write(f"run {numbers[run.name]} of {len(runs)}: {run.name}")
                        self._start(job, run)
                done = self._epochs(runs)
                bar.n = done
                bar.set_postfix_str(_left(done - before, total - done, time.monotonic() - started))
                for job in [j for j, (*_, p) in self.active.items() if p.poll() is not None]:
                    if self._ended(job):
                        left = total - self._epochs(runs)
                        passed = time.monotonic() - started
                        tqdm.write(f"  {_left(total - left - before, left, passed)}")
                if self._stop:
                    self._end_all()
                    raise Stopped
                time.sleep(0.1)
        return self.errors

    def _done(self, run: PlannedRun) -> bool:
        try:
            return is_finished(run, self.folder)
        except Gesture3dError as error:
            self.errors[run.name] = str(error)
            return True

    def _epochs(self, runs: Sequence[PlannedRun]) -> int:
        files = (self.folder / run.name / "metrics.jsonl" for run in runs)
        return sum(len(f.read_text().splitlines()) for f in files if f.is_file())

    def _start(self, job: int, run: PlannedRun) -> None:
        step = _next_step(run, self.folder / run.name)
        tool, *arguments = step
        if "--cfg" in arguments and (self.folder / run.name).exists():
            shutil.rmtree(self.folder / run.name)  # stopped before anything was learnt
        log = self.folder / "logs" / f"{run.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        own = {"CUDA_VISIBLE_DEVICES": self.gpus[job]} if self.gpus else {}
        cores = [] if self.gpus else self.cores.take(job)
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None

        def prepare() -> None:  # in the new process
            if libc:
                libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: save when this process is killed
            if cores:
                os.sched_setaffinity(0, cores)

        with log.open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, str(self.tools / tool), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | own,
                start_new_session=True,  # Ctrl-C is passed on once, by this process
                preexec_fn=prepare,
            )
        self.active[job] = (run, step, process)

    def _ended(self, job: int) -> bool:
        """A process has ended: start the run's next step; True where it has none or has failed."""
        run, step, process = self.active.pop(job)
        self.cores.give_back(job)
        if self._stop or (process.returncode == 0 and self._done(run)):
            return True
        if process.returncode or _next_step(run, self.folder / run.name) == step:
            self.errors[run.name] = self._last_words(run, process.returncode)
            tqdm.write(f"{run.name} failed: {self.errors[run.name]}")
            return True
        self._start(job, run)
        return False

    def _last_words(self, run: PlannedRun, code: int) -> str:
        path = self.folder / "logs" / f"{run.name}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if line.strip()] or [""]
        errors = [line for line in said if line.startswith("error: ")]
        words = (errors or said)[-1].removeprefix("error: ")
        return f"{words} (exit code {code}; all of it: {path})"

    def _end_all(self) -> None:
        for *_, process in self.active.values():
            process.send_signal(signal.SIGTERM)
        for *_, process in self.active.values():
            process.wait()

    @contextlib.contextmanager
    def _stoppable(self) -> Iterator[None]:
        """The first signal lets the runs save; at a second one, or any error, they are killed."""
        try:
            with on_stop_signals(self._ask_to_stop):
                yield
        finally:
            for job, (*_, process) in self.active.items():
                process.kill()
                self.cores.give_back(job)

    def _ask_to_stop(self) -> None:
        self._stop = True


def _left(done: int, epochs_left: int, seconds: float) -> str:
    said = "1 epoch left" if epochs_left == 1 else f"{epochs_left} epochs left"
    return f"{said}, about {seconds / done * epochs_left / 60:.0f} min" if done else said


def _pairs(one, other, prefix: str = "") -> Iterator[tuple[tuple, tuple]]:
    """The leaves of two trees of settings, key by key, each as (key, value)."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        yield (prefix, one), (prefix, other)
        return
    for key in one | other:
        inner = f"{prefix}.{key}" if prefix else str(key)
        yield from _pairs(one.get(key), other.get(key), inner)
