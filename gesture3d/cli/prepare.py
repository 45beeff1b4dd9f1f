"""Prepare data: tools/prepare.py check | cache | flow | joints --data jester, or fetch NAME."""

import argparse
import contextlib
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gesture3d.command_line import add_settings, run_command_line, whole
from gesture3d.errors import Gesture3dError
from gesture3d.text import one_line

if TYPE_CHECKING:
    from gesture3d.data.index import Index


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (
        ("check", "decode every clip once; write a manifest and a list of bad clips"),
        ("cache", "decode every clip once into one file that training reads (data.cache_size)"),
        ("flow", "compute the optical flow of every clip"),
        ("joints", "find the hands in every clip, and say in which there are none"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument("--data", required=True, help="a data recipe, as of tools/train.py")
        add_settings(command, "change any setting")
        about = "processes (default: one per core)"
        command.add_argument("--jobs", "--workers", dest="workers", type=whole(256), help=about)
        command.add_argument("--shard", metavar="I/N", help="only this part of the clips, from 0")
        about = "parts of the clips on a Ray cluster, or a local one; then what is missing, here"
        command.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help=about)
        command.add_argument("--quiet", action="store_true", help="no progress bars")
        if name == "check":
            backends = ["auto", "opencv", "decord", "torchcodec"]
            command.add_argument("--backend", choices=backends, default="auto")
            command.add_argument("--fresh", action="store_true", help="check everything again")
        if name == "flow":
            command.add_argument(
                "--short-side",
                type=whole(1024),
                default=120,
                help="pixels of larger clips' flow (120)",
            )
        if name == "joints":
            command.add_argument("--size", choices=["lite", "full"], default="lite")
            command.add_argument("--out", type=Path, help="folder (default: beside the clips)")
            command.add_argument("--draw", type=whole(200), default=0, help="clips in a picture")
    about = "download a public data set, or the networks that find hands"
    command = commands.add_parser("fetch", help=about, description=about)
    command.add_argument("name", help="for example utd_mhad or hands; any other name lists all")
    command.add_argument("--to", type=Path, help="folder (default: data/NAME)")
    command.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FILE",
        help="of hands: take them from the npm package @mediapipe/hands, a MediaPipe wheel, a "
        ".task bundle, .tflite files, or a folder with any of their contents",
    )
    command.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(argv)
    if getattr(args, "workers", None) is not None and args.workers < 1:
        parser.error("--workers must be at least 1")
    if getattr(args, "short_side", 8) < 8:
        parser.error("--short-side must be at least 8")
    return args


def main() -> int:
    args = parse_args()
    if args.command != "fetch":
        from gesture3d.work.spread import shard_of

        args.shard = shard_of(args.shard)
        if args.ray is not None:
            parts_on_ray(args)
    return COMMANDS[args.command](args)


CLIPS_A_PART, MOST_PARTS = 500, 1000  # on Ray


@dataclass(frozen=True)
class Part:
    """One shard, as a task that is handed out."""

    block: int
    count: int

    def question(self) -> list[int]:
        return [self.block, self.count]

    def finish(self, code: int, started: float, ended: float) -> tuple[int, int]:
        return 1, int(code != 0)


def parts_on_ray(args: argparse.Namespace) -> None:
    """Do the command part by part in a cluster, whose machines share the data set's folder.

    Raises:
        Gesture3dError: a part was lost; those that are done stay done.
    """
    from tqdm import tqdm

    from gesture3d.work import spread

    clips = len(read_clips(args).items)
    count = min(max(-(-clips // CLIPS_A_PART), 1), MOST_PARTS)
    how = vars(args) | {"workers": 1, "quiet": True, "here": str(Path.cwd())}
    how |= {"out": str(args.out) if getattr(args, "out", None) else None}
    job = spread.Job("gesture3d.cli.prepare", "open_worker", how)
    done = spread.on_ray(job, (Part(number, count) for number in range(count)), args.ray)
    lost = [one.lost for one in tqdm(done, total=count, unit="part", disable=None) if one.lost]
    if lost:
        raise Gesture3dError(f"{len(lost)} of {count} parts were lost: {lost[0]}")


def open_worker(how: dict[str, Any]) -> Callable[[list[int]], int]:
    """In the cluster: what does a part, to its exit code."""
    os.chdir(how["here"])
    out = Path(how["out"]) if how["out"] else None

    def work(shard: list[int]) -> int:
        args = argparse.Namespace(**how | {"shard": tuple(shard), "out": out})
        with contextlib.redirect_stdout(io.StringIO()):
            return COMMANDS[args.command](args)

    return work


def in_part(args: argparse.Namespace, broken: Iterable[str]) -> int:
    """What is printed at the end of a shard; the tables are left to the command without it."""
    broken = list(broken)
    for reason in broken:
        print(one_line(f"bad: {reason}"))
    index, count = args.shard
    print(f"part {index} of {count}; when all are done, the same without --shard ends it")
    return 1 if broken else 0


def check(args: argparse.Namespace) -> int:
    from gesture3d.data.video.prepared.doctor import check_data
    from gesture3d.data.video.prepared.manifest import bad_list_path
    from gesture3d.data.video.prepared.places import manifest_path
    from gesture3d.files import check_writable

    config = data_config(args)
    check_writable(manifest_path(config))
    manifest, found = check_data(
        config,
        args.workers,
        not args.quiet,
        backend=args.backend,
        fresh=args.fresh,
        shard=args.shard,
    )
    if args.shard[1] > 1:
        return in_part(args, (f"{record.path}: {record.reason}" for record in found.bad))
    for record in found.bad[:20]:
        print(one_line(f"bad: {record.path}: {record.reason}"))
    for group in found.duplicates[:20]:
        print(one_line("same content: " + ", ".join(f"{r.path} ({r.split})" for r in group)))
    frames = sum(record.num_frames for record in found.records)
    print(
        f"{len(found.records)} clips, {frames} frames ({found.num_reused} clips unchanged since an "
        f"earlier check); {len(found.bad)} bad, {len(found.duplicates)} contents in more than one "
        f"split; manifest: {manifest}"
    )
    if found.bad:
        print(f"all bad clips: {bad_list_path(manifest)} (fit for data.exclude_list)")
    return 1 if found.bad else 0


def cache(args: argparse.Namespace) -> int:
    from gesture3d.data import read_index
    from gesture3d.data.video.prepared.open import build_cache, refuse_bad_clips
    from gesture3d.data.video.prepared.places import prepared_folder
    from gesture3d.files import check_writable

    config = data_config(args)
    if config.cache_size is None:
        raise Gesture3dError(
            "data.cache_size is null in this recipe: say how many pixels high cached frames are, "
            "for example --set data.cache_size=128"
        )
    check_writable(prepared_folder(config), is_folder=True)
    index, _ = refuse_bad_clips(read_index(config, not args.quiet), config, not args.quiet)
    cached = build_cache(index, config, not args.quiet, args.workers, args.shard)
    size = sum(path.stat().st_size for path in cached.paths)
    print(f"{len(cached)} clips, {size / 1e6:.0f} MB: {', '.join(map(str, cached.paths))}")
    for reason in cached.broken.values():
        print(one_line(f"left out: {reason}"))
    return 0


def flow(args: argparse.Namespace) -> int:
    from gesture3d.data.video.prepared.flow import prepare_flow
    from gesture3d.data.video.prepared.places import flow_folder
    from gesture3d.files import check_writable

    config = data_config(args).model_copy(update={"modality": "rgb", "channels": None})
    folder = flow_folder(config)
    check_writable(folder, is_folder=True)
    index = read_clips(args)
    broken = prepare_flow(
        index,
        folder,
        short_side=args.short_side,
        num_workers=args.workers,
        progress=not args.quiet,
        rules=config.frame_rules,
    )
    if args.shard[1] > 1:
        return in_part(args, broken.values())
    for reason in broken.values():
        print(one_line(f"bad: {reason}"))
    print(f"optical flow of {len(index.items) - len(broken)} clips: {folder}")
    return 1 if broken else 0


def joints(args: argparse.Namespace) -> int:
    from gesture3d.data.video.prepared.joints import draw_clips, kept_joints, what_is_seen
    from gesture3d.data.video.prepared.places import joints_folder
    from gesture3d.files import check_writable
    from gesture3d.hands.weights import find_weights

    find_weights(f"hand_landmark_{args.size}")
    config = data_config(args).model_copy(update={"modality": "rgb", "channels": None})
    folder = args.out or joints_folder(config)
    check_writable(folder, is_folder=True)
    index = read_clips(args)
    kept = kept_joints(folder, args.size, config.frame_rules)
    broken = kept.complete(index, args.workers, not args.quiet)
    if args.shard[1] > 1:
        return in_part(args, broken.values())
    rows = what_is_seen(index, kept)
    for name in index.class_names:
        of_class = [row for row in rows if row.label == name]
        if of_class:
            share = sum(row.either for row in of_class) / sum(row.frames for row in of_class)
            print(
                one_line(f"{share:4.0%} of the frames with a hand: {name}, {len(of_class)} clips")
            )
    without = [row.key for row in rows if not row.either]
    for key in without[:20]:
        print(one_line(f"no hand: {key}"))
    for reason in broken.values():
        print(one_line(f"bad: {reason}"))
    frames, either = sum(row.frames for row in rows), sum(row.either for row in rows)
    print(
        f"hands of {len(rows)} clips, in {either / max(frames, 1):.1%} of {frames:,} frames; "
        f"{len(without)} clips without any: {folder / 'hands.csv'}"
    )
    if args.draw and rows:
        print(f"drawn: {draw_clips(index, kept, args.draw, config.frame_rules)}")
    return 1 if broken else 0


def fetch(args: argparse.Namespace) -> int:
    from gesture3d.data.fetch import fetch
    from gesture3d.files import check_writable
    from gesture3d.hands.weights import unpack_weights, weights_folder

    of_hands = args.name == "hands"
    if args.source and not of_hands:
        raise Gesture3dError(f"--from {args.source}: only hands are taken from a file")
    folder = args.to or (weights_folder() if of_hands else Path("data") / args.name)
    check_writable(folder, is_folder=True)
    if args.source:
        paths = unpack_weights(args.source, folder)
    else:
        paths = fetch(args.name, folder, progress=not args.quiet)
    for path in paths:
        print(path)
    return 0


def read_clips(args: argparse.Namespace) -> "Index":
    """The clips of a recipe as they were filmed, or a shard of them."""
    from gesture3d.data import read_index

    config = data_config(args).model_copy(update={"modality": "rgb", "channels": None})
    index = read_index(config, not args.quiet)
    return replace(index, items=index.items[args.shard[0] :: args.shard[1]])


def data_config(args: argparse.Namespace):
    """The data section of a recipe; it must describe clips."""
    from gesture3d.config import load_data

    config = load_data(args.data, args.set)
    if config.kind != "clips":
        raise Gesture3dError(f"--data {args.data}: only sets of clips are prepared")
    return config


COMMANDS = {"check": check, "cache": cache, "flow": flow, "joints": joints, "fetch": fetch}

if __name__ == "__main__":
    run_command_line(main)
