"""``result.json``: what a finished run came to, as data. Where it is, the run is whole."""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from torch import nn

from gesture3d.checkpoint import versions
from gesture3d.cost import clips_per_second, count_cost_of_one
from gesture3d.data.batch import Batch
from gesture3d.distributed import Processes
from gesture3d.errors import Gesture3dError
from gesture3d.files import write_text
from gesture3d.machine import processor
from gesture3d.stored import NonNegative, Number, Share, Text, Whole, parse_json
from gesture3d.training.loop import Progress


def gather_result(
    model: nn.Module,
    progress: Progress,
    order_top1: dict[str, float],
    num_samples: dict[str, int],
    batch: Batch,
    here: Processes,
) -> dict[str, Any]:
    """The content of the file.

    Keys: ``epochs``; ``kept_epoch`` (from 1); ``order_top1``, top-1 on validation (0..1) of the
    kept epoch by order of the frames, empty without that split; ``num_samples`` of each split;
    ``cost``, rows of (block, parameters, multiply-adds of one view of one sample, of streams of
    one window of the training); ``train_seconds`` and
    ``train_clips_per_second`` of the training steps; ``inference_clips_per_second`` of the network
    alone, in fp32; ``peak_memory`` and ``peak_gpu_memory``, bytes, of the main process up to the
    end of training; ``device``, ``processor``, ``num_processes``, ``num_threads``; ``versions``.
    The closing adds ``calibration``, see `gesture3d.evaluation.calibration.effect`, and
    ``events``, of streams: `gesture3d.evaluation.spotting.Spotting.defined` on validation.

    Args:
        batch: evaluated to measure the speed; its first sample is what the cost is of.
    """
    seconds = sum(row["seconds"] for row in progress.history)
    trained = sum(row["seconds"] * row["clips_per_second"] for row in progress.history)
    batch = batch.to(here.device)
    sample = batch.inputs[:1]
    sample = sample[:, 0] if sample.ndim == 6 else sample  # one view of it
    is_cuda = here.device.type == "cuda"
    return {
        "epochs": len(progress.history),
        "kept_epoch": progress.best_epoch + 1,
        "order_top1": order_top1,
        "num_samples": num_samples,
        "cost": count_cost_of_one(model, sample.cpu()),
        "train_seconds": seconds,
        "train_clips_per_second": trained / max(seconds, 1e-9),
        "inference_clips_per_second": clips_per_second(model, batch.inputs, batch.lengths),
        "peak_memory": progress.peak_memory or None,
        "peak_gpu_memory": torch.cuda.max_memory_allocated() if is_cuda else None,
        "device": torch.cuda.get_device_name() if is_cuda else "cpu",
        "processor": processor(is_cuda),
        "num_processes": here.world_size,
        "num_threads": torch.get_num_threads(),
        "versions": versions(),
    }


class _Result(BaseModel):
    """What others take out of the file; further keys are kept as they are."""

    model_config = ConfigDict(extra="allow")

    epochs: Annotated[Whole, Field(ge=1)]
    kept_epoch: Whole
    order_top1: dict[Text, Share]
    num_samples: dict[Text, Whole]
    cost: Annotated[list[tuple[Text, Whole, Whole]], Field(min_length=1)]
    train_seconds: NonNegative
    train_clips_per_second: NonNegative
    inference_clips_per_second: NonNegative
    peak_memory: Whole | None
    peak_gpu_memory: Whole | None
    device: Text
    processor: Text = ""  # runs of before do not say
    num_processes: Whole
    versions: dict[Text, Text]
    events: dict[Text, Number | None] | None = None  # runs of before do not say


_RESULT = TypeAdapter(_Result)


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Write ``result.json``, atomically: a run that has it is finished."""
    write_text(folder / "result.json", json.dumps(result, indent=1, allow_nan=False) + "\n")


def read_result(folder: Path) -> dict[str, Any]:
    """The content of a finished run's file.

    Raises:
        Gesture3dError: there is none, or it is broken.
    """
    path = folder / "result.json"
    try:
        found = parse_json(path.read_bytes(), _RESULT).model_dump()
        if "gesture3d" not in found["versions"]:
            raise ValueError("versions: no gesture3d")
        if bool(found["order_top1"]) != ("validation" in found["num_samples"]):
            raise ValueError("order_top1 and num_samples: one with validation, one without")
        return found
    except OSError:
        raise Gesture3dError(f"{folder}: not a finished run, no result.json there") from None
    except ValueError as error:
        raise Gesture3dError(f"{path}: broken ({error}); remove it and resume the run") from None
