"""Evaluate a checkpoint: tools/evaluate.py --weights W [--split test] [--data NAME].

Writes the scores of every sample (predictions.csv, which tools/fuse.py fuses), metrics.json,
report.md with a table of the classes, and the confusion matrix. Under torchrun the processes
share the work. With --corruptions it is measured how much cameras harm instead: light, lens,
motion, time, each at five strengths (corruptions.csv, .json, .png).
"""

import argparse
from pathlib import Path

from gesture3d.command_line import add_record, add_settings, as_typed, run_command_line, whole
from gesture3d.errors import Gesture3dError
from gesture3d.machine import is_main_process


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True, help="a checkpoint")
    parser.add_argument(
        "--split", choices=["train", "validation", "test"], default="test", help="(test)"
    )
    parser.add_argument(
        "--data",
        help="another data set with the same classes: a file, or a name in configs/data/ "
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
    add_record(parser)
    args = parser.parse_args(argv)
    if args.limit and (args.corruptions is None or args.record):
        parser.error("--limit: only with --corruptions, and not with --record")
    for name, value in (("eval_clips", args.clips), ("eval_crops", args.crops)):
        args.set += [] if value is None else [f"data.{name}={value}"]
    return args


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
    if args.record:
        check_results(args.record)
    if args.corruptions is None:
        predictions, metrics = evaluate_checkpoint(args.weights, args.split, args.set, args.data)
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


if __name__ == "__main__":
    run_command_line(main)
