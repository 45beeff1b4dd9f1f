"""What a video network looks at in one clip: maps, gates and attributions, as arrays.

Figure 3 of Zhang et al., "Attention in Convolutional LSTM for Gesture Recognition", NeurIPS 2018,
shows for every recurrent step "the feature map which has the largest activation sum among the 256
channels". Added here: the same for Res3D, whose features the paper credits with finding the hands,
the attention of variants (b), (c), (d), the gates, Grad-CAM and gradient × input.

**Steps and frames, cells and pixels.** Every layer has odd kernels with same padding, so cell k of
an axis of stride s is centred on pixel (or frame) s·k, not on the middle of its stretch. Recurrent
step k belongs to input frame s·k, of which it sees the surroundings (and, through its state, all
that was before). Heat maps are placed by that, with linear interpolation in between.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gesture3d.data.video.stream import VideoData
from gesture3d.models.convlstm import Gates
from gesture3d.models.gesture_net import GestureNet

FRONT_END = "Res3D"


@dataclass(frozen=True)
class Explanation:
    """One clip of T frames in a network of S recurrent steps, on maps of h × w cells.

    Attributes:
        scores: (classes,), before the softmax.
        label: the class that gradients are of.
        strides: of T, H, W, from the clip to the maps.
        first_frame: the frame that the first step is centred on; of a causal network its newest.
        clip_shape: (T, H, W).
        maps: by layer, bottom to top, (S, C, h, w): Res3D's features (at least 0), then the hidden
            states of each recurrent layer (-1 … 1).
        gradients: of the label's score with respect to ``maps``, the same shapes.
        gates: by recurrent layer, then by gate, (S,): means over channels and positions, 0 … 1.
        attention: by recurrent layer that has one, (S, C, h, w), C = 1 in variant (b).
        saliency: (T, H, W), |gradient × input| summed over the colours, see `explain`.
    """

    scores: np.ndarray
    label: int
    strides: tuple[int, int, int]
    clip_shape: tuple[int, int, int]
    maps: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    gates: dict[str, dict[str, np.ndarray]]
    attention: dict[str, np.ndarray]
    saliency: np.ndarray
    first_frame: int = 0

    @property
    def step_frames(self) -> np.ndarray:
        """(S,): the input frame that each recurrent step is centred on, or ends with."""
        return self.first_frame + self.strides[0] * np.arange(len(self.maps[FRONT_END]))

    def heat_maps(self) -> dict[str, np.ndarray]:
        """Every heat map by its title, (T, H, W), at least 0, as fine as the clip.

        At `step_frames` they are the maps of the steps, at other frames in between.
        """
        small = {}
        for layer, maps in self.maps.items():
            small[f"{layer}\nmost active map"] = most_active(maps)[0]
            if layer in self.attention:
                small[f"{layer}\nattention"] = self.attention[layer].mean(1)
        small[f"Grad-CAM\nof {FRONT_END}"] = self.grad_cam()
        place = self.strides, self.clip_shape, self.first_frame
        fine = {title: spread(m, *place) for title, m in small.items()}
        return {**fine, "gradient × input": self.saliency}

    def grad_cam(self, layer: str = FRONT_END) -> np.ndarray:
        """Grad-CAM (Selvaraju et al., ICCV 2017) of a layer, one for each step, (S, h, w).

        The default is the last layer that has both what Grad-CAM presumes, rectified features, and
        the full resolution: hidden states of the recurrent layers are signed, and MobileNet shrinks
        the maps to 1/8 of their sides (1 × 1 in the shipped network). Steps have channel weights of
        their own; the gradient comes back through all later steps.
        """
        weights = self.gradients[layer].mean((2, 3), keepdims=True)
        return np.maximum((weights * self.maps[layer]).sum(1), 0)


def explain(model: GestureNet, clip: Tensor, label: int | None = None) -> Explanation:
    """Run one clip, uint8 (T, C, H, W), through the network (in evaluation mode), and back.

    Gradient × input is taken behind the network's preprocessing: with ``clip_mean``, a pixel that
    does not change has none.

    Args:
        label: whose score to differentiate; None: the most probable class.

    Raises:
        ValueError: the clip does not fit the network.
    """
    device = model.classifier.weight.device
    clips = clip[None].to(device)
    model.check(clips.shape)
    with torch.enable_grad():
        inputs = model.preprocessing(clips, model.classifier.weight.dtype).requires_grad_()
        x = model.res3d(inputs).transpose(1, 2)
        sequences, gates = {FRONT_END: x}, {}
        for number in range(len(model.recurrent)):
            x, (hidden, _, steps) = model.recurrent_layer(number, x, return_gates=True)
            sequences[f"ConvLSTM {number + 1}"] = hidden
            gates[f"ConvLSTM {number + 1}"] = steps
        scores = model.top_layers(x)[0]
        label = int(scores.argmax()) if label is None else label
        wanted = [inputs, *sequences.values()]
        input_gradient, *gradients = torch.autograd.grad(scores[label], wanted)
    saliency = (input_gradient * inputs)[0].sum(0).abs()
    return Explanation(
        scores=_array(scores),
        label=label,
        strides=model.res3d.strides,
        clip_shape=(clip.shape[0], *clip.shape[2:]),
        maps={name: _array(x[0]) for name, x in sequences.items()},
        gradients={n: _array(g[0]) for n, g in zip(sequences, gradients, strict=True)},
        gates={name: mean_gates(steps) for name, steps in gates.items()},
        attention={
            name: _array(torch.cat([step.attention for step in steps]))
            for name, steps in gates.items()
            if steps[0].attention is not None
        },
        saliency=_array(saliency),
        first_frame=model.step_frames - 1 if model.causal else 0,
    )


def central_view(clip: Tensor, data: VideoData) -> Tensor:
    """The view that is explained, (T, C, H, W): the central crop of the first choice of frames."""
    return clip if clip.ndim == 4 else clip[data.eval_crops // 2]


def mean_gates(steps: list[Gates]) -> dict[str, np.ndarray]:
    """Mean activity of the input, forget and output gate at each step, (S,) each."""
    return {
        name: np.array([getattr(step, name).mean().item() for step in steps])
        for name in ("input", "forget", "output")
    }


def most_active(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The channel with the largest sum at each step: its maps (S, h, w), and which it is, (S,).

    Each map's minimum is subtracted: what is left is where it is more active than elsewhere.
    """
    channels = maps.sum((2, 3)).argmax(1)
    chosen = maps[np.arange(len(maps)), channels]
    return chosen - chosen.min((1, 2), keepdims=True), channels


def spread(
    maps: np.ndarray, strides: tuple[int, ...], shape: tuple[int, ...], first_frame: int = 0
) -> np.ndarray:
    """Maps (S, h, w) at every frame and pixel, (T, H, W): cell k of an axis lies at stride · k, in
    time behind ``first_frame``.

    Linear in between, constant beyond the last cell; values never leave the range of the maps.
    """
    axes = zip(maps.shape, strides, shape, (first_frame, 0, 0), strict=True)
    in_time, in_rows, in_columns = (_interpolation(*axis) for axis in axes)
    return np.einsum("ts,shw,yh,xw->tyx", in_time, maps, in_rows, in_columns, optimize=True)


def _interpolation(num_cells: int, stride: int, size: int, first: int) -> np.ndarray:
    """(size, num_cells): how much each cell counts at each pixel; rows sum to 1."""
    positions = np.clip((np.arange(size) - first) / stride, 0, num_cells - 1)
    return np.maximum(1 - np.abs(positions[:, None] - np.arange(num_cells)), 0)


def _array(x: Tensor) -> np.ndarray:
    return x.detach().float().cpu().numpy()
