"""What cameras do to clips: any modality, any strength, more damage the stronger."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from gesture3d.data.video.corruptions import BY_NAME, CORRUPTIONS, STRENGTHS
from gesture3d.data.video.pixels import flow_to_frame, frame_to_flow, with_magnitude
from gesture3d.data.video.prepared.flow import compute_flow
from gesture3d.rng import generator

INPUTS = {"rgb": (1, 3), "depth": (1, 3), "flow": (2, 3)}
CASES = [
    (name, modality, channels)
    for name, corruption in CORRUPTIONS.items()
    for modality in corruption.modalities
    for channels in INPUTS[modality]
]


def clip(channels: int = 3, *, frames: int = 12, height: int = 60, width: int = 106) -> np.ndarray:
    """Shapes that move over a ground with shades, uint8 (T, H, W, C), not to be written to."""
    noise = generator("clip").uniform(0, 255, (height, width, channels)).astype(np.float32)
    ground = cv2.GaussianBlur(noise, (0, 0), height / 15).reshape(height, width, channels)
    ground = cv2.normalize(ground, None, 30, 225, cv2.NORM_MINMAX).astype(np.uint8)
    out = np.stack([ground.reshape(height, width, channels)] * frames)
    for t in range(frames):
        place = (width // 3 + t * width // 40, height // 2)
        cv2.circle(out[t], place, height // 6, (230,) * channels, -1)
    out.flags.writeable = False
    return out


def stored(modality: str, channels: int) -> np.ndarray:
    """A clip as that modality has it: flow with its length, depth with a background."""
    frames = clip(2 if modality == "flow" else 1 if modality == "depth" else channels).copy()
    if modality == "depth":
        frames[frames < 100] = 0
        frames = np.repeat(frames, channels, axis=3)
    if modality == "flow" and channels == 3:
        frames = with_magnitude(frames)
    frames.flags.writeable = False
    return frames


@pytest.mark.parametrize(("name", "modality", "channels"), CASES)
def test_a_clip_of_the_same_kind_comes_out(name, modality, channels) -> None:
    corruption, frames = CORRUPTIONS[name], stored(modality, channels)
    before = frames.copy()
    for strength in (0.01, *STRENGTHS):
        out = corruption(frames, strength, generator(name), modality)
        assert out.dtype == np.uint8
        assert out.shape[1:] == frames.shape[1:]
        assert 1 <= len(out) <= len(frames)
        assert corruption.temporal or len(out) == len(frames)
        assert np.array_equal(out, corruption(frames, strength, generator(name), modality))
    assert not np.array_equal(out[: len(frames)], frames[: len(out)]) or len(out) < len(frames)
    assert np.array_equal(frames, before)
    assert corruption(frames, 0, generator(name), modality) is frames
    one = corruption(frames[:1], 1, generator(name), modality)
    assert one.shape == frames[:1].shape
    if modality == "depth":
        assert (out == out[..., :1]).all()
    if modality == "flow":
        assert np.array_equal(out, with_magnitude(out[..., :2])[..., :channels])


@pytest.mark.parametrize("name", [n for n, c in CORRUPTIONS.items() if not c.temporal])
@pytest.mark.parametrize("seed", range(3))
def test_the_stronger_the_farther_from_the_clip(name, seed) -> None:
    frames = clip()

    def damage(strength: float) -> float:
        out = CORRUPTIONS[name](frames, strength, generator(seed))
        return float(np.abs(out.astype(int) - frames).mean())

    damages = [damage(s) for s in (0.001, *STRENGTHS)]
    assert damages[0] < 1.5  # JPEG's best is not quite the clip
    assert damages[-1] > 1.5
    # Of what changes direction with the strength, a pixel may come back; no step loses a tenth.
    assert all(b > 0.9 * a for a, b in pairwise(damages))


@pytest.mark.parametrize("name", [n for n, c in BY_NAME.items() if c.temporal])
def test_the_stronger_the_fewer_frames_are_different(name) -> None:
    numbered = np.arange(48, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 2, 3, 1), np.uint8)

    def left(strength: float) -> int:
        out = BY_NAME[name](numbered, strength, generator(5))[:, 0, 0, 0]
        assert (np.diff(out.astype(int)) >= 0).all()
        return len(np.unique(out))

    counts = [left(s) for s in (0.001, *STRENGTHS)]
    assert counts[0] >= 47
    assert counts == sorted(counts, reverse=True)
    assert 6 <= counts[-1] <= 24


@pytest.mark.parametrize("name", [n for n, c in BY_NAME.items() if c.temporal])
def test_clips_of_any_length_keep_a_frame(name) -> None:
    for length in range(1, 200):
        numbered = np.arange(length, dtype=np.uint8)[:, None, None, None]
        for strength in (1e-9, *STRENGTHS):
            out = BY_NAME[name](numbered, strength, generator(length)).ravel()
            assert 1 <= len(out) <= length
            assert out[-1] < length


def test_an_unfinished_clip_begins_as_the_whole_and_is_part_of_no_mean() -> None:
    for strength, left in zip(STRENGTHS, (34, 27, 21, 14, 8), strict=True):
        out = BY_NAME["unfinished"](clip(frames=40), strength, generator())
        assert np.array_equal(out, clip(frames=40)[:left]), strength
    assert "unfinished" not in CORRUPTIONS


def test_draws_differ_and_do_not_depend_on_the_strength() -> None:
    for name in ("cut", "occluder", "slow_pan", "gamma"):
        outs = [CORRUPTIONS[name](clip(), 1, generator(k)) for k in range(8)]
        assert any(not np.array_equal(outs[0], out) for out in outs[1:]), name
    for seed in range(6):  # the same half is missing, more or less of it
        starts = [
            np.array_equal(CORRUPTIONS["cut"](clip(), s, generator(seed))[0], clip()[0])
            for s in STRENGTHS
        ]
        assert len(set(starts)) == 1


def test_other_strengths_and_modalities_are_refused() -> None:
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="must be from 0 to 1"):
            CORRUPTIONS["gamma"](clip(), strength, generator())
    for modality in ("depth", "flow"):
        with pytest.raises(ValueError, match=f"does not happen to {modality}"):
            CORRUPTIONS["exposure_ramp"](clip(2), 1, generator(), modality)


def test_exposure_runs_from_one_end_to_the_other() -> None:
    grey = np.full((9, 4, 4, 3), 60, np.uint8)
    means = CORRUPTIONS["exposure_ramp"](grey, 1, generator(1)).mean(axis=(1, 2, 3))
    assert sorted((means[0], means[-1])) == [15, 243]  # 60 / e^1.4, 60 e^1.4
    assert means[4] == 60
    assert np.array_equal(means, sorted(means)) or np.array_equal(means, sorted(means)[::-1])


def test_depth_is_neither_mixed_nor_lost_to_noise() -> None:
    depth = stored("depth", 1)
    levels = set(np.unique(depth))
    for name in ("resolution", "camera_shake", "slow_pan", "zoom", "rolling_crop"):
        out = CORRUPTIONS[name](depth, 1, generator(name), "depth")
        assert set(np.unique(out)) <= levels, name
    noisy = CORRUPTIONS["sensor_noise"](depth, 1, generator(), "depth")
    assert np.array_equal(noisy == 0, depth == 0)


@pytest.mark.parametrize(
    "name", ["camera_shake", "slow_pan", "zoom", "rolling_crop", "frame_drops", "frame_rate", "cut"]
)
def test_flow_of_the_changed_clip_is_the_changed_flow(name) -> None:
    """What OpenCV finds in the corrupted frames, but for where things come into sight."""
    grey = clip(1, frames=20, height=120, width=160)
    flow = np.stack([frame_to_flow(flow_to_frame(f)) for f in compute_flow(grey[..., 0])])
    levels = np.stack([flow_to_frame(f).reshape(2, 120, 160) for f in flow])
    levels = np.moveaxis(levels, 1, 3)
    corruption = CORRUPTIONS[name]
    found = compute_flow(corruption(grey, 0.5, generator(7))[..., 0])
    told = (corruption(levels, 0.5, generator(7), "flow").astype(np.float32) - 128) / 8
    assert told.shape == found.shape
    inner = np.s_[:-1, 36:-36, 36:-36]
    error = np.linalg.norm(told[inner] - found[inner], axis=-1)
    assert np.median(error) < 0.35
    if not corruption.temporal:  # not because nothing moves
        assert np.median(error) < 0.35 * np.median(np.linalg.norm(found[inner], axis=-1))
    else:
        moving = np.linalg.norm(found[inner], axis=-1) > 1
        assert np.median(error[moving]) < 1
