"""Watch a camera, an address or a file: tools/watch.py 0 | rtsp://… | clip.mp4 [--weights W].

Prints events as they are decided, at the source's pace; frames that come while others are looked at
are dropped, and counted. A source that fails is opened again. Ctrl-C (or kill) ends it.
"""

import argparse
import signal
import sys
from pathlib import Path

from gesture3d.command_line import run_command_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="the number of a camera, an address, a video file")
    parser.add_argument(
        "--weights",
        type=Path,
        help="a causal network, trained on streams (default: the one that comes with gesture3d)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="CSV", help="also write the events to this file"
    )
    parser.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="the camera mirrors: turn its picture back (default: as in training)",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    return parser.parse_args(argv)


def main() -> int:
    args = parse_args()
    from gesture3d.events import write_events
    from gesture3d.files import STREAM_WEIGHTS, check_writable, resource
    from gesture3d.inference.classifier import Classifier
    from gesture3d.inference.output import event_line
    from gesture3d.inference.stream import Stream
    from gesture3d.inference.watching import Source

    if args.out:
        check_writable(args.out)
    weights = args.weights or resource("weights") / STREAM_WEIGHTS
    stream = Stream(Classifier(weights, args.device, mirror=args.mirror))
    source, events = Source(args.source, say=say), []
    say(f"watching {args.source}; Ctrl-C ends it")

    def keep() -> None:
        if args.out:
            write_events(args.out, {args.source: events})

    otherwise = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for frame, seconds in source.frames():
            for event in stream.push(frame, seconds):
                print(event_line(event), flush=True)
            if ended := stream.take_ended():
                events += ended
                keep()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, otherwise)
        events += stream.close()
        keep()
        counts = source.counts
        say(
            f"{len(events)} events; {counts.read} frames read, {counts.dropped} dropped"
            + (f", opened again {counts.reopened} times" if counts.reopened else "")
        )
    return 0


def say(text: str) -> None:
    """What is no event."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_command_line(main)
