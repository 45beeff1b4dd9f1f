"""Work handed out: in this process, in processes of this machine, as a static shard, on Ray.

Of these, none decides anything about results: a task that was lost is done again by whoever comes.
"""

from __future__ import annotations

import collections
import importlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from gesture3d.errors import Gesture3dError
from gesture3d.files import child_environment
from gesture3d.helpers import Helper, HelperDied, HelperPool, NotStarted, answer_questions
from gesture3d.machine import may_have_gpu, num_cores

TRIES = 3  # of a block whose worker dies
LONGEST = 30 * 86400.0  # seconds that a block may take; hanging clips are ended by their readers
RAY_SECONDS = 10.0  # between looks at what the cluster has


@dataclass(frozen=True)
class Job:
    """What workers do: ``module.function(how)`` returns what answers questions (JSON both)."""

    module: str
    function: str
    how: dict[str, Any]

    def open(self) -> Callable[[Any], Any]:
        return getattr(importlib.import_module(self.module), self.function)(self.how)

    def answer(self, worker: Callable[[Any], Any], question: Any) -> dict:
        """The worker's answer with the seconds it took, or why no worker can answer at all."""
        started = time.monotonic()
        try:
            return {"answer": worker(question), "seconds": time.monotonic() - started}
        except Gesture3dError as error:
            return {"refused": str(error)}


class Task(Protocol):
    """What is handed out: a block of clips, a part of a data set, a run."""

    block: int

    def question(self) -> Any:
        """For the worker, as JSON has it."""

    def finish(self, answer: Any, started: float, ended: float) -> tuple[int, int]:
        """Keep the answer; how many clips were worked on, and how many of them failed."""


@dataclass(frozen=True)
class Done:
    """A task that is over.

    Attributes:
        clips, failed: of it.
        lost: why its workers died, if it could not be done.
    """

    clips: int
    failed: int = 0
    lost: str = ""


def _finish(task: Task, answer: dict) -> Done:
    if "refused" in answer:
        raise Gesture3dError(answer["refused"])
    now = time.time()
    return Done(*task.finish(answer["answer"], now - answer["seconds"], now))


# --- which part ----------------------------------------------------------------------------------


def shard_of(text: str | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(which, of how many), from 0: of ``I/N``, else as the scheduler's variables say.

    Those are Slurm's of an array, ``JOB_COMPLETION_INDEX`` of Kubernetes (with ``JOB_COMPLETIONS``,
    which the job has to set), and ``RANK`` and ``WORLD_SIZE`` of torchrun.

    Raises:
        Gesture3dError: no such shard.
    """
    e, what = environment, "--shard"
    if text is None and "SLURM_ARRAY_TASK_COUNT" in e:
        what = "SLURM_ARRAY_TASK_…"
        first = int(e["SLURM_ARRAY_TASK_ID"]) - int(e.get("SLURM_ARRAY_TASK_MIN", "0"))
        index = first // int(e.get("SLURM_ARRAY_TASK_STEP", "1"))
        text = f"{index}/{e['SLURM_ARRAY_TASK_COUNT']}"
    elif text is None and "JOB_COMPLETION_INDEX" in e:
        what = "JOB_COMPLETION_INDEX/JOB_COMPLETIONS"
        text = f"{e['JOB_COMPLETION_INDEX']}/{e.get('JOB_COMPLETIONS', '?')}"
    elif text is None and "RANK" in e and "WORLD_SIZE" in e:
        what, text = "RANK/WORLD_SIZE", f"{e['RANK']}/{e['WORLD_SIZE']}"
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text or "0/1")
    if not found or int(found[1]) >= int(found[2]):
        raise Gesture3dError(f"{what} {text}: expected I/N with I from 0 to N-1, such as 0/8")
    return int(found[1]), int(found[2])


# --- who does it ---------------------------------------------------------------------------------


def devices(device: str, jobs: int | None) -> list[str]:
    """The device of each worker on this machine: one a GPU, on a CPU one a core; as many as wanted.

    Processes that torchrun started beside this one have their own share.

    Raises:
        Gesture3dError: more workers than GPUs, no GPU.
    """
    gpus = 0
    if device == "cuda" or (device == "auto" and may_have_gpu()):
        import torch

        gpus = torch.cuda.device_count()
        if device == "cuda" and not gpus:
            raise Gesture3dError("device cuda: PyTorch finds no GPU here; use the device cpu")
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if not gpus:
        return ["cpu"] * (jobs or max(num_cores() // beside, 1))
    own = [f"cuda:{number}" for number in range(gpus)][rank::beside]
    if not own or (jobs or 0) > len(own):
        raise Gesture3dError(f"{jobs or beside} workers, and {gpus} GPUs: one each")
    return own[: jobs or len(own)]


def in_this_process(job: Job, tasks: Iterable[Task]) -> Iterator[Done]:
    """One task after the other, by one worker."""
    worker = job.open()
    try:
        for task in tasks:
            yield _finish(task, job.answer(worker, task.question()))
    finally:
        getattr(worker, "close", bool)()


def in_processes(job: Job, tasks: Iterable[Task], places: list[str]) -> Iterator[Done]:
    """Side by side in processes, one for each of these devices."""

    def work(helper: Helper, task: Task) -> Done:
        question = task.question()
        for left in reversed(range(TRIES)):
            try:
                return _finish(task, helper.ask(question, LONGEST))
            except (HelperDied, NotStarted) as death:
                if not left:
                    return Done(0, lost=f"block {task.block}: {death}")

    hows = [replace(job, how=job.how | {"device": place}) for place in places]
    helpers = [Helper(__name__, "serve", json.dumps(asdict(how))) for how in hows]
    pool = HelperPool(helpers)
    try:
        yield from pool.map(tasks, work, ahead=2 * len(places))
    finally:
        pool.close()


def serve(job: str) -> None:
    """A process that works; what it needs is loaded with the first question."""
    job, workers = Job(**json.loads(job)), []

    def answer(question: Any, _: Callable[[Any], Any]) -> dict:
        try:
            workers or workers.append(job.open())
        except Gesture3dError as error:
            return {"refused": str(error)}
        return job.answer(workers[0], question)

    answer_questions(answer)


def on_ray(
    job: Job,
    tasks: Iterable[Task],
    address: str,
    actors: int | None = None,
    gpu: bool | None = False,
) -> Iterator[Done]:
    """On a Ray cluster, by a pool of actors that have loaded once what they need.

    A task whose node is lost goes to another actor; a new actor waits for a new node, which a
    cluster that scales by itself then starts.

    Args:
        address: of the cluster; "": the one that Ray finds, else one of this machine alone.
        actors: at most so many; None: one a GPU, or a CPU, that the cluster has at the time.
        gpu: one GPU each; None: where the cluster has any.

    Raises:
        Gesture3dError: Ray is not installed, the cluster cannot be reached, no actor can start.
    """
    ray = _connected(address)
    try:
        if gpu is None:
            gpu = ray.cluster_resources().get("GPU", 0) > 0
        yield from _Pool(ray, job, actors, gpu).run(tasks)
    finally:
        ray.shutdown()


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError:
        raise Gesture3dError("--ray needs Ray: pip install 'gesture3d[cluster]'") from None
    if found := re.fullmatch(r"([^:/]+):(\d{1,5})", address):  # Ray itself would try for minutes
        try:
            socket.create_connection((found[1], int(found[2])), timeout=10).close()
        except OSError as error:
            raise Gesture3dError(f"--ray {address}: no such cluster ({error})") from None
    path = child_environment()["PYTHONPATH"]
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(
            address=address or None,
            runtime_env={"env_vars": {"PYTHONPATH": path}},
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=True,
            include_dashboard=False if not address and "RAY_ADDRESS" not in os.environ else None,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise Gesture3dError(f"--ray {address}: no such cluster ({error})") from None
    return ray


class _Actor:
    """Lives in the cluster."""

    def __init__(self, job: dict) -> None:
        self._job = Job(**job)
        self._worker: Any = None

    def ready(self) -> None:
        """Answers when there is room for it."""

    def do(self, question: Any) -> dict:
        try:
            self._worker = self._worker or self._job.open()
        except Gesture3dError as error:
            return {"refused": str(error)}
        return self._job.answer(self._worker, question)


class _Pool:
    """Actors and what each is at."""

    def __init__(self, ray: Any, job: Job, most: int | None, gpu: bool) -> None:
        self._ray, self._job, self._most, self._gpu = ray, job, most, gpu
        resources = {"num_cpus": 1, "num_gpus": 1 if gpu else 0, "max_restarts": 0}
        self._class = ray.remote(**resources)(_Actor)
        self._at: dict[Any, tuple[Any, Task | None]] = {}  # answer to come → by whom, of what
        self._idle: list[Any] = []
        self._looked = 0.0

    def run(self, tasks: Iterable[Task]) -> Iterator[Done]:
        remaining, again = iter(tasks), collections.deque()
        tries: collections.Counter[int] = collections.Counter()
        waiting, unborn = next(remaining, None), 0
        while waiting or again or any(task for _, task in self._at.values()):
            self._grow()
            while self._idle and (again or waiting):
                task = again.popleft() if again else waiting
                if task is waiting:
                    waiting = next(remaining, None)
                actor = self._idle.pop()
                self._at[actor.do.remote(task.question())] = actor, task
            over, _ = self._ray.wait(list(self._at), num_returns=1, timeout=1.0)
            for answer in over:
                actor, task = self._at.pop(answer)
                try:
                    found = self._ray.get(answer)
                except self._ray.exceptions.RayError as error:
                    self._looked = 0.0  # another one, where there is room
                    unborn += task is None
                    if unborn > 2 * TRIES:
                        raise Gesture3dError(
                            f"no worker can start in the cluster: {error}"
                        ) from None
                    if task and tries[task.block] < TRIES:
                        tries[task.block] += 1
                        again.append(task)
                    elif task:
                        yield Done(0, lost=f"block {task.block}: {type(error).__name__}")
                    continue
                self._idle.append(actor)
                if task:
                    yield _finish(task, found)

    def _grow(self) -> None:
        """As many actors as wanted, or as the cluster has room for."""
        if time.monotonic() < self._looked + RAY_SECONDS and self._at:
            return
        self._looked = time.monotonic()
        has = self._ray.cluster_resources().get("GPU" if self._gpu else "CPU", 1)
        for _ in range(max(self._most or int(has), 1) - len(self._idle) - len(self._at)):
            actor = self._class.remote(asdict(self._job))
            self._at[actor.ready.remote()] = actor, None
