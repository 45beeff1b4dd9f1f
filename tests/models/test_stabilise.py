"""The camera's motion is found and taken out, and nothing else is."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gesture3d.models import stabilise
from gesture3d.models.gesture_net import Preprocessing
from gesture3d.models.stabilise import camera_motion, shifted

SIZE = 48


def room(seed: int, side: int = 80) -> Tensor:
    """A wall with things on it, (side, side), about -100 … 100."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 1, side // 4, side // 4, generator=rng)
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return fine[0, 0] * 50


def taken(room: Tensor, motion: Tensor) -> Tensor:
    """(1, T, SIZE, SIZE): what a camera sees that moves so, in pixels down and right, (T, 2)."""
    wide = room.expand(len(motion), 1, *room.shape)
    edge = (room.shape[0] - SIZE) // 2
    return shifted(wide, -motion)[:, 0, edge:-edge, edge:-edge][None]


def with_hand(frames: Tensor, size: int = 10) -> Tensor:
    """The same with a bright square that goes from left to right."""
    frames = frames.clone()
    for t in range(frames.shape[1]):
        frames[:, t, 20 : 20 + size, 2 * t : 2 * t + size] = 90
    return frames


def shake(seed: int, frames: int = 16, pixels: float = 1.5) -> Tensor:
    """As a hand shakes: slow sines in both directions."""
    rng = np.random.default_rng(seed)
    waves, time = rng.uniform(0.5, 1.5, (3, 1, 2)), np.linspace(0, 1, frames)[:, None]
    moved = np.sin(2 * np.pi * (waves * time + rng.random((3, 1, 2)))).sum(0) * pixels / 2
    motion = torch.from_numpy(moved).float()
    return motion - motion.sort(0).values[(frames - 1) // 2]


def test_most_of_the_motion_of_the_camera_is_found_beside_that_of_a_hand() -> None:
    left = []
    for seed in range(8):
        motion = shake(seed)
        found = camera_motion(with_hand(taken(room(seed), motion)))[0]
        left.append(float((found - motion).abs().mean() / motion.abs().mean()))
    assert np.mean(left) < 0.4
    assert max(left) < 0.6


@pytest.mark.parametrize("seed", range(3))
def test_before_an_even_wall_no_hand_is_followed(seed) -> None:
    noise = torch.randn(1, 16, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    assert not camera_motion(with_hand(2 * noise)).any()


def test_a_still_camera_is_left_alone() -> None:
    frames = taken(room(0), torch.zeros(16, 2))
    assert camera_motion(with_hand(frames)).abs().max() < 0.1


def test_frames_are_shifted_as_said() -> None:
    frames = torch.randn(2, 3, 20, 30)
    out = shifted(frames, torch.tensor([[2.0, -3.0], [0.5, 0.0]]))
    assert torch.allclose(out[0, :, :-2, 3:], frames[0, :, 2:, :-3], atol=1e-6)
    assert torch.allclose(out[0, :, -1, 3:], frames[0, :, -1, :-3], atol=1e-6)  # the edge, repeated
    assert torch.allclose(out[1, :, :-1], (frames[1, :, :-1] + frames[1, :, 1:]) / 2, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(20, 30), (19, 31), (16, 17)])
def test_spectra_and_what_is_made_of_them_are_those_of_numpy(height, width) -> None:
    frames = torch.randn(1, 2, height, width, dtype=torch.float64)
    down, right, up, left = map(torch.from_numpy, stabilise._waves(height, width))
    fade = stabilise._window(height)[:, None] * stabilise._window(width)
    expected = np.fft.rfft2(frames.numpy() * fade)
    real, imaginary = stabilise._spectrum(down @ (frames @ right))
    found = real.numpy() + 1j * imaginary.numpy()
    rows = np.arange(height // 2 + 1)
    assert np.abs(found - expected[:, :, [*rows, *-rows]]).max() < 1e-10
    back = stabilise._back(real, imaginary, up, left).numpy() / (height * width)
    shifts = np.arange(-stabilise.FARTHEST, stabilise.FARTHEST + 1)
    same = (frames.numpy() * fade)[:, :, shifts[:, None] % height, shifts % width]
    columns = np.ones(width // 2 + 1)
    columns[-1] = 1 if width % 2 else 0.5  # half of an even side mirrors itself, and counts twice
    same += np.fft.irfft2(expected * (1 - columns) * 2, (height, width))[
        :, :, shifts[:, None] % height, shifts % width
    ]
    assert np.abs(back - same).max() < 1e-10


@pytest.mark.parametrize("time", [1, 2, 3, 5, 8, 11, 16, 17])
def test_the_median_is_the_lower_one_in_the_middle(time) -> None:
    frames = torch.randn(2, time, 3, 4)
    expected = frames.sort(1).values[:, (time - 1) // 2][:, None]
    assert torch.equal(stabilise._median(frames), expected)


def test_a_shaken_clip_is_preprocessed_as_one_from_a_still_camera() -> None:
    def difference(**settings) -> float:
        preprocessing = Preprocessing("clip_mean", 3, (), 64.0, local_contrast=True, **settings)
        still, shaken = (
            preprocessing(clip.expand(3, -1, -1, -1, -1).movedim(0, 2), torch.float32)
            for clip in (
                128 + with_hand(taken(room(1), motion)) for motion in (torch.zeros(16, 2), shake(1))
            )
        )
        inner = (still - shaken)[..., 8:-8, 8:-8]
        return float(inner.square().mean() / still[..., 8:-8, 8:-8].square().mean())

    assert difference() > 3 * difference(stabilise=True)


def test_clips_of_any_size_and_length() -> None:
    preprocessing = Preprocessing("clip_mean", 3, (), 64.0, local_contrast=True, stabilise=True)
    for frames, height, width in ((1, 16, 16), (2, 48, 31), (7, 20, 112)):
        clips = torch.randint(0, 256, (2, frames, 3, height, width), dtype=torch.uint8)
        out = preprocessing(clips, torch.float32)
        assert out.shape == (2, 3, frames, height, width)
        assert out.isfinite().all()


def test_what_it_needs_is_said() -> None:
    for mode, contrast in (("clip_mean", False), ("running_mean", True)):
        with pytest.raises(ValueError, match="stabilise needs"):
            Preprocessing(mode, 3, (), local_contrast=contrast, scale=1.0, stabilise=True)
