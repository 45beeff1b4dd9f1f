"""DeepGRU against its equations in float64, and what must not change its scores."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gesture3d.errors import Gesture3dError
from gesture3d.models.deepgru import DeepGRU, collate_fn

DIMS = {"gru1": 12, "gru2": 8, "gru3": 6, "fc": 10}


@pytest.fixture
def net() -> DeepGRU:
    """A small network in float64 whose batch norms have seen data."""
    torch.manual_seed(0)
    net = DeepGRU(5, 4, DIMS).double()
    for _ in range(3):
        net(torch.randn(6, 9, 5, dtype=torch.float64), torch.tensor([9, 8, 5, 4, 2, 1]))
    for parameter in net.parameters():  # away from symmetric initial values
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return net.eval()


def sequences(*lengths: int) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(n, 5, dtype=torch.float64) for n in lengths]


def padded(parts: list[torch.Tensor], extra: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(p) for p in parts])
    x = torch.full((len(parts), int(lengths.max()) + extra, 5), 7.0, dtype=torch.float64)
    for row, part in zip(x, parts, strict=True):
        row[: len(part)] = part
    return x, lengths


# --- an independent evaluation, one sequence at a time --------------------------------------------


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gru_layer(weights: dict, prefix: str, suffix: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    w_i, w_h = weights[f"{prefix}.weight_ih_{suffix}"], weights[f"{prefix}.weight_hh_{suffix}"]
    b_i, b_h = weights[f"{prefix}.bias_ih_{suffix}"], weights[f"{prefix}.bias_hh_{suffix}"]
    rows = []
    for step in x:
        r_i, z_i, n_i = np.split(w_i @ step + b_i, 3)
        r_h, z_h, n_h = np.split(w_h @ h + b_h, 3)
        r, z = sigmoid(r_i + r_h), sigmoid(z_i + z_h)
        h = (1 - z) * np.tanh(n_i + r * n_h) + z * h
        rows.append(h)
    return np.array(rows)


def reference(net: DeepGRU, sequence: torch.Tensor, padding: int = 0) -> np.ndarray:
    """Log-probabilities of one sequence; ``padding`` steps more in the attention's softmax."""
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    x = sequence.numpy()
    for prefix, layers in (("gru1", 2), ("gru2", 2), ("gru3", 1)):
        for layer in range(layers):
            size = weights[f"{prefix}.weight_hh_l{layer}"].shape[1]
            x = gru_layer(weights, prefix, f"l{layer}", x, np.zeros(size))
    last = x[-1]
    scores = np.array([(weights["attention.w.weight"] @ h) @ last for h in x] + [0.0] * padding)
    share = np.exp(scores - scores.max())
    context = (share / share.sum())[: len(x)] @ x
    auxiliary = gru_layer(weights, "attention.gru", "l0", context[None], last)[0]
    value = np.concatenate([auxiliary, context])
    for norm, linear in (("0", "2"), ("4", "6")):
        if norm == "4":
            value = np.maximum(value, 0)
        c = f"classifier.{norm}"
        value = (value - weights[f"{c}.running_mean"]) / np.sqrt(weights[f"{c}.running_var"] + 1e-5)
        value = value * weights[f"{c}.weight"] + weights[f"{c}.bias"]
        value = (
            weights[f"classifier.{linear}.weight"] @ value + weights[f"classifier.{linear}.bias"]
        )
    return value - value.max() - np.log(np.exp(value - value.max()).sum())


def test_the_scores_are_those_of_the_equations(net) -> None:
    parts = sequences(7, 1, 12, 5)
    with torch.no_grad():
        scores = net(*padded(parts)).numpy()
    expected = np.stack([reference(net, part) for part in parts])
    np.testing.assert_allclose(scores, expected, atol=1e-10)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1.0)


def test_the_official_attention_looks_at_padding(net) -> None:
    net.mask_padding = False
    parts = sequences(7, 1, 12, 5)
    with torch.no_grad():
        scores = net(*padded(parts)).numpy()
    expected = np.stack([reference(net, part, 12 - len(part)) for part in parts])
    np.testing.assert_allclose(scores, expected, atol=1e-10)
    honest = np.stack([reference(net, part) for part in parts])
    assert np.abs(scores[1] - honest[1]).max() > 1e-3
    np.testing.assert_allclose(scores[2], honest[2], atol=1e-10)  # the longest has no padding


def test_with_equal_lengths_both_forms_agree(net) -> None:
    x, lengths = padded(sequences(6, 6, 6))
    with torch.no_grad():
        ours = net(x, lengths)
        net.mask_padding = False
        assert torch.equal(net(x, lengths), ours)
        assert torch.equal(net(x), ours)  # no lengths: all are whole


# --- invariances ---------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_a_sequence_does_not_depend_on_its_batch(net, training) -> None:
    """Alone, with others, in any order, in more padding, packed: 1e-6 and far below, in float64.

    In training the batch norms mix the batch, so there the input of the classifier is compared.
    """
    net.train(training)
    if training:
        net.classifier = nn.Identity()
    parts = sequences(7, 1, 12, 5, 12)
    with torch.no_grad():
        together = net(*padded(parts))
        order = [3, 0, 4, 2, 1]
        shuffled = net(*padded([parts[i] for i in order]))
        torch.testing.assert_close(shuffled, together[order], atol=1e-9, rtol=0)
        torch.testing.assert_close(net(*padded(parts, extra=20)), together, atol=1e-9, rtol=0)
        x, lengths = padded(parts)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        torch.testing.assert_close(net(packed), together, atol=1e-9, rtol=0)
        torch.testing.assert_close(net(packed, lengths), together, atol=1e-9, rtol=0)
        if not training:
            for part, expected in zip(parts, together, strict=True):
                torch.testing.assert_close(net(part[None])[0], expected, atol=1e-9, rtol=0)


def test_gradients_do_not_see_the_padding(net) -> None:
    net.train()
    net.classifier = nn.Linear(12, 4).double()
    parts = sequences(7, 2, 12)
    x, lengths = padded(parts, extra=3)
    x.requires_grad_()
    net(x, lengths).square().sum().backward()
    together = {n: p.grad.clone() for n, p in net.named_parameters()}
    for row, length in zip(x.grad, lengths, strict=True):
        assert (row[length:] == 0).all()
        assert (row[:length] != 0).any(dim=1).all()
    net.zero_grad()
    for part in parts:
        pair = part[None].repeat(2, 1, 1)  # a training batch needs two
        (net(pair).square().sum() / 2).backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, together[name], atol=1e-9, rtol=1e-7)


def test_one_to_ten_thousand_frames(net) -> None:
    long = torch.randn(10_000, 5, dtype=torch.float64)
    with torch.no_grad():
        scores = net(*padded([long, long[:1]]))
        assert torch.isfinite(scores).all()
        assert (scores[1] - net(long[None, :1])[0]).abs().max() < 1e-9


# --- interface -----------------------------------------------------------------------------------


def test_size_and_names_are_the_authors() -> None:
    net = DeepGRU(63, 14)
    own = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert own["gru1.weight_ih_l0"] == (1536, 63)
    assert own["gru2.weight_hh_l1"] == (768, 256)
    assert own["gru3.bias_ih_l0"] == (384,)
    assert own["attention.w.weight"] == (128, 128)
    assert "attention.w.bias" not in own
    assert own["attention.gru.weight_ih_l0"] == (384, 128)
    assert own["classifier.2.weight"] == (256, 256)
    assert own["classifier.6.weight"] == (14, 256)
    assert {n.split(".")[0] for n in own} == {"gru1", "gru2", "gru3", "attention", "classifier"}
    gru = sum(3 * h * (i + h + 2) for i, h in ((63, 512), (512, 512), (512, 256), (256, 256)))
    gru += sum(3 * 128 * (i + 128 + 2) for i in (256, 128))
    rest = 128 * 128 + 2 * 256 + 256 * 257 + 2 * 256 + 14 * 257
    assert sum(p.numel() for p in net.parameters()) == gru + rest


class OfficialForm(nn.Module):
    """The authors' forward pass, written from the paper's figure on top of PyTorch's own layers:
    packed encoder, attention over the zero-padded outputs."""

    def __init__(self, net: DeepGRU) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True)
        packed, _ = self.net.gru1(packed)
        packed, _ = self.net.gru2(packed)
        packed, hidden = self.net.gru3(packed)
        outputs, _ = pad_packed_sequence(packed, batch_first=True)
        weights = (self.net.attention.w(outputs) @ hidden[-1][:, :, None]).softmax(dim=1)
        context = (weights * outputs).sum(dim=1, keepdim=True)
        auxiliary, _ = self.net.attention.gru(context, hidden[-1:])
        return self.net.classifier(torch.cat([auxiliary, context], dim=2)[:, 0])


def test_official_weights_load_and_give_the_official_result() -> None:
    torch.manual_seed(0)
    net = DeepGRU(5, 4, DIMS, mask_padding=False).double().eval()
    theirs = {name: torch.randn_like(v).abs() for name, v in net.state_dict().items() if v.ndim}
    net.load_state_dict(net.state_dict() | theirs)
    parts = sequences(9, 6, 6, 2)
    with torch.no_grad():
        official = OfficialForm(net)(*padded(parts))
        torch.testing.assert_close(net(*padded(parts)), official.log_softmax(1))


def test_collate_fn_sorts_pads_and_keeps_pairs_together() -> None:
    batch = [(torch.full((n, 2), float(n)), label) for n, label in ((2, 5), (4, 6), (1, 7), (4, 8))]
    x, lengths, labels = collate_fn(batch)
    assert x.shape == (4, 4, 2)
    assert (lengths.tolist(), labels.tolist()) == ([4, 4, 2, 1], [6, 8, 5, 7])
    assert lengths.dtype == labels.dtype == torch.int64
    assert x.sum(dim=(1, 2)).tolist() == [32, 32, 8, 2]
    x, _, _ = collate_fn([(torch.ones(3), 0), (torch.ones(2), 1)])
    assert x.shape == (2, 3, 1)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([], "no sequences"),
        ([(torch.zeros(0, 3), 0)], "sequence 0 has shape"),
        ([(torch.zeros(2, 3), 0), (torch.zeros(2, 4), 0)], "sequence 1 has shape"),
    ],
)
def test_collate_fn_names_what_does_not_fit(batch, message) -> None:
    with pytest.raises(Gesture3dError, match=message):
        collate_fn(batch)


@pytest.mark.parametrize("lengths", [[3, 0], [3, 6], [3], [3, -1]])
def test_wrong_lengths_are_named(net, lengths) -> None:
    with pytest.raises(Gesture3dError, match="length"):
        net(torch.zeros(2, 5, 5, dtype=torch.float64), torch.tensor(lengths))


def test_a_training_batch_of_one_is_named(net) -> None:
    with pytest.raises(Gesture3dError, match="batch_size to 2"):
        net.train()(torch.zeros(1, 5, 5, dtype=torch.float64))


def test_wrong_dims_are_refused() -> None:
    with pytest.raises(ValueError, match="gru3"):
        DeepGRU(3, 2, {"gru1": 4, "gru2": 4, "fc": 4})
