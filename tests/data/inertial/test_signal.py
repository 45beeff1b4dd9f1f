"""Inertial recordings: filters, gaps, windows."""

import numpy as np
import pytest

from gesture3d.data.inertial.filters import lowpass
from gesture3d.data.inertial.gaps import interpolate_gaps
from gesture3d.data.inertial.signal import cut_windows, prepare
from gesture3d.errors import Gesture3dError
from tests.data.inertial.layouts import data_config


def wave(hz: float, seconds: float = 60.0, rate: float = 50.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(0, seconds, 1 / rate))[:, None]


@pytest.mark.parametrize(("hz", "kept"), [(0.05, 1.0), (0.3, 0.5), (2.0, 0.0)])
def test_lowpass_keeps_slow_and_takes_fast_without_delay(hz, kept):
    """Forwards and backwards: the gain at the cutoff is 1/2, and nothing moves in time."""
    x = wave(hz)
    y = lowpass(x, 0.3, 50.0)
    middle = slice(500, -500)
    np.testing.assert_allclose(y[middle], kept * x[middle], atol=0.03)


def test_gravity_and_body_add_up_to_the_filtered_acceleration():
    config = data_config("hapt")
    rng = np.random.default_rng(0)
    raw = np.concatenate([wave(1.5, 20) * 0.3 + [[0.8, 0.1, -0.6]], rng.normal(size=(1000, 3))], 1)
    x = prepare(raw, config)
    assert x.shape == (1000, 9)
    assert x.dtype == np.float32
    gravity = x[:, 6:] - x[:, :3]
    np.testing.assert_allclose(gravity[200:-200], [[0.8, 0.1, -0.6]] * 600, atol=0.02)
    np.testing.assert_allclose(x[200:-200, :3], raw[200:-200, :3] - [0.8, 0.1, -0.6], atol=0.05)


def test_median_filter_removes_a_single_spike():
    x = wave(1.0, 4).repeat(3, 1)
    spiked = x.copy()
    spiked[100] += 50
    config = data_config("inertial_folder", "data.median_steps=3")
    assert np.abs(prepare(spiked, config) - x).max() < 0.2


def test_gaps_become_straight_lines_and_long_ones_are_refused():
    x = np.array([[np.nan], [1.0], [np.nan], [np.nan], [4.0], [np.nan]])
    found = interpolate_gaps(x, 2, "file")
    np.testing.assert_allclose(found[:, 0], [1, 1, 2, 3, 4, 4])
    assert np.isnan(x[0])  # the input is left alone
    with pytest.raises(Gesture3dError, match="file, line 3: channel 1 has no values for 2 samples"):
        interpolate_gaps(x, 1, "file")
    nothing = np.full((3, 1), np.nan)
    np.testing.assert_array_equal(interpolate_gaps(nothing, None, "file"), np.zeros((3, 1)))
    with pytest.raises(Gesture3dError, match="line 2: channel 1 is infinite"):
        interpolate_gaps(np.array([[0.0], [np.inf]]), None, "file")


def test_windows_are_cut_with_overlap_and_never_padded():
    config = data_config("inertial_folder", "data.window=4", "data.step=2")
    x = np.arange(9.0)[:, None]
    windows, starts = cut_windows(x, config, "file")
    assert starts == [0, 2, 4]
    assert windows[:, :, 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    with pytest.raises(Gesture3dError, match="file: 3 samples, but a window takes 4"):
        cut_windows(x[:3], config, "file")


def test_resampling_keeps_the_ends():
    config = data_config("inertial_folder", "data.window=5", "data.resample=true")
    windows, starts = cut_windows(np.arange(9.0)[:, None], config, "file")
    assert starts == [0]
    np.testing.assert_allclose(windows[0, :, 0], [0, 2, 4, 6, 8])
