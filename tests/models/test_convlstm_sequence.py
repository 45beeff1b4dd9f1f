"""Variant (a) over a whole sequence against the loop over its cell, step by step."""

import copy

import pytest
import torch
from torch import nn

from gesture3d.models import convlstm
from gesture3d.models.convlstm import ConvLSTM


def plain(layer, x, state=None):
    """The layer's own loop, which always serves those who want to see the gates."""
    return layer(x, state, return_gates=True)[:2]


def make_layer(in_channels=5, hidden_channels=4, kernel_size=3, dtype=torch.float64):
    torch.manual_seed(3)
    layer = ConvLSTM(in_channels, hidden_channels, kernel_size, "a").to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    return layer


def make_input(shape=(3, 5, 5, 6, 4), dtype=torch.float64):
    torch.manual_seed(4)
    batch, _, _, height, width = shape
    state = tuple(torch.randn(batch, 4, height, width, dtype=dtype) for _ in range(2))
    return torch.randn(shape, dtype=dtype), state


def results_and_gradients(run, layer, x, state):
    """Everything a caller can get, with a different cotangent for each output."""
    inputs = [value.detach().clone().requires_grad_() for value in (x, *(state or ()))]
    sequence, (h, c) = run(layer, inputs[0], tuple(inputs[1:]) or None)
    generator = torch.Generator().manual_seed(5)
    loss = sum(
        (y.double() * torch.randn(y.shape, generator=generator, dtype=torch.float64)).sum()
        for y in (sequence, h, c)
    )
    return [sequence, h, c, *torch.autograd.grad(loss, [*inputs, *layer.parameters()])]


def relative_error(found, expected):
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


@pytest.fixture
def calls(monkeypatch):
    """How often the fast path ran."""
    count = []
    run = convlstm.run_sequence
    monkeypatch.setattr(convlstm, "run_sequence", lambda *a: count.append(1) or run(*a))
    return count


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("shape", [(3, 5, 5, 6, 4), (1, 1, 5, 3, 2), (2, 3, 5, 1, 1)])
def test_values_and_gradients_are_those_of_the_loop(calls, shape, kernel_size, with_state):
    layer, (x, state) = make_layer(kernel_size=kernel_size), make_input(shape)
    state = state if with_state else None
    found = results_and_gradients(lambda layer, *a: layer(*a), layer, x, state)
    assert len(calls) == 1
    expected = results_and_gradients(plain, layer, x, state)
    assert len(calls) == 1
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


def test_gradients_are_those_of_finite_differences():
    layer, (x, state) = make_layer(in_channels=2, hidden_channels=4), make_input((2, 3, 2, 3, 2))
    inputs = [value.requires_grad_() for value in (x, *state)]
    names = [name for name, _ in layer.named_parameters()]

    def run(x, h, c, *parameters):
        named = dict(zip(names, parameters, strict=True))
        sequence, (_, c) = torch.func.functional_call(layer, named, (x, (h, c)))
        return sequence, c

    assert torch.autograd.gradcheck(run, (*inputs, *layer.parameters()), fast_mode=True)


def exact_results_and_gradients(layer, x, state):
    state = state and tuple(value.double() for value in state)
    return results_and_gradients(plain, copy.deepcopy(layer).double(), x.double(), state)


@pytest.mark.parametrize("with_state", [False, True])
def test_fp32_is_within_1e_5_of_the_loop_in_fp64(with_state):
    layer, (x, state) = make_layer(dtype=torch.float32), make_input(dtype=torch.float32)
    state = state if with_state else None
    found = results_and_gradients(lambda layer, *a: layer(*a), layer, x, state)
    for a, b in zip(found, exact_results_and_gradients(layer, x, state), strict=True):
        assert a.dtype == torch.float32
        assert relative_error(a, b) < 1e-5


@pytest.mark.parametrize("with_state", [False, True])
def test_autocast_is_as_near_to_fp64_as_the_loop_is(with_state):
    layer, (x, state) = make_layer(dtype=torch.float32), make_input(dtype=torch.float32)
    state = state if with_state else None

    def autocast(run):
        def run_in_bf16(layer, *arguments):
            with torch.autocast("cpu", torch.bfloat16):
                return run(layer, *arguments)

        return results_and_gradients(run_in_bf16, layer, x, state)

    found, loop = autocast(lambda layer, *a: layer(*a)), autocast(plain)
    exact = exact_results_and_gradients(layer, x, state)
    for a, b, c in zip(found, loop, exact, strict=True):
        assert a.dtype == b.dtype
        assert relative_error(a, c) < max(0.01, 1.5 * relative_error(b, c))
        assert relative_error(a, c) < 0.05


def test_without_gradients_the_values_are_the_same():
    layer, (x, state) = make_layer(dtype=torch.float32), make_input(dtype=torch.float32)
    with torch.no_grad():
        sequence, (h, c) = layer(x, state)
    expected, (expected_h, expected_c) = layer(x, state)
    assert expected.requires_grad
    assert torch.equal(sequence, expected)
    assert torch.equal(h, expected_h)
    assert torch.equal(c, expected_c)


def test_a_network_in_bf16_runs():
    layer, (x, state) = make_layer(dtype=torch.bfloat16), make_input(dtype=torch.bfloat16)
    found = results_and_gradients(lambda layer, *a: layer(*a), layer, x, state)
    expected = results_and_gradients(plain, layer, x, state)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert relative_error(a, b) < 0.05


def test_only_some_arguments_need_gradients():
    layer, (x, _) = make_layer(), make_input()
    layer.requires_grad_(False)
    layer.cell.pooled_gates.hidden.weight.requires_grad_()
    layer(x)[0].sum().backward()
    found = layer.cell.pooled_gates.hidden.weight.grad.clone()
    layer.zero_grad()
    plain(layer, x)[0].sum().backward()
    torch.testing.assert_close(found, layer.cell.pooled_gates.hidden.weight.grad)
    assert layer.cell.candidate.hidden.pointwise.weight.grad is None


def test_backward_can_run_twice_over_a_retained_graph_but_not_be_differentiated():
    layer, (x, _) = make_layer(), make_input()
    x.requires_grad_()
    loss = layer(x)[0].square().sum()
    (first,) = torch.autograd.grad(loss, x, retain_graph=True)
    (second,) = torch.autograd.grad(loss, x, retain_graph=True)
    assert torch.equal(first, second)
    (again,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        again.sum().backward()
    out = layer(x)[0].sum()  # whose incoming gradient is a constant
    (penalised,) = torch.autograd.grad(out, x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        (out + penalised.square().sum()).backward()


def test_what_cannot_run_it_takes_the_loop(calls, monkeypatch):
    layer, (x, _) = make_layer(dtype=torch.float32), make_input(dtype=torch.float32)
    expected, (_, c) = layer(x)
    assert len(calls) == 1

    gradient = torch.func.grad(lambda x: layer(x)[0].sum())(x)
    x.requires_grad_()
    torch.testing.assert_close(gradient, torch.autograd.grad(layer(x)[0].sum(), x)[0])
    assert len(calls) == 2

    with monkeypatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        sequence, (_, compiled_c) = layer(x)
    torch.testing.assert_close((sequence, compiled_c), (expected, c))
    assert layer.to("meta")(x.to("meta"))[0].shape == expected.shape
    assert len(calls) == 2


def test_wrong_channels_are_refused():
    layer = ConvLSTM(5, 4)
    for channels in (4, 6):
        with pytest.raises(ValueError, match=f"{channels} channels, this layer takes 5"):
            layer(torch.zeros(1, 2, channels, 3, 3))


def test_parameters_receive_gradients_from_layers_in_a_stack():
    """As in the network: the second layer reads the first's output, which is also kept."""
    torch.manual_seed(0)
    stack = nn.ModuleList([ConvLSTM(3, 4), ConvLSTM(4, 4)]).double()
    x = torch.randn(2, 3, 3, 4, 4, dtype=torch.float64)

    def gradients(run):
        y = x
        for layer in stack:
            y, _ = run(layer, y)
        return torch.autograd.grad(y.square().sum(), list(stack.parameters()))

    for a, b in zip(gradients(lambda layer, y: layer(y)), gradients(plain), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
