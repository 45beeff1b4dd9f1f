"""What a set of clips is before anything is decoded: keys, paths, labels, splits, classes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


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


def fingerprint(rows: Iterable[tuple]) -> str:
    """16 hexadecimal digits that depend on the rows' contents and not on their order."""
    lines = sorted("\x1f".join(map(str, row)) for row in rows)
    return hashlib.blake2b(
        "\n".join(lines).encode(errors="surrogateescape"), digest_size=8
    ).hexdigest()
