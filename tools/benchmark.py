"""Measure speed against a reference: tools/benchmark.py deepgru."""

import argparse

from gesture3d.command_line import run_command_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    deepgru = what.add_parser("deepgru", help="DeepGRU against the official form, interleaved")
    deepgru.add_argument("--batches", type=int, default=4, help="of 64 sequences, a pass (4)")
    return parser.parse_args(argv)


def main() -> int:
    args = parse_args()
    if args.what == "deepgru":
        from gesture3d.benchmarks.deepgru import run

        run(args.batches)
    return 0


if __name__ == "__main__":
    run_command_line(main)
