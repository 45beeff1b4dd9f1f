"""The residual LSTM against plain float64 loops over its equations, and what it promises."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gesture3d.config import load_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.models import build_model
from gesture3d.models.cnn1d import Cnn1d
from gesture3d.models.inertial_inputs import InertialInputs
from gesture3d.models.parallel_lstm import ParallelLSTM
from gesture3d.models.residual_lstm import ResidualLSTM

METHODS = ("turn", "block", "scan")


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def plain_lstm(x, w_ih, w_hh, bias):
    """One cell over one sequence, step by step: (T, K) → (T, H)."""
    hidden = w_hh.shape[1]
    h, c, outputs = np.zeros(hidden), np.zeros(hidden), []
    for row in x:
        i, f, g, o = np.split(w_ih @ row + w_hh @ h + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def plain_network(net, window):
    """A faithful network (sum of cells, last step) over one window, from its weights alone."""
    weights = {name: t.detach().double().numpy() for name, t in net.state_dict().items()}
    x = (window - weights["inputs.mean"]) / weights["inputs.std"]
    for b, block in enumerate(net.blocks):
        cells = block.cells[0]
        p = f"blocks.{b}.cells.0."
        relu = np.split(weights[p + "weight"], cells.num_cells * cells.directions)
        relu_bias = np.split(weights[p + "bias"], len(relu))
        bias = np.split(weights[p + "lstm.bias"], len(relu))
        total = 0
        for cell in range(cells.num_cells):
            directions = []
            for d in range(cells.directions):
                n = cell * cells.directions + d
                z = np.maximum(x @ relu[n].T + relu_bias[n], 0)
                z = z[::-1] if d else z
                w = weights[p + "lstm.weight_ih"][n], weights[p + "lstm.weight_hh"][n]
                y = plain_lstm(z, *w, bias[n])
                directions.append(y[::-1] if d else y)
            total = total + np.concatenate(directions, axis=1)
        q = f"blocks.{b}.norm."
        scale = weights[q + "weight"] / np.sqrt(weights[q + "running_var"] + 1e-5)
        x = (total - weights[q + "running_mean"]) * scale + weights[q + "bias"]
    last = x[-1] if net.readout == "last" else x.mean(axis=0)
    return weights["classifier.weight"] @ last + weights["classifier.bias"]


def make_net(seed=0, **options):
    torch.manual_seed(seed)
    defaults = {"num_features": 5, "num_classes": 4, "hidden": 6, "num_stacked": 2}
    net = ResidualLSTM(**{**defaults, "num_residual": 2, **options}).double()
    for name, tensor in net.state_dict().items():  # nothing at 0 or 1, where mistakes hide
        if tensor.is_floating_point() and tensor.numel():
            noise = torch.rand_like(tensor)
            tensor.add_(noise if "var" in name or "std" in name else noise - 0.5)
    return net


def windows(batch=3, steps=7, features=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, steps, features, generator=generator, dtype=torch.float64)


# ------------------------------------------------------------------------------------- the cells


@pytest.mark.parametrize("method", METHODS)
def test_each_cell_meets_the_equations(method):
    torch.manual_seed(0)
    cells = ParallelLSTM(num_cells=3, input_size=5, hidden_size=4).double()
    torch.nn.init.normal_(cells.bias)
    x = torch.randn(7, 3, 5, 2, dtype=torch.float64)
    y = cells(x, method).detach().numpy()
    bias = cells.bias.detach().numpy().reshape(3, -1)
    for n in range(3):
        w_ih, w_hh = (w[n].detach().numpy() for w in (cells.weight_ih, cells.weight_hh))
        for b in range(2):
            expected = plain_lstm(x[:, n, :, b].numpy(), w_ih, w_hh, bias[n])
            np.testing.assert_allclose(y[:, n, :, b], expected, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(
    cells=st.integers(1, 4),
    inputs=st.integers(1, 5),
    hidden=st.integers(1, 5),
    steps=st.integers(1, 6),
    batch=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_all_methods_agree_with_their_gradients(cells, inputs, hidden, steps, batch, seed):
    torch.manual_seed(seed)
    lstm = ParallelLSTM(cells, inputs, hidden).double()
    x = torch.randn(steps, cells, inputs, batch, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(steps, cells, hidden, batch, dtype=torch.float64)
    found = []
    for method in METHODS:
        y = lstm(x, method)
        found.append([y, *torch.autograd.grad((y * weight).sum(), [x, *lstm.parameters()])])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            torch.testing.assert_close(one, two, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_extreme_inputs_stay_finite(method):
    torch.manual_seed(0)
    cells = ParallelLSTM(2, 3, 2)
    x = (torch.randn(5, 2, 3, 2) * 1e4).requires_grad_()
    y = cells(x, method)
    y.sum().backward()
    assert y.abs().max() <= 1
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in cells.parameters())


# ----------------------------------------------------------------------------------- the network


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("readout", ["last", "mean"])
@pytest.mark.parametrize("num_residual", [1, 3])
def test_network_meets_the_equations(bidirectional, readout, num_residual):
    net = make_net(bidirectional=bidirectional, readout=readout, num_residual=num_residual).eval()
    x = windows()
    scores = score(net, x)
    for row in range(len(x)):
        np.testing.assert_allclose(scores[row], plain_network(net, x[row].numpy()), atol=1e-5)


def score(net, x):
    """Scores in evaluation mode; the network computes in its weights' precision."""
    with torch.no_grad():
        return net.float()(x.float()).double().numpy()


def test_true_residual_connections_add_to_what_each_cell_reads():
    net = make_net(residual="residual", num_residual=2, norm="none")
    first, second = net.blocks
    x = windows(features=5).permute(1, 2, 0)
    y = first.cells[0](x)  # the width changes here: nothing to add to
    y = y + first.cells[1](y)
    torch.testing.assert_close(first(x), y)
    z = y + second.cells[0](y)
    torch.testing.assert_close(second(y), z + second.cells[1](z))


def test_a_window_is_scored_alone_unless_the_original_is_asked_for():
    """Running statistics: neighbours in the batch do not matter. The original's: they do."""
    x = windows(batch=6).float()
    for norm, alone in (("running", True), ("none", True), ("batch", False), ("original", False)):
        net = make_net(norm=norm).float().eval()
        with torch.no_grad():
            same = torch.allclose(net(x)[:2], net(x[:2]), atol=1e-5)
        assert same == alone, norm


def test_original_norm_has_one_mean_and_variance_per_step():
    norm = make_net(norm="original").blocks[0].norm
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    y = ((norm(x) - norm.offset) / norm.scale).detach()
    assert norm.scale.numel() == norm.offset.numel() == 1
    for step in range(4):
        expected = (x[step] - x[step].mean()) / (x[step].var(correction=0) + 1e-3).sqrt()
        torch.testing.assert_close(y[step], expected)


def test_backward_half_of_the_last_step_has_seen_one_sample():
    """Why the mean is the default read-out: earlier samples reach the last step's forward half
    only."""
    net = make_net(num_stacked=1, norm="none").eval()
    x = windows(batch=1).permute(1, 2, 0)
    changed = x.clone()
    changed[:-1] += 1
    difference = (net.blocks[0](x) - net.blocks[0](changed))[-1, :, 0].abs()
    assert (difference[:3] > 1e-6).all()
    assert (difference[3:] == 0).all()


def test_relu_scores_is_the_only_switch_that_forbids_negative_scores():
    x = windows(batch=20).float()
    net = make_net().float().eval()
    rectified = make_net(relu_scores=True).float().eval()
    assert (net(x) < 0).any()
    torch.testing.assert_close(rectified(x), net(x).relu())


@settings(max_examples=15, deadline=None)
@given(
    stacked=st.integers(1, 4),
    residual=st.integers(1, 4),
    half=st.integers(1, 6),
    steps=st.integers(1, 12),
    features=st.integers(1, 7),
)
def test_any_breadth_depth_and_length(stacked, residual, half, steps, features):
    net = ResidualLSTM(features, 3, stacked, residual, hidden=2 * half)
    scores = net(torch.randn(4, steps, features))
    assert scores.shape == (4, 3)
    scores.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    cells = [m for m in net.modules() if isinstance(m, ParallelLSTM)]
    assert sum(c.num_cells for c in cells) == 2 * stacked * residual


@pytest.mark.parametrize(
    ("config", "cells"),
    [
        ("residual_bilstm", 18),
        ("residual_bilstm_2x2", 8),
        ("residual_lstm", 9),
        ("bilstm", 6),
        ("lstm", 3),
        ("residual_bilstm_original", 18),
    ],
)
def test_configs_differ_in_arguments_only(config, cells):
    """The numbers of LSTMs that the authors name, 28 units wide in all of them."""
    experiment = load_experiment(config, "hapt_original")
    net = build_model(experiment.model, num_classes=6, num_features=9)
    assert isinstance(net, ResidualLSTM)
    lstms = [m for m in net.modules() if isinstance(m, ParallelLSTM)]
    assert sum(m.num_cells for m in lstms) == cells
    assert net.classifier.in_features == 28
    assert all(m.hidden_size * (2 if experiment.model.bidirectional else 1) == 28 for m in lstms)


def test_weight_decay_spares_biases_and_norms():
    from gesture3d.training.optim import parameter_groups

    experiment = load_experiment("residual_bilstm", "hapt_original")
    net = build_model(experiment.model, 6, 9)
    decayed, free = parameter_groups(net, experiment.optim)
    assert decayed["weight_decay"] == 0.005
    assert free["weight_decay"] == 0
    names = {id(p): name for name, p in net.named_parameters()}
    assert all("weight" in names[id(p)] and "norm" not in names[id(p)] for p in decayed["params"])
    assert all("bias" in names[id(p)] or "norm" in names[id(p)] for p in free["params"])


# -------------------------------------------------------------------------- what both nets share


def test_extra_channels():
    inputs = InertialInputs(6, magnitudes=True, log_scales=(0.5, 2.0))
    x = torch.tensor([3.0, 0.0, -4.0, 0.0, 2.0, 0.0])[None, None]
    channels = inputs.channels(x)[0, 0]
    log = [np.log1p(6.0), 0, -np.log1p(8.0), 0, np.log1p(1.0), 0]
    expected = torch.tensor([*x[0, 0].tolist(), 5.0, 2.0, *log], dtype=torch.float32)
    torch.testing.assert_close(channels, expected)


def test_inputs_are_standardised_with_the_training_windows():
    inputs = InertialInputs(3, magnitudes=True, std=0.5)
    x = torch.randn(50, 20, 3) * torch.tensor([1.0, 10.0, 0.0]) + torch.tensor([5.0, 0.0, 7.0])
    inputs.fit(x)
    y = inputs(x)
    torch.testing.assert_close(y.mean((0, 1)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        y.std((0, 1), correction=0), torch.tensor([0.5, 0.5, 0, 0.5]), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("model", [ResidualLSTM, Cnn1d])
def test_wrong_input_is_refused_in_one_line(model):
    net = model(num_features=6, num_classes=3)
    with pytest.raises(Gesture3dError, match=r"made for .* 6 channels"):
        net(torch.zeros(2, 8, 5))
    with pytest.raises(Gesture3dError, match="7 to 8 steps in one batch"):
        net(torch.zeros(2, 8, 6), torch.tensor([8, 7]))
    with pytest.raises(Gesture3dError, match=r"7 to 9 steps; .* set data\.num_frames"):
        net.fit_inputs([torch.zeros(9, 6), torch.zeros(7, 6)])
    with pytest.raises(Gesture3dError, match="vectors of three"):
        model(num_features=5, num_classes=3, magnitudes=True)
    with pytest.raises(Gesture3dError, match="log_scales has 4 values"):
        model(num_features=6, num_classes=3, log_scales=(1.0,) * 4)


def test_cnn_takes_any_length_and_depends_on_order():
    torch.manual_seed(0)
    net = Cnn1d(num_features=3, num_classes=2).eval()
    for steps in (1, 5, 24, 128):
        assert net(torch.randn(2, steps, 3)).shape == (2, 2)
    x = torch.randn(1, 64, 3)
    assert not torch.allclose(net(x), net(x[:, torch.randperm(64)]), atol=1e-3)
