"""The camera's motion, taken out of a clip: frames are shifted until what stands still lies still.

Each frame is compared with the median of all by phase correlation (Kuglin and Hines, 1975) and
shifted by what is found, of a few pixels and parts of them; then with the median of the shifted
ones. A frame stays as it is where shifting it does not bring most of its pixels nearer to the
median: before an even wall only the hand could be followed. A camera that jumps from frame to frame
leaves no sharp median, and a room without edges nothing to compare; then little is found.
"""

import functools
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

FARTHEST = 8  # pixels
ROUNDS = 3
BETTER = 0.8  # of the difference from the median must be left, at most
BRIGHTEST, FAR_OFF = 96.0, 32.0  # values and differences beyond count as these
EDGE = 5  # pixels around the frame that are not compared: shifts repeat the edge there


def stabilised(clips: Float[Tensor, "B T H W C"]) -> Float[Tensor, "B T H W C"]:
    """The clips with each frame shifted against the camera's motion.

    Args:
        clips: of locally normalised contrast, about -128 … 128, see `gesture_net.Preprocessing`.
    """
    with torch.no_grad():
        # Not by mean(-1), which is slow over so few values.
        moved = camera_motion(sum(clips.unbind(-1)) / clips.shape[-1])
    frames = clips.flatten(0, 1).movedim(-1, 1)
    return shifted(frames, moved.flatten(0, 1)).movedim(1, -1).reshape(clips.shape)


def camera_motion(grey: Float[Tensor, "B T H W"]) -> Float[Tensor, "B T 2"]:
    """How far each frame lies down and right of the clip's median place, in pixels."""
    grey = grey.float().clamp(-BRIGHTEST, BRIGHTEST)
    of_size = _waves if torch.compiler.is_compiling() else _waves_once
    waves = [torch.from_numpy(wave).to(grey) for wave in of_size(*grey.shape[2:])]
    moved, steady = grey.new_zeros(*grey.shape[:2], 2), grey
    for _ in range(ROUNDS):
        reference = _median(steady)
        found = moved + _correlated(reference, steady, waves)
        tried = shifted(grey[:, :, None].flatten(0, 1), found.flatten(0, 1)).view_as(grey)
        nearer = _difference(reference, tried) < BETTER * _difference(reference, grey)
        moved = torch.where(nearer[..., None], found, torch.zeros_like(found))
        steady = torch.where(nearer[..., None, None], tried, grey)
    return moved - moved.sort(1).values[:, (moved.shape[1] - 1) // 2][:, None]


def shifted(frames: Float[Tensor, "N C H W"], by: Float[Tensor, "N 2"]) -> Float[Tensor, "N C H W"]:
    """Frames moved up and left by so many pixels, linearly interpolated; the edge is repeated."""
    down, right = (
        _taken(size, by[:, axis].to(frames)) for axis, size in enumerate(frames.shape[2:])
    )
    channels, height = frames.shape[1:3]
    rows = down @ frames.permute(0, 2, 3, 1).flatten(2)  # (N, H, W · C)
    rows = rows.unflatten(2, (-1, channels)).transpose(2, 3).flatten(1, 2)  # (N, H · C, W)
    return (rows @ right.transpose(1, 2)).unflatten(1, (height, channels)).transpose(1, 2)


def _taken(size: int, by: Float[Tensor, " N"]) -> Float[Tensor, "N S S"]:
    """Of each new pixel along one side the weights of the old ones."""
    places = torch.arange(size, device=by.device, dtype=by.dtype)
    wanted = (places + by[:, None]).clamp(0, size - 1)
    return (wanted[..., None] - places).abs_().neg_().add_(1).clamp_(min=0)


def _difference(reference: Tensor, frames: Float[Tensor, "B T H W"]) -> Float[Tensor, "B T"]:
    inner = (reference - frames)[..., EDGE:-EDGE, EDGE:-EDGE]
    return inner.abs().clamp(max=FAR_OFF).mean((2, 3))


def _median(values: Float[Tensor, "B T ..."]) -> Float[Tensor, "B 1 ..."]:
    """Over T, the lower of the two in the middle: four times as fast as sorting, by minima and
    maxima of whole frames (Batcher's bitonic sorter)."""
    time = values.shape[1]
    half = 1 << max(time - 1, 1).bit_length() - 1
    # Infinite frames fill two halves up, so that the wanted one is the last of the lower half.
    before = half - 1 - (time - 1) // 2
    filled = [
        values.new_full((), bound).expand(values.shape[0], count, *values.shape[2:])
        for bound, count in ((-math.inf, before), (math.inf, 2 * half - time - before))
    ]
    x = torch.cat([filled[0], values, filled[1]], 1) if time < 2 * half else values
    length = 1  # of the parts that are sorted
    while length < half:
        x = _ordered(x, length, turned=True)
        step = length // 2
        while step:
            x = _ordered(x, step)
            step //= 2
        length *= 2
    one, other = x.unflatten(1, (2, half)).unbind(1)
    return torch.minimum(one, torch.stack(other.unbind(1)[::-1], 1)).amax(1, keepdim=True)


def _ordered(
    x: Float[Tensor, "B T ..."], step: int, turned: bool = False
) -> Float[Tensor, "B T ..."]:
    """Of each two neighbouring parts of ``step`` frames the minima, then the maxima; with the
    second part ``turned`` around."""
    one, other = x.unflatten(1, (-1, 2, step)).unbind(2)
    other = torch.stack(other.unbind(2)[::-1], 2) if turned else other  # flip(2) is slower
    both = torch.stack([torch.minimum(one, other), torch.maximum(one, other)], 2)
    return both.flatten(1, 3)


def _correlated(
    reference: Float[Tensor, "B 1 H W"], frames: Float[Tensor, "B T H W"], waves: list[Tensor]
) -> Float[Tensor, "B T 2"]:
    """How far down and right of the reference frames lie: where their phases correlate most."""
    down, right, up, left = waves
    (re0, im0), (re1, im1) = (_spectrum(down @ (x @ right)) for x in (reference, frames))
    re, im = re0 * re1 + im0 * im1, re0 * im1 - im0 * re1
    length = (re.square() + im.square()).sqrt() + 1e-3
    return _peak(_back(re / length, im / length, up, left))


def _spectrum(products: Float[Tensor, "B T K2 F2"]) -> tuple[Tensor, Tensor]:
    """The real and imaginary half (B, T, 2K, F) of a transform, of upward frequencies behind the
    downward ones, from products with cosines (above) and sines."""
    cos, sin = products.chunk(2, -2)
    (cos_re, cos_im), (sin_re, sin_im) = cos.chunk(2, -1), sin.chunk(2, -1)
    re = torch.cat([cos_re + sin_im, cos_re - sin_im], -2)
    return re, torch.cat([cos_im - sin_re, cos_im + sin_re], -2)


def _back(re: Tensor, im: Tensor, up: Tensor, left: Tensor) -> Float[Tensor, "B T S S"]:
    """The inverse transform, but for a factor, at shifts from -FARTHEST to FARTHEST."""
    cos, sin = (up @ torch.cat([re, im], -1)).chunk(2, -2)
    (cos_re, cos_im), (sin_re, sin_im) = cos.chunk(2, -1), sin.chunk(2, -1)
    return torch.cat([cos_re - sin_im, cos_im + sin_re], -1) @ left


def _waves(height: int, width: int) -> tuple[np.ndarray, ...]:
    """Fourier transforms as products, which are exported everywhere.

    From frames, faded out at their edges, to the K = H // 2 + 1 and F = W // 2 + 1 frequencies of
    real numbers: down (2K, H) and right (W, 2F). Back, at shifts: up (2S, 2K) and left (2F, S).
    """
    shifts = np.arange(-FARTHEST, FARTHEST + 1)

    def side(size: int) -> tuple[np.ndarray, ...]:
        """Cosines and sines (frequencies, size) and (frequencies, shifts)."""
        frequencies = np.arange(size // 2 + 1)
        angles = [np.outer(frequencies, x) * (2 * np.pi / size) for x in (np.arange(size), shifts)]
        (cos, back_cos), (sin, back_sin) = ([f(x) for x in angles] for f in (np.cos, np.sin))
        return cos * _window(size), sin * _window(size), back_cos, back_sin

    cos, sin, back_cos, back_sin = side(height)
    down = np.concatenate([cos, sin])
    # Upward frequencies: but 0, and half of an even side, which are among the downward ones.
    upward = np.arange(height // 2 + 1)[:, None]
    once = np.where((upward > 0) & (2 * upward < height), 1.0, 0.0)
    up = np.concatenate(
        [
            np.concatenate([back_cos, back_cos * once]),
            np.concatenate([back_sin, -back_sin * once]),
        ],
        1,
    ).T
    cos, sin, back_cos, back_sin = side(width)
    right = np.concatenate([cos, -sin]).T
    # Leftward frequencies, which are left out, count by the rightward ones that they mirror.
    twice = np.where(np.arange(width // 2 + 1) > 0, 2.0, 1.0)[:, None]
    left = np.concatenate([back_cos * twice, -back_sin * twice])
    return down, right, up, left


_waves_once = functools.cache(_waves)


def _peak(surface: Float[Tensor, "B T S S"]) -> Float[Tensor, "B T 2"]:
    """The highest place, and between pixels the middle of what is positive around it."""
    side = surface.shape[-1]
    highest = surface.flatten(2).argmax(2)
    places = torch.stack([highest // side, highest % side], -1).clamp(1, side - 2)
    steps = torch.arange(-1, 2, device=surface.device)
    around = (places[..., :1] + steps)[..., None] * side + (places[..., 1:] + steps)[..., None, :]
    around = surface.flatten(2).gather(2, around.flatten(2)).clamp(min=0).unflatten(2, (3, 3))
    total = around.sum((2, 3)).clamp(min=1e-9)
    lines = torch.stack([around.sum(3), around.sum(2)], 2)  # (B, T, 2, 3)
    return places - FARTHEST + (lines[..., 2] - lines[..., 0]) / total[..., None]


def _window(size: int) -> np.ndarray:
    """(size,): 1 in the middle, falling to 0 along the outer 15 % on either side (Tukey's)."""
    inside = np.linspace(0, 1, size)
    edge = np.minimum(np.minimum(inside, 1 - inside), 0.15) / 0.15
    return 0.5 - 0.5 * np.cos(np.pi * edge)
