"""How fast clips become network input, against what FFmpeg's decoder alone could do.

Every round measures all methods on the same files, one after the other, in one process pinned to
one core; ratios are medians over rounds of ratios within a round, so that other work on the machine
disturbs both sides alike.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gesture3d.data.index import Index, Item
from gesture3d.data.video.clips import clip_from_frames, load_clip
from gesture3d.data.video.prepared.cache import open_cache
from gesture3d.data.video.sampling import uniform_indices
from gesture3d.data.video.sets.jester import JesterData, read_list
from gesture3d.errors import Gesture3dError

# What is measured: name, width, height, FFmpeg's encoder options, suffix.
KINDS = (
    ("H.264 176x100", 176, 100, ("-c:v", "libx264", "-pix_fmt", "yuv420p"), "mp4"),
    ("XviD 320x240", 320, 240, ("-c:v", "mpeg4", "-vtag", "xvid", "-q:v", "4"), "avi"),
)
NUM_SOURCE_FRAMES = 36
DATA = JesterData(name="jester", num_frames=16, size=112)


@dataclass(frozen=True)
class Row:
    """One kind of file: clips a second by method, and ratios of ours to the others."""

    kind: str
    clips_per_second: dict[str, float]
    ratios: dict[str, float]


def benchmark_decoding(folder: Path, num_clips: int = 24, rounds: int = 7) -> list[Row]:
    """Decode 36-frame clips to 16 frames of 112×112, by several methods.

    ``ours`` is `load_clip`; ``cache`` the same from decoded frames; ``decord`` reads the wanted
    frames with plain decord and resizes them; ``ffmpeg null`` decodes all frames and drops them.

    Raises:
        Gesture3dError: there is no ffmpeg.
    """
    pin_to_one_core()
    return [_measure(make_clips(folder, *kind, num_clips), kind[0], rounds) for kind in KINDS]


def make_clips(
    folder: Path,
    name: str,
    width: int,
    height: int,
    encoder: tuple[str, ...],
    suffix: str,
    count: int,
) -> list[Item]:
    """Clips of a moving, textured scene, encoded by FFmpeg; made anew only where missing."""
    if not shutil.which("ffmpeg"):
        raise Gesture3dError("this benchmark compares with ffmpeg: install it (apt install ffmpeg)")
    folder = folder / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for number in range(count):
        path = folder / f"{number}.{suffix}"
        if not path.exists():
            command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
            command += ["-s", f"{width}x{height}", "-r", "12", "-i", "-", *encoder, str(path)]
            scene = _scene(number, width, height)
            subprocess.run(command, input=scene.tobytes(), check=True)
        clips.append(Item(f"{name}-{number}", 0, path))
    return clips


def benchmark_memory(clips: list[Item], num_loads: int = 5000) -> list[float]:
    """Resident memory of this process in MB after each tenth of ``num_loads`` decoded clips."""
    found = []
    for number in range(num_loads):
        load_clip(clips[number % len(clips)].path, DATA)
        if (number + 1) % max(num_loads // 10, 1) == 0:
            found.append(resident_megabytes())
    return found


def benchmark_waiting(folder: Path, num_steps: int = 80) -> tuple[float, float]:
    """How much of its time a training run computes rather than waits for clips, and its clips/s.

    The default recipe's network trains on cached clips that one worker process prepares.
    """
    import torch

    from gesture3d.config import load_experiment
    from gesture3d.data import make_loader
    from gesture3d.data.batch import EpochSampler
    from gesture3d.data.samples import Samples
    from gesture3d.data.sets import Opened
    from gesture3d.data.video.clips import ReadClip
    from gesture3d.models import build_model

    experiment = load_experiment("variant_a", "synthetic")
    clips = make_clips(folder, *KINDS[0], 24)
    cache = open_cache(clips, folder / "cache", experiment.data.cache_size, 1, progress=False)
    batch_size = experiment.train.batch_size
    repeats = -(-num_steps * batch_size // len(clips))
    index = Index(("class",), clips * repeats, mirror={})
    opened = Opened(index, ReadClip(experiment.data, index, cache))
    dataset = Samples(index.items, index.class_names, opened, training=True, seed=0)
    loader = make_loader(dataset, EpochSampler(len(dataset), batch_size, 0, shuffle=True), 1)
    model = build_model(experiment.model, 27).train()
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    waited, started, batches = 0.0, time.perf_counter(), iter(loader)
    for _ in range(num_steps):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batch.inputs), batch.labels).backward()
        optimizer.step()
    seconds = time.perf_counter() - started
    return 1 - waited / seconds, num_steps * batch_size / seconds


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def pin_to_one_core() -> None:
    """Keep this process, and what it starts, on one core and one thread."""
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def crossover(folder: Path, lengths: tuple[int, ...] = (100, 1000, 3000, 9000)) -> Iterator[tuple]:
    """(frames, backend, seconds) to read 16 frames spread over longer and longer H.264 videos."""
    from gesture3d.data.video.reading import read_frames

    _, width, height, encoder, suffix = KINDS[0]
    for length in lengths:
        path = folder / f"long-{length}.{suffix}"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i"]
            command += [f"testsrc=size={width}x{height}:rate=12", "-frames:v", str(length)]
            subprocess.run([*command, *encoder, str(path)], check=True)
        for backend in ("opencv", "decord"):
            indices = uniform_indices(length, 16)
            times = [
                _seconds(lambda p=path, i=indices, b=backend: read_frames(p, i, backend=b))
                for _ in range(3)
            ]
            yield length, backend, statistics.median(times)


def benchmark_lists(counts: tuple[int, ...] = (118_562, 14_787, 14_743)) -> float:
    """Seconds of one core to read lists as long as Jester's: training, validation, test."""
    names = tuple(f"gesture {number}" for number in range(27))
    with tempfile.TemporaryDirectory() as name:
        folder, first, lists = Path(name), 1, []
        for number, count in enumerate(counts):
            labels = [f";{names[key % 27]}" if number < 2 else "" for key in range(count)]
            lists.append(folder / f"{number}.csv")
            lists[-1].write_text("".join(f"{first + k}{x}\n" for k, x in enumerate(labels)))
            first += count
        paths = {str(key): folder / f"{key}.mp4" for key in range(1, first)}
        started, seen = time.process_time(), {}
        for number, path in enumerate(lists):
            read_list(path, folder, paths, names, seen, has_labels=number < 2)
        return time.process_time() - started


def _measure(clips: list[Item], kind: str, rounds: int) -> Row:
    cache = open_cache(clips, clips[0].path.parent / "cache", 112, 1, progress=False)
    methods: dict[str, Callable[[Item], object]] = {
        "ours": lambda clip: load_clip(clip.path, DATA),
        "cache": lambda clip: clip_from_frames(cache[clip.key], DATA),
        "decord": _plain_decord,
    }
    times: dict[str, list[float]] = {name: [] for name in (*methods, "ffmpeg null")}
    for _ in range(rounds):
        for name, load in methods.items():
            times[name].append(_seconds(lambda load=load: [load(clip) for clip in clips]))
        times["ffmpeg null"].append(_ffmpeg_null(clips))
    speed = {name: len(clips) / statistics.median(found) for name, found in times.items()}

    def ratio(fast: str, slow: str) -> float:
        pairs = zip(times[fast], times[slow], strict=True)
        return statistics.median(b / a for a, b in pairs)

    ratios = {
        "ours / ffmpeg null": ratio("ours", "ffmpeg null"),
        "ours / decord": ratio("ours", "decord"),
        "cache / decord": ratio("cache", "decord"),
    }
    return Row(kind, speed, ratios)


def _plain_decord(clip: Item) -> np.ndarray:
    import decord

    reader = decord.VideoReader(str(clip.path), ctx=decord.cpu(0), num_threads=1)
    frames = reader.get_batch(uniform_indices(len(reader), DATA.num_frames)).asnumpy()
    height, width = frames.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = frames[:, top : top + side, left : left + side]
    return np.stack([cv2.resize(frame, (DATA.size, DATA.size)) for frame in square])


def _ffmpeg_null(clips: list[Item]) -> float:
    """Seconds of FFmpeg's decoder for all clips in one process, its start not counted.

    The list is decoded once and then as often again; the difference is pure decoding.
    """
    listing = clips[0].path.parent / "list.txt"

    def run(repeats: int) -> float:
        lines = [f"file '{clip.path.resolve()}'\n" for clip in clips] * repeats
        listing.write_text("".join(lines))
        command = ["ffmpeg", "-v", "error", "-threads", "1", "-f", "concat", "-safe", "0"]
        command += ["-i", str(listing), "-f", "null", "-"]
        return _seconds(lambda: subprocess.run(command, check=True))

    return max(run(3) - run(1), 1e-9) / 2


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _scene(seed: int, width: int, height: int) -> np.ndarray:
    """uint8 (36, H, W, 3): a smooth texture that pans, and a disc that moves over it."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 255, (height // 4, width // 4, 3), dtype=np.uint8)
    texture = cv2.resize(noise, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    clip = np.empty((NUM_SOURCE_FRAMES, height, width, 3), np.uint8)
    for t in range(NUM_SOURCE_FRAMES):
        frame = np.ascontiguousarray(texture[t : t + height, t : t + width])
        centre = (int(width * t / NUM_SOURCE_FRAMES), height // 2)
        clip[t] = cv2.circle(frame, centre, height // 5, (220, 190, 170), -1)
        clip[t] = np.clip(clip[t] + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)
    return clip
