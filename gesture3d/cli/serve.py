"""A page in your browser that knows gestures and learns yours: tools/serve.py.

Watch a camera, teach gestures by making them, look through long videos, see what a network looks
at. Prints the page's address, and opens it. Nothing leaves this machine.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

from gesture3d.command_line import run_command_line
from gesture3d.errors import Gesture3dError

NEEDED = ("starlette", "uvicorn", "websockets")


def port(text: str) -> int:
    """The type of --port."""
    value = int(text[:20])
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{value}: must be from 0 to 65535")
    return value


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("data/my_gestures"),
        help="where your clips are kept, a folder a gesture (data/my_gestures)",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="trained networks (runs)")
    parser.add_argument("--port", type=port, default=8000, help="0: any that is free (8000)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="listen to other machines, too, e.g. 0.0.0.0 (127.0.0.1: this one alone)",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    return parser.parse_args(argv)


def main() -> None:
    args = parse_args()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Gesture3dError(
            f"the page needs {', '.join(missing)}: uv run --extra live tools/serve.py, or "
            "pip install 'gesture3d[live]'"
        )
    from gesture3d.files import check_writable
    from gesture3d.live.gate import LOOPBACK
    from gesture3d.live.server import serve

    check_writable(args.folder, is_folder=True)
    if args.host not in LOOPBACK:
        print(
            f"warning: with --host {args.host}, whoever is in this network and knows the address "
            "can see, record and delete your clips, take networks along, upload videos, and have "
            "this machine train; what is sent can be read on the way. Browsers give cameras to "
            "https and to localhost only, so from elsewhere the page has no camera.",
            file=sys.stderr,
        )
    serve(args.folder, args.runs, args.host, args.port, not args.no_browser)


if __name__ == "__main__":
    run_command_line(main)
