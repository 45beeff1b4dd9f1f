"""Causal networks for sequences, stepped through streams of joints and of inertial sensors."""

import numpy as np
import pytest
import torch

from gesture3d.config import load_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.models import build_model
from gesture3d.models.deepgru import DeepGRU
from gesture3d.models.online import Carried
from gesture3d.models.parallel_lstm import ParallelLSTM

SMALL_DIMS = ["model.dims.gru1=8", "model.dims.gru2=8", "model.dims.gru3=6", "model.dims.fc=8"]
KINDS = {
    "gru": ("gru", "sfinge3d", ["model.hidden_size=8"]),
    "deepgru": ("deepgru", "sfinge3d", [*SMALL_DIMS, "model.attention_steps=5"]),
    "deepgru alone": ("deepgru", "sfinge3d", [*SMALL_DIMS, "model.attention_steps=1"]),
    "residual_lstm": ("residual_lstm", "hapt", ["model.hidden=6"]),
    "lstm": ("lstm", "hapt", ["model.hidden=6", "model.residual=residual"]),
}


def make_net(kind, dtype=torch.float64, seed=0):
    name, recipe, settings = KINDS[kind]
    experiment = load_experiment(name, recipe, [*settings, "model.causal=true"])
    torch.manual_seed(seed)
    net = build_model(experiment.model, 4, 6)
    net.fit_inputs([3 * torch.randn(50, 6) + 1 for _ in range(4)])
    with torch.no_grad():
        net.train()(torch.randn(8, 20, 6) + 1)  # moves the running statistics
    return net.eval().to(dtype)


def make_stream(seed, batch, frames, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return 1 + 3 * torch.randn(batch, frames, 6, generator=generator, dtype=dtype)


def run_in_chunks(net, stream, lengths, state=None):
    state, found = state or net.initial_state(len(stream)), []
    for chunk in stream.split(lengths, dim=1):
        scores, state = net.run(chunk, state)
        found.append(scores)
    return torch.cat(found, 1), state


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_stream_in_any_chunks_is_the_whole_sequence(kind, dtype, tolerance):
    net, stream = make_net(kind, dtype), make_stream(1, 2, 20, dtype)
    whole = net.step_scores(stream)
    assert whole.shape == (2, 20, 4)
    torch.testing.assert_close(net(stream), whole.mean(1), rtol=1e-6, atol=1e-6)
    rng = np.random.default_rng(0)
    for count in (19, 4, 7):
        cuts = np.sort(rng.choice(np.arange(1, 20), count, replace=False))
        lengths = np.diff([0, *cuts, 20]).tolist()
        found, state = run_in_chunks(net, stream, lengths)
        torch.testing.assert_close(found, whole, rtol=tolerance, atol=tolerance)
    assert [tuple(tensor.shape) for tensor in state] == net.state_shapes(2, ())
    changed = torch.cat([stream[:, :11], make_stream(2, 2, 9, dtype)], 1)
    after = net.step_scores(changed)
    torch.testing.assert_close(after[:, :11], whole[:, :11], rtol=tolerance, atol=tolerance)
    assert (after[:, 11] - whole[:, 11]).abs().amin() > 1e-6


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_streams_of_a_batch_are_those_alone_whatever_their_age(kind):
    net = make_net(kind)
    old, young = make_stream(1, 1, 15), make_stream(2, 1, 7)
    expected = [net.step_scores(x)[:, -7:] for x in (old, young)]
    _, of_old = run_in_chunks(net, old[:, :8], [3, 5])
    both = zip(of_old, net.initial_state(1), strict=True)
    state = tuple(torch.cat(pair) for pair in both)
    found, _ = run_in_chunks(net, torch.cat([old[:, 8:], young]), [1] * 7, state)
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["deepgru", "residual_lstm"])
@torch.no_grad()
def test_a_long_stream_neither_grows_nor_drifts(kind):
    net, exact = make_net(kind, torch.float32), make_net(kind)
    state, exact_state = net.initial_state(1), exact.initial_state(1)
    sizes = [t.untyped_storage().nbytes() for t in state]
    for part in range(30):
        chunk = make_stream(part, 1, 200, torch.float32)
        scores, state = net.run(chunk, state)
        exact_scores, exact_state = exact.run(chunk.double(), exact_state)
        assert [t.untyped_storage().nbytes() for t in state] == sizes
        torch.testing.assert_close(scores.double(), exact_scores, rtol=1e-4, atol=2e-5)


@torch.no_grad()
def test_streams_of_several_lengths_are_evaluated_side_by_side():
    net, lengths = make_net("residual_lstm"), torch.tensor([9, 4])
    streams = make_stream(1, 2, 9)
    alone = [net(row[None, :length]) for row, length in zip(streams, lengths, strict=True)]
    torch.testing.assert_close(net(streams, lengths), torch.cat(alone))
    with pytest.raises(Gesture3dError, match="4 to 9 steps in one batch"):
        net.train()(streams, lengths)  # its norms would see what is behind the end


@pytest.mark.parametrize("kind", ["gru", "deepgru"])
def test_padding_is_no_part_of_a_sequence_nor_of_its_training(kind):
    lengths = torch.tensor([9, 4])
    found = []
    for noise in (0.0, 100.0):
        net = make_net(kind)
        inputs = make_stream(1, 2, 9)
        inputs[1, 4:] = noise
        alone = [net(row[None, :length]) for row, length in zip(inputs, lengths, strict=True)]
        torch.testing.assert_close(net(inputs, lengths), torch.cat(alone))
        net.train()
        net.requires_grad_()
        torch.manual_seed(0)
        net(inputs, lengths)[:, 1].sum().backward()
        found.append([p.grad for p in net.parameters()] + [b.double() for b in net.buffers()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
def test_attention_over_a_buffer_is_the_attention_over_the_last_steps():
    """At every step that of the offline network, of the outputs up to it."""
    torch.manual_seed(0)
    dims = {"gru1": 4, "gru2": 4, "gru3": 4, "fc": 4}
    net = DeepGRU(3, 2, dims, causal=True, attention_steps=4).double().eval()
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    outputs = net._encode(x, torch.tensor([9, 9]))
    scores = net.step_scores(x)
    for step in range(9):
        window = outputs[:, max(step - 3, 0) : step + 1]
        features = net.attention(window, outputs[:, step], None)
        torch.testing.assert_close(scores[:, step], net.classifier(features).log_softmax(1))


@pytest.mark.parametrize("method", ["turn", "block", "scan"])
def test_every_way_to_run_cells_is_theirs_with_state(method):
    torch.manual_seed(0)
    lstm, x = ParallelLSTM(3, 2, 4).double(), torch.randn(6, 3, 2, 5, dtype=torch.float64)
    carried = Carried(torch.zeros(2, 5, 3, 4, dtype=torch.float64).unbind())
    first = lstm(x[:2], carried=carried)
    second = lstm(x[2:], carried=Carried(carried.state))
    torch.testing.assert_close(torch.cat([first, second]), lstm(x, method))


@pytest.mark.parametrize(
    ("name", "message"),
    [("residual_bilstm", "bidirectional=True"), ("residual_bilstm_original", "norm=original")],
)
def test_what_needs_the_future_is_no_causal_network(name, message):
    with pytest.raises(Gesture3dError, match=f"causal=true needs.*{message}.*--cfg residual_lstm"):
        load_experiment(name, "hapt", ["model.causal=true"])


@pytest.mark.parametrize("kind", KINDS)
def test_offline_networks_say_how_to_get_a_causal_one(kind):
    name, recipe, settings = KINDS[kind]
    net = build_model(load_experiment(name, recipe, settings).model, 4, 6)
    for use in (lambda: net.initial_state(1), lambda: net.step_scores(make_stream(1, 1, 5))):
        with pytest.raises(Gesture3dError, match=r"model\.causal=true"):
            use()


def test_inputs_of_other_features_are_refused():
    for kind in ("gru", "residual_lstm"):
        net = make_net(kind)
        with pytest.raises(Gesture3dError, match=r"\b7\b"):
            net.run(torch.zeros(1, 3, 7, dtype=torch.float64), net.initial_state(1))
