"""What the networks for padded sequences (B, T, D) share."""

import contextlib
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gesture3d.errors import Gesture3dError
from gesture3d.models.network import Network
from gesture3d.models.online import Carried, OnlineNetwork, Shapes


def no_autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """Full precision for the length of a block, also where a network runs on shapes alone."""
    kind = "cpu" if device.type == "meta" else device.type
    if not torch.is_autocast_enabled(kind):
        return contextlib.nullcontext()  # which leaves no trace in an exported network
    return torch.autocast(kind, enabled=False)


def no_half_precision(device: torch.device) -> contextlib.AbstractContextManager:
    """Around PyTorch's own recurrent layers: on a GPU any autocast would run them in fp16, which
    overflows without a scaled loss and does not mix with bf16."""
    return no_autocast(device) if device.type == "cuda" else contextlib.nullcontext()


def check_lengths(lengths: Tensor, batch_size: int, num_steps: int) -> None:
    """Raise Gesture3dError unless there is one length in 1..num_steps for each sequence."""
    if lengths.shape != (batch_size,):
        raise Gesture3dError(
            f"lengths of shape {tuple(lengths.shape)} for {batch_size} sequences: give one each"
        )
    wrong = (lengths < 1) | (lengths > num_steps)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise Gesture3dError(
            f"sequence {row} of the batch has length {int(lengths[row])}; the padded batch allows "
            f"1 to {num_steps}"
        )


def padding_mask(
    lengths: Int[Tensor, " B"], num_steps: int, device: torch.device
) -> Bool[Tensor, "B T"]:
    """True where a sequence has a value, False behind its end."""
    return torch.arange(num_steps, device=device) < lengths.to(device)[:, None]


def last_outputs(
    outputs: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"] | None
) -> Float[Tensor, "B D"]:
    """Each sequence's output at its own last step.

    Raises:
        Gesture3dError: lengths that do not fit the batch.
    """
    if lengths is None:
        return outputs[:, -1]
    check_lengths(lengths, *outputs.shape[:2])
    rows = torch.arange(len(outputs), device=outputs.device)
    return outputs[rows, lengths.to(outputs.device) - 1]


def mean_over_steps(
    scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"] | None
) -> Float[Tensor, "B K"]:
    """The mean of each sequence's own steps.

    Raises:
        Gesture3dError: lengths that do not fit the batch.
    """
    if lengths is None:
        return scores.mean(1)
    check_lengths(lengths, *scores.shape[:2])
    lengths = lengths.to(scores.device)
    mask = padding_mask(lengths, scores.shape[1], scores.device)
    return scores.masked_fill(~mask[:, :, None], 0.0).sum(1) / lengths[:, None]


def gru_with_state(
    gru: nn.GRU, x: Float[Tensor, "B T D"], carried: Carried
) -> Float[Tensor, "B T D2"]:
    """The outputs of PyTorch's GRU that goes on where it was; it carries (B, layers, D2)."""
    hidden = carried.take(x, (x.shape[0], gru.num_layers, gru.hidden_size))
    outputs, hidden = gru(x, hidden.transpose(0, 1).contiguous())
    carried.leave(hidden.transpose(0, 1))
    return outputs


def gru_shapes(batch: int, *grus: nn.GRU) -> Shapes:
    """Of what `gru_with_state` carries."""
    return [(batch, gru.num_layers, gru.hidden_size) for gru in grus]


def mean_and_std(
    sequences: Iterable[Float[Tensor, "T D"]],
) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
    """Mean and standard deviation of each feature over all steps of all sequences.

    A feature that never changes has the deviation 1: dividing by it only centres. So has one that
    hardly does, less than a millionth of what another one does (as the depths of wrists in
    MediaPipe's joints): augmentation changes it more, and divided by so little it would drown all.
    """
    count, total, squares = 0, 0.0, 0.0
    for sequence in sequences:
        values = sequence.double()
        count, total, squares = (
            count + len(values),
            total + values.sum(0),
            squares + (values**2).sum(0),
        )
    mean = total / count
    std = (squares / count - mean**2).clamp(min=0).sqrt()
    least = 1e-6 * torch.maximum(mean.abs().clamp(min=1e-6), std.max())
    return mean, torch.where(std > least, std, 1.0)


class Standardised(OnlineNetwork):
    """A sequence network behind the z-scores of its input features.

    ``model(inputs, lengths)`` is ``network((inputs - mean) / std, lengths)``. Mean and standard
    deviation of each feature, over all frames of the training sequences, are buffers: they travel
    with the weights. They are 0 and 1 until `fit_inputs`. Steps through a stream are the network's.
    """

    reads = "sequences"

    def __init__(self, network: Network, num_features: int) -> None:
        super().__init__()
        self.network = network
        self.causal = network.causal
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))

    @property
    def head(self) -> str:
        """That of the network inside."""
        return f"network.{self.network.head}"

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise Gesture3dError where sequences of this shape, (B, T, D), do not fit."""
        if shape[2] != len(self.mean):
            raise Gesture3dError(
                f"sequences with {shape[2]} features a frame; the network was made for "
                f"{len(self.mean)}"
            )

    @torch.no_grad()
    def fit_inputs(self, sequences: Iterable[Float[Tensor, "T D"]]) -> None:
        """Standardise with the statistics of these, the training sequences."""
        mean, std = mean_and_std(sequences)
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(
        self, inputs: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B K"]:
        return self.network(self._standardised(inputs), lengths)

    def state_shapes(self, batch: int, size: Sequence[int]) -> Shapes:
        return self.network.state_shapes(batch, size)

    def scores_of_steps(
        self, inputs: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"] | None, carried: Carried
    ) -> Float[Tensor, "B T K"]:
        return self.network.scores_of_steps(self._standardised(inputs), lengths, carried)

    def _standardised(self, inputs: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        self.check(inputs.shape)
        return (inputs - self.mean) / self.std
