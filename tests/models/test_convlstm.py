"""The recurrent layer against a plain float64 evaluation of the paper's equations, and its laws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gesture3d.models.convlstm import ConvLSTM

VARIANTS = ("convlstm", "a", "b", "c", "d")


def make_layer(variant, in_channels=3, hidden_channels=4, kernel_size=3, dtype=torch.float64):
    """A layer whose every parameter is random (the initial gate kernels are all alike)."""
    torch.manual_seed(7)
    layer = ConvLSTM(in_channels, hidden_channels, kernel_size, variant).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return layer


def make_input(batch=2, time=4, channels=3, height=5, width=4, dtype=torch.float64):
    torch.manual_seed(11)
    return torch.randn(batch, time, channels, height, width, dtype=dtype)


# ------------------------------------------------ the equations, step by step, nothing shared


def conv(kernel, x):
    """kernel * x: a dense kernel (out, in, K, K), same padding, one kernel position at a time."""
    size = kernel.shape[-1]
    height, width = x.shape[-2:]
    padded = x.new_zeros(*x.shape[:2], height + size - 1, width + size - 1)
    padded[:, :, size // 2 : size // 2 + height, size // 2 : size // 2 + width] = x
    out = 0
    for dy in range(size):
        for dx in range(size):
            window = padded[:, :, dy : dy + height, dx : dx + width]
            out = out + torch.einsum("oc,bchw->bohw", kernel[:, :, dy, dx], window)
    return out


def dense(p, name):
    """The dense kernel equal to the depthwise separable pair ``name``."""
    depthwise, pointwise = p[f"{name}.depthwise.weight"], p[f"{name}.pointwise.weight"]
    return torch.einsum("ckl,oc->ockl", depthwise[:, 0], pointwise[:, :, 0, 0])


def at_every_pixel(vector):
    return vector.reshape(*vector.shape, 1, 1)


def sigmoid(z):
    return 1 / (1 + torch.exp(-z))


def tanh(z):
    return (torch.exp(z) - torch.exp(-z)) / (torch.exp(z) + torch.exp(-z))


def pooled_gates(p, x, h, number):
    w_x = p["cell.pooled_gates.input.weight"].chunk(number)
    w_h = p["cell.pooled_gates.hidden.weight"].chunk(number)
    b = p["cell.pooled_gates.input.bias"].chunk(number)
    mean_x, mean_h = x.sum((2, 3)) / x[0, 0].numel(), h.sum((2, 3)) / h[0, 0].numel()  # (8), (9)
    for n in range(number):
        z = torch.einsum("oc,bc->bo", w_x[n], mean_x) + torch.einsum("oc,bc->bo", w_h[n], mean_h)
        yield at_every_pixel(sigmoid(z + b[n]))  # (10)-(12)


def transition(p, name, x, h):
    bias = at_every_pixel(p[f"{name}.input.pointwise.bias"])
    return conv(dense(p, f"{name}.input"), x) + conv(dense(p, f"{name}.hidden"), h) + bias


def spatial_attention(p, x, h):
    z = conv(
        p["cell.attention.score.weight"], tanh(transition(p, "cell.attention.transition", x, h))
    )
    return torch.exp(z) / torch.exp(z).sum((2, 3), keepdim=True)  # (17), (18)


def channel_attention(p, x, h):
    inner = tanh(transition(p, "cell.attention.transition", x, h))
    z = conv(dense(p, "cell.attention.score"), inner)  # (21)
    return torch.exp(z) / torch.exp(z).amax((2, 3), keepdim=True)  # (22)


def reference_step(variant, p, x, h, c):
    if variant == "convlstm":
        w_x, w_h = p["cell.input.weight"].chunk(4), p["cell.hidden.weight"].chunk(4)
        b = p["cell.input.bias"].chunk(4)
        z = [conv(w_x[n], x) + conv(w_h[n], h) + at_every_pixel(b[n]) for n in range(4)]
        i, f, o, g = sigmoid(z[0]), sigmoid(z[1]), sigmoid(z[2]), tanh(z[3])  # (1)-(4)
    else:
        if variant == "b":
            x = spatial_attention(p, x, h) * x  # (19)
        if variant in "ab":
            i, f, o = pooled_gates(p, x, h, 3)
        elif variant == "c":
            (f, o), i = pooled_gates(p, x, h, 2), channel_attention(p, x, h)
        else:
            (i, f), o = pooled_gates(p, x, h, 2), channel_attention(p, x, h)
        g = tanh(transition(p, "cell.candidate", x, h))  # (13)
    c = f * c + i * g  # (5), (14)
    return o * tanh(c), c  # (6), (15)


def reference(variant, p, x, h, c):
    sequence = []
    for t in range(x.shape[1]):
        h, c = reference_step(variant, p, x[:, t], h, c)
        sequence.append(h)
    return torch.stack(sequence, 1), h, c


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("variant", VARIANTS)
def test_layer_evaluates_the_papers_equations(variant, kernel_size):
    layer = make_layer(variant, kernel_size=kernel_size)
    x = make_input().requires_grad_()
    h0, c0 = (torch.randn(2, 4, 5, 4, dtype=torch.float64).requires_grad_() for _ in range(2))
    copies = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}

    sequence, (h, c) = layer(x, (h0, c0))
    expected_sequence, expected_h, expected_c = reference(variant, copies, x, h0, c0)
    torch.testing.assert_close(sequence, expected_sequence, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(h, expected_h, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(c, expected_c, rtol=1e-9, atol=1e-11)

    weights = [torch.randn_like(sequence), torch.randn_like(h), torch.randn_like(c)]
    loss = sum((a * w).sum() for a, w in zip((sequence, h, c), weights, strict=True))
    expected = (expected_sequence, expected_h, expected_c)
    expected_loss = sum((a * w).sum() for a, w in zip(expected, weights, strict=True))
    grads = torch.autograd.grad(loss, [x, h0, c0, *layer.parameters()])
    expected_grads = torch.autograd.grad(expected_loss, [x, h0, c0, *copies.values()])
    for name, a, b in zip(["x", "h0", "c0", *copies], grads, expected_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


# --------------------------------------------------------------------------- parameter counts


def number_of_weights(layer):
    return sum(p.numel() for name, p in layer.named_parameters() if not name.endswith("bias"))


def papers_count(variant, k, c_in, c_out):
    a = (k * k + c_out * 4) * (c_in + c_out)  # (16)
    return {
        "convlstm": k * k * (c_in + c_out) * c_out * 4,  # (7)
        "a": a,
        "b": a + k * k * (c_in + c_out * 2) + (c_in + c_out) * c_out,  # (20)
        "c": a + k * k * (c_in + c_out * 2) + c_out * c_out,  # (24)
        "d": a + k * k * (c_in + c_out * 2) + c_out * c_out,
    }[variant]


@settings(max_examples=60, deadline=None)
@given(
    variant=st.sampled_from(VARIANTS),
    kernel_size=st.sampled_from([1, 3, 5, 7]),
    in_channels=st.integers(1, 24),
    hidden_channels=st.integers(1, 24),
)
def test_parameter_counts_are_equations_7_16_20_24(
    variant, kernel_size, in_channels, hidden_channels
):
    layer = ConvLSTM(in_channels, hidden_channels, kernel_size, variant)
    expected = papers_count(variant, kernel_size, in_channels, hidden_channels)
    assert number_of_weights(layer) == expected


@pytest.mark.parametrize(
    ("variant", "weights", "biases"),
    [
        ("convlstm", 4_718_592, 4),
        ("a", 528_896, 4),
        ("b", 666_880, 5),
        ("c", 601_344, 4),
        ("d", 601_344, 4),
    ],
)
def test_papers_own_sizes(variant, weights, biases):
    layer = ConvLSTM(256, 256, variant=variant)
    assert number_of_weights(layer) == weights
    all_parameters = sum(p.numel() for p in layer.parameters())
    assert all_parameters - weights == biases * 256  # one bias in each equation


# ------------------------------------------------------------------------------ laws of the layer


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_two_halves_with_the_state_passed_equal_the_whole(variant, cut):
    layer, x = make_layer(variant), make_input()
    whole, (h, c) = layer(x)
    first, state = layer(x[:, :cut])
    second, (h2, c2) = layer(x[:, cut:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close((h2, c2), (h, c), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("variant", VARIANTS)
def test_state_defaults_to_zeros_and_the_last_hidden_state_ends_the_sequence(variant):
    layer, x = make_layer(variant), make_input()
    sequence, (h, _) = layer(x)
    zeros = torch.zeros(2, 4, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x, (zeros, zeros))[0], sequence, rtol=1e-12, atol=1e-14)
    assert torch.equal(sequence[:, -1], h)
    assert not torch.allclose(layer(x, (zeros + 1, zeros))[0], sequence)
    assert not torch.allclose(layer(x, (zeros, zeros + 1))[0], sequence)


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_output_depends_on_a_later_frame_or_another_clip(variant):
    layer, x = make_layer(variant), make_input()
    before, _ = layer(x)
    changed = x.clone()
    changed[0, 2] += 3
    after, _ = layer(changed)
    assert torch.equal(after[:, :2], before[:, :2])
    torch.testing.assert_close(after[1], before[1], rtol=1e-12, atol=1e-14)
    assert ((after[0, 2] - before[0, 2]).abs().max() > 1e-3).all()
    assert ((after[0, 3] - before[0, 3]).abs().max() > 1e-3).all()


def is_constant_over_space(gate):
    return bool((gate.amax((2, 3)) == gate.amin((2, 3))).all())


@pytest.mark.parametrize(
    ("variant", "constant_gates"),
    [("convlstm", ""), ("a", "ifo"), ("b", "ifo"), ("c", "fo"), ("d", "if")],
)
def test_pooled_gates_are_constant_over_space_and_only_they(variant, constant_gates):
    _, _, sequence = make_layer(variant)(make_input(), return_gates=True)
    assert len(sequence) == 4
    for gates in sequence:
        found = {
            "i": is_constant_over_space(gates.input),
            "f": is_constant_over_space(gates.forget),
            "o": is_constant_over_space(gates.output),
        }
        assert "".join(name for name in "ifo" if found[name]) == constant_gates
        assert not is_constant_over_space(gates.candidate)


@pytest.mark.parametrize("low_precision", [False, True])
@pytest.mark.parametrize(("variant", "name"), [("c", "input"), ("d", "output")])
def test_channel_attention_has_maximum_exactly_1_in_every_channel(variant, name, low_precision):
    layer = make_layer(variant, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
        _, _, sequence = layer(make_input(dtype=torch.float32), return_gates=True)
    for gates in sequence:
        gate = getattr(gates, name)
        assert (gate.amax((2, 3)) == 1).all()
        assert (gate > 0).all()
        assert (gate < 1).any()


def test_spatial_attention_sums_to_1_over_each_map():
    _, _, sequence = make_layer("b")(make_input(), return_gates=True)
    for gates in sequence:
        assert gates.attention.shape == (2, 1, 5, 4)
        total = gates.attention.sum((2, 3))
        torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("low_precision", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_extreme_inputs_stay_finite(variant, low_precision):
    layer = make_layer(variant, dtype=torch.float32)
    x = (make_input(dtype=torch.float32) * 1e4).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
        sequence, (h, c) = layer(x)
    (sequence.float().sum() + h.float().sum() + c.sum()).backward()
    for value in (sequence, h, c, x.grad, *(p.grad for p in layer.parameters())):
        assert value.isfinite().all()
    assert sequence.abs().max() <= 1


@pytest.mark.parametrize("low_precision", [False, True])
@pytest.mark.parametrize("variant", ["b", "c", "d"])
def test_large_attention_scores_stay_finite(variant, low_precision):
    """(18) and (22) as they are written overflow once a score exceeds 88."""
    layer = make_layer(variant, dtype=torch.float32)
    with torch.no_grad():
        for parameter in layer.cell.attention.score.parameters():
            parameter *= 1000
    x = make_input(dtype=torch.float32).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
        sequence, _ = layer(x)
    sequence.float().sum().backward()
    for value in (sequence, x.grad, *(p.grad for p in layer.parameters())):
        assert value.isfinite().all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_autocast_keeps_the_cell_state_in_fp32_and_the_result_close(variant):
    layer = make_layer(variant, dtype=torch.float32)
    x = make_input(dtype=torch.float32)
    expected, _ = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        sequence, (h, c) = layer(x)
        _, (h2, c2) = layer(x, (h, c))
    assert sequence.dtype == h.dtype == h2.dtype == torch.bfloat16
    assert c.dtype == c2.dtype == torch.float32
    assert (sequence.float() - expected).abs().max() < 0.05
    assert not torch.equal(sequence.float(), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_memory_format_changes_nothing(variant):
    layer, x = make_layer(variant), make_input()
    channels_last = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    time_last = x.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
    expected, _ = layer(x)
    for same in (channels_last, time_last):
        assert not same.is_contiguous()
        torch.testing.assert_close(layer(same)[0], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(1, 1, 1, 1), (1, 3, 7, 2), (3, 2, 1, 6)])
def test_any_length_and_size(variant, size):
    batch, time, height, width = size
    layer = make_layer(variant)
    sequence, (h, c) = layer(make_input(batch, time, 3, height, width))
    assert sequence.shape == (batch, time, 4, height, width)
    assert h.shape == c.shape == (batch, 4, height, width)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("return_gates", [False, True])
def test_every_parameter_has_a_gradient_even_after_one_step(variant, return_gates):
    """Training in several processes needs one from each, also where it is zero."""
    layer = make_layer(variant)
    layer(make_input(time=1), None, return_gates)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


# --------------------------------------------------------------------------------- construction


@pytest.mark.parametrize("variant", VARIANTS)
def test_initial_values(variant):
    torch.manual_seed(0)
    layer = ConvLSTM(96, 80, variant=variant, forget_bias=1.5)
    biases = []
    layer.requires_grad_(False)
    for name, parameter in layer.named_parameters():
        module = layer.get_submodule(name.rpartition(".")[0])
        if name.endswith("bias"):
            biases.append(parameter)
        elif isinstance(module, nn.Linear):
            assert (parameter == 1 / 80).all()  # the authors' initialisation of pooled gates
        else:
            he_deviation = math.sqrt(2 / parameter[0].numel())
            assert parameter.std() == pytest.approx(he_deviation, rel=0.1)
    assert sorted(torch.cat(biases).unique().tolist()) == [0, 1.5]
    assert (torch.cat(biases) == 1.5).sum() == 80

    # It is the forget gate that is open: a state with nothing new decays by σ(1.5) a step.
    zeros = torch.zeros(1, 1, 80, 2, 2)
    _, _, (gates,) = layer(torch.zeros(1, 1, 96, 2, 2), (zeros[0], zeros[0]), return_gates=True)
    opening = torch.full_like(gates.forget, 1.5).sigmoid()
    torch.testing.assert_close(gates.forget, opening)
    assert not torch.allclose(gates.input, opening[:1, :1])
    assert not torch.allclose(gates.output, opening[:1, :1])


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match=r"variant .* 'e'"):
        ConvLSTM(4, 4, variant="e")
    with pytest.raises(ValueError, match=r"odd .* 4"):
        ConvLSTM(4, 4, kernel_size=4)
