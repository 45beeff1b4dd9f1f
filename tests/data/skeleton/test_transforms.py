"""What each skeleton transform changes, and what it leaves alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gesture3d.data.skeleton import transforms as transforms
from gesture3d.data.skeleton.sets.skeleton_folder import SkeletonFolderData
from gesture3d.data.skeleton.stream import SkeletonAugmentation
from gesture3d.errors import Gesture3dError
from gesture3d.rng import generator

SETTINGS = {"name": "skeleton_folder"}


def joints(frames: int = 20, count: int = 5, coordinates: int = 3, seed: int = 0) -> np.ndarray:
    steps = generator("joints", seed).normal(size=(frames, count, coordinates))
    return np.cumsum(steps, axis=0) + 3


def bones(x: np.ndarray) -> np.ndarray:
    """All distances between joints, (T, J, J)."""
    return np.linalg.norm(x[:, :, None] - x[:, None], axis=3)


@pytest.mark.parametrize("every_frame", [True, False])
def test_centring_moves_one_joint_to_the_origin(every_frame: bool) -> None:
    x = joints()
    moved = transforms.centre_on_joint(x, 2, every_frame=every_frame)
    np.testing.assert_allclose(moved[0, 2], 0)
    np.testing.assert_allclose(bones(moved), bones(x))
    if every_frame:
        np.testing.assert_allclose(moved[:, 2], 0)
    else:
        np.testing.assert_allclose(np.diff(moved, axis=0), np.diff(x, axis=0))


@given(st.floats(0.01, 100))
def test_scale_normalisation_forgets_units_and_keeps_proportions(factor: float) -> None:
    x = joints()
    chain = (0, 1, 3)
    scaled = transforms.scale_to_length(x, chain)
    assert transforms.chain_length(scaled, chain) == pytest.approx(1)
    np.testing.assert_allclose(transforms.scale_to_length(factor * x, chain), scaled)
    ratio = bones(scaled)[:, 0, 1] / bones(scaled)[:, 2, 4]
    np.testing.assert_allclose(ratio, bones(x)[:, 0, 1] / bones(x)[:, 2, 4])
    flat = np.ones((4, 3, 3))
    assert np.array_equal(transforms.scale_to_length(flat, (0, 1)), flat)


@given(st.integers(1, 60), st.integers(1, 60))
def test_resampling_keeps_ends_range_and_straight_lines(frames: int, wanted: int) -> None:
    x = joints(frames)
    y = transforms.resample(x, wanted)
    assert y.shape == (wanted, 5, 3)
    np.testing.assert_array_equal(y[0], x[0])
    if wanted > 1:
        np.testing.assert_allclose(y[-1], x[-1])
    assert (y.min() >= x.min() - 1e-9) & (y.max() <= x.max() + 1e-9)
    line = np.linspace(0, 1, frames)[:, None, None] * np.ones((1, 2, 3))
    if frames > 1 and wanted > 1:
        np.testing.assert_allclose(
            transforms.resample(line, wanted)[:, 0, 0], np.linspace(0, 1, wanted), atol=1e-12
        )
    np.testing.assert_allclose(transforms.resample(x, frames), x)


def test_differences_add_up_to_the_movement() -> None:
    x = joints().reshape(20, -1)
    y = transforms.append_differences(x)
    np.testing.assert_array_equal(y[:, :15], x)
    np.testing.assert_array_equal(y[0, 15:], 0)
    np.testing.assert_allclose(x[0] + np.cumsum(y[:, 15:], axis=0), x)


@pytest.mark.parametrize("coordinates", [2, 3])
def test_rotation_keeps_lengths_and_the_origin(coordinates: int) -> None:
    x = joints(coordinates=coordinates)
    y = transforms.rotate(x, (15, 25, 35), generator(1))
    np.testing.assert_allclose(bones(y), bones(x))
    np.testing.assert_allclose(np.linalg.norm(y, axis=2), np.linalg.norm(x, axis=2))
    assert not np.allclose(y, x)
    assert (
        np.linalg.det(np.linalg.lstsq(x.reshape(-1, coordinates), y.reshape(-1, coordinates))[0])
        > 0
    )


def test_rotation_about_one_axis_keeps_that_axis_and_the_limit() -> None:
    x = joints()
    for seed in range(20):
        y = transforms.rotate(x, (0, 30, 0), generator(seed))
        np.testing.assert_allclose(y[..., 1], x[..., 1])
        before, after = (np.arctan2(v[..., 0], v[..., 2]) for v in (x, y))
        turn = (after - before + np.pi) % (2 * np.pi) - np.pi
        assert np.abs(turn).max() <= np.deg2rad(30) + 1e-9
        np.testing.assert_allclose(turn, turn.flat[0])


def test_scale_and_translation_are_one_for_the_whole_sequence() -> None:
    x = joints()
    for seed in range(20):
        scaled = transforms.random_scale(x, 0.7, 1.3, generator(seed))
        np.testing.assert_allclose(scaled / x, scaled.flat[0] / x.flat[0])
        assert 0.7 <= scaled.flat[0] / x.flat[0] <= 1.3
        moved = transforms.random_translation(x, 0.5, generator(seed)) - x
        np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0], moved.shape))
        assert np.abs(moved).max() <= 0.5


def test_noise_has_the_deviation_it_says_and_no_bias() -> None:
    noise = transforms.add_noise(np.zeros((200, 20, 3)), 0.02, generator(0))
    assert noise.std() == pytest.approx(0.02, rel=0.05)
    assert abs(noise.mean()) < 0.001


@given(st.integers(0, 1000), st.floats(0.05, 0.95), st.integers(1, 80))
def test_time_warps_keep_order_length_and_ends(seed: int, strength: float, frames: int) -> None:
    clock = np.arange(frames, dtype=float)[:, None, None] * np.ones((1, 2, 3))
    warped = transforms.time_warp(clock, strength, generator(seed))
    assert warped.shape == clock.shape
    np.testing.assert_allclose(warped[[0, -1]], clock[[0, -1]], atol=1e-9)
    speed = np.diff(warped[:, 0, 0])
    assert (np.abs(speed - 1) <= strength + 1e-9).all()


def test_time_warps_do_change_the_middle() -> None:
    clock = np.arange(50.0)[:, None, None] * np.ones((1, 2, 3))
    shift = [
        np.abs(transforms.time_warp(clock, 0.6, generator(s)) - clock).max() for s in range(20)
    ]
    assert np.median(shift) > 1  # frames


@given(st.integers(0, 1000))
def test_speed_changes_the_number_of_frames_only(seed: int) -> None:
    clock = np.linspace(0, 1, 60)[:, None, None] * np.ones((1, 2, 3))
    faster = transforms.change_speed(clock, 0.5, 2.0, generator(seed))
    assert 30 <= len(faster) <= 120
    np.testing.assert_allclose(faster[:, 0, 0], np.linspace(0, 1, len(faster)))


def test_dropped_joints_stand_still_and_others_are_untouched() -> None:
    x = joints(count=200)
    y = transforms.drop_joints(x, 0.3, generator(0))
    still = (y == y[:1]).all(axis=(0, 2))
    assert 40 <= still.sum() <= 80
    np.testing.assert_array_equal(y[:, ~still], x[:, ~still])
    np.testing.assert_allclose(y[0, still], x[:, still].mean(axis=0))


def test_no_augmentation_by_default() -> None:
    x = joints()
    assert np.array_equal(transforms.augment(x, SkeletonAugmentation(), generator(0)), x)


def test_augmentation_belongs_to_its_generator() -> None:
    settings = SkeletonAugmentation(
        rotation_degrees=(5, 5, 5), scale=(0.9, 1.1), translation=0.1, noise=0.01, time_warp=0.3,
        speed=(0.8, 1.2), joint_dropout=0.1,
    )  # fmt: skip
    x = joints()
    before = x.copy()
    first, again, other = (transforms.augment(x, settings, generator(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.allclose(first, other)
    assert np.array_equal(x, before)


def test_one_change_at_a_time_or_none() -> None:
    """As likely each: what DeepGRU's authors do with fixed copies."""
    settings = SkeletonAugmentation(scale=(0.7, 1.3), translation=1.0, one_at_a_time=True)
    x, found = joints(), {"none": 0, "scaled": 0, "shifted": 0}
    for seed in range(300):
        y = transforms.augment(x, settings, generator(seed))
        factors, shifts = y / x, y - x
        if np.array_equal(y, x):
            found["none"] += 1
        elif np.ptp(factors) < 1e-6:
            found["scaled"] += 1
        else:
            assert np.ptp(shifts, axis=(0, 1)).max() < 1e-6
            found["shifted"] += 1
    assert min(found.values()) > 70


def test_features_forget_place_and_size_and_have_the_promised_shape() -> None:
    data = SkeletonFolderData(
        **SETTINGS, centre="first_frame", centre_joint=1, scale_joints=(0, 1), num_frames=12,
        differences=True,
    )  # fmt: skip
    x = joints()
    y = transforms.features(x, data)
    assert y.shape == (12, 30)
    assert y.dtype == np.float32
    np.testing.assert_allclose(transforms.features(2.5 * x + 7, data), y, atol=1e-5)
    assert transforms.features(x[:1], data).shape == (12, 30)
    plain = SkeletonFolderData(**SETTINGS)
    np.testing.assert_allclose(transforms.features(x, plain), x.reshape(20, 15), rtol=1e-6)
    assert transforms.features(joints(10_000), plain).shape == (10_000, 15)


def test_a_joint_that_there_is_not_is_named() -> None:
    data = SkeletonFolderData(**SETTINGS, centre="first_frame", centre_joint=9)
    with pytest.raises(Gesture3dError, match=r"data\.centre_joint: no joint 9.*0 to 4"):
        transforms.features(joints(), data)
    with pytest.raises(Gesture3dError, match=r"data\.scale_joints: no joint 5"):
        transforms.features(joints(), SkeletonFolderData(**SETTINGS, scale_joints=(0, 5)))
