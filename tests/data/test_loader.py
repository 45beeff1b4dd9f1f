"""The loader says what is wrong with a sample, and what became of a process that loads."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import dataloader

from gesture3d.config import load_experiment
from gesture3d.data import make_loader
from gesture3d.data.batch import EpochSampler, Sample
from gesture3d.data.loader import explain_dead_worker
from gesture3d.distributed import Processes
from gesture3d.errors import VideoError
from gesture3d.training.batches import evaluation_loader, training_loader

LOADERS = (training_loader, evaluation_loader)


class Numbers:
    """16 sequences; one may be broken, at another the process that loads it may be killed."""

    def __init__(self, broken: int = -1, deadly: int = -1) -> None:
        self.broken, self.deadly = broken, deadly

    def __len__(self) -> int:
        return 16

    def __getitem__(self, position: tuple[int, int]) -> Sample:
        _, index = position
        if index == self.broken:
            raise VideoError(Path(f"{index}.mp4"), "no frame can be decoded")
        if index == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return Sample(str(index), torch.full((index + 1, 2), float(index)), index % 3)


def loader(numbers: Numbers, num_workers: int):
    return make_loader(numbers, EpochSampler(16, 4, seed=0, shuffle=False), num_workers)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_broken_clip_is_named_whichever_process_meets_it(num_workers: int) -> None:
    with pytest.raises(VideoError, match=r"^6\.mp4: no frame can be decoded$"):
        list(loader(Numbers(broken=6), num_workers))


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(RuntimeError) as caught:
        list(loader(Numbers(deadly=9), 1))
    said = explain_dead_worker(caught.value)
    assert "which loads samples, " in said
    assert "memory" in said
    assert "\n" not in said
    assert explain_dead_worker(RuntimeError("something else")) is None


def test_a_worker_that_ends_while_it_hands_over_a_batch_is_one_line(monkeypatch) -> None:
    def hang_up(batches, _=None) -> None:
        os.kill(batches._workers[0].pid, signal.SIGKILL)
        raise EOFError

    monkeypatch.setattr(dataloader._MultiProcessingDataLoaderIter, "_try_get_data", hang_up)
    with pytest.raises(RuntimeError) as caught:
        list(loader(Numbers(), 1))
    assert re.fullmatch(
        r"process \d+, which loads samples, .*memory.*", explain_dead_worker(caught.value)
    )


def test_errors_of_samples_are_no_dead_workers() -> None:
    class Missing(Numbers):
        def __getitem__(self, position: tuple[int, int]) -> Sample:
            raise FileNotFoundError("gone.npy")

    for num_workers in (0, 1):
        with pytest.raises(FileNotFoundError, match=r"gone\.npy"):
            list(loader(Missing(), num_workers))


class SlowRead(Numbers):
    """The first sample is not there before a file is."""

    def __init__(self, until: Path) -> None:
        super().__init__()
        self.until = until

    def __getitem__(self, position: tuple[int, int]) -> Sample:
        deadline = time.monotonic() + 60
        while position[1] == 0 and not self.until.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return super().__getitem__(position)


def test_a_slow_read_holds_up_no_other_batch(tmp_path) -> None:
    """Of its worker only those that it has been given; the epoch is whole."""
    sampler = EpochSampler(16, 1, seed=0, shuffle=False)
    batches = iter(make_loader(SlowRead(tmp_path / "now"), sampler, 2, in_order=False))
    found = [int(next(batches).keys[0]) for _ in range(12)]
    assert found == [1, 3, 5, *range(7, 16)]
    (tmp_path / "now").touch()
    assert [int(batch.keys[0]) for batch in batches] == [0, 2, 4, 6]


@pytest.mark.parametrize("in_order", ["true", "false"])
def test_training_has_the_order_of_its_setting_and_evaluation_always_one(in_order: str) -> None:
    experiment = load_experiment("gru", "basic_motions", [f"train.in_order={in_order}"])
    alone = Processes(0, 1, torch.device("cpu"))
    found = [make(Numbers(), experiment, alone).in_order for make in LOADERS]
    assert found == [in_order == "true", True]


def same_batches(one, other) -> bool:
    pairs = [(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)]
    return all(torch.equal(a, b) for a, b in pairs)


def contents(batches) -> list:
    return [(batch.inputs, batch.lengths, batch.labels) for batch in batches]


def test_batches_that_do_not_fit_into_the_shared_memory_come_all_the_same(
    monkeypatch, capsys
) -> None:
    whole = contents(loader(Numbers(), 0))

    def full(_) -> None:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)  # the worker is a fork
    assert same_batches(contents(loader(Numbers(), 1)), whole)
    assert capsys.readouterr().err.count("batches come through pipes") == 1


def test_without_shared_memory_samples_are_loaded_in_this_process(monkeypatch, capsys) -> None:
    monkeypatch.setattr("gesture3d.data.loader._free", lambda _: 65536)
    batches = loader(Numbers(), 2)
    assert batches.num_workers == 0
    assert len(list(batches)) == 4
    assert "samples are loaded in this process" in capsys.readouterr().err
