"""Exported files whose convolutions and products compute in int8: smaller, and what that costs.

Clips: weights and activations, whose ranges are taken of training samples. Sequences: the products
alone, with ranges of each input as it comes. Validation samples tell what is lost.
"""

import logging
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gesture3d.errors import Gesture3dError
from gesture3d.export.described import Exported, needed, read_onnx
from gesture3d.export.samples import of_split, open_here
from gesture3d.export.verify import onnx_call, scores_of, session
from gesture3d.export.write import describe_onnx
from gesture3d.files import atomic_path

CALIBRATION_SAMPLES = 32
PRODUCTS = ["Conv", "Gemm", "MatMul"]


def training_samples(weights: Path, settings: Sequence[str] = ()) -> list[Tensor]:
    """To take ranges of. Raises Gesture3dError: they are not here."""
    samples, problem = of_split(weights, "train", CALIBRATION_SAMPLES, settings)
    if problem:
        raise Gesture3dError(f"--int8 takes ranges of training samples: {problem}")
    return samples


def write_int8(exported: Exported, full: Path, path: Path, samples: Sequence[Tensor]) -> None:
    """Write ``full``, an exported file, in int8.

    Args:
        samples: that the network reads, to take ranges of; of sequences none is needed.

    Raises:
        Gesture3dError: the extra is missing.
    """
    needed("onnxruntime")
    from onnxruntime import quantization as q

    onnx = needed("onnx")
    logging.getLogger().setLevel(logging.ERROR)  # it advises at every call
    with tempfile.TemporaryDirectory() as folder, atomic_path(path) as temporary:
        ready = Path(folder) / "ready.onnx"
        q.quant_pre_process(str(full), str(ready), skip_symbolic_shape=True)
        types = {"weight_type": q.QuantType.QInt8, "op_types_to_quantize": PRODUCTS}
        if exported.reads == "clips":
            feeds = _feeds(full, exported, samples)

            class Reader(q.CalibrationDataReader):
                def get_next(self) -> dict[str, np.ndarray] | None:
                    return next(feeds, None)

            q.quantize_static(
                str(ready),
                str(temporary),
                Reader(),
                quant_format=q.QuantFormat.QDQ,
                activation_type=q.QuantType.QUInt8,
                per_channel=True,
                **types,
            )
        else:
            q.quantize_dynamic(str(ready), str(temporary), per_channel=True, **types)
        described = replace(exported, precision="int8")
        describe_onnx(onnx.load(str(temporary)), described, temporary)


def _feeds(
    full: Path, exported: Exported, samples: Sequence[Tensor]
) -> Iterator[dict[str, np.ndarray]]:
    """What the file is called with for these samples; of step models, at every step."""
    opened, calls = session(full), []
    names = [entry.name for entry in opened.get_inputs()]

    def call(values: list[np.ndarray]) -> list[np.ndarray]:
        calls.append(dict(zip(names, values, strict=True)))
        return opened.run(None, calls[-1])

    for sample in samples:
        x = _whole_steps(sample[None].numpy(), exported)
        scores_of(call, x, exported.step_frames, exported.state_shapes)
        yield from calls
        calls.clear()


def price(weights: Path, full: Path, small: Path, settings: Sequence[str] = ()) -> str:
    """Top-1 on validation, size and speed of both files, in a line.

    Raises:
        Gesture3dError: the validation samples are missing.
    """
    networks = [OnnxNetwork(path) for path in (full, small)]
    with open_here(weights, "validation", settings) as opened:
        found = [
            replace(opened, model=network).predict(opened.samples, progress=False)
            for network in networks
        ]
        sample = opened.samples[0].inputs
    correct = [(p.scores.argmax(1) == p.labels).mean() for p in found]
    batch = (sample if sample.dim() < 5 else sample[0])[None]
    times = [[], []]
    for _ in range(10):
        for network, taken in zip(networks, times, strict=True):
            started = time.perf_counter()
            network(batch)
            taken.append(time.perf_counter() - started)
    fast, slow = (1000 * statistics.median(taken) for taken in reversed(times))
    sizes = [path.stat().st_size / 1e6 for path in (full, small)]
    return (
        f"top-1 of {len(found[0].keys)} validation samples {correct[1]:.1%} (float32 "
        f"{correct[0]:.1%}), {sizes[1]:.2f} MB ({sizes[0]:.2f}), one sample {fast:.2f} ms on one "
        f"thread ({slow:.2f})"
    )


class OnnxNetwork(nn.Module):
    """An exported file in a network's place: each sample by itself, so that lengths may differ."""

    def __init__(self, path: Path):
        super().__init__()
        self.exported, self.call = read_onnx(path), onnx_call(path)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        rows = []
        for row, x in enumerate(inputs.numpy()):
            x = x[None] if lengths is None else x[None, : int(lengths[row])]
            x = _whole_steps(x, self.exported)
            steps, shapes = self.exported.step_frames, self.exported.state_shapes
            scores = scores_of(self.call, x, steps, shapes)
            rows.append(scores.mean(1) if steps else scores)
        return torch.from_numpy(np.concatenate(rows))


def _whole_steps(x: np.ndarray, exported: Exported) -> np.ndarray:
    steps = exported.step_frames or 1
    return x[:, : x.shape[1] // steps * steps]
