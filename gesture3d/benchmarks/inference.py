"""From a file to its label: PyTorch as it is, folded, in bf16, compiled, exported, and as a user
would write it with decord and torchvision.

All sides in turn in one process, one thread, in its processor time; but for `overlap`, which needs
two cores and the time of day.
"""

import copy
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gesture3d import checkpoint
from gesture3d.benchmarks.data import KINDS, make_clips
from gesture3d.benchmarks.network import PRODUCTS
from gesture3d.benchmarks.tables import Row
from gesture3d.benchmarks.timing import Clock, OperationTimes, interleave, milliseconds
from gesture3d.export.int8 import write_int8
from gesture3d.export.verify import onnx_call
from gesture3d.export.write import export, open_source
from gesture3d.inference.classifier import Classifier
from gesture3d.machine import has_bf16
from gesture3d.models.folding import in_bf16

BATCH = 16
RANGES = 4  # samples that int8 takes its ranges of
ROUNDS = 5  # of the overlap
OURS, TORCHVISION = "folded (Classifier)", "r3d_18 of torchvision, 112 × 112"


def table(folder: Path, seconds: float, weights: Path | None = None) -> list[Row]:
    """A row for each way: reading a file, the network for one clip and for `BATCH`, both.

    Args:
        folder: for clips and files.
        seconds: of each measurement.
        weights: of a network for clips; None: the shipped one.

    Raises:
        Gesture3dError: no ffmpeg, which makes the clips; the extra for exporting is missing.
    """
    clock = Clock(torch.device("cpu"))
    paths = [item.path for item in make_clips(folder, *KINDS[0], BATCH)]
    classifier = Classifier(weights, "cpu")
    ours = torch.stack([classifier.load(path) for path in paths])
    with tempfile.TemporaryDirectory() as place, torch.inference_mode():
        ways = _networks(classifier, Path(place))
        one = {name: lambda f=f: f(ours[:1]) for name, f in ways.items()}
        many = {name: lambda f=f: f(ours) for name, f in ways.items()}
        for run in (*one.values(), *many.values()):
            run()  # compiles, and warms up
        their_clip, theirs = _plain_clip(paths[0])[None], _torchvision()
        one_times = _times(one | {TORCHVISION: lambda: theirs(their_clip)}, clock, seconds)
        many_times = _times(many, clock, seconds)
        many_times[TORCHVISION] = BATCH * one_times[TORCHVISION]  # large enough one by one
    reads = {OURS: classifier.load, TORCHVISION: _plain_clip}
    read = {name: _milliseconds_to_read(read, paths) for name, read in reads.items()}
    rows = []
    for name in (*ways, TORCHVISION):
        reading = read.get(name, read[OURS])
        rows.append(
            {
                "way": name,
                "reading, ms a clip": reading,
                "one clip, ms": one_times[name],
                f"{BATCH} clips, clips/s": 1000 * BATCH / many_times[name],
                "file to label, clips/s": 1000 / (reading + many_times[name] / BATCH),
            }
        )
    return rows


def against_products(weights: Path | None, seconds: float) -> list[Row]:
    """The network as `Classifier` has it against its own convolutions and products."""
    classifier, clock, rows = Classifier(weights, "cpu"), Clock(torch.device("cpu")), []
    networks = {"fp32": classifier.model}
    if has_bf16():
        networks["bf16"] = in_bf16(copy.deepcopy(classifier.model))
    for size in (1, BATCH):
        clips = torch.randint(0, 256, (size, *classifier.spec.shape), dtype=torch.uint8)
        for precision, network in networks.items():
            with torch.no_grad():  # in which operations have the names of their parts
                whole = _times({"": lambda f=network, x=clips: f(x)}, clock, seconds)[""]
                parts = []
                for _ in range(5):
                    with OperationTimes(clock) as operations:
                        network(clips)
                    parts.append(sum(operations.seconds.get(name, 0.0) for name in PRODUCTS))
            products = 1000 * statistics.median(parts)
            row: Row = {"clips": str(size), "precision": precision, "forward, ms": whole}
            rows.append(row | {"its products, ms": products, "ratio (1.25)": whole / products})
    return rows


def overlap(folder: Path, count: int, weights: Path | None = None) -> list[Row]:
    """Clips a second, by the time of day, of `Classifier.classify` with two threads that read, of
    its two halves alone, and of the loop that one would write with decord; in turn, medians of
    rounds. Also what two cores could give by the processor time of both halves."""
    count = max(count // ROUNDS, 1)
    clips = [item.path for item in make_clips(folder, *KINDS[0], min(count, 24))]
    paths = [clips[number % len(clips)] for number in range(count)]
    classifier = Classifier(weights, "cpu")
    model = checkpoint.load_model(classifier.weights)[0].eval()
    size = classifier.experiment.data.size
    read = [classifier._try_cut(path) for path in paths[:24]]

    def plain() -> None:
        with torch.inference_mode():
            for path in paths:
                model(_plain_clip(path, size)[None]).argmax()

    def reading() -> None:
        for _ in classifier.classify(paths, batch_size=BATCH):
            pass

    def network() -> None:
        for _ in classifier.results((read[n % 24] for n in range(count)), BATCH):
            pass

    def decoding() -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(classifier._try_cut, paths):
                pass

    rounds = []
    sides = {"reading": decoding, "network": network, "classify": reading, "plain loop": plain}
    for _ in range(ROUNDS):
        rates, used = {}, {}
        for name, run in sides.items():
            started, before = time.perf_counter(), time.process_time()
            run()
            rates[name] = count / (time.perf_counter() - started)
            used[name] = (time.process_time() - before) / count
        row: Row = {f"{name}, clips/s": rate for name, rate in rates.items()}
        row |= {f"{name}, ms": 1000 * seconds for name, seconds in used.items()}
        both = row["two cores for both, clips/s"] = 2 / (used["reading"] + used["network"])
        slower = min(rates["reading"], rates["network"])
        row["classify / slower half (0.9)"] = rates["classify"] / slower
        row["classify / two cores for both"] = rates["classify"] / both
        row["classify / plain (1.5)"] = rates["classify"] / rates["plain loop"]
        rounds.append(row)
    return [{name: statistics.median(row[name] for row in rounds) for name in rounds[0]}]


def _networks(classifier: Classifier, place: Path) -> dict[str, Callable]:
    found: dict[str, Callable] = {
        "PyTorch": checkpoint.load_model(classifier.weights)[0].eval(),
        OURS: classifier.model,
    }
    if has_bf16():
        found["folded, bf16"] = in_bf16(copy.deepcopy(classifier.model))
    if any(map(shutil.which, ("g++", "clang++", "c++"))):
        found["compiled"] = torch.compile(classifier.model, options={"freezing": True})
    source, full, small = open_source(classifier.weights), place / "w.onnx", place / "w8.onnx"
    export(source, "onnx", full)
    frames, *frame = source.spec.shape
    ranges = torch.randint(0, 256, (RANGES, frames, *frame), dtype=torch.uint8)
    write_int8(source.exported, full, small, list(ranges))
    for name, path in (("onnxruntime", full), ("onnxruntime, int8", small)):
        call = onnx_call(path)
        found[name] = lambda x, call=call: call([x.numpy()])
    return found


def _torchvision() -> Callable:
    from torchvision.models.video import r3d_18

    network = r3d_18(num_classes=27).eval()
    return lambda clips: network(clips.float().div(255).sub(0.45).div(0.225).transpose(1, 2))


def _plain_clip(path: Path, size: int = 112, frames: int = 16) -> Tensor:
    """As one writes it: uint8 (T, C, size, size)."""
    import decord
    from torchvision.transforms import v2

    reader = decord.VideoReader(str(path), num_threads=1)
    rows = np.linspace(0, len(reader) - 1, frames).round().astype(int)
    clip = torch.from_numpy(reader.get_batch(rows).asnumpy()).permute(0, 3, 1, 2)
    return v2.functional.center_crop(v2.functional.resize(clip, size, antialias=True), size)


def _milliseconds_to_read(read: Callable, paths: list[Path]) -> float:
    """Of one file, in processor time of all threads: decord decodes in one of its own."""
    found = []
    for _ in range(5):
        started = time.process_time()
        for path in paths:
            read(path)
        found.append(time.process_time() - started)
    return milliseconds(found) / len(paths)


def _times(sides: dict[str, Callable], clock: Clock, seconds: float) -> dict[str, float]:
    """Milliseconds."""
    return {name: milliseconds(found) for name, found in interleave(sides, clock, seconds).items()}
