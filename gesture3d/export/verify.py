"""Exported files are run, over whole streams, and compared with the network in PyTorch."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.export.described import Exported, Proof, needed
from gesture3d.inference.online import StreamScores, find_events
from gesture3d.models.network import Network

TOLERANCE = 1e-4  # of any score
# Of networks that stabilise clips: fp32 finds the camera's motion to 1e-5 of a pixel, which moves
# every pixel of the room.
STABILISED_TOLERANCE = 1e-3
LENGTHS = (1, 2, 7, 33, 120)  # of sequences
STREAM_LENGTHS = (1, 7, 40)  # steps
BATCHES = (1, 2, 5)
MARGIN = 5.0  # of probabilities, in differences of scores, for events that can be compared
STEPS_A_SECOND = 6.0  # where a stream has no clock: only for the events that are compared

Call = Callable[[list[np.ndarray]], list[np.ndarray]]


def session(path: Path):
    """An onnxruntime session on one thread of the CPU."""
    runtime = needed("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def onnx_call(path: Path) -> Call:
    """A file as a function of its inputs in their order."""
    opened = session(path)
    names = [entry.name for entry in opened.get_inputs()]
    return lambda values: opened.run(None, dict(zip(names, values, strict=True)))


def onnx_scores(path: Path, exported: Exported, inputs: Sequence[np.ndarray]):
    """What `scores_of` finds with onnxruntime."""
    call = onnx_call(path)
    return [scores_of(call, x, exported.step_frames, exported.state_shapes) for x in inputs]


# Also run as text in a process of its own, so that it needs nothing but numpy.
def scores_of(call, inputs, step_frames, state_shapes):
    """Scores (B, K) of clips, or of every step of streams (B, S, K), which begin with zeros."""
    if step_frames is None:
        return call([inputs])[0]
    state = [np.zeros((len(inputs), *shape), np.float32) for shape in state_shapes]
    found = []
    for first in range(0, inputs.shape[1], step_frames):
        scores, *state = call([inputs[:, first : first + step_frames], *state])
        found.append(scores)
    return np.stack(found, 1)


_ALONE = """
import json, sys
sys.modules["gesture3d"] = None
import numpy as np, torch
{scores_of}
path, inputs, outputs, said = sys.argv[1:]
said = json.loads(said)
model = torch.export.load(path).module()
def call(values):
    with torch.no_grad():
        found = model(*(torch.from_numpy(value) for value in values))
    return [tensor.numpy() for tensor in (found if isinstance(found, tuple) else [found])]
with np.load(inputs) as file:
    found = {{n: scores_of(call, file[n], *said) for n in file.files}}
np.savez(outputs, **found)
"""


def torch_scores(path: Path, exported: Exported, inputs: Sequence[np.ndarray]):
    """The same with a ``.pt2`` file, in a process that cannot import gesture3d."""
    import inspect
    import json

    program = _ALONE.format(scores_of=inspect.getsource(scores_of))
    said = json.dumps([exported.step_frames, exported.state_shapes])
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / name for name in ("inputs.npz", "outputs.npz")]
        np.savez(places[0], **{str(n): x for n, x in enumerate(inputs)})
        words = [sys.executable, "-c", program, path, *places, said]
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, cwd=folder)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise Gesture3dError(f"{path.name}: cannot be run without gesture3d ({last})")
        with np.load(places[1]) as file:
            return [file[str(n)] for n in range(len(inputs))]


@torch.inference_mode()
def expected_scores(model: Network, exported: Exported, x: np.ndarray) -> np.ndarray:
    """What the network itself says, divided by the temperature."""
    temperature = exported.calibration.temperature if exported.calibration else 1.0
    inputs = torch.from_numpy(x)
    scores = model(inputs) if exported.kind == "clip" else model.step_scores(inputs)
    return (scores / temperature).numpy()


@dataclass(frozen=True)
class Inputs:
    """Batches to compare on, and how many of their samples are real ones."""

    batches: list[np.ndarray]
    real: int = 0


def choose_inputs(exported: Exported, samples: Sequence[Tensor]) -> Inputs:
    """Random batches of several sizes and lengths, then real samples as they are; for step models
    all of these one behind the other as one stream, cut to whole steps."""
    rng, steps = np.random.default_rng(0), exported.step_frames

    def random(batch: int, frames: int) -> np.ndarray:
        shape = (batch, frames, *exported.shape[1:])
        if exported.reads == "sequences":
            return rng.normal(size=shape).astype(np.float32)
        return rng.integers(0, 256, shape, dtype=np.uint8)

    if steps:
        lengths = [steps * n for n in STREAM_LENGTHS]
    elif exported.reads == "sequences":
        lengths = sorted({max(n, exported.shortest) for n in LENGTHS})
    else:
        lengths = [exported.shape[0]] * len(BATCHES)
    batches = [random(BATCHES[n % len(BATCHES)], frames) for n, frames in enumerate(lengths)]
    real = [sample.numpy() for sample in samples]
    if steps and real:
        stream = np.concatenate(real)
        stream = stream[: len(stream) // steps * steps]
        return Inputs([*batches, stream[None]], len(real))
    return Inputs([*batches, *(sample[None] for sample in real)], len(real))


def prove(
    model: Network,
    exported: Exported,
    inputs: Inputs,
    found: Sequence[np.ndarray],
    runtime: str,
    where: Path,
) -> Proof:
    """That a file says what the network says.

    Raises:
        Gesture3dError: a score differs by more than the tolerance, or an event does.
    """
    stabilises = getattr(getattr(model, "preprocessing", None), "stabilise", False)
    tolerance = STABILISED_TOLERANCE if stabilises else TOLERANCE
    difference, events = 0.0, 0 if exported.kind == "step" else None
    for x, scores in zip(inputs.batches, found, strict=True):
        expected = expected_scores(model, exported, x)
        if scores.shape != expected.shape or not np.isfinite(scores).all():
            raise Gesture3dError(
                f"{where}: not kept, as {runtime} gives scores that are not finite or not of the "
                f"shape {list(expected.shape)}"
            )
        off = float(np.abs(scores - expected).max())
        if off > tolerance:
            raise Gesture3dError(
                f"{where}: not kept, as {runtime} differs from PyTorch by {off:.2g} in a score "
                f"(at most {tolerance:g}), for a batch of {list(x.shape)}"
            )
        difference = max(difference, off)
        if events is not None:
            events += sum(
                _same_events(exported, *pair, off, where)
                for pair in zip(scores, expected, strict=True)
            )
    shapes = [tuple(x.shape[:2]) for x in inputs.batches]
    return Proof(difference, runtime, shapes, inputs.real, events)


def _same_events(
    exported: Exported, found: np.ndarray, expected: np.ndarray, off: float, where: Path
) -> int:
    """How many gestures are decided in a stream's scores (S, K), of both sides the same."""
    decision = exported.online or _any_decision(expected, exported.class_names, off)
    if decision is None:
        return 0
    rate = (exported.rate_hz or STEPS_A_SECOND * exported.step_frames) / exported.step_frames
    seconds = (1 + np.arange(len(expected))) / rate
    sides = [
        [
            (event.label, event.start, event.end, event.decided)
            for event in find_events(StreamScores(seconds, s), decision, exported.class_names)
        ]
        for s in (found, expected)
    ]
    if sides[0] != sides[1]:
        raise Gesture3dError(f"{where}: not kept, as its events differ from PyTorch's")
    return len(sides[0])


def _any_decision(
    scores: np.ndarray, class_names: Sequence[str], off: float
) -> OnlineDecision | None:
    """One by which something happens in these scores, of a network that has none yet: a threshold
    in the widest gap of what its best class reaches.

    None where that class's probability hardly moves, or is hardly the best, for what scores are
    ``off``: then rounding would decide.
    """
    powers = np.exp(scores - scores.max(1, keepdims=True))
    probabilities = np.sort(powers / powers.sum(1, keepdims=True), axis=1)
    highest = np.sort(probabilities[:, -1])
    gaps = np.diff(highest)
    sure = (probabilities[:, -1] - probabilities[:, -2]).min()
    if not len(gaps) or min(gaps.max(), sure) < MARGIN * off:
        return None
    level = float(highest[gaps.argmax() :][:2].mean())
    return OnlineDecision(dict.fromkeys(class_names, float(np.clip(level, 0.01, 0.99))))
