"""Evaluate a checkpoint: tools/evaluate.py --weights W [--split test] [--data NAME].

Writes the scores of every sample (predictions.csv, which tools/fuse.py fuses), metrics.json,
report.md with a table of the classes, and the confusion matrix. Under torchrun the processes
share the work.
"""

import argparse
from pathlib import Path

from gesture3d.command_line import add_record, add_settings, as_typed, run_command_line
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
    add_record(parser)
    args = parser.parse_args(argv)
    for name, value in (("eval_clips", args.clips), ("eval_crops", args.crops)):
        args.set += [] if value is None else [f"data.{name}={value}"]
    return args


def main() -> int:
    args = parse_args()
    from gesture3d.evaluation.evaluate import (
        changed_inputs,
        evaluate_checkpoint,
        evaluated_experiment,
    )
    from gesture3d.evaluation.report import evaluation_folder, summary, write_evaluation
    from gesture3d.files import check_writable
    from gesture3d.studies.record import row_of_evaluation
    from gesture3d.studies.zoo import check_results, record

    experiment = evaluated_experiment(args.weights, args.set, args.data)
    changes = changed_inputs(args.weights, args.set, args.data)
    folder = args.out or evaluation_folder(args.weights, args.split, args.data, changes)
    if (folder / "experiment.yaml").is_file():
        raise Gesture3dError(f"--out {folder}: a run's folder, whose report.md would be lost")
    check_writable(folder, is_folder=True)
    if args.record:
        check_results(args.record)
    predictions, metrics = evaluate_checkpoint(args.weights, args.split, args.set, args.data)
    if not is_main_process():
        return 0
    write_evaluation(folder, args.weights, experiment, predictions, metrics)
    print(f"{args.weights}: {predictions.data}, {args.split}")
    print(summary(predictions, metrics))
    print(f"written: {folder}")
    if args.record:
        row = row_of_evaluation(
            args.weights, experiment, predictions, args.data, as_typed("evaluate")
        )
        print(*record(args.record, [row]), sep="\n")
    return 0


if __name__ == "__main__":
    run_command_line(main)
