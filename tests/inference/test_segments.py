"""Segments out of overlapping windows: equal to looking at every window, and averaged by time."""

import time

import numpy as np
import pytest

from gesture3d.inference.segments import NONE, Span, cover, merge, rank


def by_class(pieces: list[Span], values: np.ndarray) -> tuple[list[Span], np.ndarray]:
    return merge(pieces, values, values.argmax(axis=1))


def test_overlapping_windows_are_averaged_and_equal_neighbours_merged() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.1, 0.9]])
    spans, means = by_class(*cover([(0.0, 2.0), (1.0, 3.0), (2.0, 4.0)], probabilities))
    # 0–1 a 0.9, 1–2 a 0.75, 2–3 b (0.4 + 0.9) / 2, 3–4 b 0.9
    assert spans == [(0.0, 2.0), (2.0, 4.0)]
    np.testing.assert_allclose(means, [[0.825, 0.175], [0.225, 0.775]])
    assert [c.name for c in rank(means[1], ["a", "b"])] == ["b", "a"]


def test_a_mean_counts_seconds_not_pieces() -> None:
    """The last window ends with the recording: pieces of 2, 1, 1 and 1 s."""
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4]])
    spans, means = by_class(*cover([(0.0, 3.0), (2.0, 5.0)], probabilities))
    assert spans == [(0.0, 5.0)]
    np.testing.assert_allclose(means, [[(2 * 0.9 + 0.75 + 2 * 0.6) / 5, (0.2 + 0.25 + 0.8) / 5]])


def test_a_gap_between_windows_belongs_to_no_piece() -> None:
    pieces, means = cover([(0.0, 1.0), (3.0, 4.0)], np.eye(2))
    assert pieces == [(0.0, 1.0), (3.0, 4.0)]
    np.testing.assert_array_equal(means, np.eye(2))


def test_the_class_of_a_segment_is_its_first_also_among_equals() -> None:
    _, means = by_class(*cover([(0.0, 0.3), (0.1, 0.7)], np.full((2, 3), 1 / 3, np.float32)))
    assert [c.name for c in rank(means[0], ["x", "a", "m"])] == ["x", "a", "m"]


def test_what_is_rejected_is_a_segment_of_its_own() -> None:
    """Between two stretches of one class; the last value is what decides."""
    values = np.array([[0.9, 0.1, 5.0], [0.8, 0.2, 1.0], [0.7, 0.3, 2.0], [0.6, 0.4, 6.0]])
    pieces = [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 5.0)]
    spans, means = merge(pieces, values, np.where(values[:, -1] < 3, -1, 0))
    assert spans == [(0.0, 1.0), (1.0, 4.0), (4.0, 5.0)]
    np.testing.assert_allclose(means[1], [(0.8 + 2 * 0.7) / 3, (0.2 + 2 * 0.3) / 3, 5 / 3])
    ranked = rank(means[1][:-1], ["a", "b"], True)
    assert [c.name for c in ranked] == [NONE, "b"]
    assert ranked[0].probability == means[1][0]


def test_windows_of_a_week_are_merged_in_no_time() -> None:
    """The same segments as by looking at every window for every edge."""
    rng = np.random.default_rng(0)
    few = rng.dirichlet(np.ones(3), 60)
    starts = sorted(rng.choice(400, 60, replace=False).tolist())
    spans, means = by_class(*cover([(s / 10, (s + 16) / 10) for s in starts], few))
    assert len(spans) > 5
    for (start, _), mean in zip(spans, means, strict=True):
        middle = round(start * 10)
        covering = [n for n, s in enumerate(starts) if s <= middle < s + 16]
        assert mean.argmax() == few[covering].mean(axis=0).argmax()
    assert means.sum(axis=1) == pytest.approx(1)
    many = rng.dirichlet(np.ones(3), 30_000)
    started = time.process_time()
    by_class(*cover([(n * 0.8, n * 0.8 + 1.6) for n in range(30_000)], many))
    assert time.process_time() - started < 10  # by looking at all: minutes
