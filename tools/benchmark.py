"""Measure speed against a reference: tools/benchmark.py residual_lstm."""

import argparse

from gesture3d.command_line import run_command_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    residual_lstm = what.add_parser(
        "residual_lstm", help="its cells against nn.LSTMs in turn, interleaved"
    )
    residual_lstm.add_argument("--repetitions", type=int, default=20, help="of every pair (20)")
    return parser.parse_args(argv)


def main() -> int:
    args = parse_args()
    if args.what == "residual_lstm":
        from gesture3d.benchmarks.residual_lstm import run

        run(args.repetitions)
    return 0


if __name__ == "__main__":
    run_command_line(main)
