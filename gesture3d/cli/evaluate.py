"""Evaluate a checkpoint: tools/evaluate.py --weights W [--split test] [--data NAME].

Writes the scores of every sample (predictions.csv, which tools/fuse.py fuses), metrics.json,
report.md with a table of the classes, and the confusion matrix. Under torchrun the processes
share the work. --calibrate fits the temperature and the thresholds of tools/classify.py --reject on
the validation split and writes them into the checkpoint. Instead, --unknown measures how well
samples of no class are told apart, and --corruptions how much cameras harm: light, lens, motion,
time, each at five strengths (corruptions.csv, .json, .png).

On streams it finds their gestures as they would be found online, and writes them (events.csv),
every measure of them (metrics.json), a timeline, truth above (timeline.png), and what other
thresholds would find (thresholds.csv, .png); --calibrate chooses thresholds and smoothing of the
decision on the validation streams.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gesture3d.command_line import add_record, add_settings, as_typed, run_command_line, whole
from gesture3d.errors import Gesture3dError
from gesture3d.machine import is_main_process

if TYPE_CHECKING:
    from gesture3d.evaluation.metrics import Metrics
    from gesture3d.evaluation.predictions import SplitPredictions


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True, help="a checkpoint")
    parser.add_argument(
        "--split",
        choices=["train", "validation", "test", "all"],
        help="(test; validation with --calibrate or --unknown); all: every sample of --data",
    )
    parser.add_argument(
        "--data",
        help="another data set with these classes, or some: a file, or a name in configs/data/ "
        "(default: the training's)",
    )
    add_settings(parser, "change a setting, e.g. data.root=… where the data has moved")
    parser.add_argument(
        "--clips", type=int, help="average over so many choices of frames (data.eval_clips)"
    )
    parser.add_argument(
        "--crops", type=int, help="average over 1 or 3 places of the crop (data.eval_crops)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="(evaluation-<split> in the run's folder, else evaluation-<weights>-<split> here; "
        "with -eval_clips=3 and the like behind it where samples are seen otherwise)",
    )
    parser.add_argument(
        "--corruptions",
        nargs="*",
        metavar="NAME",
        help="measure clips as they are and corrupted in these ways; without names in all",
    )
    parser.add_argument(
        "--limit", type=whole(10**9), help="--corruptions of so many samples, spread over the split"
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        nargs="?",
        const=True,
        metavar="FILE",
        help="calibrate the weights on validation, in place or as another file",
    )
    parser.add_argument(
        "--measure",
        choices=["shrec22", "sfinge", "segment_f1", "levenshtein"],
        help="of streams, what --calibrate makes greatest by its choice of the online decision "
        "(default: as the set's protocol measures, else shrec22)",
    )
    parser.add_argument(
        "--unknown",
        nargs="+",
        metavar="WHAT",
        help="instead, measure how well these are rejected: files and folders, or settings that "
        "bring other classes of the data set in, e.g. data.classes=null",
    )
    add_record(parser)
    args = parser.parse_args(argv)
    _check(args, parser)
    args.split = args.split or ("validation" if args.calibrate or args.unknown else "test")
    for name, value in (("eval_clips", args.clips), ("eval_crops", args.crops)):
        args.set += [] if value is None else [f"data.{name}={value}"]
    return args


def _check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """What does not go together."""
    if args.limit and (args.corruptions is None or args.record):
        parser.error("--limit: only with --corruptions, and not with --record")
    instead = [args.corruptions is not None, bool(args.unknown), bool(args.calibrate)]
    if sum(instead) > 1:
        parser.error("--corruptions, --unknown and --calibrate: one of them at a time")
    if args.unknown and (args.data or args.record):
        parser.error("--unknown takes neither --data nor --record")
    if args.calibrate and args.split not in (None, "validation"):
        parser.error(f"--calibrate is of the validation split, not of {args.split}")


def main() -> int:
    args = parse_args()
    from gesture3d.evaluation.corruptions import (
        measure_corruptions,
        table,
        write_corruptions,
    )
    from gesture3d.evaluation.evaluate import (
        changed_inputs,
        evaluate_checkpoint,
        evaluated_experiment,
    )
    from gesture3d.evaluation.report import evaluation_folder, summary, write_evaluation
    from gesture3d.files import check_writable
    from gesture3d.studies.record import row_of_corruptions, row_of_evaluation
    from gesture3d.studies.zoo import check_results, record

    experiment = evaluated_experiment(args.weights, args.set, args.data)
    changes = changed_inputs(args.weights, args.set, args.data)
    folder = args.out or evaluation_folder(args.weights, args.split, args.data, changes)
    if (folder / "experiment.yaml").is_file():
        raise Gesture3dError(f"--out {folder}: a run's folder, whose report.md would be lost")
    check_writable(folder, is_folder=True)
    if args.calibrate:
        check_writable(args.weights if args.calibrate is True else args.calibrate)
    if args.record:
        check_results(args.record)
    if args.unknown:
        return measure(args, folder)
    if args.calibrate and experiment.data.validate_on_test:
        raise Gesture3dError(
            f"{args.weights}: its validation split is its test split (data.validate_on_test), on "
            "which nothing may be fitted"
        )
    if experiment.data.streams:
        return evaluate_events(args, folder)
    if args.corruptions is None:
        predictions, metrics = evaluate_checkpoint(
            args.weights, args.split, args.set, args.data, raw=bool(args.calibrate)
        )
    else:
        found = measure_corruptions(
            args.weights,
            args.split,
            args.set,
            args.data,
            names=args.corruptions,
            limit=args.limit,
        )
        predictions = found.predictions
    if not is_main_process():
        return 0
    if args.calibrate:
        predictions, metrics = calibrate_weights(args, predictions)
    print(f"{args.weights}: {predictions.data}, {args.split}")
    if args.corruptions is None:
        write_evaluation(folder, args.weights, experiment, predictions, metrics)
        print(summary(predictions, metrics))
    else:
        write_corruptions(folder, args.weights, found)
        print(table(found))
    print(f"written: {folder}")
    if args.record:
        row = row_of_evaluation(
            args.weights, experiment, predictions, args.data, as_typed("evaluate")
        )
        if args.corruptions is not None:
            row = row_of_corruptions(row, found, args.corruptions)
        print(*record(args.record, [row]), sep="\n")
    return 0


def evaluate_events(args: argparse.Namespace, folder: Path) -> int:
    """Of streams: events beside the annotated ones; with --calibrate their decision is chosen."""
    from gesture3d.evaluation.evaluate import evaluated_experiment
    from gesture3d.inference import stream_report
    from gesture3d.studies.record import row_of_evaluation
    from gesture3d.studies.zoo import record

    if args.corruptions is not None:
        raise Gesture3dError(f"{args.weights}: of streams, no --corruptions")
    predicted = stream_report.predict_streams(args.weights, args.split, args.set, args.data)
    if not is_main_process():
        return 0
    if args.calibrate:
        target = args.weights if args.calibrate is True else args.calibrate
        chosen = stream_report.choose_for(args.weights, predicted, args.measure, target)
        print(f"{target}: {chosen}")
        args.weights = target
    found = stream_report.evaluate_streams(args.weights, predicted)
    stream_report.write_stream_evaluation(folder, args.weights, found)
    print(f"{args.weights}: {predicted.predictions.data}, {args.split}")
    print(stream_report.summary_line(found))
    for name, value in found.rows():
        print(f"  {name:<28} {value}")
    print(f"written: {folder}")
    if args.record:
        row = row_of_evaluation(
            args.weights,
            evaluated_experiment(args.weights, args.set, args.data),
            predicted.predictions,
            args.data,
            as_typed("evaluate"),
            found.measures.defined(),
        )
        print(*record(args.record, [row]), sep="\n")
    return 0


def calibrate_weights(
    args: argparse.Namespace, found: "SplitPredictions"
) -> tuple["SplitPredictions", "Metrics"]:
    """Fit on the network's own scores, write the checkpoint, and say what it did.

    Returns:
        What an evaluation of the new checkpoint, now ``args.weights``, would return.
    """
    from gesture3d import checkpoint
    from gesture3d.evaluation.calibration import calibrate, calibrated, effect, in_words
    from gesture3d.evaluation.metrics import compute_metrics

    target = args.weights if args.calibrate is True else args.calibrate
    calibration = calibrate(found, f"{found.data}, {args.split}")
    checkpoint.add_calibration(args.weights, calibration, target)
    print(f"{target}: {in_words(effect(found, calibration))}")
    args.weights = target
    predictions = calibrated(found, calibration)
    return predictions, compute_metrics(predictions)


def measure(args: argparse.Namespace, folder: Path) -> int:
    import json
    from dataclasses import asdict

    from gesture3d.evaluation.rejection import measure_rejection, rows
    from gesture3d.files import write_text

    found = measure_rejection(args.weights, args.unknown, args.split, args.set)
    print(f"{found.num_known} known samples ({args.split}), {found.num_unknown} unknown")
    for name, area, rejected in rows(found):
        print(f"  {name:<24} {area:>6}  {rejected:>20}")
    if found.kept is not None:
        print(
            f"  by the checkpoint's threshold {found.rejected:.1%} of the unknown are rejected, "
            f"{found.kept:.1%} of the known kept"
        )
    said = asdict(found) | {"weights": str(args.weights), "unknown": args.unknown}
    path = folder / "rejection.json"
    write_text(path, json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    run_command_line(main)
