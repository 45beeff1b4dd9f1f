"""A causal network stepped through a stream, against its offline form slid over the same stream."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gesture3d.benchmarks.tables import Row
from gesture3d.benchmarks.timing import Clock, interleave, milliseconds, ratio
from gesture3d.config import Experiment, validate_experiment
from gesture3d.cost import count_cost
from gesture3d.errors import Gesture3dError
from gesture3d.models import build_model

NUM_CLASSES = 27


def pair(experiment: Experiment) -> tuple[Experiment, Experiment]:
    """The offline experiment and its causal form, whose preprocessing is without the future.

    Raises:
        Gesture3dError: a network that has no causal form.
    """
    settings = experiment.model_dump(mode="json")
    model = settings["model"]
    if "causal" not in model or model["causal"]:
        raise Gesture3dError(
            f"model.name={model['name']}, causal={model.get('causal')}: give the offline form of a "
            "network that has a causal one"
        )
    change = {"causal": True}
    if model.get("preprocessing") == "clip_mean":
        change |= {"preprocessing": "running_mean", "differences": True}
    settings["model"] = model | change
    return experiment, validate_experiment(settings, "the causal form")


@torch.inference_mode()
def compare(
    experiment: Experiment, windows: Sequence[int], num_features: int, seconds: float
) -> list[Row]:
    """A row for the stepped network, and two for each window (frames) of the offline one: slid by
    one step, which decides as often, and by a frame.

    Multiply-adds are those of convolutions and products; times are of all sides in turn.
    """
    torch.manual_seed(0)
    spec = experiment.data.input_spec(num_features)
    offline, causal = (
        build_model(e.model, NUM_CLASSES, spec.num_features).eval() for e in pair(experiment)
    )
    stride = causal.step_frames
    if wrong := [window for window in windows if window < stride]:
        raise Gesture3dError(f"a window of {wrong[0]} frames: a step alone takes {stride}")

    def frames(count: int) -> Tensor:
        example = spec.example(num_frames=count)
        if spec.kind == "clips":
            return torch.randint_like(example, 256)
        return torch.randn_like(example)

    chunk = frames(stride)
    state = causal.initial_state(1, tuple(chunk.shape[3:]))
    sides = {"stepped": lambda: causal.step(chunk, state)}
    cost = {"stepped": count_cost(causal, chunk)[-1].multiply_adds}
    for window in windows:
        clip, name = frames(window), f"offline, {window} frames"
        sides[name] = lambda clip=clip: offline(clip)
        cost[name] = count_cost(offline, clip)[-1].multiply_adds
    times = interleave(sides, Clock(torch.device("cpu")), seconds)
    rows = []
    for name in sides:
        for step in dict.fromkeys((stride, stride if name == "stepped" else 1)):
            more = stride / step
            row: Row = {"network": name, "a decision every": f"{step} frames"}
            row["multiply-adds a frame, M"] = cost[name] / step / 1e6
            row["ms a frame"] = milliseconds(times[name]) / step
            row["multiply-adds / stepped"] = more * cost[name] / cost["stepped"]
            row["time / stepped"] = more * ratio(times, "stepped", name)
            rows.append(row)
    return rows
