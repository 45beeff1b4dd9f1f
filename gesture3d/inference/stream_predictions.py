"""A network's predictions of the steps of streams, as streams again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gesture3d.data.index import Item
from gesture3d.decisions import OnlineDecision
from gesture3d.evaluation import spotting
from gesture3d.evaluation.predict import Predictions, stream_of_step
from gesture3d.events import Event
from gesture3d.inference.online import StreamScores, find_events


def scores_of_streams(predictions: Predictions, step_seconds: float) -> dict[str, StreamScores]:
    """By the key of the stream; a step lasts ``step_seconds``, the first one from 0 on."""
    rows: dict[str, list[int]] = {}
    for row, key in enumerate(predictions.keys):  # sorted: the steps of a stream are in order
        rows.setdefault(stream_of_step(key), []).append(row)
    return {
        key: StreamScores(step_seconds * np.arange(1, len(found) + 1), predictions.scores[found])
        for key, found in rows.items()
    }


def events_of_streams(items: Iterable[Item]) -> dict[str, list[Event]]:
    """What is annotated, by the key of the stream."""
    return {item.key: list(item.events) for item in items}


def measure_streams(
    streams: Mapping[str, StreamScores],
    truth: Mapping[str, Sequence[Event]],
    decision: OnlineDecision,
    class_names: Sequence[str],
) -> spotting.Spotting:
    """Every measure of the events that are decided in streams."""
    found = {key: find_events(scores, decision, class_names) for key, scores in streams.items()}
    lengths = {key: float(scores.seconds[-1]) for key, scores in streams.items()}
    return spotting.measure(truth, found, lengths)


def measure_levels(
    streams: Mapping[str, StreamScores],
    truth: Mapping[str, Sequence[Event]],
    decision: OnlineDecision,
    class_names: Sequence[str],
    levels: Iterable[float],
) -> list[spotting.Spotting]:
    """The same by each of these thresholds in place of the decision's, one for all classes."""
    names = decision.thresholds
    others = [replace(decision, thresholds=dict.fromkeys(names, level)) for level in levels]
    return [measure_streams(streams, truth, other, class_names) for other in others]
