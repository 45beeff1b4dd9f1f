"""What surrounds the network in training: the start, the loop's own cost, and shared cores."""

import contextlib
import io
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset

from gesture3d.benchmarks.tables import Row
from gesture3d.benchmarks.timing import Clock, interleave, ratio
from gesture3d.config import Experiment, load_experiment
from gesture3d.data import Datasets
from gesture3d.data.batch import Sample
from gesture3d.distributed import Processes
from gesture3d.errors import Gesture3dError
from gesture3d.files import write_text
from gesture3d.machine import autocast, num_cores
from gesture3d.models import build_model
from gesture3d.training.loop import Trainer
from gesture3d.training.optim import build_optimizer
from gesture3d.training.run_log import RunLog
from gesture3d.training.state import Progress

NUM_CLASSES = 27


def loop_overhead(num_steps: int, seconds: float) -> Row:
    """`Trainer.run` against bare optimiser steps: the recipe of the generated clips, ready clips
    in memory, an epoch of ``num_steps``, its end (log, two checkpoints) included."""
    experiment = load_experiment("variant_a", "synthetic", ["train.epochs=1", "train.keep=last"])
    samples = StoredClips(experiment, num_steps * experiment.train.batch_size)
    names = tuple(str(n) for n in range(NUM_CLASSES))
    datasets = Datasets(samples, None, None, names, {"train": ""}, experiment.data.input_spec())
    alone = Processes(0, 1, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:

        def trainer() -> Trainer:
            model = build_model(experiment.model, NUM_CLASSES)
            return Trainer(experiment, model, datasets, alone, log)

        log = RunLog(Path(folder), num_epochs=1, progress=False)
        whole, bare = trainer(), trainer()
        batches = list(bare.train_loader)

        def loop() -> None:
            whole.state.progress = Progress()
            with contextlib.redirect_stdout(io.StringIO()):
                whole.run()

        def bare_epoch() -> None:
            for batch in batches:
                _step(bare.network, bare.state.optimizer, batch.inputs, batch.labels, experiment)

        sides = {"the loop": loop, "bare steps": bare_epoch}
        times = interleave(sides, Clock(alone.device), seconds)
        log.close()
    row: Row = {"an epoch of steps": num_steps}
    row |= {f"{name}, s": statistics.median(found) for name, found in times.items()}
    return row | {"the loop / bare steps": 1 / ratio(times, "the loop", "bare steps")}


class StoredClips(Dataset):
    """Random clips of an experiment's size, ready in memory."""

    def __init__(self, experiment: Experiment, count: int) -> None:
        data = experiment.data
        shape = (count, data.num_frames, data.size, data.size, data.num_channels)
        self.clips = torch.randint(0, 256, shape, dtype=torch.uint8).movedim(-1, -3)
        self.labels = torch.randint(0, NUM_CLASSES, (count,)).tolist()

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, position: tuple[int, int]) -> Sample:
        index = position[1]
        return Sample(str(index), self.clips[index], self.labels[index])


def _step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    clips: Tensor,
    labels: Tensor,
    experiment: Experiment,
) -> None:
    with autocast(clips.device, experiment.train.precision):
        scores = network(clips).float()
    F.cross_entropy(scores, labels, label_smoothing=experiment.optim.label_smoothing).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def first_step(tool: Path, num_clips: int = 32, settings: Sequence[str] = ()) -> Row:
    """How soon a training learns: from the command to the end of its first step.

    A small network on ``num_clips`` folders of frames, decoded as they are needed, and two more
    for validation, which is included.

    Args:
        tool: ``tools/train.py``.
        settings: further ones.

    Raises:
        Gesture3dError: the training failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = ["path,label,split"]
        for number in range(num_clips + 2):
            rows.append(f"{number},class_{number % 2},{'train' if number > 1 else 'validation'}")
            clip = folder / "clips" / str(number)
            clip.mkdir(parents=True)
            for t in range(36):
                frame = np.full((100, 176, 3), 5 * t, np.uint8)
                cv2.imwrite(str(clip / f"{t + 1:05}.jpg"), frame)
        write_text(folder / "clips" / "list.csv", "\n".join(rows) + "\n")
        own = [f"data.root={folder / 'clips'}", "data.cache_size=null", "train.epochs=1"]
        own += ["data.csv=list.csv", f"train.batch_size={num_clips}", *settings]
        command = [sys.executable, str(tool), "--cfg", "variant_a", "--data", "folder"]
        command += ["--runs", name, "--name", "run", "--set", *own]
        written, started = folder / "run" / "metrics.jsonl", time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as training:
            while training.poll() is None and not written.is_file():
                time.sleep(0.02)
            seconds = time.perf_counter() - started
            training.kill()  # what it does at its end is not asked for
            said = training.communicate()[0]
        if not written.is_file():
            raise Gesture3dError(f"the training failed: {said.strip()}")
        step = json.loads(written.read_text(encoding="utf-8"))["seconds"]
    return {"command to end of first step, s": seconds, "of which loading and the step": step}


# --- cores shared with other work ----------------------------------------------------------------


def shared_cores(seconds: float) -> list[Row]:
    """Training and classifying with a small network by several settings, on an idle machine and
    with one core busy: training clips/s, and the milliseconds of one clip alone (median, worst)."""
    cores = num_cores()
    settings = [
        ("1 process, 1 thread", 1, 1, "PASSIVE"),
        (f"1 process, {cores} spinning threads", 1, cores, "ACTIVE"),
        (f"1 process, {cores} threads", 1, cores, "PASSIVE"),
        (f"{cores} processes, 1 thread each", cores, 1, "PASSIVE"),
    ]
    rows: list[Row] = []
    for name, processes, threads, waiting in settings:
        row: Row = {"setting": name}
        for machine, busy in (("idle", 0), ("one core busy", 1)):
            with _busy_cores(busy):
                speed, latencies = _measure(processes, threads, waiting, seconds)
            row[f"{machine}: clips/s"] = speed
            if latencies:
                row[f"{machine}: one clip, ms"] = 1000 * statistics.median(latencies)
                row[f"{machine}: worst, ms"] = 1000 * max(latencies)
        rows.append(row)
    return rows


@contextlib.contextmanager
def _busy_cores(count: int) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_spin, daemon=True) for _ in range(count)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.join()


def _spin() -> None:
    while True:
        pass


def _measure(
    processes: int, threads: int, waiting: str, seconds: float
) -> tuple[float, list[float]]:
    """Clips a second of all processes together, and one clip's seconds where there is one."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    before = os.environ.get("OMP_WAIT_POLICY")
    os.environ["OMP_WAIT_POLICY"] = waiting  # read when a process first loads torch
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{folder}/meeting"
        workers = [
            context.Process(
                target=_train, args=(rank, processes, threads, meeting, seconds, results)
            )
            for rank in range(processes)
        ]
        for worker in workers:
            worker.start()
        found = results.get(timeout=600)
        for worker in workers:
            worker.join()
    os.environ.pop("OMP_WAIT_POLICY")
    if before is not None:
        os.environ["OMP_WAIT_POLICY"] = before
    return found


def _train(
    rank: int,
    processes: int,
    threads: int,
    meeting: str,
    seconds: float,
    results: multiprocessing.Queue,
) -> None:
    torch.set_num_threads(threads)
    experiment = load_experiment("variant_a", "synthetic")
    batch_size = experiment.train.batch_size // processes
    model = build_model(experiment.model, NUM_CLASSES)
    optimizer = build_optimizer(model, experiment.optim)
    clips = StoredClips(experiment, batch_size)
    labels = torch.tensor(clips.labels)
    network = model
    if processes > 1:
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
        warnings.filterwarnings("ignore", message="Grad strides do not match")
        network = DistributedDataParallel(model, broadcast_buffers=False)
    steps, started = -2, time.perf_counter()  # two to warm up
    while True:
        if steps == 0:
            started = time.perf_counter()
        _step(network, optimizer, clips.clips, labels, experiment)
        steps += 1
        stop = torch.tensor(int(steps > 1 and time.perf_counter() - started > seconds))
        if processes > 1:
            dist.broadcast(stop, src=0)
        if stop:
            break
    speed = steps * processes * batch_size / (time.perf_counter() - started)
    latencies = _latencies(model, clips.clips[:1], seconds) if processes == 1 else []
    if rank == 0:
        results.put((speed, latencies))
    if processes > 1:
        dist.destroy_process_group()


@torch.inference_mode()
def _latencies(model: nn.Module, clip: Tensor, seconds: float) -> list[float]:
    model.eval()
    model(clip)
    times, end = [], time.perf_counter() + seconds / 2
    while time.perf_counter() < end:
        started = time.perf_counter()
        model(clip)
        times.append(time.perf_counter() - started)
    return times
