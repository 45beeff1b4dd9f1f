"""Classify clips, sequences of joints and recordings: tools/classify.py PATH… [--weights W].

With a network that was trained on streams: the gestures in long files, with their times.
"""

import argparse
import sys
from pathlib import Path

from gesture3d.command_line import LONGEST_MESSAGE, run_command_line, share, whole
from gesture3d.errors import Gesture3dError
from gesture3d.text import one_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="video files, frame folders, files of joints, recordings, directories of them",
    )
    parser.add_argument("--weights", type=Path, help="a checkpoint (default: the shipped one)")
    parser.add_argument(
        "--top", type=whole(100_000), default=5, help="classes shown a clip, or written a row (5)"
    )
    parser.add_argument("--out", type=Path, help="also write predictions to this .csv or .json")
    parser.add_argument(
        "--picture", type=Path, help="also draw videos or recordings with their classes (.png)"
    )
    parser.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="the camera mirrors: turn videos back (default: as the training clips were)",
    )
    parser.add_argument(
        "--reject",
        type=share,
        nargs="?",
        const=0.95,
        metavar="KEPT",
        help="call what is of no known class 'none of these'; keep this share of the known (0.95)",
    )
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

    from gesture3d.data.walk import Walk
    from gesture3d.files import check_writable
    from gesture3d.inference.classifier import Classifier
    from gesture3d.inference.output import check_drawable, draw, lines, write
    from gesture3d.inference.stream_files import classify_streams

    classifier = Classifier(
        args.weights, args.device, compile=args.compile, mirror=args.mirror, reject=args.reject
    )
    if args.picture:
        check_drawable(classifier)
    paths, problems, walk = [], [], Walk()
    for path in args.paths:
        try:
            paths += classifier.find(path, walk)
        except Gesture3dError as error:
            problems.append(str(error))
    problems += walk.problems
    if walk.left_out():
        print(walk.left_out(), file=sys.stderr)
    for path in filter(None, (args.out, args.picture)):
        check_writable(path, paths)
    results = []
    try:
        if classifier.experiment.data.streams:
            found = classify_streams(classifier, paths)
        else:
            found = classifier.classify(paths, batch_size=args.batch_size)
        for result in tqdm(found, total=len(paths), unit="file", leave=False, disable=None):
            results.append(result)
            if result.error:
                problems.append(result.error)
                continue
            for line in lines(result, args.top):
                tqdm.write(line)
    finally:
        if args.out:
            write(args.out, results, args.top)
        if args.picture:
            draw(args.picture, results)
    for problem in problems:
        print(one_line(f"error: {problem}", LONGEST_MESSAGE), file=sys.stderr)
    if problems:
        classified = sum(not result.error for result in results)
        print(f"{len(problems)} failed, {classified} classified", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    run_command_line(main)
