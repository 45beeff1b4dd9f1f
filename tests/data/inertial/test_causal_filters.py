"""Filters that see nothing of the future: against `scipy.signal`, and in any chunks the same."""

import numpy as np
import pytest
from scipy import signal

from gesture3d.data.inertial.causal import filter_chunk
from gesture3d.data.inertial.sets.hapt import HAPTData
from gesture3d.data.inertial.signal import prepare
from gesture3d.errors import Gesture3dError


def settings(**changes):
    options = {"median_steps": 3, "lowpass_hz": 20.0, "gravity_hz": 0.3, "causal_filters": True}
    return HAPTData(name="hapt", **options | changes)


def make_recording(seed=0, length=400, gaps=True):
    rng = np.random.default_rng(seed)
    x = np.cumsum(0.1 * rng.normal(size=(length, 6)), axis=0)
    x[:, 2] += 1  # gravity
    if gaps:
        for channel, first in [(0, 20), (2, 100), (5, 101)]:
            x[first : first + rng.integers(1, 20), channel] = np.nan
    return x


def test_a_whole_recording_is_filtered_in_one_pass():
    x = make_recording(gaps=False)
    median = np.stack([np.median(x[[max(t - k, 0) for k in range(3)]], axis=0) for t in range(400)])

    def one_pass(values, cutoff):
        b, a = signal.butter(3, cutoff, fs=50.0)
        start = signal.lfilter_zi(b, a)[:, None] * values[0]
        return signal.lfilter(b, a, values, axis=0, zi=start)[0]

    low = one_pass(median, 20.0)
    gravity = one_pass(low[:, :3], 0.3)
    expected = np.concatenate([low[:, :3] - gravity, low[:, 3:], low[:, :3]], axis=1)
    np.testing.assert_allclose(prepare(x, settings()), expected, rtol=1e-5, atol=1e-6)
    at_rest = np.ones((50, 6))
    found = prepare(at_rest, settings())
    np.testing.assert_allclose(found[:, :3], 0.0, atol=1e-6)  # all of it is gravity, at once
    np.testing.assert_allclose(found[:, 3:], 1.0, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{}, {"median_steps": 0}, {"lowpass_hz": None}, {"gravity_hz": None}]
)
def test_a_stream_in_any_chunks_is_the_whole_recording(changes):
    config, x = settings(**changes), make_recording(1)
    whole = prepare(x, config)
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    rng = np.random.default_rng(2)
    for count in (3, 50, 399):
        past, found = None, []
        cuts = np.sort(rng.choice(np.arange(1, 400), count, replace=False))
        for chunk in np.split(x, cuts):
            part, past = filter_chunk(chunk, config, past)
            found.append(part)
        np.testing.assert_allclose(np.concatenate(found), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_only_without_the_future_it_changes_nothing_before_it(causal):
    config, x = settings(causal_filters=causal), make_recording(3)
    changed = x.copy()
    changed[200:] += 5
    same = np.abs(prepare(changed, config)[:200] - prepare(x, config)[:200]).max() == 0
    assert same == causal


def test_gaps_repeat_the_last_value_up_to_the_limit_across_chunks():
    config = settings(median_steps=0, lowpass_hz=None, gravity_hz=None, max_gap_seconds=0.1)
    x = np.full((12, 3), np.nan)
    x[0] = [1, 2, 3]
    x[4:, 1:] = 7
    x[6, 0] = 9
    found, past = filter_chunk(x[:3], config)
    np.testing.assert_array_equal(found, [[1, 2, 3]] * 3)
    found, past = filter_chunk(x[3:7], config, past)
    np.testing.assert_array_equal(found, [[1, 2, 3], [1, 7, 7], [1, 7, 7], [9, 7, 7]])
    found, past = filter_chunk(x[7:11], config, past)
    with pytest.raises(Gesture3dError, match=r"line 2: channel 1 .* 6 samples; at most 5"):
        filter_chunk(np.full((2, 3), np.nan), config, past)


@pytest.mark.parametrize(
    ("chunk", "message"),
    [(np.full((1, 6), np.inf), "channel 1 is infinite"), (np.zeros((1, 5)), "5 channels.*6")],
)
def test_what_is_no_next_chunk_is_refused(chunk, message):
    _, past = filter_chunk(make_recording(gaps=False), settings())
    with pytest.raises(Gesture3dError, match=message):
        filter_chunk(chunk, settings(), past)
