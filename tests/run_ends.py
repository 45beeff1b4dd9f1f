"""What a run does when it ends takes far longer than trainings of the tests' size, so it is short
there: one batch tells the network's speed, and nothing is drawn or counted."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from matplotlib.figure import Figure
from torch import nn

from gesture3d import cost
from gesture3d.training import closing, report, result


def _parameters(model: nn.Module, sample: Any) -> list[cost.BlockCost]:
    """True parameters; multiply-adds are all the same."""
    blocks = [*cost._blocks(model), ("total", model)]
    return [cost.BlockCost(name, cost._parameters(block), 10**6) for name, block in blocks]


def _nothing(*_: Any) -> Figure:
    return Figure(figsize=(1, 1))


SHORT = (
    (result, "clips_per_second", partial(cost.clips_per_second, seconds=0)),
    (result, "count_cost_of_one", _parameters),
    (report, "plot_curves", _nothing),
    (report, "plot_confusion", _nothing),
    (closing, "_log_explanations", lambda *_: None),
)
WHOLE = tuple((module, name, getattr(module, name)) for module, name, _ in SHORT)


@contextlib.contextmanager
def short_ends() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for replacement in SHORT:
            patch.setattr(*replacement)
        yield


@contextlib.contextmanager
def whole_ends(*parts: str) -> Iterator[None]:
    """As people see them, or these parts of them: also in forks that begin meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, original in WHOLE:
            if not parts or name in parts:
                patch.setattr(module, name, original)
        yield
