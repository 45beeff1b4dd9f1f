"""The two networks of the hands, loaded: by PyTorch, or by LiteRT where it is installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from gesture3d.errors import Gesture3dError
from gesture3d.hands.networks import GraphNetwork
from gesture3d.hands.tflite import read_graph
from gesture3d.hands.weights import is_published
from gesture3d.machine import has_bf16

Engine = Literal["auto", "torch", "litert"]
Precision = Literal["auto", "fp32", "bf16"]
# Pictures, uint8 (B, size, size, 3), RGB → a float32 array (B, …) for each output.
Network = Callable[[np.ndarray], tuple[np.ndarray, ...]]


class TorchNetwork:
    """The content of a `.tflite` file run by PyTorch; ``where`` is for messages."""

    def __init__(self, content: bytes, where: str, precision: Precision = "auto") -> None:
        in_bf16 = precision == "bf16" or (precision == "auto" and has_bf16())
        dtype = torch.bfloat16 if in_bf16 else torch.float32
        self._network = GraphNetwork(read_graph(content, where), where, dtype)

    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.inference_mode():
            images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().mul_(1 / 255)
        return tuple(output.numpy() for output in self._network(images))


class LiteRTNetwork:
    """The content of a `.tflite` file run by LiteRT (``ai-edge-litert``), on one thread.

    Raises:
        ImportError: it is not installed.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        (self._input,) = (d["index"] for d in self._interpreter.get_input_details())
        outputs = self._interpreter.get_output_details()
        self._outputs = [d["index"] for d in sorted(outputs, key=lambda d: d["name"])]

    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, ...]:
        each = [self._one(picture) for picture in pictures]
        return tuple(np.concatenate(outputs) for outputs in zip(*each, strict=True))

    def _one(self, picture: np.ndarray) -> list[np.ndarray]:
        image = np.multiply(picture[None], np.float32(1 / 255), dtype=np.float32)
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(number) for number in self._outputs]


def load_network(path: Path, engine: Engine = "auto", precision: Precision = "auto") -> Network:
    """The network in a ``.tflite`` file.

    Args:
        engine: auto: LiteRT where it is installed, no precision is asked for, and the file is one
            that MediaPipe published (it crashes on damaged ones); else PyTorch.
        precision: of PyTorch's convolutions; auto: bf16 where the processor computes in it.

    Raises:
        Gesture3dError: no such file, a damaged one, or an engine that is not installed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Gesture3dError(f"{path}: cannot be read ({error.strerror or error})") from None
    wanted = engine == "litert" or (engine == "auto" and precision == "auto")
    if wanted and is_published(content):
        try:
            return LiteRTNetwork(content)
        except ImportError:
            pass
    if engine == "litert":
        raise Gesture3dError(
            f"{path}: LiteRT runs only whole files that MediaPipe published, and where it is "
            "installed: pip install 'gesture3d[hands]', or take the engine torch"
        )
    return TorchNetwork(content, str(path), precision)
