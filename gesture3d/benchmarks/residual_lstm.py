"""The cells of a residual block against independent ``nn.LSTM``s run in turn, time-major.

Interleaved pairs on one thread: each repetition runs both sides, one right after the other, so that
whatever else the machine does slows both. The ratio of the medians is what counts.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gesture3d.models.parallel_lstm import ParallelLSTM
from gesture3d.models.residual_lstm import ResidualLSTM

NUM_CELLS, HIDDEN, NUM_STEPS = 6, 14, 128  # three bidirectional cells of 28 units


def run(repetitions: int) -> None:
    """Print one line a measurement: milliseconds of both sides and their ratio."""
    torch.set_num_threads(1)
    for batch, backward in ((100, True), (32, True), (1, True), (100, False), (1, False)):
        ours, theirs = _sides(batch, backward)
        _report(f"6 cells, batch {batch}", backward, *_interleaved(ours, theirs, repetitions))
    for batch, backward in ((100, True), (100, False), (1, False)):
        ours, theirs = _networks(batch, backward)
        _report(f"3×3 network, batch {batch}", backward, *_interleaved(ours, theirs, repetitions))


def _sides(batch: int, backward: bool) -> tuple[Callable, Callable]:
    cells = ParallelLSTM(NUM_CELLS, HIDDEN, HIDDEN)
    x = torch.randn(NUM_STEPS, NUM_CELLS, HIDDEN, batch, requires_grad=backward)
    lstms = [nn.LSTM(HIDDEN, HIDDEN) for _ in range(NUM_CELLS)]
    inputs = [torch.randn(NUM_STEPS, batch, HIDDEN, requires_grad=backward) for _ in lstms]
    return (
        _step(lambda: cells(x).sum(), backward),
        _step(
            lambda: sum(lstm(i)[0].sum() for lstm, i in zip(lstms, inputs, strict=True)), backward
        ),
    )


def _networks(batch: int, backward: bool) -> tuple[Callable, Callable]:
    """The whole network of 9 channels with our cells, and with nn.LSTMs in turn in their place."""
    windows = torch.randn(batch, NUM_STEPS, 9)
    networks = [ResidualLSTM(9, 6) for _ in range(2)]
    for block in networks[1].blocks:
        block.cells[0].lstm = _InTurn(NUM_CELLS, HIDDEN)
    for network in networks:
        network.train(backward)
    return tuple(_step(lambda n=n: n(windows).sum(), backward) for n in networks)


class _InTurn(nn.Module):
    def __init__(self, count: int, hidden: int) -> None:
        super().__init__()
        self.lstms = nn.ModuleList(nn.LSTM(hidden, hidden) for _ in range(count))

    def forward(self, x: Tensor, carried: object = None) -> Tensor:
        outputs = [lstm(x[:, n].transpose(1, 2))[0] for n, lstm in enumerate(self.lstms)]
        return torch.stack(outputs, 1).transpose(2, 3)


def _step(compute: Callable[[], Tensor], backward: bool) -> Callable[[], None]:
    def step() -> None:
        with torch.set_grad_enabled(backward):
            loss = compute()
        if backward:
            loss.backward()

    return step


def _interleaved(
    ours: Callable, theirs: Callable, repetitions: int
) -> tuple[list[float], list[float]]:
    """Seconds of both sides, after one warm-up each."""
    ours(), theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repetitions):
        for side, run_once in enumerate((ours, theirs)):
            started = time.perf_counter()
            run_once()
            times[side].append(time.perf_counter() - started)
    return times


def _report(what: str, backward: bool, ours: list[float], theirs: list[float]) -> None:
    pass_name = "forward+backward" if backward else "forward"
    mine, reference = (statistics.median(t) * 1e3 for t in (ours, theirs))
    print(
        f"{what}, {NUM_STEPS} steps, {pass_name}: {mine:.2f} ms, nn.LSTMs in turn "
        f"{reference:.2f} ms, {reference / mine:.2f} ×"
    )
