"""Counts against numbers worked out by hand, and against the paper's table 1."""

import time

import pytest
import torch
from torch import nn

from gesture3d import paper
from gesture3d.benchmarks.cost import network_cost
from gesture3d.config import load_experiment
from gesture3d.cost import BlockCost, clips_per_second, count_cost
from gesture3d.models import build_model
from gesture3d.models.convlstm import ConvLSTM
from gesture3d.models.gesture_net import GestureNet


@pytest.mark.parametrize(
    ("variant", "parameters", "multiply_adds"),
    [
        ("convlstm", "4.719M", "3700M"),
        ("a", "0.529M", "415M"),
        ("b", "0.667M", "522M"),  # 522.8 M: the paper cuts
        ("c", "0.601M", "472M"),
        ("d", "0.601M", "472M"),
    ],
)
def test_papers_table_1(variant, parameters, multiply_adds):
    assert paper.VARIANTS[variant].printed == (parameters, multiply_adds)
    number = paper.parameters(variant)
    assert f"{number / 1e6:.3f}M" == parameters
    assert abs(paper.multiply_adds(number) / 1e6 - float(multiply_adds[:-1])) < 1
    assert paper.multiply_adds(number, height=2, width=3) == 6 * number


@pytest.mark.parametrize("variant", ["convlstm", "a", "b", "c", "d"])
def test_formulas_are_the_layers_parameters(variant):
    layer = ConvLSTM(24, 40, kernel_size=5, variant=variant)
    weights = [p.numel() for name, p in layer.named_parameters() if not name.endswith("bias")]
    assert paper.parameters(variant, 24, 40, 5) == sum(weights)


def true_multiply_adds_of_a_step(variant, pixels, c=256, k2=9):
    """By hand: a convolution is paid at every pixel, a pooled gate once."""
    separable = (k2 * c + c * c) * pixels
    return {
        "convlstm": 8 * k2 * c * c * pixels,
        "a": 2 * separable + 6 * c * c,
        "b": 4 * separable + k2 * c * pixels + 6 * c * c,
        "c": 5 * separable + 4 * c * c,
        "d": 5 * separable + 4 * c * c,
    }[variant]


@pytest.mark.parametrize(
    ("variant", "millions"),
    [("convlstm", 3699), ("a", 106.8), ("b", 215.0), ("c", 266.2), ("d", 266.2)],
)
@pytest.mark.parametrize("steps", [1, 3])
def test_true_multiply_adds_of_a_recurrent_layer(variant, millions, steps):
    rows = count_cost(ConvLSTM(256, 256, variant=variant), torch.zeros(1, steps, 256, 28, 28))
    total = rows[-1].multiply_adds
    assert total == steps * true_multiply_adds_of_a_step(variant, 28 * 28)
    assert total / steps / 1e6 == pytest.approx(millions, rel=1e-3)


def test_full_size_network():
    net = GestureNet(num_classes=27)
    rows = {row.block: row for row in count_cost(net, torch.zeros(1, 16, 3, 112, 112))}
    blocks = ["res3d", "recurrent.0", "recurrent.1", "mobilenet", "classifier", "total"]
    assert list(rows) == blocks

    total = rows.pop("total")
    assert total.parameters == sum(row.parameters for row in rows.values())
    assert total.parameters == pytest.approx(12.29e6, rel=1e-3)
    assert total.multiply_adds == sum(row.multiply_adds for row in rows.values())

    layer = 8 * true_multiply_adds_of_a_step("a", 28 * 28)  # 8 steps
    assert rows["recurrent.0"] == BlockCost("recurrent.0", 528_896 + 4 * 256, layer)
    assert rows["classifier"] == BlockCost("classifier", 1024 * 27 + 27, 1024 * 27)
    assert rows["res3d"].multiply_adds == pytest.approx(72.63e9, rel=1e-3)
    assert rows["mobilenet"].multiply_adds == pytest.approx(2.76e9, rel=2e-3)


def test_res3d_by_hand():
    def conv(inputs, outputs, positions, kernel=27):
        return kernel * inputs * outputs * positions

    stage1, stage2 = 16 * 56 * 56, 8 * 28 * 28  # positions; stage 3 has those of stage 2
    expected = (
        conv(3, 64, stage1, kernel=3 * 7 * 7)
        + 4 * conv(64, 64, stage1)
        + conv(64, 64, stage1, kernel=1)
        + conv(64, 128, stage2)
        + 3 * conv(128, 128, stage2)
        + conv(64, 128, stage2, kernel=1)
        + conv(128, 256, stage2)
        + 3 * conv(256, 256, stage2)
        + conv(128, 256, stage2, kernel=1)
    )
    rows = count_cost(GestureNet(num_classes=27), torch.zeros(1, 16, 3, 112, 112))
    assert rows[0].multiply_adds == expected


def test_recurrent_layers_of_pytorch_are_counted():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(8, 16, batch_first=True)

        def forward(self, x):
            return self.gru(x)[0]

    rows = count_cost(Net(), torch.zeros(2, 5, 8))
    expected = 2 * 5 * 3 * 16 * (8 + 16)
    assert rows == [
        BlockCost("gru", 3 * 16 * (8 + 16 + 2), expected),
        BlockCost("total", 3 * 16 * (8 + 16 + 2), expected),
    ]


def test_counting_leaves_the_model_alone():
    net = GestureNet(num_classes=5, width=1 / 8).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    count_cost(net, torch.zeros(1, 4, 3, 16, 16))
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("network", "true", "paper"),
    [
        ("convlstm", 3699, 3699),
        ("variant_a", 106.8, 414.7),
        ("variant_b", 214.9, 522.8),
        ("variant_c", 266.2, 471.5),
        ("variant_d", 266.2, 471.5),
    ],
)
def test_steps_of_the_papers_clips(network, true, paper):
    """16 frames of 112×112: 28×28 maps."""
    text, rows, steps = network_cost(load_experiment(network, "jester"))
    assert text == "clips of 16 × 3 × 112 × 112"
    assert rows[0].multiply_adds == pytest.approx(72.63e9, rel=1e-3)
    assert steps[0].multiply_adds / 1e6 == pytest.approx(true, rel=5e-4)
    assert steps[0].paper_multiply_adds / 1e6 == pytest.approx(paper, rel=5e-4)


@pytest.mark.parametrize(("cfg", "data"), [("residual_bilstm", "uci_har"), ("gru", "shrec17")])
def test_recurrent_networks_pay_each_weight_once_a_step(cfg, data):
    experiment = load_experiment(cfg, data)
    _, rows, steps = network_cost(experiment, num_classes=6, num_frames=8, num_features=9)
    model = build_model(experiment.model, 6, 9)
    matrices = {name: p.numel() for name, p in model.named_parameters() if p.ndim > 1}
    heads = [name for name in matrices if "classifier" in name or "fc" in name]
    expected = sum(n * (1 if name in heads else 8) for name, n in matrices.items())
    assert rows[-1].multiply_adds == expected
    assert steps == []


def test_speed_is_measured_in_samples():
    class Slow(nn.Module):
        def forward(self, x, lengths=None):
            time.sleep(0.02)
            return x

    speed = clips_per_second(Slow(), torch.zeros(10, 3), seconds=0.1)
    assert 100 < speed <= 500
