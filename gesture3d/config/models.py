"""Settings of the networks; what they mean is said where the networks are."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticKnownError

from gesture3d import paper
from gesture3d.settings import Frames, LayerSize, NumLayers, Section


def _known_variant(name: str) -> str:
    if name not in paper.VARIANTS:
        *others, last = map(repr, paper.VARIANTS)
        expected = f"{', '.join(others)} or {last}"
        raise PydanticKnownError("literal_error", {"expected": expected})
    return name


Variant = Annotated[str, AfterValidator(_known_variant)]
Stride = Annotated[int, Field(ge=1, le=16)]
Scale = Annotated[float, Field(ge=1e-9, le=1e9)]
Bias = Annotated[float, Field(ge=-1e3, le=1e3)]


class NetworkConfig(Section):
    """What the settings of every network say of it, besides."""

    reads: ClassVar[Literal["clips", "sequences"]]
    can_recompute: ClassVar[bool] = False  # for train.gradient_checkpointing

    @property
    def is_causal(self) -> bool:
        """Whether the network depends on nothing of the future: it then has ``causal`` set."""
        return "causal" in type(self).model_fields and self.causal

    @property
    def recurrent_layers(self) -> tuple[str, ...]:
        """The variants of its ConvLSTM layers."""
        return ()


class ClipNetworkConfig(NetworkConfig):
    """What networks for clips have in common; see `GestureNet` and `gesture_net.Preprocessing`."""

    reads = "clips"

    width: Annotated[float, Field(gt=0.0, le=4.0)] = 1.0
    stem_stride: tuple[Stride, Stride, Stride] = (1, 2, 2)
    in_channels: Annotated[int, Field(ge=1, le=16)] = 3
    preprocessing: Literal["channel_mean", "clip_mean", "running_mean"] = "channel_mean"
    channel_means: tuple[Annotated[float, Field(ge=-1e6, le=1e6)], ...] = (114.0, 109.0, 104.0)
    pixel_scale: Scale = 1.0
    local_contrast: bool = False
    mean_frames: Frames = 48  # of running_mean: 4 s at 12 frames a second
    differences: bool = False
    stabilise: bool = False  # the camera's motion is taken out of clips

    @model_validator(mode="after")
    def _stabilises_whole_clips(self) -> "ClipNetworkConfig":
        if self.stabilise and (self.preprocessing != "clip_mean" or not self.local_contrast):
            raise ValueError("stabilise needs preprocessing=clip_mean and local_contrast=true")
        return self

    @model_validator(mode="after")
    def _one_mean_per_channel(self) -> "ClipNetworkConfig":
        if self.preprocessing == "channel_mean" and len(self.channel_means) != self.in_channels:
            raise ValueError(
                f"channel_means has {len(self.channel_means)} values for "
                f"in_channels={self.in_channels}; give one mean (0..255) per channel"
            )
        return self


class GestureNetConfig(ClipNetworkConfig):
    """Res3D → ConvLSTM layers → MobileNet; the arguments of `GestureNet`, documented there."""

    can_recompute = True

    name: Literal["gesture_net"] = "gesture_net"
    variants: Annotated[tuple[Variant, ...], Field(max_length=16)] = ("a", "a")
    recurrent_skip: bool = False
    top_skip: bool = False
    kernel_size: Literal[1, 3, 5, 7] = 3
    forget_bias: Bias = 0.0
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    causal: bool = False

    @model_validator(mode="after")
    def _no_future(self) -> "GestureNetConfig":
        if self.causal and self.preprocessing == "clip_mean":
            raise ValueError(
                "preprocessing clip_mean looks at all frames of a clip, which causal=true forbids; "
                "set model.preprocessing=running_mean (and model.differences=true, or a hand that "
                "is held still fades)"
            )
        return self

    @property
    def recurrent_layers(self) -> tuple[str, ...]:
        return self.variants


class R3D18Config(ClipNetworkConfig):
    """torchvision's r3d_18 for clips; the arguments of `R3D18`, documented there."""

    name: Literal["r3d_18"]


class DeepGRUDims(Section):
    """Hidden sizes of the three GRUs, and the size of the classifier's hidden layer."""

    gru1: LayerSize = 512
    gru2: LayerSize = 256
    gru3: LayerSize = 128
    fc: LayerSize = 256


class DeepGRUConfig(NetworkConfig):
    """DeepGRU for skeleton sequences; the arguments of `DeepGRU`, documented there."""

    reads = "sequences"

    name: Literal["deepgru"]
    dims: DeepGRUDims = DeepGRUDims()
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    mask_padding: bool = True  # False: the authors' attention, which looks at padding
    causal: bool = False
    attention_steps: Frames = 32  # where it is causal


class GRUConfig(NetworkConfig):
    """A plain GRU for sequences; the arguments of `GRUNet`, documented there."""

    reads = "sequences"

    name: Literal["gru"]
    hidden_size: LayerSize = 128
    num_layers: NumLayers = 2
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    causal: bool = False


class InertialInputsConfig(NetworkConfig):
    """What networks for inertial windows do with their input; see `InertialInputs`."""

    reads = "sequences"

    magnitudes: bool = False
    log_scales: tuple[Scale, ...] = ()
    input_std: Scale = 1.0


class ResidualLSTMConfig(InertialInputsConfig):
    """Stacked residual bidirectional LSTM; the arguments of `ResidualLSTM`, documented there."""

    name: Literal["residual_lstm"]
    num_stacked: NumLayers = 3
    num_residual: NumLayers = 3
    hidden: LayerSize = 28
    bidirectional: bool = True
    residual: Literal["sum", "residual"] = "sum"
    norm: Literal["running", "batch", "original", "none"] = "running"
    readout: Literal["mean", "last"] = "mean"
    relu_scores: bool = False
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    forget_bias: Bias = 1.0
    causal: bool = False

    @model_validator(mode="after")
    def _no_future(self) -> "ResidualLSTMConfig":
        fields = ("bidirectional", "norm", "readout")
        bidirectional, norm, readout = (getattr(self, field) for field in fields)
        if self.causal and (bidirectional or norm in ("batch", "original") or readout == "last"):
            raise ValueError(
                "causal=true needs bidirectional=false, norm running or none and readout mean, not "
                + ", ".join(f"{field}={getattr(self, field)}" for field in fields)
                + "; --cfg residual_lstm has them"
            )
        return self

    @model_validator(mode="after")
    def _two_halves(self) -> "ResidualLSTMConfig":
        if self.bidirectional and self.hidden % 2:
            raise ValueError(f"hidden must be even when bidirectional, not {self.hidden}")
        return self


class Cnn1dConfig(InertialInputsConfig):
    """A small 1-D convolutional network; the arguments of `Cnn1d`, documented there."""

    name: Literal["cnn1d"]
    widths: Annotated[tuple[LayerSize, ...], Field(min_length=1, max_length=100)] = (64, 128, 128)
    kernel_size: Literal[1, 3, 5, 7, 9, 11] = 7
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5


class TemplatesConfig(NetworkConfig):
    """Examples to compare with, made by tools/teach.py; the arguments of `Templates`, see there."""

    reads = "sequences"

    name: Literal["templates"]
    num_templates: LayerSize
    num_frames: Frames = 32
    band: Annotated[int, Field(ge=0, le=10_000)] = 4
    sharpness: Scale = 10.0


ModelConfig = Annotated[
    GestureNetConfig
    | R3D18Config
    | DeepGRUConfig
    | GRUConfig
    | ResidualLSTMConfig
    | Cnn1dConfig
    | TemplatesConfig,
    Field(discriminator="name"),
]
