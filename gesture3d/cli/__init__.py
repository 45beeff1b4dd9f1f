"""The command-line tools, a file each: ``gesture3d TOOL`` and ``tools/TOOL.py`` both end here."""

import importlib
import sys

from gesture3d.command_line import run_command_line
from gesture3d.errors import Gesture3dError, did_you_mean

TOOLS = {  # in the order in which one meets them
    "classify": "name the gestures in clips, sequences of joints or recordings",
    "watch": "name gestures as they are made: camera, network stream or file",
    "serve": "a page in the browser: watch, teach by making gestures, look through videos",
    "teach": "gestures of your own from a few clips, without training",
    "train": "train a network, or go on with an interrupted training",
    "evaluate": "measure a trained network on a split",
    "explain": "see what a video network looks at",
    "ablate": "train networks × data sets × seeds and compare them in one table",
    "fuse": "combine the predictions of several streams",
    "export": "write a network for other programs, proven equal: ONNX, torch.export",
    "prepare": "check, cache, compute optical flow, find hands, fetch",
    "benchmark": "measure speed, count cost",
}
HELP = f"""Try first:  gesture3d classify clip.mp4

usage: gesture3d TOOL [options]

{chr(10).join(f"  {name:10} {meaning}" for name, meaning in TOOLS.items())}

gesture3d TOOL --help lists a tool's options."""


def run(name: str) -> None:
    """Run a tool on the command line's arguments, and exit.

    As if its file had been started, which is how processes beside this one are.
    """
    tool = importlib.import_module(f"gesture3d.cli.{name}")
    sys.argv[0] = tool.__file__
    run_command_line(tool.main)


def main() -> None:
    """``gesture3d TOOL …``."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(HELP)
        return
    if name not in TOOLS:
        run_command_line(lambda: _refuse(name))
    del sys.argv[1]
    run(name)


def _refuse(name: str) -> None:
    hint = did_you_mean(name, TOOLS)
    raise Gesture3dError(f"no tool {name!r}; there are {', '.join(TOOLS)}.{hint}")
