"""DeepGRU: a stack of GRUs, attention over its outputs, and a classifier.

Maghoumi & LaViola, "DeepGRU: Deep Gesture Recognition Utility", ISVC 2019. Parameter names and
shapes are those of the authors' code, so their weights load.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gesture3d.errors import Gesture3dError
from gesture3d.models.online import Carried, OnlineNetwork, Shapes
from gesture3d.models.sequence import (
    Standardised,
    check_lengths,
    gru_shapes,
    gru_with_state,
    last_outputs,
    mean_over_steps,
    no_half_precision,
    padding_mask,
)

DIMS = {"gru1": 512, "gru2": 256, "gru3": 128, "fc": 256}


class Attention(nn.Module):
    """Global attention with an auxiliary GRU step (paper, section 3.2).

    With the encoder's outputs H = (h_1 … h_L) and its last hidden state h_L:
    c = Σ_t softmax_t(h_tᵀ W h_L) h_t; c' = GRU(input c, state h_L); the output is (c', c).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.w = nn.Linear(size, size, bias=False)
        self.gru = nn.GRU(size, size, batch_first=True)

    def forward(
        self,
        outputs: Float[Tensor, "B T D"],
        last: Float[Tensor, "B D"],
        mask: Bool[Tensor, "B T"] | None,
    ) -> Float[Tensor, "B D2"]:
        """Args:
        mask: False where the softmax must not look; None: it looks at every step.
        """
        # h_tᵀ (W' h_L) with the authors' W: w(h_t) · h_L = h_t · (h_L W).
        scores = torch.einsum("btd,bd->bt", outputs, last @ self.w.weight)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(dim=1)  # (B, T)
        context = torch.einsum("bt,btd->bd", weights.to(outputs.dtype), outputs)
        auxiliary, _ = self.gru(context[:, None], last[None].contiguous())
        return torch.cat([auxiliary[:, 0], context], dim=1)

    def of_steps(
        self, outputs: Float[Tensor, "B T D"], num_steps: int, carried: Carried
    ) -> Float[Tensor, "B T D2"]:
        """The same at every step, over the last ``num_steps`` outputs up to it; those before the
        chunk are carried in a buffer, with how many there are."""
        batch, time, size = outputs.shape
        before = num_steps - 1
        buffer = carried.take(outputs, (batch, before, size))
        count = carried.take(outputs, (batch,))
        memory = torch.cat([buffer, outputs], 1)  # output t is at t + before
        carried.leave(memory[:, time:])
        carried.leave((count + time).clamp(max=before))
        place = torch.arange(before + time, device=outputs.device)
        age = place[before:, None] - place  # (T, before + T)
        seen = ((age >= 0) & (age <= before))[None] & (place >= before - count[:, None])[:, None]
        scores = torch.einsum("btd,bsd->bts", outputs @ self.w.weight, memory)
        weights = scores.masked_fill(~seen, float("-inf")).softmax(dim=2)
        context = torch.einsum("bts,bsd->btd", weights.to(outputs.dtype), memory).flatten(0, 1)
        last = outputs.flatten(0, 1)[None].contiguous()
        auxiliary, _ = self.gru(context[:, None], last)
        return torch.cat([auxiliary[:, 0], context], dim=1).unflatten(0, (batch, time))


class DeepGRU(OnlineNetwork):
    """``model(x, x_lengths)`` → log-softmax scores (B, n_classes), for `torch.nn.NLLLoss`.

    ``x`` is a padded batch (B, T, n_features) with ``x_lengths`` (B,) in any order – all of length
    T where they are left out – or a ``PackedSequence``, whose own lengths count. The scores of a
    sequence do not depend on what it is batched with: encoder and attention see its own steps only.

    The encoder runs over the padded batch, which is faster in training than over a packed one,
    except in evaluation of batches that are mostly padding. The result is the same.

    Args:
        dims: sizes of the three GRUs (two layers, two layers, one) and of the classifier.
        device: where the parameters are put; None leaves them on the CPU.
        dropout: share of values dropped before both layers of the classifier.
        mask_padding: False lets the softmax of the attention run over the padding too, as the
            authors' code does: then the scores of a sequence depend on its batch, except in
            batches of equal lengths.
        causal: every step has scores, with the attention over the last ``attention_steps`` outputs,
            and a sequence's are their mean: for streams, see `OnlineNetwork`.
        attention_steps: 1: no attention but to the step itself.

    Raises:
        Gesture3dError: lengths that do not fit the batch; training on a batch of one sequence
            (batch norm needs two).
    """

    reads = "sequences"
    head = "classifier.6"

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        dims: Mapping[str, int] = DIMS,
        device: torch.device | str | None = None,
        *,
        dropout: float = 0.5,
        mask_padding: bool = True,
        causal: bool = False,
        attention_steps: int = 32,
    ) -> None:
        super().__init__()
        if dims.keys() != DIMS.keys():
            raise ValueError(f"dims must have the keys {list(DIMS)}, not {list(dims)}")
        self.mask_padding = mask_padding
        self.causal, self.attention_steps = causal, attention_steps
        self.gru1 = nn.GRU(n_features, dims["gru1"], 2, batch_first=True)
        self.gru2 = nn.GRU(dims["gru1"], dims["gru2"], 2, batch_first=True)
        self.gru3 = nn.GRU(dims["gru2"], dims["gru3"], 1, batch_first=True)
        self.attention = Attention(dims["gru3"])
        self.classifier = nn.Sequential(
            nn.BatchNorm1d(2 * dims["gru3"]),
            nn.Dropout(dropout),
            nn.Linear(2 * dims["gru3"], dims["fc"]),
            nn.ReLU(),
            nn.BatchNorm1d(dims["fc"]),
            nn.Dropout(dropout),
            nn.Linear(dims["fc"], n_classes),
        )
        self.to(device)

    @classmethod
    def build(cls, config, num_classes: int, num_features: int) -> Standardised:
        """Behind the z-scores of its input."""
        network = cls(num_features, num_classes, **config.model_dump(exclude={"name"}))
        return Standardised(network, num_features)

    def forward(
        self,
        x: Float[Tensor, "B T D"] | PackedSequence,
        x_lengths: Int[Tensor, " N"] | None = None,
    ) -> Float[Tensor, "B K"]:
        if isinstance(x, PackedSequence):
            x, x_lengths = pad_packed_sequence(x, batch_first=True)
        num_sequences, num_steps = x.shape[:2]
        if x_lengths is not None:
            x_lengths = x_lengths.cpu()
            check_lengths(x_lengths, num_sequences, num_steps)
        if self.training and num_sequences == 1:
            raise Gesture3dError(
                "a training batch of one sequence: set train.batch_size to 2 or more"
            )
        if self.causal:
            return mean_over_steps(self.step_scores(x, x_lengths), x_lengths)
        with no_half_precision(x.device):
            return self._scores(x, x_lengths)

    def state_shapes(self, batch: int, size: Sequence[int]) -> Shapes:
        buffer = (batch, self.attention_steps - 1, self.gru3.hidden_size)
        return [*gru_shapes(batch, self.gru1, self.gru2, self.gru3), buffer, (batch,)]

    def scores_of_steps(
        self, inputs: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"] | None, carried: Carried
    ) -> Float[Tensor, "B T K"]:
        """Behind a sequence's end they are 0, and in training no part of the batch norms."""
        self.check_causal()
        with no_half_precision(inputs.device):
            x = inputs
            for gru in (self.gru1, self.gru2, self.gru3):
                x = gru_with_state(gru, x, carried)
            x = self.attention.of_steps(x, self.attention_steps, carried)
            if lengths is None:
                scores = self.classifier(x.flatten(0, 1)).log_softmax(dim=1)
                return scores.unflatten(0, x.shape[:2])
            mask = padding_mask(lengths, x.shape[1], x.device)
            own = self.classifier(x[mask]).log_softmax(dim=1)
            return own.new_zeros(*mask.shape, own.shape[1]).masked_scatter(mask[:, :, None], own)

    def _scores(self, x: Tensor, x_lengths: Tensor | None) -> Tensor:
        num_steps = x.shape[1]
        outputs = self._encode(x, x_lengths)  # (B, T, D)
        mask = None
        if x_lengths is not None and (x_lengths < num_steps).any():
            mask = padding_mask(x_lengths, num_steps, x.device)
            outputs = outputs.masked_fill(~mask[:, :, None], 0.0)
        last = last_outputs(outputs, x_lengths)  # (B, D)
        features = self.attention(outputs, last, mask if self.mask_padding else None)
        return self.classifier(features).log_softmax(dim=1)

    def _encode(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The third GRU's outputs; behind a sequence's end they are arbitrary."""
        longest = x.shape[0] * x.shape[1]
        if self.training or lengths is None or lengths.sum() >= 0.95 * longest:
            return self.gru3(self.gru2(self.gru1(x)[0])[0])[0]
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed = self.gru3(self.gru2(self.gru1(packed)[0])[0])[0]
        return pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])[0]


def collate_fn(batch: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """A batch for `DeepGRU` from pairs of a sequence, (T, D) or (T,), and a label.

    Returns:
        Sequences (B, T_max, D), padded with zeros, lengths (B,) int64 and labels (B,) int64, all in
        descending order of length; equal lengths keep their order.

    Raises:
        Gesture3dError: no sequences, an empty one, or different numbers of features.
    """
    if not batch:
        raise Gesture3dError("collate_fn: no sequences")
    pairs = [(x[:, None] if x.ndim == 1 else x, label) for x, label in batch]
    for number, (x, _) in enumerate(pairs):
        if x.ndim != 2 or len(x) < 1 or x.shape[1] != pairs[0][0].shape[1]:
            raise Gesture3dError(
                f"collate_fn: sequence {number} has shape {tuple(batch[number][0].shape)}; "
                f"expected at least one row of {pairs[0][0].shape[-1]} features"
            )
    pairs.sort(key=lambda pair: len(pair[0]), reverse=True)
    sequences, labels = zip(*pairs, strict=True)
    lengths = torch.tensor([len(x) for x in sequences])
    padded = nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    return padded, lengths, torch.tensor(labels, dtype=torch.int64)
