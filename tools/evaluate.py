"""Evaluate a checkpoint: tools/evaluate.py --weights W [--split test] [--set data.root=…]."""

import argparse
from pathlib import Path

from gesture3d.command_line import run_command_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="a checkpoint")
    parser.add_argument("--split", choices=["train", "validation", "test"], default="test")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, e.g. data.root=… where the data has moved",
    )
    return parser.parse_args(argv)


def main() -> int:
    args = parse_args()
    from gesture3d.evaluation.evaluate import evaluate_checkpoint
    from gesture3d.evaluation.f1 import f1_scores

    predictions, metrics = evaluate_checkpoint(args.weights, args.split, args.set)
    weighted, macro = f1_scores(metrics.confusion_matrix)
    print(
        f"{args.weights}, {args.split}: {len(predictions.keys)} samples, "
        f"top-1 {metrics.top1:.2%}, top-5 {metrics.top5:.2%}, loss {metrics.loss:.4f}, "
        f"F1 weighted {weighted:.2%}, macro {macro:.2%}"
    )
    return 0


if __name__ == "__main__":
    run_command_line(main)
