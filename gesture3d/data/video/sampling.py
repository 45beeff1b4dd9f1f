"""Which frames of a clip the network sees: pure functions of lengths and a random generator."""

import numpy as np


def uniform_indices(
    length: int,
    num_frames: int,
    rng: np.random.Generator | None = None,
    time_span: tuple[float, float] = (1.0, 1.0),
    jitter: bool = True,
) -> np.ndarray:
    """Indices of ``num_frames`` frames spread evenly over a clip of ``length`` frames.

    Frame i sits at i·N/T (N = ``length``, T = ``num_frames``), rounded down. With ``rng``
    (training) and floor(N/T) ≥ 2, each frame is moved by a uniform draw within ±floor(N/T)/4 and
    clamped to the clip: uniform sampling with temporal jitter, as in section 3.2 of "Attention in
    Convolutional LSTM for Gesture Recognition" and its authors' code. A clip shorter than T
    repeats its last frame. Without ``rng`` (evaluation) nothing is random.

    Args:
        rng: the generator to draw from; None for evaluation.
        time_span: with ``rng``, only a part of the clip is sampled from: its share of the clip's
            duration is drawn uniformly from this range, then its start. The part is never
            shorter than T frames where the clip has as many.
        jitter: False switches the jitter off and keeps the span.

    Returns:
        (T,) int64, ascending, in [0, N).

    Raises:
        ValueError: ``length`` or ``num_frames`` below 1.
    """
    if length < 1 or num_frames < 1:
        raise ValueError(f"length {length} and num_frames {num_frames} must be at least 1")
    start = 0
    if rng is not None and time_span != (1.0, 1.0):
        start, length = _random_span(length, num_frames, rng, time_span)
    if length < num_frames:
        return start + np.minimum(np.arange(num_frames), length - 1)
    steps = np.arange(num_frames, dtype=np.int64)
    scale = length // num_frames
    if rng is None or not jitter or scale < 2:
        return start + steps * length // num_frames
    positions = steps * (length / num_frames) + rng.uniform(-scale / 4, scale / 4, num_frames)
    return start + np.clip(np.floor(positions).astype(np.int64), 0, length - 1)


def _random_span(
    length: int, num_frames: int, rng: np.random.Generator, time_span: tuple[float, float]
) -> tuple[int, int]:
    """(start, length) of the part of the clip to sample from."""
    span = round(length * rng.uniform(*time_span))
    span = min(max(span, num_frames, 1), length)
    return int(rng.integers(0, length - span + 1)), span


def window_starts(length: int, window: int, stride: int) -> np.ndarray:
    """First frames of windows of ``window`` frames, ``stride`` apart, that cover a long video.

    The last window is moved back so that it ends with the video: every frame is in a window when
    ``stride`` ≤ ``window``. A video shorter than a window has one window, at 0.

    Returns:
        (num_windows,) int64, strictly ascending.

    Raises:
        ValueError: an argument below 1.
    """
    if min(length, window, stride) < 1:
        raise ValueError(f"length {length}, window {window}, stride {stride} must be at least 1")
    last = max(length - window, 0)
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)


def dense_indices(length: int, num_frames: int, stride: int, start: int = 0) -> np.ndarray:
    """``num_frames`` frames ``stride`` apart from ``start`` on; behind the end, the last frame.

    Returns:
        (T,) int64, ascending, in [0, N).
    """
    if min(length, num_frames, stride) < 1 or not 0 <= start < length:
        raise ValueError(f"length {length}, {num_frames} frames, stride {stride}, start {start}")
    return np.minimum(start + stride * np.arange(num_frames, dtype=np.int64), length - 1)


def random_dense_indices(
    length: int, num_frames: int, stride: int, rng: np.random.Generator
) -> np.ndarray:
    """`dense_indices` of a window that lies anywhere in the clip: training."""
    last = max(length - 1 - stride * (num_frames - 1), 0)
    return dense_indices(length, num_frames, stride, int(rng.integers(0, last + 1)))


def evaluation_indices(
    length: int, num_frames: int, num_clips: int = 1, sampling: str = "uniform", stride: int = 1
) -> np.ndarray:
    """Frames of the ``num_clips`` views of a clip that evaluation averages over.

    Uniform: view k of K takes frames floor((i + k/K) · N/T), the first view being
    `uniform_indices`. Dense: windows spread evenly from the clip's start to its end; a single
    one lies in the middle.

    Returns:
        (K, T) int64, rows ascending, in [0, N).
    """
    if min(length, num_frames, num_clips, stride) < 1:
        raise ValueError(
            f"length {length}, {num_frames} frames, {num_clips} clips, stride {stride}: at least 1"
        )
    if sampling == "dense":
        last = max(length - 1 - stride * (num_frames - 1), 0)
        starts = [last / 2] if num_clips == 1 else np.linspace(0, last, num_clips)
        return np.stack([dense_indices(length, num_frames, stride, int(s)) for s in starts])
    if length < num_frames:
        return np.tile(uniform_indices(length, num_frames), (num_clips, 1))
    steps = num_clips * np.arange(num_frames, dtype=np.int64)
    views = np.arange(num_clips, dtype=np.int64)[:, None]
    return (steps + views) * length // (num_frames * num_clips)
