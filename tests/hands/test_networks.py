"""The reader of ``.tflite`` files and the networks made of them, on files written here."""

import numpy as np
import pytest
import torch

from gesture3d.errors import Gesture3dError
from gesture3d.hands.networks import GraphNetwork
from gesture3d.hands.tflite import read_graph
from tests.hands.tiny_networks import Model

SIZE, WIDTH = 9, 4
STRIDE_2 = {1: ("i", 2), 2: ("i", 2)}
STRIDE_1 = {1: ("i", 1), 2: ("i", 1)}


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """Float64 (H, W, C) with kernels (O, K, K, C), padded to ``ceil(H / stride)`` as TensorFlow
    documents "SAME": what is odd goes behind."""
    size, kernel = len(x), weight.shape[1]
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    padded = np.pad(x, [(total // 2, total - total // 2)] * 2 + [(0, 0)])
    result = np.empty((out, out, len(weight)))
    for i in range(out):
        for j in range(out):
            patch = padded[i * stride :, j * stride :][:kernel, :kernel]
            result[i, j] = np.tensordot(weight, patch, 3)
    return result + bias


@pytest.fixture(scope="module")
def numbers() -> dict[str, np.ndarray]:
    return draw_numbers()


def draw_numbers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {
        "stem": (WIDTH, 3, 3, 3),
        "depthwise": (1, 5, 5, WIDTH),
        "point": (WIDTH, 1, 1, WIDTH),
    }
    found = {name: rng.normal(size=shape) * 0.5 for name, shape in shapes.items()}
    found |= {f"{name} bias": rng.normal(size=WIDTH) for name in shapes}
    found["slopes"] = rng.uniform(0, 1, (1, 1, WIDTH))
    return {name: values.astype(np.float16) for name, values in found.items()}


def residual_block(numbers: dict[str, np.ndarray], size: int = SIZE) -> bytes:
    """Stride 2, ReLU6; depthwise, pointwise, what went in added; PReLU; depthwise, stride 2."""
    model = Model(1, size, size, 3)
    small = -(-size // 2)

    def convolution(kind: str, name: str, reads: int, side: int, options: dict) -> int:
        weight, bias = model.half(numbers[name]), model.half(numbers[f"{name} bias"])
        return model.add(kind, [reads, weight, bias], (1, side, side, WIDTH), options)

    stem = convolution("CONV_2D", "stem", 0, small, STRIDE_2 | {3: ("b", 3)})
    inner = convolution("DEPTHWISE_CONV_2D", "depthwise", stem, small, STRIDE_1 | {3: ("i", 1)})
    point = convolution("CONV_2D", "point", inner, small, STRIDE_1)
    total = model.add("ADD", [point, stem], (1, small, small, WIDTH), {0: ("b", 0)})
    slopes = model.half(numbers["slopes"])
    soft = model.add("PRELU", [total, slopes], (1, small, small, WIDTH))
    last = convolution("DEPTHWISE_CONV_2D", "depthwise", soft, -(-small // 2), STRIDE_2)
    return model.content(soft, last)


@pytest.mark.parametrize("size", [8, 9, 12])
@pytest.mark.parametrize("fused", [True, False])
def test_a_graph_computes_what_its_operators_mean(numbers, size, fused) -> None:
    network = GraphNetwork(read_graph(residual_block(numbers, size), "net"), "net")
    for step in network.steps if not fused else ():
        step._fused = None
    images = np.random.default_rng(2).uniform(0, 1, (2, size, size, 3))
    found = network(torch.from_numpy(images).float().permute(0, 3, 1, 2))
    values = {name: value.astype(np.float64) for name, value in numbers.items()}
    depthwise = np.zeros((WIDTH, 5, 5, WIDTH))
    for channel in range(WIDTH):
        depthwise[channel, :, :, channel] = values["depthwise"][0, :, :, channel]
    for row, image in enumerate(images):
        stem = convolve(image, values["stem"], values["stem bias"], 2).clip(0, 6)
        inner = convolve(stem, depthwise, values["depthwise bias"], 1)
        total = convolve(inner, values["point"], values["point bias"], 1) + stem
        soft = np.where(total > 0, total, total * values["slopes"])
        last = convolve(soft, depthwise, values["depthwise bias"], 2)
        for output, expected in zip(found, (soft, last), strict=True):
            np.testing.assert_allclose(output[row], expected, atol=2e-5)


def test_bf16_is_close_to_fp32(numbers) -> None:
    graph = read_graph(residual_block(numbers), "net")
    images = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    exact, rough = (
        GraphNetwork(graph, "net", dtype)(images)[0] for dtype in (torch.float32, torch.bfloat16)
    )
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_a_damaged_file_is_refused_in_one_line(numbers) -> None:
    content = residual_block(numbers)
    rng = np.random.default_rng(0)
    refusals = []
    for length in range(0, len(content) - 1, 97):
        with pytest.raises(Gesture3dError, match=r"net\.tflite: "):
            read_graph(content[:length], "net.tflite")
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(8, len(content), 20):
            damaged[place] = rng.integers(256)
        try:
            GraphNetwork(read_graph(bytes(damaged), "net.tflite"), "net.tflite")
        except Gesture3dError as error:
            refusals.append(str(error))
    assert len(refusals) > 100
    assert all(r.startswith("net.tflite: ") and "\n" not in r for r in refusals)


def test_what_is_not_known_is_named(numbers) -> None:
    with pytest.raises(Gesture3dError, match=r"x: not a \.tflite file"):
        read_graph(b"GIF89a" * 10, "x")
    model = Model(1, 2, 2, 3)
    custom = model.add("CUSTOM", [0], (1, 2, 2, 3))
    with pytest.raises(Gesture3dError, match="x: the operator 32, which is not read here"):
        read_graph(model.content(custom), "x")
    model = Model(1, 2, 2, 3)
    total = model.add("ADD", [0, 0], (1, 2, 2, 4), {0: ("b", 0)})
    with pytest.raises(Gesture3dError, match="x: its operators do not fit together"):
        GraphNetwork(read_graph(model.content(total), "x"), "x")
