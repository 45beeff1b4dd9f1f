"""What Zhang et al. print, and the one list of the recurrent layer's variants.

"Attention in Convolutional LSTM for Gesture Recognition", NeurIPS 2018; equation and table numbers
are that paper's. A variant of one's own has an entry here, too, with nothing but its title: tables
then leave a gap where the paper has a number, and count its parameters in the network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


def _original(c_in: int, c_out: int, k: int) -> int:
    return k**2 * (c_in + c_out) * c_out * 4  # (7)


def _variant_a(c_in: int, c_out: int, k: int) -> int:
    return (k**2 + c_out * 4) * (c_in + c_out)  # (16)


def _variant_b(c_in: int, c_out: int, k: int) -> int:
    return _variant_a(c_in, c_out, k) + k**2 * (c_in + c_out * 2) + (c_in + c_out) * c_out  # (20)


def _variant_c(c_in: int, c_out: int, k: int) -> int:
    return _variant_a(c_in, c_out, k) + k**2 * (c_in + c_out * 2) + c_out * c_out  # (24)


@dataclass(frozen=True)
class Variant:
    """One variant of the ConvLSTM layer; what the paper does not print is None.

    Attributes:
        title: what is special about it, in a few words.
        parameters: of a layer without its biases, from (input channels, hidden channels, kernel).
        printed: "Parameter Size" and "Mult-Adds" of table 1: 256 channels on 28×28 maps.
    """

    title: str
    parameters: Callable[[int, int, int], int] | None = None
    printed: tuple[str, str] | None = None


ORIGINAL = "convlstm"
VARIANTS = {
    ORIGINAL: Variant("the original", _original, ("4.719M", "3700M")),
    "a": Variant("pooled fully-connected gates", _variant_a, ("0.529M", "415M")),
    "b": Variant("(a) with spatial attention on the input", _variant_b, ("0.667M", "522M")),
    "c": Variant("(a) with channel-wise attention as input gate", _variant_c, ("0.601M", "472M")),
    "d": Variant("(a) with channel-wise attention as output gate", _variant_c, ("0.601M", "472M")),
}
"""By the name that configurations use; each has its cell in `gesture3d.models.convlstm.CELLS`."""

TOP1 = {
    ("convlstm", "convlstm"): {"jester": 95.11, "rgb": 52.01, "depth": 51.30, "flow": 45.59},
    ("a", "a"): {"jester": 95.12, "rgb": 55.98, "depth": 53.28, "flow": 46.51},
    ("b", "a"): {"jester": 94.18, "rgb": 43.93},
    ("c", "a"): {"jester": 95.13, "rgb": 53.27},
    ("d", "a"): {"jester": 95.10, "rgb": 54.11},
}
"""Top-1 (%) by the variants of the two recurrent layers: table 1 (Jester, IsoGD's RGB) and table 2
(IsoGD's depth and flow), all on validation splits."""


def parameters(
    variant: str, in_channels: int = 256, hidden_channels: int = 256, kernel_size: int = 3
) -> int | None:
    """Parameters of a layer without its biases, (7), (16), (20), (24); None: no formula for it."""
    formula = VARIANTS[variant].parameters
    return formula and formula(in_channels, hidden_channels, kernel_size)


def multiply_adds(num_parameters: int, height: int = 28, width: int = 28) -> int:
    """The paper's "Mult-Adds" of one step of a layer: parameters × height × width.

    It charges the pooled fully-connected gates at every pixel although they run once a map.
    """
    return num_parameters * height * width


def top1(variants: Sequence[str]) -> dict[str, float]:
    """Printed top-1 (%) of the network with these recurrent layers, by data; empty: none."""
    return TOP1.get(tuple(variants), {})
