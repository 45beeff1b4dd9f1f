"""A fixed rate by timestamps: which frame stands for each tick."""

import math

import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.inference.clock import Clock, Ticks


def times_of(fps, seconds=20.0, begin=0.0):
    return begin + np.arange(round(seconds * fps)) / fps


def ticks_of(times, clock):
    """The number of the frame that stands for each tick, and the ticks' times."""
    ticks = [clock.push(time) for time in times]
    assert not any(tick.restarts for tick in ticks)
    frames = [n for n, tick in enumerate(ticks) for _ in tick.seconds]
    return np.array(frames, int), np.array([s for tick in ticks for s in tick.seconds])


def at_12_hz(times):
    return ticks_of(times, Clock(12.0))


@pytest.mark.parametrize("begin", [0.0, 1.7e9])
@pytest.mark.parametrize("fps", [10, 12, 25, 30, 29.97, 60])
def test_every_camera_gives_the_same_times(fps, begin):
    times = times_of(fps, begin=begin)
    frames, seconds = at_12_hz(times)
    count = 20 * 12
    np.testing.assert_allclose(seconds, begin + np.arange(len(seconds)) / 12, atol=1e-6)
    assert abs(len(seconds) - count) <= 1
    late = times[frames] - seconds
    assert late.min() >= -0.25 / 12 - 1e-6
    assert late.max() <= 1 / fps
    assert (np.diff(frames) >= 0).all()


def test_jitter_neither_repeats_nor_drops_a_frame_of_the_right_rate():
    times = times_of(12) + np.random.default_rng(0).uniform(-0.009, 0.009, 240)
    times[0] = 0.0
    frames, _ = at_12_hz(times)
    np.testing.assert_array_equal(frames, np.arange(240))


def test_a_slow_cameras_frames_are_repeated_and_a_fast_ones_left_out():
    frames, _ = at_12_hz(times_of(6, 1.0))
    np.testing.assert_array_equal(frames, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    frames, _ = at_12_hz(times_of(24, 0.5))
    np.testing.assert_array_equal(frames, [0, 2, 4, 6, 8, 10])


def test_a_stream_is_the_same_in_any_chunks_and_from_a_saved_state():
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.005, 0.3, 300))  # 3 to 200 frames a second
    frames, seconds = at_12_hz(times)
    np.testing.assert_allclose(seconds, times[0] + np.arange(len(seconds)) / 12)
    clock, found, found_seconds = Clock(12.0), [], []
    for chunk in np.split(np.arange(300), [1, 2, 50, 51, 200]):
        clock = Clock(12.0, state=clock.state)
        part, at = ticks_of(times[chunk], clock)
        found += chunk[part].tolist()
        found_seconds += at.tolist()
    assert found == frames.tolist()
    assert found_seconds == seconds.tolist()


def test_times_that_run_backwards_are_one_line_and_the_stream_goes_on():
    clock, untouched = Clock(12.0), Clock(12.0)
    for time in (0.0, 0.5):
        assert clock.push(time) == untouched.push(time)
    for wrong, message in [
        (0.4, r"0\.400 s after one at 0\.500 s.*backwards"),
        (math.nan, "nan s"),
    ]:
        with pytest.raises(Gesture3dError, match=message) as raised:
            clock.push(wrong)
        assert "\n" not in str(raised.value)
    assert clock.push(0.5) == Ticks(())  # the same time twice is nothing new
    assert clock.push(0.6) == untouched.push(0.6)


def test_after_a_gap_the_stream_begins_anew():
    clock = Clock(10.0, gap_seconds=1.0)
    clock.push(0.0)
    assert len(clock.push(0.95).seconds) == 9  # missing frames are filled
    assert clock.push(2.03) == Ticks((2.03,), restarts=True)
    assert clock.push(2.13) == Ticks((2.13,))
    usual = Clock(10.0)
    usual.push(0.0)
    assert usual.push(3.0) == Ticks((3.0,), restarts=True)


@pytest.mark.parametrize(("rate", "gap"), [(0, 1), (-1, 1), (math.nan, 1), (math.inf, 1), (10, 0)])
def test_impossible_rates_are_refused(rate, gap):
    with pytest.raises(Gesture3dError, match="must be more than 0"):
        Clock(rate, gap)
