"""Segments out of overlapping windows: equal to looking at every window, and averaged by time."""

import time

import numpy as np
import pytest

from gesture3d.inference.segments import cover, merge, rank


def test_overlapping_windows_are_averaged_and_equal_neighbours_merged() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.1, 0.9]])
    spans, means = merge(*cover([(0.0, 2.0), (1.0, 3.0), (2.0, 4.0)], probabilities))
    # 0–1 a 0.9, 1–2 a 0.75, 2–3 b (0.4 + 0.9) / 2, 3–4 b 0.9
    assert spans == [(0.0, 2.0), (2.0, 4.0)]
    np.testing.assert_allclose(means, [[0.825, 0.175], [0.225, 0.775]])
    assert [c.name for c in rank(means[1], ["a", "b"])] == ["b", "a"]


def test_a_mean_counts_seconds_not_pieces() -> None:
    """The last window ends with the recording: pieces of 2, 1, 1 and 1 s."""
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4]])
    spans, means = merge(*cover([(0.0, 3.0), (2.0, 5.0)], probabilities))
    assert spans == [(0.0, 5.0)]
    np.testing.assert_allclose(means, [[(2 * 0.9 + 0.75 + 2 * 0.6) / 5, (0.2 + 0.25 + 0.8) / 5]])


def test_a_gap_between_windows_belongs_to_no_piece() -> None:
    pieces, means = cover([(0.0, 1.0), (3.0, 4.0)], np.eye(2))
    assert pieces == [(0.0, 1.0), (3.0, 4.0)]
    np.testing.assert_array_equal(means, np.eye(2))


def test_the_class_of_a_segment_is_its_first_also_among_equals() -> None:
    _, means = merge(*cover([(0.0, 0.3), (0.1, 0.7)], np.full((2, 3), 1 / 3, np.float32)))
    assert [c.name for c in rank(means[0], ["x", "a", "m"])] == ["x", "a", "m"]


def test_windows_of_a_week_are_merged_in_no_time() -> None:
    """The same segments as by looking at every window for every edge."""
    rng = np.random.default_rng(0)
    few = rng.dirichlet(np.ones(3), 60)
    starts = sorted(rng.choice(400, 60, replace=False).tolist())
    spans, means = merge(*cover([(s / 10, (s + 16) / 10) for s in starts], few))
    assert len(spans) > 5
    for (start, _), mean in zip(spans, means, strict=True):
        middle = round(start * 10)
        covering = [n for n, s in enumerate(starts) if s <= middle < s + 16]
        assert mean.argmax() == few[covering].mean(axis=0).argmax()
    assert means.sum(axis=1) == pytest.approx(1)
    many = rng.dirichlet(np.ones(3), 30_000)
    started = time.process_time()
    merge(*cover([(n * 0.8, n * 0.8 + 1.6) for n in range(30_000)], many))
    assert time.process_time() - started < 10  # by looking at all: minutes
