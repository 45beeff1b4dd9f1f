"""The benchmark's sides do the same work, and its tables hold what they promise."""

import json
import sys
from functools import partial

import pytest
import torch
from torch import nn

from gesture3d.benchmarks.naive_convlstm import STEPS, NaiveNetwork, naive_sequence
from gesture3d.benchmarks.network import Benchmark
from gesture3d.benchmarks.tables import format_table
from gesture3d.benchmarks.targets import compare
from gesture3d.benchmarks.throughput import throughput
from gesture3d.benchmarks.timing import Clock, OperationTimes, interleave, kept_bytes, ratio
from gesture3d.cli.benchmark import VARIANTS
from gesture3d.files import PACKAGE
from gesture3d.models.convlstm import ConvLSTM
from gesture3d.models.gesture_net import GestureNet
from tests.forked_runs import run_forked

TOOL = PACKAGE / "cli" / "benchmark.py"


@pytest.mark.parametrize("variant", ["convlstm", "a", "b", "c", "d"])
def test_naive_loops_compute_what_the_layers_do(variant):
    torch.manual_seed(0)
    layer = ConvLSTM(3, 4, variant=variant).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    x = torch.randn(2, 3, 3, 5, 4, dtype=torch.float64)
    expected = layer(x)[0]
    torch.testing.assert_close(naive_sequence(layer, x), expected)
    if variant == "convlstm":
        torch.testing.assert_close(naive_sequence(layer, x, concatenate=True), expected)


def test_what_can_be_compared_is_what_the_paper_has():
    assert set(VARIANTS) == STEPS.keys()


def test_sides_run_in_turn_and_are_compared_round_by_round():
    calls = []
    clock = lambda run: run() or float(len(calls))  # noqa: E731
    sides = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = interleave(sides, clock, seconds=9)
    assert calls == list("ab") * (1 + 3)  # 1 + 2 seconds a round as the warm-up has it
    assert times == {"a": [3, 5, 7], "b": [4, 6, 8]}
    assert ratio(times, "a", "b") == 6 / 5


def test_operations_are_timed_forward_and_backward():
    with OperationTimes(Clock(torch.device("cpu"))) as operations:
        nn.Conv2d(2, 3, 3)(torch.randn(1, 2, 5, 5)).sum().backward()
    assert operations.seconds["convolution"] > 0
    assert operations.seconds["convolution_backward"] > 0


def test_kept_bytes_counts_memory_once_and_without_inputs_and_parameters():
    weight = nn.Parameter(torch.randn(10))
    x = torch.randn(10)
    # exp keeps its result twice over, the product keeps that again, its own result ends the pass.
    assert kept_bytes(lambda x: x.exp() * weight, x) == 2 * 10 * 4


def test_the_layer_keeps_less_than_the_naive_loop():
    layer = ConvLSTM(16, 16)
    x = torch.randn(2, 6, 16, 8, 8)
    ours = kept_bytes(lambda x: layer(x)[0], x)
    assert ours < 0.6 * kept_bytes(lambda x: naive_sequence(layer, x), x)


def test_tables_show_every_column():
    lines = format_table([{"a": "x", "b": 1.234}, {"a": "yy", "c": 123.4}]).splitlines()
    assert [line.split() for line in lines] == [["a", "b", "c"], ["x", "1.23"], ["yy", "123"]]


def test_blocks_are_set_against_their_floors(monkeypatch):
    monkeypatch.setattr("gesture3d.benchmarks.network.GestureNet", partial(GestureNet, width=1 / 8))
    means = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 27))
    monkeypatch.setattr("torchvision.models.video.r3d_18", lambda num_classes: means)
    benchmark = Benchmark("cpu", "fp32", seconds=0)
    benchmark.best_rate = 1e9
    tables = benchmark.network(["a"], batch=1, frames=4, size=32)
    rows = {row["block"]: row for row in tables["blocks"]}
    assert list(rows) == ["res3d", "recurrent.0", "mobilenet"]
    for row in rows.values():
        operations = 2e9 * row["multiply-adds, G"]
        assert row["forward: floor, ms"] == pytest.approx(operations / 1e9 * 1000)
        assert row["forward+backward: floor, ms"] == pytest.approx(3 * operations / 1e9 * 1000)
    for row in tables["whole"]:
        assert row["its convolutions and products, ms"] > 0
        assert row["ratio"] > 0.5


def test_the_naive_network_computes_what_ours_does():
    torch.manual_seed(0)
    net = GestureNet(5, ("b", "a"), width=1 / 8).double().eval()
    clips = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(NaiveNetwork(net)(clips), net(clips))


def test_targets_are_met_or_their_distance_is_named():
    speed = [{"pass": "forward+backward", "naive / ours": 1.5, "common form / ours": 1.01}]
    whole = [{"pass": "forward", "ratio": 1.25}, {"pass": "forward+backward", "ratio": 1.15}]
    found = {"fp32: recurrent layers a a: speed": speed, "fp32: network: whole": whole}
    found |= {"fp32: recurrent layers convlstm: speed": speed}
    rows = compare(found, "AVX512_CORE_BF16")
    assert [(row["found"], row[""]) for row in rows] == [
        (1.5, "25% off"),
        (1.01, "met"),
        (1.25, "4% off"),
        (1.15, "met"),
    ]
    for processor in ("AVX2", "AVX512_CORE_AMX", "cuda"):  # which the targets are not for
        others = compare(found, processor)
        assert [row["found"] for row in others] == [row["found"] for row in rows]
        assert {row[""] for row in others} == {"set for AVX512_CORE_BF16"}


def test_training_speed_is_set_against_the_peak(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)  # which takes a minute
    benchmark = Benchmark("cpu", "bf16", seconds=0)
    benchmark.peak_rate = 1e12
    rows = throughput(benchmark, ["a"], [2], frames=4, size=16)
    assert [row["network"] for row in rows] == ["plain", "compiled"]
    for row in rows:
        assert row["clips/s"] == pytest.approx(2 / (row["step, ms"] / 1000))
        assert 0 < row["share of the peak"] < 1
        assert 0 < row["recurrent share"] < 1
        assert row["cores to feed it"] > 0


def test_the_command_prints_and_writes(tmp_path, monkeypatch):
    """In fp32 alone where bf16 is not native."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    out = tmp_path / "found.json"
    command = [sys.executable, TOOL, "network", "--part", "recurrent"]
    command += ["--variants", "a", "convlstm", "--seconds", "0", "--out", out]
    command += ["--batch", "1", "--channels", "8", "--steps", "2", "--map-size", "4"]
    result = run_forked(command)
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    titles = [title for title in found if title.startswith("fp32")]
    assert [title.rpartition(": ")[2] for title in titles] == ["speed", "whole", "memory"] * 2
    for title in titles:
        if title.endswith("whole"):
            assert [row["its convolutions and products, ms"] > 0 for row in found[title]] == [
                True
            ] * 2
    assert not any(title.startswith("bf16") for title in found)
    assert "targets" not in found  # which are of other sizes
    assert all(title in result.stdout for title in titles)
    speed = found["fp32: recurrent layers convlstm: speed"]
    assert [row["pass"] for row in speed] == ["forward", "forward+backward"]
    assert all(row["common form / ours"] > 0 for row in speed)
