"""The benchmark measures two sides that do the same work."""

import torch

from gesture3d.benchmarks import residual_lstm
from gesture3d.models.parallel_lstm import ParallelLSTM


def test_both_sides_compute_the_same_cells():
    torch.manual_seed(0)
    ours, theirs = ParallelLSTM(6, 14, 14), residual_lstm._InTurn(6, 14)
    with torch.no_grad():
        for n, lstm in enumerate(theirs.lstms):
            lstm.weight_ih_l0.copy_(ours.weight_ih[n])
            lstm.weight_hh_l0.copy_(ours.weight_hh[n])
            lstm.bias_ih_l0.copy_(ours.bias.view(6, -1)[n])
            lstm.bias_hh_l0.zero_()
    for batch in (2, 20, 70):  # each of the three methods
        x = torch.randn(5, 6, 14, batch)
        torch.testing.assert_close(ours(x), theirs(x))


def test_it_prints_a_ratio_for_every_measurement(monkeypatch, capsys):
    monkeypatch.setattr(residual_lstm, "NUM_STEPS", 4)
    residual_lstm.run(repetitions=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert all(line.endswith("×") for line in lines)
    assert any("batch 100, 4 steps, forward+backward" in line for line in lines)
