"""Late fusion of predictions: tools/fuse.py A.csv B.csv … [--rule mean|product|weights].

The files are predictions.csv of tools/evaluate.py, of the same split of the same samples, in any
modality. Prints the accuracy of each stream and of the fusion, and what each stream adds.
"""

import argparse
from pathlib import Path

from gesture3d.command_line import run_command_line
from gesture3d.text import one_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="CSV", help="one a stream")
    parser.add_argument(
        "--rule",
        choices=["mean", "product", "weights"],
        help="mean of the probabilities; product of them; or weights, a product of powers, which "
        "needs --weights-from (mean, or weights with --weights-from)",
    )
    parser.add_argument(
        "--weights-from",
        type=Path,
        nargs="+",
        metavar="CSV",
        help="the streams' predictions of the validation split, in the same order, to fit the "
        "weights on",
    )
    parser.add_argument(
        "--common", action="store_true", help="fuse the samples that all files have"
    )
    parser.add_argument("--out", type=Path, metavar="CSV", help="write the fused predictions")
    args = parser.parse_args(argv)
    args.rule = args.rule or ("weights" if args.weights_from else "mean")
    if (args.rule == "weights") != bool(args.weights_from):
        parser.error("--rule weights and --weights-from belong together")
    return args


def main() -> int:
    args = parse_args()
    from gesture3d.evaluation.fuse import Stream, align, check_fitting, contributions, fuse
    from gesture3d.evaluation.predictions import read_predictions, write_predictions
    from gesture3d.files import check_writable

    def read(paths: list[Path]) -> list[Stream]:
        return [Stream(str(path), read_predictions(path)) for path in paths]

    if args.out:
        check_writable(args.out, [*args.files, *(args.weights_from or [])])
    streams = align(read(args.files), common=args.common)
    fitting = None
    if args.weights_from:
        fitting = read(args.weights_from)
        check_fitting(streams, fitting)
        fitting = align(fitting, common=args.common)
    fusion = fuse(streams, args.rule, fitting)
    if args.out:
        write_predictions(args.out, fusion.predictions)
    if (fusion.predictions.labels >= 0).any():
        show(streams, fusion, contributions(streams, fusion, args.rule, fitting), args.rule)
    else:
        print(f"{len(fusion.predictions.keys)} samples without labels: fused, nothing to score")
    if args.out:
        print(f"written: {args.out}")
    return 0


def show(streams: list, fusion, contributions: list, rule: str) -> None:
    """Print a row a stream, and the fusion."""
    from gesture3d.evaluation.bootstrap import top1_interval

    known = fusion.predictions.labels >= 0
    correct = fusion.predictions.correct[known]
    low, high = top1_interval(correct)
    weights = ["–"] * len(streams) if fusion.weights is None else fusion.weights
    rows = [("stream", "weight", "top-1", "without it", "it adds (points, 95 % interval, p)")]
    for stream, weight, c in zip(streams, weights, contributions, strict=True):
        low_, high_ = 100 * c.added.low, 100 * c.added.high
        added = (
            f"{100 * c.added.difference:+.1f} ({low_:+.1f} to {high_:+.1f}, {c.added.p_value:.2g})"
        )
        shown = weight if isinstance(weight, str) else f"{weight:.3f}"
        rows.append((one_line(stream.source), shown, f"{c.alone:.1%}", f"{c.without:.1%}", added))
    rows.append(
        ("fusion", "", f"{correct.mean():.1%}", "", f"95 % interval {low:.1%} to {high:.1%}")
    )
    print(f"{known.sum()} samples of the {fusion.predictions.split} split, rule: {rule}")
    width = max(len(row[0]) for row in rows)
    for name, weight, alone, without, added in rows:
        print(f"{name:<{width}}  {weight:>6}  {alone:>6}  {without:>10}  {added}")


if __name__ == "__main__":
    run_command_line(main)
