"""Results of classification as lines, as a table (.csv, .json) and as a picture (.png)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gesture3d.errors import Gesture3dError
from gesture3d.events import Event
from gesture3d.files import atomic_path, write_text
from gesture3d.inference.classifier import Classifier, Result
from gesture3d.inference.segments import NONE, RankedClass, Segment
from gesture3d.text import csv_text, one_line

MOST_STRIPS = 40  # in a picture
MOST_TIMELINES = 12


def lines(result: Result, top: int) -> list[str]:
    """What is printed of a file: its most probable classes; of a recording or a stream, when which
    one was."""
    if result.length is not None and not result.segments:
        return [one_line(f"{result.path}  no gestures in {clock(result.length)}")]
    if result.signal is None and result.length is None:
        named = [_named(c) for s in result.segments for c in s.classes[:top]]
        return [one_line(f"{result.path}  {', '.join(named)}  [{result.seconds:.3f} s]")]
    return [
        one_line(f"{result.path}  {clock(s.start)} – {clock(s.stop)}  {_named(s.classes[0])}")
        for s in result.segments
    ]


def _named(c: RankedClass) -> str:
    if c.name == NONE:  # the probability is not of that
        return f"{NONE} (the best {c.probability:.1%})"
    return f"{c.name} {c.probability:.1%}"


def event_line(event: Event) -> str:
    """What is printed of an event that has just been decided."""
    return one_line(f"{clock(event.decided)}  {event.label} {event.score:.1%}")


def clock(seconds: float) -> str:
    """Minutes and seconds, e.g. 02:05.1."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes):02d}:{rest:04.1f}"


def write(path: Path, results: Sequence[Result], top: int) -> None:
    """One row (.csv) or object (.json) a segment, or one a file that cannot be read.

    ``path, start, stop, class_1, probability_1, …, seconds, error``: start and stop (seconds) are
    empty where a file is one sample, the classes where there is an error; ``seconds`` is the time
    that the whole file took. Where a sample is rejected ``class_1`` is "none of these"; the rest
    stays.

    Args:
        top: how many classes at most.
    """
    rows = [(r, s) for r in results for s in r.segments or [Segment(None, None, [])]]
    if path.suffix.lower() == ".json":
        objects = [_as_object(result, segment, top) for result, segment in rows]
        write_text(path, json.dumps(objects, indent=1) + "\n")
        return
    ranks = [f"{name}_{rank}" for rank in range(1, top + 1) for name in ("class", "probability")]
    table = [["path", "start", "stop", *ranks, "seconds", "error"]]
    for r, s in rows:
        ranked = [value for c in s.classes[:top] for value in (c.name, f"{c.probability:.6f}")]
        padding = [""] * (2 * top - len(ranked))
        took = f"{r.seconds:.4f}"
        table.append([r.path, s.start, s.stop, *ranked, *padding, took, r.error])
    write_text(path, csv_text(table))


def _as_object(result: Result, segment: Segment, top: int) -> dict[str, Any]:
    return {
        "path": str(result.path),
        "start": segment.start,
        "stop": segment.stop,
        "classes": [{"name": c.name, "probability": c.probability} for c in segment.classes[:top]],
        "seconds": result.seconds,
        "error": result.error,
    }


def check_drawable(classifier: Classifier) -> None:
    """Raise Gesture3dError where `draw` cannot draw what the network reads."""
    if classifier.experiment.data.streams:
        return
    if classifier.spec.kind != "clips" and classifier.spec.rate_hz is None:
        raise Gesture3dError(
            f"--picture draws videos and recordings; {classifier.weights} reads joints"
        )


def draw(path: Path, results: Sequence[Result]) -> None:
    """The first files that could be read: frames of clips beside their three most probable
    classes; recordings over time on a ground coloured by class; streams and their events, also
    where they broke off. Nothing where there are none."""
    good = [result for result in results if not result.error or result.segments]
    if not good:
        return
    if good[0].length is not None:
        figure = _streams(good[:MOST_TIMELINES])
    elif good[0].signal is None:
        figure = _strips(good[:MOST_STRIPS])
    else:
        figure = _timelines(good[:MOST_TIMELINES])
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _strips(results: Sequence[Result]):
    from gesture3d.viz.plots import plot_predictions

    return plot_predictions(
        [thumbnails(r.path) for r in results],
        [r.path.name for r in results],
        [[(c.name, c.probability) for c in r.segments[0].classes[:3]] for r in results],
    )


def _timelines(results: Sequence[Result]):
    from gesture3d.viz.timeline import plot_timelines

    return plot_timelines(
        [r.path.name for r in results],
        [r.signal for r in results],
        [r.rate_hz for r in results],
        [
            [(s.start, s.stop, s.classes[0].name, s.classes[0].probability) for s in r.segments]
            for r in results
        ],
    )


def _streams(results: Sequence[Result]):
    from gesture3d.viz.timeline import plot_events

    return plot_events(
        [r.path.name for r in results],
        [r.length for r in results],
        [None] * len(results),
        [[Event(s.classes[0].name, s.start, s.stop) for s in r.segments] for r in results],
    )


def thumbnails(path: Path, count: int = 8) -> np.ndarray:
    """Frames from first to last, uint8 (T, H, W, 3), as small as a picture shows them."""
    from gesture3d.data.video.reading import open_video, read_opened

    reader = open_video(path)
    indices = np.linspace(0, reader.num_frames - 1, count).round().astype(int)
    return read_opened(path, reader, indices, min(100, *reader.size))
