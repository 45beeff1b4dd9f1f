"""Fragments of mp4 (``moof``): their tables must account for the bytes that lie beside them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gesture3d.data.video.containers.contents import Damaged, num_leading
from gesture3d.data.video.containers.mp4_boxes import all_boxes, boxes, first_box, number

_OPTIONAL = (0x1, 0x4)  # fields before the rows of a run: where its data is, the first one's flags
_DURATIONS, _SIZES, _FLAGS, _OFFSETS = _COLUMNS = (0x100, 0x200, 0x400, 0x800)  # of a run


def samples_in_fragments(
    index: bytes, fragments: list[bytes], track: int, indexed: int, media: int
) -> tuple[int, int]:
    """How many samples of a track there are in all fragments, and `num_leading` of the first.

    Args:
        indexed: bytes of the samples of all tracks that lie in no fragment.
        media: bytes in all ``mdat``.

    Raises:
        Damaged: boxes that do not fill what they are in, a fragment left out, and bytes that no
            sample is made of: more than padding, the table of some of them is not found.
    """
    numbers = [number(first_box(fragment, b"mfhd"), 4) for fragment in fragments]
    if any(b - a > 1 for a, b in itertools.pairwise(numbers)):
        raise Damaged("damaged: a fragment of it is missing")
    defaults = {number(b, 4): b for b in boxes(first_box(index, b"mvex"), b"trex")}
    runs = [run for fragment in fragments for run in _runs(fragment, defaults)]
    if (media - indexed - sum(run.num_bytes for run in runs)) * 16 * len(fragments) > media:
        raise Damaged("damaged: frames of it are in no table of its fragments")
    wanted = [run for run in runs if run.track == track]
    return sum(run.count for run in wanted), num_leading(wanted[0].times()) if wanted else 0


def bytes_of_segments(table: bytes) -> int:
    """How many bytes of fragments lie behind a table of them (content of a ``sidx``)."""
    at, width = (20, 8) if table[:1] == b"\1" else (16, 4)
    rows = at + width + 4
    end = rows + 12 * number(table, rows - 2, 2)
    sizes = (number(table, row) & 0x7FFFFFFF for row in range(rows, min(end, len(table)), 12))
    return number(table, at, width) + sum(sizes)


@dataclass(frozen=True)
class _Run:
    """Samples one behind another.

    Attributes:
        rows: (count, columns) what the run says of each; ``columns`` are the flags of these.
        duration, size: of each sample, where the run does not say it.
    """

    track: int
    count: int
    rows: np.ndarray
    columns: list[int]
    duration: int
    size: int

    @property
    def num_bytes(self) -> int:
        sizes = self._column(_SIZES)
        return self.count * self.size if sizes is None else int(sizes.sum())

    def times(self) -> list[int]:
        """When each of the first samples is shown, from when the first one is decoded."""
        durations, offsets = self._column(_DURATIONS), self._column(_OFFSETS)
        steps = [self.duration] * min(self.count, 100) if durations is None else durations[:100]
        decoded = [0, *itertools.accumulate(int(step) for step in steps[:-1])]
        if offsets is None:
            return decoded
        offsets = offsets.astype(np.uint32).astype(np.int32).tolist()
        return [time + offset for time, offset in zip(decoded, offsets, strict=False)]

    def _column(self, flag: int) -> np.ndarray | None:
        if flag not in self.columns:
            return None
        return self.rows[:, self.columns.index(flag)].astype(np.int64)


def _runs(fragment: bytes, defaults: dict[int, bytes]) -> Iterator[_Run]:
    """The runs of all tracks; ``defaults``: content of each track's ``trex``."""
    for name, part in all_boxes(fragment, "moof"):
        if name != b"traf":
            continue
        inside = list(all_boxes(part, "traf"))
        header = next((content for found, content in inside if found == b"tfhd"), b"")
        flags, track = number(header, 0), number(header, 4)
        at = 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
        default = defaults.get(track, b"")
        duration = number(header, at) if flags & 8 else number(default, 12)
        at += 4 if flags & 8 else 0
        size = number(header, at) if flags & 0x10 else number(default, 16)
        for found, content in inside:
            if found == b"trun":
                rows, columns = _table(content)
                yield _Run(track, number(content, 4), rows, columns, duration, size)


def _table(run: bytes) -> tuple[np.ndarray, list[int]]:
    """The rows of a run, and its columns."""
    flags, count = number(run, 0), number(run, 4)
    begin = 8 + 4 * sum(flags & field > 0 for field in _OPTIONAL)
    columns = [column for column in _COLUMNS if flags & column]
    if len(run) != begin + 4 * count * len(columns):
        raise Damaged("damaged: a table of its fragments is not as long as it says")
    return np.frombuffer(run[begin:], ">u4").reshape(-1, max(len(columns), 1)), columns
