"""Does a network look at the hand? Measured on generated clips, whose joints are known.

`measure`: how much of its heat maps lies on the hand. `kept_predictions`: what it still recognises
when the hand is hidden, or all the rest; heat shows what is active or steep, this what is needed.

The hand of a frame is drawn from its 21 joints as the camera sees them: the convex hull of the palm
and the bones of the fingers, as thick as fingers are. The clip's depth shows hand and arm in one,
and the question is the hand. Where the camera shakes (a tenth of the clips), the hand is off by up
to 1.5 of the frame's 176 pixels.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from gesture3d.data.video.crops import central_crop
from gesture3d.data.video.framing import Square, moving_part, seen_in
from gesture3d.data.video.pixels import resize_short_side
from gesture3d.data.video.reading import read_frames
from gesture3d.data.video.sampling import evaluation_indices
from gesture3d.data.video.stream import VideoData
from gesture3d.synthetic.generate import joint_pixels, joints_of, video_of
from gesture3d.synthetic.scene import FOCAL_LENGTH, HEIGHT, SUPERSAMPLING, WIDTH
from gesture3d.viz.explain import Explanation

FINGER_RADIUS = 0.010
"""Metres."""

MOTION = "motion, no network"
_PALM = [0, 1, 2, 5, 9, 13, 17]
_FINGERS = np.arange(1, 21).reshape(5, 4)
_FINE = 4  # masks are drawn this much finer, then averaged


@dataclass(frozen=True)
class HandShare:
    """The share of one kind of heat that lies inside a region, 0 … 1, mean over clips.

    Attributes:
        share: of the heat, while each step's heat sums to 1.
        standard_error: of ``share``, over clips.
        chance: the region's share of the picture: what even heat gives.
        other_clip: of the heat of another clip: what knowing the usual places gives.
        num_clips: clips that have heat, and the region in the picture, at some step.
    """

    share: float
    standard_error: float
    chance: float
    other_clip: float
    num_clips: int


def measure(
    explained: Iterable[tuple[str, Tensor, Explanation]], root: Path, data: VideoData
) -> dict[str, dict[str, HandShare]]:
    """Heat map → region → share, over the generated clips of ``root``.

    Region "hand" is the hand in the frame that a recurrent step is centred on; "path" is wherever
    the hand is in any of the clip's frames.

    Args:
        explained: key, input of the network (T, C, H, W) and explanation of each clip, in an order
            that has nothing to do with their classes.
        data: how the network's clips are sampled and cropped.
    """
    rows: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    previous: dict[str, np.ndarray] = {}
    for key, inputs, explanation in explained:
        frames = explanation.step_frames
        hands = hands_in(root, key, data)
        regions = {"hand": hands[frames], "path": hands.max(0)[None].repeat(len(frames), 0)}
        for title, heat in {MOTION: motion(inputs), **explanation.heat_maps()}.items():
            heat = heat[frames]
            for region, mask in regions.items():
                other = share_inside(previous.get(title, np.zeros_like(heat)), mask)
                rows[title][region].append((*share_inside(heat, mask), other[0]))
            previous[title] = heat
    return {t: {region: _mean(r) for region, r in of.items()} for t, of in rows.items()}


def kept_predictions(
    clips: Sequence[tuple[str, Tensor]],
    predict: Callable[[list[Tensor]], np.ndarray],
    root: Path,
    data: VideoData,
) -> dict[str, float]:
    """What is hidden → the share of clips whose predicted class stays what it was.

    Hidden is, in each frame, that frame's hand; for comparison, the places of the hand in another
    clip; or everything else; or everything off the hand's path.

    Args:
        clips: key and input of the network (T, C, H, W) of each clip, in an order that has nothing
            to do with their classes.
        predict: from clips to their predicted classes, (N,).
    """
    hands = [hands_in(root, key, data) for key, _ in clips]
    inputs = [clip for _, clip in clips]
    masks = {
        "the hand": hands,
        "where another clip has it": hands[-1:] + hands[:-1],
        "all but the hand": [1 - mask for mask in hands],
        "all off its path": [1 - mask.max(0)[None].repeat(len(mask), 0) for mask in hands],
    }
    whole = predict(inputs)
    return {
        name: float((predict(list(map(hide, inputs, chosen))) == whole).mean())
        for name, chosen in masks.items()
    }


def hide(clip: Tensor, mask: np.ndarray) -> Tensor:
    """A clip, uint8 (T, C, H, W), with each pixel's mean over time where the mask (T, H, W) is 1:
    nothing moves there."""
    cover = torch.from_numpy(mask).float()[:, None]
    x = clip.float()
    return ((1 - cover) * x + cover * x.mean(0)).round().to(torch.uint8)


def share_inside(heat: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """The share of heat (S, H, W) inside a mask (S, H, W) of 0 … 1, and the share of the picture.

    Means over the steps with any heat and anything in the mask; (nan, nan) where there are none.
    """
    sums, areas = heat.sum((1, 2)), mask.mean((1, 2))
    counts = (sums > 0) & (areas > 0)
    if not counts.any():
        return np.nan, np.nan
    inside = (heat * mask).sum((1, 2))[counts] / sums[counts]
    return float(inside.mean()), float(areas[counts].mean())


def hands_in(root: Path, key: str, data: VideoData) -> np.ndarray:
    """The hand in the network's input of a generated clip, (T, size, size), 0 … 1."""
    joints, square = joints_of(root, key), None
    if data.follows:
        square = moving_part(read_frames(video_of(root, key), seen_in(len(joints))))
    return hand_masks(joints, data, square)


def hand_masks(joints: np.ndarray, data: VideoData, square: Square | None = None) -> np.ndarray:
    """The same for joints (N, 21, 3) in metres.

    Args:
        square: what of the frames the network sees; None: their middle.
    """
    frames = evaluation_indices(
        len(joints), data.num_frames, data.eval_clips, data.sampling, data.frame_stride
    )[0]
    joints = joints[frames]
    points = to_input(joint_pixels(joints), data, square)
    origin, right = to_input(np.array([[0.0, 0.0], [1.0, 0.0]]), data, square)
    scale = right[0] - origin[0]
    radii = scale * FINGER_RADIUS * FOCAL_LENGTH / SUPERSAMPLING / np.median(joints[..., 2], axis=1)
    masks = np.stack([_draw_hand(p, r, data.size) for p, r in zip(points, radii, strict=True)])
    return masks[..., ::-1] if data.mirrored_camera else masks


def to_input(points: np.ndarray, data: VideoData, square: Square | None = None) -> np.ndarray:
    """Pixels (…, 2) of a generated frame as pixels of the network's input: scaled and cropped."""
    corners = points + 0.5  # (0, 0) is a corner, not a centre
    if square is not None:
        top, left, side = square
        return (corners - (left, top)) * data.size / side - 0.5
    frame = resize_short_side(np.empty((HEIGHT, WIDTH, 1), np.uint8), data.cache_size)
    height, width = frame.shape[:2]
    crop = central_crop(height, width)
    corners = corners * (width / WIDTH, height / HEIGHT)
    return (corners - (crop.left, crop.top)) * data.size / crop.width - 0.5


def motion(inputs: Tensor) -> np.ndarray:
    """How far the pixels of a clip (T, C, H, W) are from their means over time, (T, H, W)."""
    x = inputs.float()
    return (x - x.mean(0)).abs().sum(1).numpy()


def _draw_hand(points: np.ndarray, radius: float, size: int) -> np.ndarray:
    """The hand with joints at pixels (21, 2), fingers ``radius`` pixels thick, (size, size)."""
    fine = np.rint((points + 0.5) * _FINE - 0.5).astype(np.int32)
    palm = cv2.convexHull(fine[_PALM])
    mask = np.zeros((size * _FINE, size * _FINE), np.uint8)
    thickness = max(round(2 * radius * _FINE), 1)
    cv2.fillConvexPoly(mask, palm, 255)
    cv2.polylines(mask, [palm], True, 255, thickness)
    cv2.polylines(mask, list(fine[_FINGERS]), False, 255, thickness)
    return mask.reshape(size, _FINE, size, _FINE).mean((1, 3)) / 255


def _mean(rows: list[tuple[float, float, float]]) -> HandShare:
    shares, chance, others = np.array(rows).T
    count = int(np.isfinite(shares).sum())
    if not count:
        return HandShare(np.nan, np.nan, np.nan, np.nan, 0)
    error = np.nanstd(shares, ddof=1) / count**0.5 if count > 1 else np.nan
    has_others = np.isfinite(others).any()
    other = np.nanmean(others) if has_others else np.nan
    return HandShare(
        float(np.nanmean(shares)), float(error), float(np.nanmean(chance)), float(other), count
    )
