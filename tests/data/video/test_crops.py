import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gesture3d.data.video.crops import Crop, central_crop, random_crop, scale_channels
from gesture3d.data.video.stream import Augmentation
from gesture3d.rng import generator

STRONG = Augmentation(
    crop_scale=(0.6, 1.0),
    aspect=0.3,
    rotation_degrees=20,
    gain=(0.5, 1.5),
    channel_gain=(0.8, 1.2),
    horizontal_flip=True,
)


def frames(height: int = 60, width: int = 106, num_frames: int = 4) -> np.ndarray:
    """The same random picture in every frame."""
    picture = generator("picture").integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.repeat(picture[None], num_frames, axis=0)


@pytest.mark.parametrize("seed", range(5))
def test_every_frame_gets_the_same_crop(seed):
    out = random_crop(60, 106, STRONG, generator(seed)).apply(frames(), 48)
    assert out.shape == (4, 48, 48, 3)
    assert out.dtype == np.uint8
    assert np.array_equal(out, np.repeat(out[:1], 4, axis=0))


def test_evaluation_crops_the_middle():
    clip = frames(50, 80)
    assert np.array_equal(central_crop(50, 80).apply(clip, 50), clip[:, :, 15:65])
    clip = frames(80, 50)
    assert np.array_equal(central_crop(80, 50).apply(clip, 50), clip[:, 15:65])


def test_by_default_the_square_of_the_short_side_lies_anywhere():
    crops = [random_crop(60, 106, Augmentation(), generator(i)) for i in range(400)]
    assert all(
        (c.top, c.height, c.width, c.gains, c.flip) == (0, 60, 60, None, False) for c in crops
    )
    assert {c.left for c in crops} == set(range(47))


def test_a_shift_stays_near_the_centre():
    crops = [random_crop(60, 106, Augmentation(shift=0.1), generator(i)) for i in range(200)]
    assert {c.left for c in crops} == set(range(17, 30))  # 23 ± 0.1 · 60


@settings(deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(0, 1000),
    st.floats(0.01, 1.0),
    st.none() | st.floats(0, 1),
)
def test_crops_stay_inside_any_frame(height, width, seed, low, shift):
    wanted = Augmentation(crop_scale=(low, 1.0), aspect=1.0, shift=shift)
    crop = random_crop(height, width, wanted, generator(seed))
    assert crop == random_crop(height, width, wanted, generator(seed))
    assert 0 <= crop.top <= crop.top + crop.height <= height
    assert 0 <= crop.left <= crop.left + crop.width <= width
    assert crop.apply(np.zeros((2, height, width, 3), np.uint8), 8).shape == (2, 8, 8, 3)


def test_scale_and_aspect_are_what_was_asked_for():
    wanted = Augmentation(crop_scale=(0.5, 0.8), aspect=0.5)
    crops = [random_crop(1000, 3000, wanted, generator(i)) for i in range(300)]
    sides = [np.sqrt(c.height * c.width) for c in crops]
    ratios = [c.width / c.height for c in crops]
    assert 495 < min(sides) < 520 < 780 < max(sides) < 805
    assert 1 / 1.51 < min(ratios) < 0.7 < 1.45 < max(ratios) < 1.51


def test_gains_multiply_and_saturate():
    clip = np.full((2, 3, 3, 3), 100, np.uint8)
    assert scale_channels(clip, (0.5, 1.0, 3.0))[1, 2, 2].tolist() == [50, 100, 255]


def test_a_flip_mirrors_left_and_right():
    clip = frames(50, 50)
    assert np.array_equal(Crop(0, 0, 50, 50, flip=True).apply(clip, 50), clip[:, :, ::-1])


def test_a_rotation_turns_about_the_middle_of_the_crop():
    clip = np.zeros((1, 60, 100, 3), np.uint8)
    clip[:, 28:32, 60:64] = 255  # right of the centre (50, 30)
    out = Crop(0, 20, 60, 60, rotation_degrees=90).apply(clip, 60)
    top, left = (np.argwhere(out[0, :, :, 0] > 128).mean(0)).tolist()
    assert (top, left) == pytest.approx((17.5, 29.5), abs=1)  # counter-clockwise: above it


def test_large_frames_are_averaged_not_skipped():
    stripes = np.zeros((1, 480, 480, 3), np.uint8)
    stripes[:, ::2] = 200
    out = central_crop(480, 480).apply(stripes, 48)
    assert np.all(np.abs(out.astype(int) - 100) <= 2)
