"""Stacked residual bidirectional LSTMs for windows of inertial measurements.

Zhao, Yang, Chevalier & Gong, "Deep Residual Bidir-LSTM for Human Activity Recognition Using
Wearable Sensors", arXiv 1708.08989, and the authors' code (HAR-stacked-residual-bidir-LSTMs).

Where ours departs from theirs, each with a switch for the original:
* batch norm keeps running statistics, so that a window's scores do not depend on its neighbours
  (``norm="original"``: one mean and variance per time step over batch and units, of the very batch
  at hand, at test time too; ``norm="batch"``: ours, but with the test batch's statistics);
* scores are plain (``relu_scores=True``: behind a ReLU as in their last layer);
* the class is read from the mean over all steps (``readout="last"``: from the last one, where the
  backward half has seen one sample only).
Their best epoch is the one that is best on the test set; ours is chosen on validation subjects.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gesture3d.models.inertial_inputs import InertialInputs, InertialNetwork
from gesture3d.models.online import Carried, OnlineNetwork, Shapes
from gesture3d.models.parallel_lstm import ParallelLSTM
from gesture3d.models.sequence import mean_over_steps, no_autocast

# Inside the network: time first, batch last.
Steps = Float[Tensor, "T C B"]
Hidden = Float[Tensor, "T H B"]


class StepNorm(nn.Module):
    """The original's normalisation: over units and batch of each time step, no memory.

    One scale (0.5 at first) and one offset for everything; ε = 0.001.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5]))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, x: Steps) -> Steps:
        variance, mean = torch.var_mean(x, (1, 2), correction=0, keepdim=True)
        return (x - mean) * (variance + 1e-3).rsqrt() * self.scale + self.offset


def step_norm(kind: str, num_channels: int) -> nn.Module:
    """``running``, ``batch``, ``original`` or ``none``; see the top of this file."""
    if kind in ("running", "batch"):
        return nn.BatchNorm1d(num_channels, track_running_stats=kind == "running")
    return {"original": StepNorm, "none": nn.Identity}[kind]()


class Cells(nn.Module):
    """LSTM cells that read the same input, each direction of each behind its own ReLU layer.

    (T, C, B) → (T, H, B): the sum over ``num_cells`` of an LSTM with H units or, bidirectional,
    of a forward and a backward one with H / 2 units, one behind the other along H.
    """

    def __init__(
        self, in_channels: int, hidden: int, num_cells: int, bidirectional: bool, forget_bias: float
    ):
        super().__init__()
        self.directions = 2 if bidirectional else 1
        self.num_cells, self.width = num_cells, hidden // self.directions
        count = num_cells * self.directions
        self.weight = nn.Parameter(torch.empty(count * self.width, in_channels))
        self.bias = nn.Parameter(torch.zeros(count * self.width))
        for part in self.weight.split(self.width):
            nn.init.kaiming_uniform_(part, nonlinearity="relu")
        self.lstm = ParallelLSTM(count, self.width, self.width, forget_bias)

    def forward(self, x: Steps, carried: Carried | None = None) -> Hidden:
        cells, directions = self.num_cells, self.directions
        inputs = torch.relu(self.weight @ x + self.bias[:, None])
        inputs = inputs.unflatten(1, (cells, directions, self.width))  # (T, N, 2, H/2, B)
        outputs = self.lstm(_reverse_backward(inputs).flatten(1, 2), carried=carried)
        outputs = _reverse_backward(outputs.unflatten(1, (cells, directions)))
        return outputs.sum(1).flatten(1, 2)


def _reverse_backward(x: Float[Tensor, "T N D H B"]) -> Float[Tensor, "T N D H B"]:
    """The second direction, if there is one, with its time reversed."""
    if x.shape[2] == 1:
        return x
    return torch.stack([x[:, :, 0], x[:, :, 1].flip(0)], 2)


class ResidualBlock(nn.Module):
    """``num_residual`` cells and a batch norm: (T, C, B) → (T, H, B).

    ``sum``: the cells all read the block's input and their outputs are added up (the authors'
    form). ``residual``: each cell reads what the cells before it left and adds to it; only the
    first one, where the width changes, has nothing to add to.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        num_residual: int,
        bidirectional: bool,
        residual: str,
        norm: str,
        forget_bias: float,
    ):
        super().__init__()
        groups = [num_residual] if residual == "sum" else [1] * num_residual
        self.add_input = residual == "residual"
        self.cells = nn.ModuleList()
        channels = in_channels
        for count in groups:
            self.cells.append(Cells(channels, hidden, count, bidirectional, forget_bias))
            channels = hidden
        self.norm = step_norm(norm, hidden)

    def forward(self, x: Steps, carried: Carried | None = None) -> Hidden:
        for cells in self.cells:
            y = cells(x, carried)
            x = x + y if self.add_input and x.shape == y.shape else y
        return self.norm(x)


class ResidualLSTM(InertialNetwork, OnlineNetwork):
    """``model(windows)``: (B, T, D) in physical units → scores (B, classes), as logits.

    ``num_stacked`` blocks of ``num_residual`` cells: "3×3" is the authors' best; without
    bidirectionality, or with one cell a block, the other rows of their results. Windows of any
    length; all windows of a batch have the same. Dropout acts on the input and before the output.
    The last block's output is read from the ``last`` step or as the ``mean`` over all.
    See `InertialInputs` for ``magnitudes``, ``log_scales`` and ``input_std``.

    ``causal``, for which there must be one direction, a norm of ``running`` statistics (or none)
    and the ``mean``: every step has scores, and a window's are their mean; see `OnlineNetwork`.

    Raises:
        Gesture3dError: channels that do not fit these arguments.
    """

    head = "classifier"

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        num_stacked: int = 3,
        num_residual: int = 3,
        hidden: int = 28,
        bidirectional: bool = True,
        residual: str = "sum",
        norm: str = "running",
        readout: str = "mean",
        relu_scores: bool = False,
        dropout: float = 0.15,
        forget_bias: float = 1.0,
        magnitudes: bool = False,
        log_scales: Sequence[float] = (),
        input_std: float = 1.0,
        causal: bool = False,
    ):
        super().__init__()
        if causal and (bidirectional or norm not in ("running", "none") or readout != "mean"):
            raise ValueError(
                "a causal network has one direction, the norm running or none, and the readout "
                f"mean, not bidirectional={bidirectional}, norm={norm}, readout={readout}"
            )
        self.causal = causal
        if bidirectional and hidden % 2:
            raise ValueError(f"hidden must be even when bidirectional, not {hidden}")
        self.inputs = InertialInputs(num_features, magnitudes, log_scales, input_std)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList()
        channels = self.inputs.num_channels
        for _ in range(num_stacked):
            self.blocks.append(
                ResidualBlock(
                    channels, hidden, num_residual, bidirectional, residual, norm, forget_bias
                )
            )
            channels = hidden
        self.readout, self.relu_scores = readout, relu_scores
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(
        self, windows: Float[Tensor, "B T D"], lengths: Tensor | None = None
    ) -> Float[Tensor, "B classes"]:
        if self.causal:
            return mean_over_steps(self.step_scores(windows, lengths), lengths)
        with no_autocast(windows.device):
            x = self._features(windows, lengths, Carried())
            x = x[-1] if self.readout == "last" else x.mean(0)  # (H, B)
            return self._scores(x.t())

    def state_shapes(self, batch: int, size: Sequence[int]) -> Shapes:
        lstms = [cells.lstm for block in self.blocks for cells in block.cells]
        return [(batch, lstm.num_cells, lstm.hidden_size) for lstm in lstms for _ in "hc"]

    def scores_of_steps(
        self, inputs: Float[Tensor, "B T D"], lengths: Tensor | None, carried: Carried
    ) -> Float[Tensor, "B T classes"]:
        self.check_causal()
        with no_autocast(inputs.device):
            return self._scores(self._features(inputs, lengths, carried).permute(2, 0, 1))

    def _features(self, windows: Tensor, lengths: Tensor | None, carried: Carried) -> Hidden:
        ends_count = self.training or not self.causal  # in norms, backwards, in the mean
        x = self.inputs(windows.to(self.classifier.weight.dtype), lengths if ends_count else None)
        x = self.dropout(x).permute(1, 2, 0).contiguous()  # (T, C, B)
        for block in self.blocks:
            x = block(x, carried)
        return x

    def _scores(self, x: Float[Tensor, "... H"]) -> Float[Tensor, "... classes"]:
        scores = self.classifier(self.dropout(x))
        return scores.relu() if self.relu_scores else scores
