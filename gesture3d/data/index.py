"""What a set of clips is before anything is decoded: keys, paths, labels, splits, classes."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gesture3d.errors import Gesture3dError


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip: a video file or a folder of frames.

    ``key`` is unique in its data set and never changes; ``label`` is the number of the class, -1
    where it is withheld; ``group`` (a performer, a scene) never spreads over splits;
    ``num_frames`` is how many frames the data set's list promises, if it does.
    """

    key: str
    path: Path
    label: int
    group: str | None = None
    num_frames: int | None = None


@dataclass(frozen=True)
class ClipIndex:
    """The clips of a data set by split: ``train``, ``validation`` and perhaps ``test``.

    ``mirror`` maps each class whose meaning changes in a mirror to the class that it becomes;
    None where the data set does not declare it, and then nothing may be flipped. ``reversal`` is
    the same for clips that are played backwards.
    """

    class_names: tuple[str, ...]
    splits: dict[str, list[Clip]] = field(repr=False)
    mirror: dict[str, str] | None = None
    reversal: dict[str, str] | None = None

    def all_clips(self) -> list[Clip]:
        """The clips of all splits."""
        return [clip for clips in self.splits.values() for clip in clips]

    def fingerprint(self, split: str) -> str:
        """A short hash of a split's keys and labels, whatever their order."""
        return fingerprint((c.key, self._name_of(c.label)) for c in self.splits[split])

    def _name_of(self, label: int) -> str:
        return self.class_names[label] if label >= 0 else "?"

    def with_real_paths(self) -> "ClipIndex":
        """The same clips, their folders without links and relative parts.

        Raises:
            Gesture3dError: two clips have one key, or are one file by two paths.
        """
        refuse_double_keys([clip.key for clip in self.all_clips()])
        real = RealPaths()
        files: dict[Path, str] = {}
        for clip in self.all_clips():
            other = files.setdefault(real.file(clip.path), clip.key)
            if other != clip.key:
                raise Gesture3dError(
                    f"the clips {other!r} and {clip.key!r} are one file, {real.file(clip.path)}: "
                    "leave one out (data.exclude)"
                )
        splits = {
            split: [replace(clip, path=real(clip.path)) for clip in clips]
            for split, clips in self.splits.items()
        }
        return replace(self, splits=splits)


def refuse_double_keys(keys: list[str]) -> None:
    """Raise Gesture3dError where two samples have one key."""
    if len(set(keys)) < len(keys):
        key = Counter(keys).most_common(1)[0][0]
        raise Gesture3dError(f"there are two samples with the key {key!r}: rename one")


class RealPaths:
    """``real(path)``: the path, its folders without links and relative parts, each looked up once.

    The last name stays as it is (a link may have another suffix than its file), and so does what
    lies behind a file (a name inside a zip file).
    """

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}

    def __call__(self, path: Path) -> Path:
        folder = path.parent
        if folder not in self._folders:
            is_folder = os.path.isdir(folder) or folder == path  # noqa: PTH112
            self._folders[folder] = Path(os.path.realpath(folder)) if is_folder else self(folder)
        return self._folders[folder] / path.name

    def file(self, path: Path) -> Path:
        """The file itself, where the path is a link."""
        path = self(path)
        return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114


def fingerprint(rows: Iterable[tuple]) -> str:
    """16 hexadecimal digits that depend on the rows' contents and not on their order."""
    lines = sorted("\x1f".join(map(str, row)) for row in rows)
    return hashlib.blake2b(
        "\n".join(lines).encode(errors="surrogateescape"), digest_size=8
    ).hexdigest()
