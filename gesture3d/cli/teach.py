"""Gestures of your own from a few clips: tools/teach.py my_clips/ (a folder a gesture, 1–10 clips).

Finds the hands in each clip and compares new clips with these: seconds, and nothing is trained.
The result is a checkpoint like any other, for tools/classify.py and tools/evaluate.py. Says which
clips show no hand, which gestures are too alike, and how well clips recognise each other. Clips of
a test split (my_clips/test/<gesture>/ beside my_clips/train/, or data.test_groups of a CSV) are
recognised behind that.
"""

import argparse
from pathlib import Path

from gesture3d.command_line import (
    add_record,
    add_settings,
    as_typed,
    how_to_start,
    run_command_line,
    whole,
)
from gesture3d.errors import Gesture3dError
from gesture3d.text import one_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, help="a folder with a folder of clips for each gesture")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="(the folder's name and .safetensors, here)"
    )
    parser.add_argument(
        "--unknown",
        nargs="+",
        default=[],
        metavar="PATH",
        help="clips that must be refused, or folders or lists (.csv, .txt) of them",
    )
    parser.add_argument(
        "--draws",
        type=whole(100),
        default=1,
        help="with --set data.few_shot=N: so many choices of N clips, one after the other (1)",
    )
    add_record(parser)
    add_settings(parser, "change a setting of the data, e.g. data.mirrored_camera=true")
    return parser.parse_args(argv)


def main() -> int:
    args = parse_args()
    from gesture3d.config import load_data
    from gesture3d.data import read_index
    from gesture3d.files import check_writable
    from gesture3d.studies.record import row_of_teaching
    from gesture3d.studies.zoo import check_results, record
    from gesture3d.training.taught import advice, find_unknown, measure
    from gesture3d.training.teach import clips_of, save, teach

    out = args.out or Path(f"{args.clips.resolve().name}.safetensors")
    if not args.clips.is_dir():
        raise Gesture3dError(
            f"{args.clips}: no such folder; put clips into {args.clips}/<gesture>/"
        )
    check_writable(out)
    if args.record:
        check_results(args.record)
    settings = [f"data.root={args.clips}", "data.validation_share=0", *args.set]
    unknown = (
        find_unknown(args.unknown, load_data("hand_folder", settings)) if args.unknown else None
    )
    found = []
    for draw in range(args.draws):
        chosen = [f"data.subset_seed={draw}"] if args.draws > 1 else []
        data = load_data("hand_folder", [*settings, *chosen])
        index = read_index(data)
        tested = index.of("test")
        if args.record and not tested:
            raise Gesture3dError("--record: no test clips, see --help")
        clips, shares = clips_of(index, data.num_frames)
        taught = teach(clips)
        save(out, taught, clips, data, {"train": index.fingerprint("train")})
        if draw == 0:
            print(*map(one_line, advice(taught, clips, shares)), sep="\n")
        if tested or unknown:
            others = data.present(unknown).items if unknown else []
            found.append(measure(taught, tested, others, data.num_frames))
            print(found[-1].in_words())
    if args.record:
        parameters = sum(parameter.numel() for parameter in taught.model.parameters())
        row = row_of_teaching(found, parameters, args.set, as_typed("teach"))
        print(*record(args.record, [row]), sep="\n")
    use = how_to_start("classify", "CLIP", "--weights", out, "--reject", "0.9")
    print(f"written: {out}\nuse it: {use}")
    return 0


if __name__ == "__main__":
    run_command_line(main)
