"""A plain many-to-one GRU: the baseline for sequences, for classification and for regression.

Its cell is Cho et al. 2014 in the form that PyTorch documents under `torch.nn.GRU`.
"""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from gesture3d.models.online import Carried, OnlineNetwork, Shapes
from gesture3d.models.sequence import (
    Standardised,
    gru_shapes,
    gru_with_state,
    last_outputs,
    mean_over_steps,
    no_half_precision,
)


class GRUNet(OnlineNetwork):
    """A stack of GRU layers, and a linear layer on the last hidden state.

    ``model(inputs, lengths=None)``: (B, T, input_size) → (B, output_size): class scores before the
    softmax, or the values of a regression. Each sequence is read at its own last step, so padding
    does not matter.

    Args:
        hidden_size: of every layer.
        dropout: share of values dropped between layers, and before the linear one, in training.
        causal: every step has scores, and a sequence's are their mean: for streams, see
            `OnlineNetwork`.
    """

    reads = "sequences"
    head = "fc"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.causal = causal
        between = dropout if num_layers > 1 else 0.0
        self.gru = nn.GRU(input_size, hidden_size, num_layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden_size, output_size)

    @classmethod
    def build(cls, config, num_classes: int, num_features: int) -> Standardised:
        """Behind the z-scores of its input."""
        arguments = config.model_dump(exclude={"name"})
        network = cls(input_size=num_features, output_size=num_classes, **arguments)
        return Standardised(network, num_features)

    def forward(
        self, inputs: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B K"]:
        if self.causal:
            return mean_over_steps(self.step_scores(inputs, lengths), lengths)
        with no_half_precision(inputs.device):
            outputs, _ = self.gru(inputs)  # (B, T, hidden_size)
            return self.fc(self.dropout(last_outputs(outputs, lengths)))

    def state_shapes(self, batch: int, size: Sequence[int]) -> Shapes:
        return gru_shapes(batch, self.gru)

    def scores_of_steps(
        self, inputs: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"] | None, carried: Carried
    ) -> Float[Tensor, "B T K"]:
        self.check_causal()
        with no_half_precision(inputs.device):
            return self.fc(self.dropout(gru_with_state(self.gru, inputs, carried)))
