"""mp4, mov, 3gp: boxes (ISO/IEC 14496-12), with one index (``moov``) or in fragments (``moof``)."""

from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np

from gesture3d.data.video.containers.contents import Contents, Damaged, breaks_off, cut_off
from gesture3d.data.video.containers.mp4_boxes import (
    all_boxes,
    boxes,
    duration,
    first_box,
    number,
    time_scale,
)
from gesture3d.data.video.containers.mp4_edits import Edits
from gesture3d.data.video.containers.mp4_fragments import bytes_of_segments, samples_in_fragments

_LARGEST_INDEX = 256 << 20
_FRAMES = {b"mdat", b"moof", b"moov", b"sidx"}  # what a whole file may not lack a part of
_OF_FRAGMENTS = (b"moof", b"traf", b"trun", b"mfra")


def walk(file: BinaryIO, size: int) -> Contents:
    """Count the samples of the first video, in the index and in all fragments."""
    index, fragments, media, at, promised = b"", [], 0, 0, 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        length, skip, name = int.from_bytes(head[:4]), 8, head[4:8]
        if length == 1:
            length, skip = int.from_bytes(head[8:]), 16
        if length == 0:
            length = size - at
        if length < skip or at + length > size:
            if index and name not in _FRAMES:
                _check_appended(file, at, index)
                break
            raise (
                cut_off(size, at + length) if name in _FRAMES and length >= skip else breaks_off(at)
            )
        if name in (b"moov", b"moof", b"sidx"):
            if length > _LARGEST_INDEX:
                raise breaks_off(at)
            file.seek(at + skip)
            content = file.read(length - skip)
            if name == b"moov":
                index = index or content
            elif name == b"moof":
                fragments.append(content)
            else:
                promised = max(promised, at + length + bytes_of_segments(content))
        media += length - skip if name == b"mdat" else 0
        at += length
    if promised > size:
        raise cut_off(size, promised)
    if not index:
        raise Damaged("no video can be opened in it: it has no index (moov): cut off or damaged")
    track = _first_video(index)
    if track is None:
        return Contents("mp4", 0, has_video=False)
    total, leading = track.num_samples, 0
    if fragments:
        tables = [first_box(t, b"mdia", b"minf", b"stbl") for t in boxes(index, b"trak")]
        indexed = sum(_Table(dict(all_boxes(table))).num_bytes() for table in tables)
        more, leading = samples_in_fragments(index, fragments, track.number, indexed, media)
        total += more
    _check_chunks(track.table, size)
    shown = track.edits.shown() if total == track.num_samples else None
    if shown is not None and shown != total:
        track.edits.check()
        return Contents("mp4", shown, may_lack=len(track.edits.shown_rows), has_edits=True)
    return Contents("mp4", total, may_lack=track.edits.leading() if track.num_samples else leading)


def _check_appended(file: BinaryIO, at: int, index: bytes) -> None:
    """Raise Damaged where what lies behind the boxes of a fragmented file was boxes, too."""
    if first_box(index, b"mvex"):
        file.seek(at)
        rest = file.read(_LARGEST_INDEX)
        if any(name in rest for name in _OF_FRAGMENTS):
            raise breaks_off(at)


@dataclass(frozen=True)
class _Table:
    """The sample table of a track (``stbl``); its boxes are without their headers."""

    boxes: dict[bytes, bytes]

    @property
    def num_samples(self) -> int:
        return number(self.boxes.get(b"stsz") or self.boxes.get(b"stz2") or b"", 8)

    def sizes(self) -> np.ndarray:
        box = self.boxes.get(b"stsz", b"")
        if number(box, 4):
            return np.broadcast_to(np.int64(number(box, 4)), self.num_samples)
        return np.frombuffer(box[12 : 12 + len(box[12:]) // 4 * 4], ">u4")

    def num_bytes(self) -> int:
        each = number(self.boxes.get(b"stsz", b""), 4)
        return each * self.num_samples if each else int(self.sizes().sum(dtype=np.int64))

    def runs(self, name: bytes, values: str) -> np.ndarray | None:
        """The values of a table of (how often, value) rows; None where they are not as many."""
        box = self.boxes.get(name, b"")
        usable = (len(box) - 8) // 8 * 8
        if usable <= 0:
            return None
        counts = np.frombuffer(box[8 : 8 + usable], ">u4")[::2].astype(np.int64)
        if counts.sum() != self.num_samples:
            return None
        return np.repeat(np.frombuffer(box[8 : 8 + usable], values)[1::2].astype(np.int64), counts)


@dataclass(frozen=True)
class _Track:
    """The first video of an index."""

    content: bytes
    movie: bytes  # content of mvhd

    @property
    def number(self) -> int:
        header = first_box(self.content, b"tkhd")
        return number(header, 20 if header[:1] == b"\1" else 12)

    @cached_property
    def table(self) -> _Table:
        return _Table(dict(all_boxes(first_box(self.content, b"mdia", b"minf", b"stbl"))))

    @property
    def num_samples(self) -> int:
        return self.table.num_samples

    @cached_property
    def edits(self) -> Edits:
        media = first_box(self.content, b"mdia", b"mdhd")
        track = first_box(self.content, b"tkhd")
        return Edits(
            first_box(self.content, b"edts", b"elst"),
            self.table.runs(b"stts", ">u4"),
            self.table.runs(b"ctts", ">i4"),
            (time_scale(self.movie), time_scale(media)),
            (duration(track, 20), duration(media, 16)),
        )


def _first_video(index: bytes) -> _Track | None:
    movie = first_box(index, b"mvhd")
    videos = (t for t in boxes(index, b"trak") if first_box(t, b"mdia", b"hdlr")[8:12] == b"vide")
    track = next(videos, None)
    return None if track is None else _Track(track, movie)


def _check_chunks(table: _Table, size: int) -> None:
    """Raise Damaged unless every sample that the index names lies in the file."""
    small = table.boxes.get(b"stco")
    offsets = small if small is not None else table.boxes.get(b"co64", b"")
    width = 4 if small is not None else 8
    starts = np.frombuffer(offsets[8 : 8 + len(offsets[8:]) // width * width], f">u{width}")
    rows = table.boxes.get(b"stsc", b"")[8:]
    rows = np.frombuffer(rows[: len(rows) // 12 * 12], ">u4").reshape(-1, 3).astype(np.int64)
    if b"stsz" not in table.boxes or not table.num_samples:
        return
    damaged = Damaged("damaged: the tables of its index contradict each other")
    if not len(starts) or not len(rows) or rows[0, 0] != 1 or (np.diff(rows[:, 0]) <= 0).any():
        raise damaged
    if rows[-1, 0] > len(starts) or (rows[:, 1] > table.num_samples).any():
        raise damaged
    per_chunk = np.repeat(rows[:, 1], np.diff([*rows[:, 0], len(starts) + 1]))
    if per_chunk.sum() != table.num_samples or table.num_samples > size:
        raise damaged
    sizes = table.sizes()
    if len(sizes) != table.num_samples:
        raise damaged
    ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])[np.cumsum(per_chunk)]
    chunk_sizes = np.diff(np.concatenate([[0], ends]))
    end = int((starts.astype(np.int64) + chunk_sizes).max())
    if end > size or end < 0:
        raise cut_off(size, end)
