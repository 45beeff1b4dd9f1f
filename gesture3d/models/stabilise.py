"""The camera's motion, taken out of a clip: frames are shifted until what stands still lies still.

Each frame is compared with the median of all by phase correlation (Kuglin and Hines, 1975) and
shifted by what is found, of a few pixels and parts of them; then with the median of the shifted
ones. A frame stays as it is where shifting it does not bring most of its pixels nearer to the
median: before an even wall only the hand could be followed. A camera that jumps from frame to frame
leaves no sharp median, and a room without edges nothing to compare; then little is found.
"""

import math

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
        moved = camera_motion(clips.mean(-1))
    frames = clips.flatten(0, 1).movedim(-1, 1)
    return shifted(frames, moved.flatten(0, 1)).movedim(1, -1).reshape(clips.shape)


def camera_motion(grey: Float[Tensor, "B T H W"]) -> Float[Tensor, "B T 2"]:
    """How far each frame lies down and right of the clip's median place, in pixels."""
    grey = grey.float().clamp(-BRIGHTEST, BRIGHTEST)
    window = _window(grey.shape[2])[:, None] * _window(grey.shape[3])
    window = window.to(grey)
    moved, steady = grey.new_zeros(*grey.shape[:2], 2), grey
    for _ in range(ROUNDS):
        reference = _median(steady)
        found = moved + _correlated(reference * window, steady * window)
        tried = shifted(grey[:, :, None].flatten(0, 1), found.flatten(0, 1)).view_as(grey)
        nearer = _difference(reference, tried) < BETTER * _difference(reference, grey)
        moved = torch.where(nearer[..., None], found, torch.zeros_like(found))
        steady = torch.where(nearer[..., None, None], tried, grey)
    return moved - _median(moved)


def shifted(frames: Float[Tensor, "N C H W"], by: Float[Tensor, "N 2"]) -> Float[Tensor, "N C H W"]:
    """Frames moved up and left by so many pixels, linearly interpolated; the edge is repeated."""
    down, right = (
        _taken(size, by[:, axis].to(frames)) for axis, size in enumerate(frames.shape[2:])
    )
    return down[:, None] @ frames @ right.transpose(1, 2)[:, None]


def _taken(size: int, by: Float[Tensor, " N"]) -> Float[Tensor, "N S S"]:
    """Of each new pixel along one side the weights of the old ones."""
    places = torch.arange(size, device=by.device, dtype=by.dtype)
    wanted = (places + by[:, None]).clamp(0, size - 1)
    return (1 - (wanted[..., None] - places).abs()).clamp(min=0)


def _difference(reference: Tensor, frames: Float[Tensor, "B T H W"]) -> Float[Tensor, "B T"]:
    inner = (reference - frames)[..., EDGE:-EDGE, EDGE:-EDGE]
    return inner.abs().clamp(max=FAR_OFF).mean((2, 3))


def _median(values: Float[Tensor, "B T ..."]) -> Float[Tensor, "B 1 ..."]:
    """Over T, the lower of the two in the middle."""
    middle = (values.shape[1] - 1) // 2
    return values.sort(1).values[:, middle : middle + 1]


def _correlated(
    reference: Float[Tensor, "B 1 H W"], frames: Float[Tensor, "B T H W"]
) -> Float[Tensor, "B T 2"]:
    """How far down and right of the reference frames lie: where their phases correlate most."""
    height, width = frames.shape[2:]
    re0, im0 = _spectrum(reference)
    re1, im1 = _spectrum(frames)
    re, im = re0 * re1 + im0 * im1, re0 * im1 - im0 * re1
    length = (re.square() + im.square()).sqrt() + 1e-3
    # The inverse transform at shifts from -FARTHEST to FARTHEST; frequencies that the transform of
    # real numbers leaves out count by those that mirror them.
    shifts = torch.arange(-FARTHEST, FARTHEST + 1)
    twice = torch.full((width // 2 + 1,), 2.0).to(frames)
    twice[0] = 1.0
    cos_y, sin_y = _waves(shifts, torch.arange(height), height, frames)
    cos_x, sin_x = _waves(shifts, torch.arange(width // 2 + 1), width, frames)
    re, im = re / length * twice, im / length * twice
    surface = (cos_y @ re - sin_y @ im) @ cos_x.T - (cos_y @ im + sin_y @ re) @ sin_x.T
    return _peak(surface)


def _spectrum(frames: Float[Tensor, "B T H W"]) -> tuple[Tensor, Tensor]:
    """The real and imaginary half (…, H, W // 2 + 1) of the 2-D Fourier transform, by products:
    these are exported everywhere."""
    height, width = frames.shape[2:]
    cos_x, sin_x = _waves(torch.arange(width // 2 + 1), torch.arange(width), width, frames)
    cos_y, sin_y = _waves(torch.arange(height), torch.arange(height), height, frames)
    re, im = frames @ cos_x.T, frames @ -sin_x.T
    return cos_y @ re + sin_y @ im, cos_y @ im - sin_y @ re


def _waves(one: Tensor, other: Tensor, period: int, like: Tensor) -> tuple[Tensor, Tensor]:
    angles = torch.outer(one, other).double() * (2 * math.pi / period)
    return angles.cos().to(like), angles.sin().to(like)


def _peak(surface: Float[Tensor, "B T S S"]) -> Float[Tensor, "B T 2"]:
    """The highest place, and between pixels the middle of what is positive around it."""
    side = surface.shape[-1]
    highest = surface.flatten(2).argmax(2)
    places = torch.stack([highest // side, highest % side], -1).clamp(1, side - 2)
    near = torch.arange(side, device=surface.device)
    rows, columns = ((places[..., k, None] - near).abs() <= 1 for k in (0, 1))
    around = surface.clamp(min=0) * rows[..., :, None] * columns[..., None, :]
    total = around.sum((2, 3)).clamp(min=1e-9)
    near = near.to(surface)
    down, right = (around.sum(3) * near).sum(2), (around.sum(2) * near).sum(2)
    return torch.stack([down, right], -1) / total[..., None] - FARTHEST


def _window(size: int) -> Tensor:
    """(size,): 1 in the middle, falling to 0 along the outer 15 % on either side (Tukey's)."""
    inside = torch.linspace(0, 1, size, dtype=torch.float64)
    edge = torch.minimum(inside, 1 - inside).clamp(max=0.15) / 0.15
    return (0.5 - 0.5 * torch.cos(math.pi * edge)).float()
