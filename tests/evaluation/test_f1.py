import numpy as np
import pytest

from gesture3d.evaluation.f1 import f1_scores


def test_f1_scores_of_a_worked_example():
    """Precision and recall by hand: class 0 2/3 and 1/2, class 1 1/2 and 2/3, class 2 unused."""
    matrix = np.array([[2, 2, 0], [1, 2, 0], [0, 0, 0]])
    f1 = [2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2), 2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3)]
    weighted, macro = f1_scores(matrix)
    assert weighted == pytest.approx((4 * f1[0] + 3 * f1[1]) / 7)
    assert macro == pytest.approx(sum(f1) / 2)


def test_a_class_that_is_never_found_counts_in_macro_f1():
    weighted, macro = f1_scores(np.array([[90, 0], [10, 0]]))
    assert weighted == pytest.approx(0.9 * 2 * 90 / 190)
    assert macro == pytest.approx(90 / 190)
