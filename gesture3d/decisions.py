"""What turns a network's scores into decisions; kept in its checkpoint, and in what is exported."""

import itertools
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, Strict

from gesture3d.stored import Number, Text


def _ascending(numbers: list[float]) -> list[float]:
    if any(a > b for a, b in itertools.pairwise(numbers)):
        raise ValueError("not in ascending order")
    return numbers


@dataclass(frozen=True)
class Calibration:
    """What validation says of the scores, see `gesture3d.evaluation.calibration`.

    Attributes:
        temperature: what scores are divided by, before they become probabilities.
        quantiles: of the samples' highest scores, behind the temperature, at equal steps from the
            least to the greatest.
        num_samples: that it is fitted on.
        data: what they are.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    temperature: Annotated[Number, Field(ge=0.001, le=1000.0)]
    quantiles: Annotated[
        list[Number], Field(min_length=2, max_length=10_001), AfterValidator(_ascending)
    ]
    num_samples: Annotated[int, Strict(), Field(ge=1)]
    data: Text

    def threshold(self, kept: float) -> float:
        """The highest score that this share (0..1) of the samples reaches, and a rounding less."""
        steps = np.linspace(0.0, 1.0, len(self.quantiles))
        found = float(np.interp(1.0 - kept, steps, self.quantiles))
        return found - 1e-6 * max(abs(found), 1.0)


@dataclass(frozen=True)
class OnlineDecision:
    """How scores over time become events, see `gesture3d.inference.online`.

    Attributes:
        thresholds: class → the probability above which it fires; a class without one never does
            (it is no gesture).
        smoothing: seconds, the time constant of the probabilities' running mean; 0: none.
        lag: seconds that the scores are behind the newest frame; events are so much earlier.
        measure, value: what was made greatest, and how great it became.
        data: on which streams.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    thresholds: Annotated[dict[Text, Annotated[Number, Field(gt=0.0, lt=1.0)]], Field(min_length=1)]
    smoothing: Annotated[Number, Field(ge=0.0, le=60.0)] = 0.0
    lag: Annotated[Number, Field(ge=0.0, le=60.0)] = 0.0
    measure: Text = ""
    value: Number = 0.0
    data: Text = ""
