"""The evaluation of a causal network on streams: what is printed, and what is left in a folder."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gesture3d import checkpoint
from gesture3d.checkpoint import versions
from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.evaluate import open_split
from gesture3d.evaluation.metrics import compute_metrics
from gesture3d.evaluation.predictions import SplitPredictions, write_predictions
from gesture3d.evaluation.report import markdown_table
from gesture3d.evaluation.spotting import Spotting, measure
from gesture3d.events import NO_GESTURE, Event, write_events
from gesture3d.files import atomic_path, write_text
from gesture3d.inference.choosing import THRESHOLDS, choose_decision
from gesture3d.inference.online import StreamScores, find_events
from gesture3d.inference.stream_predictions import (
    events_of_streams,
    measure_levels,
    scores_of_streams,
)
from gesture3d.text import csv_text, markdown

MOST_TIMELINES = 24  # in a picture


@dataclass(frozen=True)
class StreamEvaluation:
    """Attributes:
    truth, found: key of a stream → its events.
    lengths: of the streams, seconds.
    measures: of the events.
    by_threshold: the same by other thresholds, of all classes, in place of the decision's.
    frame_accuracy: share of the steps whose class is right, "No gesture" included.
    """

    predictions: SplitPredictions
    decision: OnlineDecision
    truth: Mapping[str, Sequence[Event]]
    found: Mapping[str, Sequence[Event]]
    lengths: Mapping[str, float]
    measures: Spotting
    by_threshold: Mapping[float, Spotting]
    frame_accuracy: float

    def rows(self) -> list[list[str]]:
        """(name, value) of every measure."""
        values = {"frame-wise accuracy": self.frame_accuracy, **self.measures.scalars()}
        return [[name, "–" if math.isnan(v) else f"{v:.3f}"] for name, v in values.items()]


@dataclass(frozen=True)
class PredictedStreams:
    """The scores of a split's streams, what is annotated in them, and the measure of their set."""

    predictions: SplitPredictions
    streams: Mapping[str, StreamScores]
    truth: Mapping[str, Sequence[Event]]
    spotted_by: str


def predict_streams(
    weights: Path | str,
    split: str,
    overrides: list[str] | None = None,
    data: str | None = None,
    progress: bool = True,
) -> PredictedStreams:
    """Every step of the streams of a split; raises as `open_split`."""
    with open_split(weights, split, overrides, data, progress) as opened:
        predictions = opened.predict(opened.samples, progress)
        seconds = opened.model.step_frames / opened.experiment.data.rate_hz
        truth = events_of_streams(opened.samples.items)
        spotted_by = opened.experiment.data.spotted_by
    streams = scores_of_streams(predictions, seconds)
    return PredictedStreams(predictions, streams, truth, spotted_by)


def choose_for(weights: Path, predicted: PredictedStreams, measure: str | None, to: Path) -> str:
    """Choose the online decision by these streams, write it into the checkpoint, say what it is.

    Args:
        measure: one of `choosing.MEASURES`; None: that of the set's protocol.
    """
    own = predicted.predictions
    gestures = [name for name in own.class_names if name != NO_GESTURE]
    decision = choose_decision(
        predicted.streams,
        predicted.truth,
        own.class_names,
        gestures,
        data=f"{own.data}, {own.split}",
        measure=measure or predicted.spotted_by,
    )
    checkpoint.add_online_decision(weights, decision, to)
    return in_words(decision)


def evaluate_streams(weights: Path, predicted: PredictedStreams) -> StreamEvaluation:
    """The events that the checkpoint's decision finds, and how well.

    Raises:
        Gesture3dError: the checkpoint has no online decision.
    """
    decision = checkpoint.load(weights)[1].online
    own = predicted.predictions
    if decision is None:
        raise Gesture3dError(
            f"{weights}: it does not say how events are decided; tools/evaluate.py --weights "
            f"{weights} --calibrate chooses it on the validation streams"
        )
    names = own.class_names
    found = {key: find_events(s, decision, names) for key, s in predicted.streams.items()}
    lengths = {key: float(s.seconds[-1]) for key, s in predicted.streams.items()}
    at_levels = measure_levels(predicted.streams, predicted.truth, decision, names, THRESHOLDS)
    return StreamEvaluation(
        own,
        decision,
        predicted.truth,
        found,
        lengths,
        measure(predicted.truth, found, lengths),
        dict(zip(THRESHOLDS, at_levels, strict=True)),
        compute_metrics(own).top1,
    )


def in_words(decision: OnlineDecision) -> str:
    """One line."""
    levels = sorted(decision.thresholds.values())
    span = f"{levels[0]:g}" + (f" to {levels[-1]:g}" if levels[-1] > levels[0] else "")
    return (
        f"a gesture fires above {span}, smoothed over {decision.smoothing:g} s"
        + (f", {decision.lag:g} s late" if decision.lag else "")
        + f" (chosen by {decision.measure} {decision.value:.3f} on {decision.data})"
    )


def write_stream_evaluation(folder: Path, weights: Path, evaluation: StreamEvaluation) -> None:
    """Write ``events.csv`` (what was found), ``timeline.png`` (the first streams),
    ``thresholds.csv`` and ``.png`` (every measure by threshold), ``metrics.json``, ``report.md``
    and, last, ``predictions.csv`` (of the steps)."""
    write_events(folder / "events.csv", evaluation.found)
    own = evaluation.predictions
    content = {
        "weights": str(weights),
        "data": own.data,
        "split": own.split,
        "num_streams": len(evaluation.truth),
        "num_events": evaluation.measures.num_events,
        "num_found": evaluation.measures.num_found,
        "frame_accuracy": evaluation.frame_accuracy,
        "measures": evaluation.measures.defined(),
        "decision": in_words(evaluation.decision),
        "versions": versions(),
    }
    said = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / "metrics.json", said + "\n")
    rows = [[level, *m.defined().values()] for level, m in evaluation.by_threshold.items()]
    header = ["threshold", *evaluation.measures.scalars()]
    write_text(folder / "thresholds.csv", csv_text([header, *rows]))
    from gesture3d.viz.timeline import plot_events, plot_thresholds

    values = {level: m.scalars() for level, m in evaluation.by_threshold.items()}
    levels = evaluation.decision.thresholds.values()
    figure = plot_thresholds(values, evaluation.measures.scalars(), levels)
    with atomic_path(folder / "thresholds.png") as temporary:
        figure.savefig(temporary, dpi=100)
    first = list(evaluation.truth)[:MOST_TIMELINES]
    figure = plot_events(
        first,
        [evaluation.lengths[key] for key in first],
        [evaluation.truth[key] for key in first],
        [evaluation.found[key] for key in first],
    )
    with atomic_path(folder / "timeline.png") as temporary:
        figure.savefig(temporary, dpi=100)
    lines = [
        f"# {markdown(weights)}: {markdown(own.data)}, {own.split}",
        "",
        f"{summary_line(evaluation)}; {markdown(in_words(evaluation.decision))}.",
        "",
        *markdown_table(["measure", "value"], evaluation.rows()),
        "![truth above what was found](timeline.png)",
        "",
        "![what other thresholds would find](thresholds.png)",
    ]
    write_text(folder / "report.md", "\n".join(lines) + "\n")
    write_predictions(folder / "predictions.csv", own)


def summary_line(evaluation: StreamEvaluation) -> str:
    """How much was evaluated."""
    minutes = sum(evaluation.lengths.values()) / 60
    return (
        f"{len(evaluation.truth)} streams of {minutes:.1f} minutes, "
        f"{evaluation.measures.num_events} gestures, {evaluation.measures.num_found} events found"
    )
