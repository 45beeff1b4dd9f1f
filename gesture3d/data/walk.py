"""Folders as people fill them: which files are clips, and what is left out.

One walk for all: it enters each real folder once, wherever links lead, passes over hidden files and
what systems leave behind, and goes on past a folder that cannot be read, which it names.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import cv2

from gesture3d.data.video.containers import examine
from gesture3d.data.video.frames import IMAGE_SUFFIXES, is_animated_webp
from gesture3d.data.video.reading import VIDEO_SUFFIXES
from gesture3d.errors import Gesture3dError
from gesture3d.text import one_line

# Beside all that begins with a dot (macOS: ._clip.mp4, .DS_Store).
LITTER = {
    *("__macosx", "@eadir", "lost+found", "system volume information", "$recycle.bin"),
    *("thumbs.db", "desktop.ini"),
}
# How files begin that may be videos, whatever their name ends in.
_VIDEO = re.compile(
    rb"....(?:ftyp(?!hei|mif|msf|avi)|moov|mdat|wide|free|skip)|RIFF....AVI |\x1aE\xdf\xa3|OggS|FLV"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11|GIF8|YUV4MPEG2|DKIF|nut/|\x06\x0e\x2b\x34|\x1f\x07\x00"
    rb"|\0\0\x01[\xb0\xb3\xba]|\0?\0\0\x01[\x09\x40\x42\x46\x67]|\x89PNG.{29,300}?acTL|G.{187}G"
    rb"|.{4}G.{191}G|\.RMF|[FC]WS[\x01-\x1f]",
    re.DOTALL,
)
# Pictures and sound of these kinds are named as what cannot be decoded, too.
_MEDIA = re.compile(rb"....ftyp|RIFF....WEBP", re.DOTALL)


class Walk:
    """What a walk has met so far.

    Attributes:
        problems: the folders that could not be read, each with the reason.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._left_out: Counter[tuple[str, bool]] = Counter()  # (suffix, begins like a clip)
        self._entered: set[str] = set()

    def has_entered(self, folder: Path) -> bool:
        """Whether the walk has been in this real folder."""
        return os.path.realpath(folder) in self._entered

    def enter(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """The files and folders in it, sorted; none where it was entered before."""
        real = os.path.realpath(folder)
        if real in self._entered:
            return [], []
        self._entered.add(real)
        try:
            with os.scandir(folder) as entries:
                names = sorted((e.name, _is_folder(e)) for e in entries if not is_litter(e.name))
        except OSError as error:
            self.problems.append(f"{folder}: cannot be read: {error.strerror or error}")
            return [], []
        paths = [(folder / name, is_folder) for name, is_folder in names]
        return [p for p, is_folder in paths if not is_folder], [p for p, it_is in paths if it_is]

    def files_below(self, folder: Path, suffixes: Collection[str]) -> list[Path]:
        """The files of these suffixes in a folder and all folders in it, sorted."""
        return sorted(self.clips_below(folder, suffixes))

    def report(self, progress: bool, go_on: bool = False) -> None:
        """Print what was left out.

        Args:
            go_on: print what could not be read, too, instead of raising Gesture3dError.
        """
        if self.problems and not go_on:
            first = "; ".join(self.problems[:3])
            raise Gesture3dError(f"{first}: make it readable, or move it away")
        for line in (*self.problems, self.left_out()):
            if progress and line:
                print(line)

    def clips_below(self, folder: Path, suffixes: Collection[str]) -> list[Path]:
        """The clips in a folder and all folders in it: files first, then folder by folder.

        A folder with frames, and without video files, is a clip where those of videos are among
        ``suffixes``.
        """
        videos = set(suffixes) >= VIDEO_SUFFIXES
        named = set(suffixes) - VIDEO_SUFFIXES if videos else set(suffixes)

        def is_wanted(path: Path) -> bool:
            return path.suffix.lower() in named or (videos and is_clip(path))

        clips, remaining = [], [folder]
        while remaining:
            folder = remaining.pop()
            files, folders = self.enter(folder)
            found, others = divided(files, is_wanted)
            if videos and not found and any(is_frame(f) for f in others):
                clips.append(folder)
                self.leave_out(f for f in others if not is_frame(f))
                continue
            clips += found
            self.leave_out(others)
            remaining += reversed(folders)
        return clips

    def leave_out(self, files: Iterable[Path]) -> None:
        """Count files that are no clips."""
        for path in files:
            suffix = path.suffix.lower()
            is_other = suffix not in VIDEO_SUFFIXES and _MEDIA.match(_head(path)) is not None
            self._left_out[suffix, is_other] += 1

    def left_out(self) -> str:
        """What was left out, on one line: ``left out: 3 .txt, 1 .heic (cannot be decoded)``."""
        kinds = [
            f"{count} {suffix or 'without a suffix'}{' (cannot be decoded)' if media else ''}"
            for (suffix, media), count in sorted(
                self._left_out.items(), key=lambda kind: (-kind[1], kind[0][1], kind[0][0])
            )
        ]
        return one_line(f"left out: {', '.join(kinds)}", 300) if kinds else ""


def divided(files: list[Path], is_wanted: Callable[[Path], bool]) -> tuple[list[Path], list[Path]]:
    """The files that are wanted, and the others."""
    wanted: list[Path] = []
    others: list[Path] = []
    for path in files:
        (wanted if is_wanted(path) else others).append(path)
    return wanted, others


def is_litter(name: str) -> bool:
    """Whether a name is hidden, or one that a system leaves behind."""
    return name.startswith(".") or name.casefold() in LITTER


def is_frame(path: Path) -> bool:
    """Whether a file is a picture, by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_clip(path: Path) -> bool:
    """Whether a file is a video: by its suffix, else where it begins like one and decodes."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return True
    if suffix in IMAGE_SUFFIXES:
        return is_animated_webp(path)
    if not _VIDEO.match(_head(path)):
        return False
    try:
        name = os.path.abspath(path)  # noqa: PTH100 (a name with a colon would be a URL)
        name.encode()
    except UnicodeEncodeError:
        return True  # which `open_video` explains
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG).grab() and examine(path).has_video


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe would never end
            return b""
        with path.open("rb") as file:
            return file.read(400)
    except OSError:
        return b""


def find_files(
    path: Path | str,
    suffixes: Collection[str] = VIDEO_SUFFIXES,
    walk: Walk | None = None,
    is_input: Callable[[Path], bool] = lambda path: True,
) -> list[Path]:
    """The files at a path: one, a folder of frames, or those in a directory and below.

    A file that is named itself is always taken; inside a directory, the suffix decides, and for
    videos of other suffixes the content. Folders of frames (and of no videos) are taken where
    ``suffixes`` are those of videos.

    Args:
        walk: collects what is left out and what cannot be read, over several calls; directories
            that it has been in are not entered again.
        is_input: whether a file of these suffixes is wanted.

    Raises:
        Gesture3dError: the path does not exist, or has no such files in it.
    """
    path, walk = Path(path), walk or Walk()
    if os.path.isfile(path):  # noqa: PTH113 (False, not an error, where a folder is closed)
        return [path]
    if not os.path.isdir(path):  # noqa: PTH112
        raise Gesture3dError(f"{path}: no such file or directory")
    if walk.has_entered(path):
        return []
    found = [file for file in walk.clips_below(path, suffixes) if is_input(file)]
    if not found:
        frames = "folders of frames" if set(suffixes) >= VIDEO_SUFFIXES else "folders of them"
        left_out = walk.left_out()
        raise Gesture3dError(
            f"{path}: nothing to read: neither files ({', '.join(sorted(suffixes))}) nor {frames}"
            f"{f'; {left_out}' if left_out else ''}"
        )
    return found
