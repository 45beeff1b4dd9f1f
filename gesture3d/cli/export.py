"""Export a trained network for other programs: tools/export.py --weights W --to onnx | torch | web.

The file holds the preprocessing, and in its metadata all that is needed to use it (class names,
input, thresholds …; gesture3d.export.read_onnx). It is run and compared with PyTorch on random and,
where the validation split or --inputs are there, on real samples, before it takes its place.
web: a folder with a page that watches the camera, of a causal network (a step model).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gesture3d.command_line import add_settings, run_command_line
from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    from gesture3d.export.write import Source

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "web": ""}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True, help="a checkpoint")
    parser.add_argument("--to", choices=SUFFIXES, required=True)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--clip", action="store_true", help="one clip or sequence → scores, any batch (default)"
    )
    kind.add_argument(
        "--step", action="store_true", help="the next frames and a state → scores and the state"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="(<weights>.onnx, <weights>-step.onnx, ….pt2 here)"
    )
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="PATH",
        help="onnxruntime-web for --to web: the .tgz of npm pack, or the package's folder "
        "(node_modules/onnxruntime-web)",
    )
    parser.add_argument(
        "--inputs",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="compare on these files too, of those that tools/classify.py takes",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="also write <out>-int8.onnx, and print what it loses on validation and gains",
    )
    add_settings(parser, "where the data has moved, e.g. data.root=…")
    args = parser.parse_args(argv)
    if args.int8 and args.to != "onnx":
        parser.error("--int8: only with --to onnx")
    is_web = args.to == "web"
    if args.runtime and not is_web:
        parser.error("--runtime: only with --to web")
    if is_web and (args.clip or not args.out):
        parser.error("--to web: give --out FOLDER, and no --clip, as the page goes step by step")
    if args.out and not is_web and args.out.suffix != SUFFIXES[args.to]:
        parser.error(f"--out {args.out}: the name must end in {SUFFIXES[args.to]}")
    ending = ("-step" if args.step else "") + SUFFIXES[args.to]
    args.out = args.out or Path(args.weights.stem + ending)
    return args


def main() -> int:
    args = parse_args()
    if args.to == "web":
        return web(args)
    from gesture3d.export.write import export, in_words, open_source
    from gesture3d.files import check_writable

    places = [args.out, args.out.with_name(f"{args.out.stem}-int8.onnx")][: 1 + args.int8]
    for place in places:
        if place.is_file():
            raise Gesture3dError(f"{place}: there already; remove it, or name another with --out")
        check_writable(place, [args.weights, *args.inputs])
    source = open_source(args.weights, step=args.step)
    samples = real_samples(args)
    exported = export(source, args.to, args.out, samples)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, {in_words(exported)}")
    if args.int8:
        quantise(args, source, places[1])
    return 0


def web(args: argparse.Namespace) -> int:
    from gesture3d.export.web import check_empty, instructions, write_web
    from gesture3d.export.write import in_words, open_source
    from gesture3d.files import check_writable

    check_empty(args.out)
    check_writable(args.out, [args.weights, *args.inputs], is_folder=True)
    source = open_source(args.weights, step=True)
    exported, has_runtime = write_web(source, args.out, real_samples(args), args.runtime)
    size = (args.out / "network.onnx").stat().st_size / 1e6
    print(f"{args.out}: the network has {size:.2f} MB, {in_words(exported)}")
    if not has_runtime:
        print(instructions(args.out).strip())
    print(f"python3 -m http.server 8000 --directory {args.out}    # then http://localhost:8000")
    return 0


def real_samples(args: argparse.Namespace) -> list:
    """Those of --inputs, or 16 of the validation split where its data lies here."""
    from gesture3d.export.samples import of_files, of_split

    if args.inputs:
        return of_files(args.weights, args.inputs)
    samples, problem = of_split(args.weights, "validation", 16, args.set)
    if problem:
        print(f"no real samples to compare on: {problem}")
    return samples


def quantise(args: argparse.Namespace, source: "Source", path: Path) -> None:
    from gesture3d.export.int8 import price, training_samples, write_int8

    samples = training_samples(args.weights, args.set) if source.spec.kind == "clips" else []
    write_int8(source.exported, args.out, path, samples)
    print(f"{path}: {price(args.weights, args.out, path, args.set)}")


if __name__ == "__main__":
    run_command_line(main)
