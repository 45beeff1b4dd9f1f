"""Classify clips, or recordings with weights for such: tools/classify.py PATH… [--weights W]."""

import argparse
import json
import sys
from pathlib import Path

from gesture3d.command_line import LONGEST_MESSAGE, run_command_line, whole
from gesture3d.errors import Gesture3dError
from gesture3d.text import csv_text, one_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="video files, frame folders, files of joints, directories of them",
    )
    parser.add_argument("--weights", type=Path, help="a checkpoint (default: the shipped one)")
    parser.add_argument("--top", type=whole(100_000), default=5, help="classes shown a clip (5)")
    parser.add_argument("--out", type=Path, help="also write predictions to this .csv or .json")
    parser.add_argument("--picture", type=Path, help="also draw the clips and their classes (.png)")
    parser.add_argument("--batch-size", type=whole(100_000), default=16)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the network first: half a minute, then faster clips",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    args = parser.parse_args(argv)
    if args.picture and args.picture.suffix.lower() != ".png":
        parser.error(f"--picture {args.picture}: the name must end in .png")
    if args.out and args.out.suffix.lower() not in (".csv", ".json"):
        parser.error(f"--out {args.out}: the name must end in .csv or .json")
    return args


def main() -> int:
    args = parse_args()
    from tqdm import tqdm

    from gesture3d.data.video.reading import VIDEO_SUFFIXES
    from gesture3d.data.walk import Walk
    from gesture3d.inference.classifier import Classifier, find_clips

    classifier = Classifier(args.weights, args.device, compile=args.compile)
    if classifier.experiment.data.stream == "inertial":
        return classify_recordings(args, classifier)
    if args.picture and not classifier.suffixes >= VIDEO_SUFFIXES:
        raise Gesture3dError(f"--picture draws videos; {classifier.weights} reads joints")
    clips, problems, walk = [], [], Walk()
    for path in args.paths:
        try:
            clips += find_clips(path, classifier.suffixes, walk)
        except Gesture3dError as error:
            problems.append(str(error))
    problems += walk.problems
    if walk.left_out():
        print(walk.left_out(), file=sys.stderr)
    check_outputs(args, clips)
    results = []
    try:
        for result in tqdm(
            classifier.classify(clips, batch_size=args.batch_size),
            total=len(clips),
            unit="clip",
            leave=False,
            disable=None,
        ):
            results.append(result)
            shown = [f"{c.name} {c.probability:.1%}" for c in result.classes[: args.top]]
            if result.error:
                problems.append(result.error)
            else:
                line = f"{result.path}  {', '.join(shown)}  [{result.seconds:.3f} s]"
                tqdm.write(one_line(line))
    finally:
        if args.out:
            write_predictions(args.out, results, args.top)
        if args.picture:
            draw_predictions(args.picture, results)
    return report(problems, classified=sum(not result.error for result in results))


def check_outputs(args: argparse.Namespace, inputs: list[Path]) -> None:
    """Raise Gesture3dError where --out or --picture cannot be written, or is an input."""
    from gesture3d.files import check_writable

    for path in filter(None, (args.out, args.picture)):
        check_writable(path, inputs)


def report(problems: list[str], classified: int) -> int:
    """What failed, on stderr; the exit status."""
    for problem in problems:
        print(one_line(f"error: {problem}", LONGEST_MESSAGE), file=sys.stderr)
    if problems:
        print(f"{len(problems)} failed, {classified} classified", file=sys.stderr)
    return 1 if problems else 0


def classify_recordings(args: argparse.Namespace, classifier) -> int:
    """Print, write and draw the timeline of every recording."""
    from gesture3d.data.walk import Walk
    from gesture3d.inference.timeline import classify_recording, find_recordings

    timelines, problems, paths, walk = [], [], [], Walk()
    for path in args.paths:
        try:
            paths += find_recordings(path, walk)
        except Gesture3dError as error:
            problems.append(str(error))
    problems += walk.problems
    check_outputs(args, paths)
    try:
        for path in paths:
            try:
                timelines.append(classify_recording(classifier, path))
            except Gesture3dError as error:
                problems.append(str(error))
                continue
            for s in timelines[-1].stretches:
                when = f"{clock(s.start)} – {clock(s.stop)}"
                print(one_line(f"{path}  {when}  {s.name} {s.probability:.1%}"))
    finally:
        if args.out:
            write_timelines(args.out, timelines)
        if args.picture and timelines:
            draw_timelines(args.picture, timelines)
    return report(problems, classified=len(timelines))


def clock(seconds: float) -> str:
    """Minutes and seconds, e.g. 02:05.1."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes):02d}:{rest:04.1f}"


def write_timelines(path: Path, timelines: list) -> None:
    """One row (CSV) or object (JSON) a stretch: path, start, stop (seconds), class, probability."""
    from gesture3d.files import write_text

    names = ("path", "start", "stop", "class", "probability")
    rows = [
        (str(t.path), s.start, s.stop, s.name, s.probability)
        for t in timelines
        for s in t.stretches
    ]
    if path.suffix.lower() == ".json":
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        write_text(path, json.dumps(objects, indent=1) + "\n")
        return
    write_text(path, csv_text([names, *rows]))


def draw_timelines(path: Path, timelines: list, limit: int = 12) -> None:
    """The first recordings' channels on a ground coloured by activity."""
    from gesture3d.files import atomic_path
    from gesture3d.viz.timeline import plot_timelines

    shown = timelines[:limit]
    figure = plot_timelines(
        [t.path.name for t in shown],
        [t.channels for t in shown],
        [t.rate_hz for t in shown],
        [[(s.start, s.stop, s.name, s.probability) for s in t.stretches] for t in shown],
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def write_predictions(path: Path, results: list, top: int) -> None:
    """One row (CSV) or object (JSON) a clip: path, ranked classes, seconds, error."""
    from gesture3d.files import write_text

    if path.suffix.lower() == ".json":
        rows = [
            {
                "path": str(r.path),
                "classes": [
                    {"name": c.name, "probability": c.probability} for c in r.classes[:top]
                ],
                "seconds": r.seconds,
                "error": r.error,
            }
            for r in results
        ]
        write_text(path, json.dumps(rows, indent=1) + "\n")
        return
    ranks = [f"{name}_{rank}" for rank in range(1, top + 1) for name in ("class", "probability")]
    table = [["path", *ranks, "seconds", "error"]]
    for r in results:
        ranked = [value for c in r.classes[:top] for value in (c.name, f"{c.probability:.6f}")]
        padding = [""] * (2 * top - len(ranked))
        table.append([r.path, *ranked, *padding, f"{r.seconds:.4f}", r.error or ""])
    write_text(path, csv_text(table))


def draw_predictions(path: Path, results: list, limit: int = 40) -> None:
    """A row of frames and the three most probable classes for each of the first clips."""
    from gesture3d.files import atomic_path
    from gesture3d.viz.plots import plot_predictions

    shown = [result for result in results if not result.error][:limit]
    if not shown:
        return
    figure = plot_predictions(
        [thumbnails(result.path) for result in shown],
        [result.path.name for result in shown],
        [[(c.name, c.probability) for c in result.classes[:3]] for result in shown],
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def thumbnails(path: Path, count: int = 8):
    """Frames from first to last, uint8 (T, H, W, 3), as small as a picture shows them."""
    import numpy as np

    from gesture3d.data.video.reading import open_video, read_opened

    reader = open_video(path)
    indices = np.linspace(0, reader.num_frames - 1, count).round().astype(int)
    return read_opened(path, reader, indices, min(100, *reader.size))


if __name__ == "__main__":
    run_command_line(main)
