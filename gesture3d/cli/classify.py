"""Classify clips, sequences of joints and recordings: tools/classify.py PATH… [--weights W].

With a network that was trained on streams: the gestures in long files, with their times.
A collection that takes hours, or machines: tools/classify.py --list LIST --out FOLDER.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from gesture3d.command_line import LONGEST_MESSAGE, run_command_line, seconds, share, whole
from gesture3d.errors import Gesture3dError
from gesture3d.text import one_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="video files, frame folders, files of joints, recordings, directories of them",
    )
    parser.add_argument("--weights", type=Path, help="a checkpoint (default: the shipped one)")
    parser.add_argument(
        "--top", type=whole(100_000), default=5, help="classes shown a clip, or written a row (5)"
    )
    parser.add_argument(
        "--out", help="also write predictions to this .csv or .json; of a collection: its folder"
    )
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
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        default="fp32",
        help="bf16: 1.4 times as many clips on processors that compute in it; scores move a little",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    add_collection(parser)
    args = parser.parse_args(argv)
    if args.list and args.precision != "fp32":
        parser.error("--list: in fp32 alone, as its results are the same on every machine")
    if args.list or args.status or args.merge:
        if args.paths or args.picture or not args.out:
            parser.error("--list, --status and --merge take --out FOLDER, no PATH and no --picture")
        if args.merge and args.merge.suffix.lower() not in (".csv", ".parquet"):
            parser.error(f"--merge {args.merge}: the name must end in .csv or .parquet")
        return args
    if not args.paths:
        parser.error("give files or directories, or --list and --out of a collection")
    args.out = args.out and Path(args.out)
    if args.picture and args.picture.suffix.lower() != ".png":
        parser.error(f"--picture {args.picture}: the name must end in .png")
    if args.out and args.out.suffix.lower() not in (".csv", ".json"):
        parser.error(f"--out {args.out}: the name must end in .csv or .json")
    return args


def add_collection(parser: argparse.ArgumentParser) -> None:
    """The options of collections."""
    group = parser.add_argument_group("collections, in blocks that are done once")
    group.add_argument(
        "--list", metavar="LIST", help="a .csv (column path), a .txt, a folder, a .tar; or s3://…"
    )
    group.add_argument("--jobs", type=whole(1024), help="workers (one a GPU; on a CPU one a core)")
    group.add_argument(
        "--shard", metavar="I/N", help="this part, from 0 (default: as Slurm or torchrun says)"
    )
    group.add_argument(
        "--ray", nargs="?", const="", metavar="ADDRESS", help="on a Ray cluster, or a local one"
    )
    group.add_argument("--block", type=whole(100_000), help="clips in a block (500, or fewer)")
    group.add_argument("--limit", type=seconds, default=120.0, help="seconds for decoding a clip")
    group.add_argument("--long", type=seconds, default=30.0, help="seconds: windows beyond (30)")
    group.add_argument("--window", type=seconds, default=4.0, help="seconds of a window (4)")
    group.add_argument("--readers", type=whole(256), help="decoding processes a worker")
    group.add_argument("--retry-errors", action="store_true", help="try failed clips again")
    group.add_argument("--status", action="store_true", help="how far it is, and nothing else")
    group.add_argument("--merge", type=Path, metavar="FILE", help="all results as .csv, .parquet")
    group.add_argument("--work", metavar="HASH", help="which results, where FOLDER has several")


def main() -> int:
    args = parse_args()
    if args.status or args.merge:
        return report(args)
    if args.list:
        return collection(args)
    from tqdm import tqdm

    from gesture3d.data.walk import Walk
    from gesture3d.files import check_writable
    from gesture3d.inference.classifier import READING_THREADS, Classifier
    from gesture3d.inference.output import check_drawable, draw, lines, write
    from gesture3d.inference.stream_files import classify_streams
    from gesture3d.machine import leave_cores

    how = {"compile": args.compile, "mirror": args.mirror, "reject": args.reject}
    classifier = Classifier(args.weights, args.device, precision=args.precision, **how)
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
            found = classify_streams(classifier, paths, progress=True)
        else:
            if len(paths) > 1 and classifier.device.type == "cpu":
                leave_cores(READING_THREADS)
            found = classifier.classify(paths, batch_size=args.batch_size)
        for result in tqdm(found, total=len(paths), unit="file", leave=False, disable=None):
            results.append(result)
            if result.error:
                problems.append(result.error)
                if not result.segments:  # of a stream they are what was found before
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


def collection(args: argparse.Namespace) -> int:
    """Classify what of a collection is not done yet."""
    from tqdm import tqdm

    from gesture3d.files import DEFAULT_WEIGHTS, resource
    from gesture3d.machine import num_cores
    from gesture3d.work import spread
    from gesture3d.work.blocks import Work
    from gesture3d.work.classify import How, inputs_of
    from gesture3d.work.manifest import open_manifest
    from gesture3d.work.merge import status
    from gesture3d.work.places import Store, as_place

    shard = spread.shard_of(args.shard)
    store = Store(as_place(args.out))
    weights = as_place(str(args.weights or resource("weights") / DEFAULT_WEIGHTS))
    data = inputs_of(weights)
    manifest = open_manifest(store, as_place(args.list), data.suffixes, data.is_input, args.block)
    places = ["auto"] if args.ray is not None else spread.devices(args.device, args.jobs)
    on_gpu = places[0].startswith("cuda") or (args.ray is not None and args.device == "cuda")
    readers = args.readers or (max(num_cores() // len(places), 1) if on_gpu else 1)
    how = How(
        manifest.base, weights, places[0], args.top, args.mirror, args.reject, args.batch_size,
        args.compile, readers, args.limit, args.long, args.window,
    )  # fmt: skip
    work = Work(store, manifest, how.said())
    work.begin()
    tasks = list(work.todo(shard, args.retry_errors))
    clips = sum(task.num_clips for task in tasks)
    job = spread.Job("gesture3d.work.classify", "open_worker", asdict(how))
    if args.ray is not None:
        done = spread.on_ray(job, tasks, args.ray, args.jobs, on_gpu)
    elif len(places) == 1:
        done = spread.in_this_process(job, tasks)
    else:
        done = spread.in_processes(job, tasks, places[: len(tasks)])
    failed, lost = 0, []
    with tqdm(total=clips, unit="clip", smoothing=0.05, disable=None) as bar:
        for one in done:
            bar.update(one.clips)
            failed += one.failed
            lost += filter(None, [one.lost])
    for line in lost:
        print(one_line(f"error: {line}", LONGEST_MESSAGE), file=sys.stderr)
    part = f"part {shard[0]} of {shard[1]}: " if shard[1] > 1 else ""
    print(f"{part}{clips:,} clips classified now, {failed:,} of them failed; {work.hash}")
    print(*status(work).lines(), sep="\n")
    return 1 if lost or failed else 0


def report(args: argparse.Namespace) -> int:
    """How far a collection is, or its results as one table."""
    from functools import partial

    from gesture3d.work.classify import header, table_rows
    from gesture3d.work.merge import only_work, status, write_table
    from gesture3d.work.places import Store, as_place

    work = only_work(Store(as_place(args.out)), args.work)
    if args.status:
        print(f"{work.hash}: {work.manifest.source.rpartition(' ')[0]}")
        print(*status(work).lines(), sep="\n")
        return 0
    top = work.said["top"]
    count = write_table(args.merge, work, header(top), partial(table_rows, top=top))
    print(f"{count:,} clips: {args.merge}")
    return 0


if __name__ == "__main__":
    run_command_line(main)
