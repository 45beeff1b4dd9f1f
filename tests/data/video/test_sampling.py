import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gesture3d.data.video.sampling import (
    dense_indices,
    evaluation_indices,
    random_dense_indices,
    uniform_indices,
    window_starts,
)
from gesture3d.rng import generator

settings.register_profile("busy machines too", deadline=None)
settings.load_profile("busy machines too")

LENGTHS = st.integers(1, 2000)
COUNTS = st.integers(1, 80)


def test_evaluation_takes_every_nth_frame():
    assert uniform_indices(32, 16).tolist() == list(range(0, 32, 2))
    assert uniform_indices(36, 16).tolist() == [i * 36 // 16 for i in range(16)]


def test_a_short_clip_repeats_its_last_frame():
    assert uniform_indices(3, 6).tolist() == [0, 1, 2, 2, 2, 2]
    assert uniform_indices(1, 4, generator(0)).tolist() == [0, 0, 0, 0]


@given(LENGTHS, COUNTS)
def test_evaluation_frames_lie_at_i_n_over_t(length, num_frames):
    indices = uniform_indices(length, num_frames)
    expected = np.minimum(np.arange(num_frames) * max(length / num_frames, 1.0), length - 1)
    assert indices.dtype == np.int64
    assert np.all(np.abs(indices - expected) < 1 + 1e-6)


@given(LENGTHS, COUNTS, st.integers(0, 100), st.floats(0.05, 1.0))
def test_indices_ascend_in_range_and_reproduce(length, num_frames, seed, low):
    def draw() -> np.ndarray:
        return uniform_indices(length, num_frames, generator(seed), (low, 1.0))

    indices = draw()
    assert indices.shape == (num_frames,)
    assert indices.min() >= 0
    assert indices.max() < length
    assert np.all(np.diff(indices) >= 0)
    assert np.array_equal(indices, draw())
    if length >= num_frames:
        assert len(np.unique(indices)) >= num_frames / 2  # a clip that is long enough is used


@given(st.integers(1, 60), st.integers(2, 20), st.integers(0, 10_000))
def test_jitter_stays_within_a_quarter_of_the_step(num_frames, scale, seed):
    length = num_frames * scale
    indices = uniform_indices(length, num_frames, generator(seed))
    moved = indices - np.arange(num_frames) * scale
    assert moved.max() <= scale / 4
    assert moved.min() >= -scale / 4 - 1  # rounded down


def test_jitter_is_uniform_and_only_from_two_frames_a_step():
    draws = [uniform_indices(160, 16, generator(i))[5] - 50 for i in range(4000)]
    values, counts = np.unique(draws, return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2]  # floor of a draw within ±2.5
    assert np.allclose(counts / 4000, [0.1, 0.2, 0.2, 0.2, 0.2, 0.1], atol=0.03)
    assert np.array_equal(uniform_indices(31, 16, generator(0)), uniform_indices(31, 16))
    assert np.array_equal(
        uniform_indices(160, 16, generator(0), jitter=False), uniform_indices(160, 16)
    )


def test_a_time_span_is_a_part_of_the_clip():
    spans = [uniform_indices(1000, 10, generator(i), (0.5, 0.5), jitter=False) for i in range(50)]
    assert all(span[-1] - span[0] == 450 for span in spans)
    assert len({int(span[0]) for span in spans}) > 20


@given(LENGTHS, st.integers(1, 100), st.integers(1, 100))
def test_windows_cover_the_video(length, window, stride):
    starts = window_starts(length, window, stride)
    assert starts[0] == 0
    assert np.all(np.diff(starts) > 0)
    assert np.all(np.diff(starts) <= stride)
    assert starts[-1] == max(length - window, 0)


@pytest.mark.parametrize(("length", "num_frames"), [(0, 16), (16, 0)])
def test_nothing_to_sample(length, num_frames):
    with pytest.raises(ValueError, match="at least 1"):
        uniform_indices(length, num_frames)


# --- dense windows and several views ------------------------------------------------------------

STRIDES = st.integers(1, 9)
VIEWS = st.integers(1, 12)


def sorted_and_in_range(indices: np.ndarray, length: int) -> bool:
    return bool((np.diff(indices) >= 0).all() and indices.min() >= 0 and indices.max() < length)


@given(LENGTHS, COUNTS, VIEWS, st.sampled_from(["uniform", "dense"]), STRIDES)
def test_views_are_sorted_in_range_and_reproducible(length, num_frames, views, sampling, stride):
    indices = evaluation_indices(length, num_frames, views, sampling, stride)
    assert indices.shape == (views, num_frames)
    assert all(sorted_and_in_range(row, length) for row in indices)
    again = evaluation_indices(length, num_frames, views, sampling, stride)
    assert np.array_equal(indices, again)


@given(LENGTHS, COUNTS, VIEWS)
def test_the_first_uniform_view_is_uniform_sampling(length, num_frames, views):
    first = evaluation_indices(length, num_frames, views)[0]
    assert np.array_equal(first, uniform_indices(length, num_frames))


def test_uniform_views_interleave():
    assert evaluation_indices(16, 4, 2).tolist() == [[0, 4, 8, 12], [2, 6, 10, 14]]
    assert evaluation_indices(16, 4, 4).T.ravel().tolist() == list(range(16))


def test_dense_views_go_from_start_to_end():
    views = evaluation_indices(21, 4, 3, "dense", 2)
    assert views.tolist() == [[0, 2, 4, 6], [7, 9, 11, 13], [14, 16, 18, 20]]
    assert evaluation_indices(21, 4, 1, "dense", 2).tolist() == [[7, 9, 11, 13]]
    assert evaluation_indices(3, 4, 2, "dense", 1).tolist() == [[0, 1, 2, 2]] * 2


@given(LENGTHS, COUNTS, STRIDES, st.integers(0, 99))
def test_dense_windows_have_their_stride_and_depend_on_their_address(length, count, stride, seed):
    indices = random_dense_indices(length, count, stride, generator(seed, 0, "clip"))
    assert sorted_and_in_range(indices, length)
    inside = indices[indices < length - 1]
    assert (np.diff(inside) == stride).all()
    if length >= 1 + stride * (count - 1):
        assert np.array_equal(indices, dense_indices(length, count, stride, indices[0]))
        assert (np.diff(indices) == stride).all()
    again = random_dense_indices(length, count, stride, generator(seed, 0, "clip"))
    assert np.array_equal(indices, again)


def test_random_windows_differ_across_epochs_and_reach_both_ends():
    starts = {int(random_dense_indices(30, 8, 2, generator(0, e, "k"))[0]) for e in range(200)}
    assert starts == set(range(16))
