"""A `.tflite` graph as a network of PyTorch: fp32, or convolutions in bf16 and the rest in fp32.

Maps are NCHW, channels last in memory. What follows the last convolution that another one reads
(a head) is computed in fp32 always: bf16 has 8 bits, and a coordinate would be off by a pixel.
"""

from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gesture3d.errors import Gesture3dError
from gesture3d.hands.tflite import Graph, Operator

_SAME, _RELU, _RELU6 = 0, 1, 3
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_HEADS = ("RESHAPE", "CONCATENATION", "LOGISTIC", "FULLY_CONNECTED", "MEAN")


class GraphNetwork(nn.Module):
    """``network(images)``: images (B, 3, H, W) in 0 … 1 → a tuple of float32 (B, …), the outputs
    in the order of their names, of the shapes that the file has (NHWC).

    Args:
        dtype: of the convolutions.

    Attributes:
        size: (H, W) of the images.

    Raises:
        Gesture3dError: operators with options that are not known here, or that do not fit together.
    """

    def __init__(self, graph: Graph, where: str, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self._input, self.dtype = graph.input, dtype
        self._outputs = [graph.outputs[name] for name in sorted(graph.outputs)]
        self.size = graph.shapes[graph.input][1:3]
        operators = _with_additions(graph)
        in_heads = _in_heads(graph)
        self._reads: list[tuple[int, ...]] = []
        self._makes: list[int] = []
        self.steps = nn.ModuleList()
        try:
            for operator, addend in operators:
                precision = torch.float32 if operator.output in in_heads else dtype
                step, reads = _step(operator, graph, precision, addend is not None)
                self.steps.append(step)
                self._reads.append(reads if addend is None else (*reads, addend[0]))
                self._makes.append(operator.output if addend is None else addend[1])
            self._unused = self._last_uses()
            self.eval().requires_grad_(False)
            example = torch.zeros(1, 3, *self.size)
            shapes = [graph.shapes[number][1:] for number in self._outputs]
            if [tuple(found.shape[1:]) for found in self(example)] != shapes:
                raise ValueError("other shapes come out than it says")
        except (ValueError, IndexError, KeyError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise Gesture3dError(f"{where}: its operators do not fit together ({reason})") from None

    @torch.inference_mode()
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        channels_last = {"memory_format": torch.channels_last}
        known = {self._input: images.to(self.dtype).contiguous(**channels_last)}
        for step, reads, makes, unused in zip(
            self.steps, self._reads, self._makes, self._unused, strict=True
        ):
            known[makes] = step(*[known[number] for number in reads])
            for number in unused:
                del known[number]
        outputs = (known[number].float() for number in self._outputs)
        return tuple(y.permute(0, 2, 3, 1) if y.dim() == 4 else y for y in outputs)

    def _last_uses(self) -> list[list[int]]:
        """Tensors that nobody reads any more behind each step."""
        last = {number: place for place, reads in enumerate(self._reads) for number in reads}
        unused: list[list[int]] = [[] for _ in self._reads]
        for number, place in last.items():
            if number not in self._outputs:
                unused[place].append(number)
        return unused


def _with_additions(graph: Graph) -> list[tuple[Operator, tuple[int, int] | None]]:
    """The operators, an addition taken into the convolution just before it, which nobody else
    reads: with the number of what is added and of the sum."""
    reads = Counter(number for operator in graph.operators for number in operator.inputs)
    found: list[tuple[Operator, tuple[int, int] | None]] = []
    for operator in graph.operators:
        before = found[-1] if found else None
        if (
            operator.kind == "ADD"
            and not operator.options["activation"]
            and before is not None
            and before[0].kind in _CONVOLUTIONS
            and not before[0].options["activation"]
            and before[1] is None
            and reads[before[0].output] == 1
            and before[0].output in operator.inputs
            and not set(operator.inputs) & graph.constants.keys()
        ):
            (other,) = (number for number in operator.inputs if number != before[0].output)
            if graph.shapes[other] == graph.shapes[operator.output]:
                found[-1] = before[0], (other, operator.output)
                continue
        found.append((operator, None))
    return found


def _in_heads(graph: Graph) -> set[int]:
    """The tensors from which no convolution is reached, and that are no convolution's input."""
    reaches: set[int] = set()
    for operator in reversed(graph.operators):
        if operator.kind not in _HEADS and (
            operator.kind in _CONVOLUTIONS or operator.output in reaches
        ):
            reaches.update(operator.inputs)
    return {operator.output for operator in graph.operators} - reaches


def _step(
    operator: Operator, graph: Graph, dtype: torch.dtype, adds: bool
) -> tuple[nn.Module, tuple[int, ...]]:
    """A module, and the tensors that it takes."""
    kind, options, constants = operator.kind, operator.options, graph.constants
    inputs = tuple(number for number in operator.inputs if number not in constants)
    fixed = [constants[number] for number in operator.inputs if number in constants]
    shapes, shape = [graph.shapes[number] for number in inputs], graph.shapes[operator.output]
    if kind in _CONVOLUTIONS:
        return _Convolution(operator, fixed, shapes[0], dtype, adds), inputs
    if kind == "FULLY_CONNECTED":
        return _FullyConnected(*fixed, options["activation"]), inputs
    if kind == "PRELU":
        return _PReLU(fixed[0], dtype), inputs
    if kind == "ADD" and not fixed and shapes[0] == shapes[1]:
        return _Function(torch.add, options["activation"]), inputs
    if kind == "MAX_POOL_2D":
        size, stride = (options[n] for n in ("filter_h", "filter_w")), _stride(options)
        return _MaxPool(tuple(size), stride, shapes[0], shape, options), inputs
    if kind == "PAD" and not fixed[0][0].any():
        return _Pad(fixed[0]), inputs
    if kind == "RESIZE_BILINEAR" and options["half_pixel_centers"]:
        size = tuple(int(side) for side in fixed[0])
        return _Function(lambda x: F.interpolate(x, size, mode="bilinear")), inputs
    if kind == "MEAN" and sorted(fixed[0].tolist()) == [1, 2]:
        keep = bool(options["keep_dims"])
        return _Function(lambda x: x.float().mean((2, 3), keepdim=keep)), inputs
    if kind == "RESHAPE" and len(shapes[0]) == 4:
        return _Function(lambda x: x.permute(0, 2, 3, 1).reshape(len(x), *shape[1:])), inputs
    if kind == "CONCATENATION" and len(shape) < 4 and options["axis"] > 0:
        axis = options["axis"]
        return _Function(lambda *each: torch.cat(each, axis), options["activation"]), inputs
    if kind == "LOGISTIC":
        return _Function(torch.sigmoid), inputs
    raise ValueError(f"{kind} with the options {options} and inputs of {shapes}")


class _Convolution(nn.Module):
    """Convolution of either kind, its activation, and what is added to it."""

    def __init__(
        self,
        operator: Operator,
        fixed: list[np.ndarray],
        shape: tuple[int, ...],
        dtype: torch.dtype,
        adds: bool,
    ) -> None:
        super().__init__()
        weight, bias = (torch.from_numpy(values) for values in fixed)
        options = operator.options
        if options["dilation_w"] != 1 or options["dilation_h"] != 1 or weight.dim() != 4:
            raise ValueError("a dilated convolution")
        is_depthwise = operator.kind == "DEPTHWISE_CONV_2D"
        weight = weight.permute(3, 0, 1, 2) if is_depthwise else weight.permute(0, 3, 1, 2)
        self.groups = shape[3] if is_depthwise else 1
        self.stride, self.activation = _stride(options), options["activation"]
        before, after = _padding(shape[1:3], weight.shape[2:], self.stride, options["padding"])
        if is_depthwise and before != after:  # zeros in the kernel cost less than a copy of the map
            wider = [a - b for b, a in zip(before, after, strict=True)]
            weight = F.pad(weight, (wider[1], 0, wider[0], 0))
            before = after
        self.pad = () if before == after else (before[1], after[1], before[0], after[0])
        self.padding = (0, 0) if self.pad else before
        self.dtype = dtype
        weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias.to(dtype))
        self._fused = None
        example = torch.zeros(1, shape[3], *shape[1:3])
        expected = self(example)
        try:
            self._fused = self._fuse(shape, adds)
            self(example, *[expected] * adds)
        except (AttributeError, RuntimeError, NotImplementedError):  # not on this machine
            self._fused = None

    def _fuse(self, shape: tuple[int, ...], adds: bool):
        """oneDNN's convolution with weights in its own order, clipping and adding at once, as
        ``torch.compile`` calls it; raises where this build of PyTorch does not have it."""
        high, wide = (self.pad[2] + self.pad[3], self.pad[0] + self.pad[1]) if self.pad else (0, 0)
        size = [1, shape[3], shape[1] + high, shape[2] + wide]
        geometry = (list(self.padding), list(self.stride), [1, 1], self.groups)
        onednn = torch.ops.mkldnn
        weight = onednn._reorder_convolution_weight(self.weight, *geometry, size)
        clip = {_RELU: ("relu", []), _RELU6: ("hardtanh", [0.0, 6.0])}
        name, limits = clip.get(self.activation, ("none", []))
        pointwise, bias = onednn._convolution_pointwise, self.bias
        if adds:
            add = ("add", 1.0, None, [], None)
            return lambda x, addend: pointwise.binary(x, addend, weight, bias, *geometry, *add)
        return lambda x: pointwise(x, weight, bias, *geometry, name, limits, "")

    def forward(self, x: Tensor, *addend: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if self.pad:
            x = F.pad(x, self.pad)
        if self._fused:
            return self._fused(x, *addend)
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        return y.add_(*addend) if addend else _activate(y, self.activation)


class _FullyConnected(nn.Module):
    def __init__(self, weight: np.ndarray, bias: np.ndarray, activation: int) -> None:
        super().__init__()
        self.activation = activation
        self.register_buffer("weight", torch.from_numpy(weight))
        self.register_buffer("bias", torch.from_numpy(bias))

    def forward(self, x: Tensor) -> Tensor:
        return _activate(F.linear(x.float().flatten(1), self.weight, self.bias), self.activation)


class _PReLU(nn.Module):
    def __init__(self, slopes: np.ndarray, dtype: torch.dtype) -> None:
        super().__init__()
        if slopes.size != slopes.shape[-1]:
            raise ValueError(f"PRELU with slopes of shape {slopes.shape}")
        self.register_buffer("slopes", torch.from_numpy(slopes.reshape(-1)).to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x.to(self.slopes.dtype), self.slopes)


class _MaxPool(nn.Module):
    def __init__(self, size, stride, before, after, options) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        pads = _padding(before[1:3], size, stride, options["padding"])
        if any(map(any, pads)) or options["activation"]:
            raise ValueError("MAX_POOL_2D with padding or an activation")

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.size, self.stride)


class _Pad(nn.Module):
    def __init__(self, widths: np.ndarray) -> None:
        super().__init__()
        self.widths = [int(width) for axis in (2, 1, 3) for width in widths[axis]]  # W, H, C

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.widths).contiguous(memory_format=torch.channels_last)


class _Function(nn.Module):
    def __init__(self, function, activation: int = 0) -> None:
        super().__init__()
        self.function, self.activation = function, activation

    def forward(self, *inputs: Tensor) -> Tensor:
        return _activate(self.function(*inputs), self.activation)


def _activate(x: Tensor, activation: int) -> Tensor:
    if activation == _RELU6:
        return x.clamp_(0, 6)
    return x.relu_() if activation == _RELU else x


def _stride(options: dict[str, int]) -> tuple[int, int]:
    stride = options["stride_h"], options["stride_w"]
    if min(stride) < 1:
        raise ValueError(f"a stride of {stride}")
    return stride


def _padding(size, kernel, stride, padding: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zeros before and behind, each for height and width, as TensorFlow pads."""
    if padding != _SAME:
        return (0, 0), (0, 0)
    total = [
        max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, stride, strict=True)
    ]
    return (total[0] // 2, total[1] // 2), (total[0] - total[0] // 2, total[1] - total[1] // 2)
