"""mp4, mov, 3gp: boxes (ISO/IEC 14496-12), with one index (``moov``) or in fragments (``moof``)."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from gesture3d.data.video.containers.contents import Contents, Damaged, breaks_off, cut_off

_LARGEST_INDEX = 256 << 20
_FRAMES = {b"mdat", b"moof", b"moov", b"sidx"}  # what a whole file may not lack a part of


def walk(file: BinaryIO, size: int) -> Contents:
    """Count the samples of the first video, in the index and in all fragments."""
    index, fragments, at = b"", [], 0
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
                break  # something else was appended to a whole file
            raise (
                cut_off(size, at + length) if name in _FRAMES and length >= skip else breaks_off(at)
            )
        if name in (b"moov", b"moof"):
            if length > _LARGEST_INDEX:
                raise breaks_off(at)
            file.seek(at + skip)
            content = file.read(length - skip)
            if name == b"moov":
                index = index or content
            else:
                fragments.append(content)
        at += length
    if not index:
        raise Damaged("no video can be opened in it: it has no index (moov): cut off or damaged")
    track = _first_video(index)
    if track is None:
        return Contents("mp4", 0, has_video=False)
    _check_numbers(fragments)
    in_fragments = sum(_samples(fragment, track.number) for fragment in fragments)
    _check_chunks(track, size)
    shown = track.shown() if not in_fragments else None
    total = track.num_samples + in_fragments
    if shown is not None and shown != total:
        return Contents("mp4", shown, may_lack=track.num_edits, has_edits=True)
    return Contents("mp4", total)


@dataclass(frozen=True)
class _Track:
    """The first video of an index; the boxes are without their headers."""

    number: int
    boxes: dict[bytes, bytes]
    edits: bytes
    seconds_scale: tuple[int, int]  # units a second of the edits, of the samples

    @property
    def num_samples(self) -> int:
        box = self.boxes.get(b"stsz") or self.boxes.get(b"stz2") or b""
        return int.from_bytes(box[8:12])

    def sizes(self) -> np.ndarray:
        box = self.boxes.get(b"stsz", b"")
        if int.from_bytes(box[4:8]):
            return np.broadcast_to(np.int64(int.from_bytes(box[4:8])), self.num_samples)
        return np.frombuffer(box[12 : 12 + len(box[12:]) // 4 * 4], ">u4")

    @property
    def num_edits(self) -> int:
        return len(self._edits())

    def _edits(self) -> list[tuple[int, int]]:
        """(duration, first time) of every edit that is no gap."""
        width = 8 if self.edits[:1] == b"\1" else 4
        step = 2 * width + 4
        rows = [self.edits[at : at + 2 * width] for at in range(8, len(self.edits), step)][:1000]
        pairs = [(int.from_bytes(r[:width]), int.from_bytes(r[width:], signed=True)) for r in rows]
        return [(duration, start) for duration, start in pairs if start >= 0]

    def shown(self) -> int | None:
        """How many samples its edits show; None where they show all, or cannot be read."""
        edits, (edit_scale, scale) = self._edits(), self.seconds_scale
        if not edits or not edit_scale or not scale or any(d == 0 for d, _ in edits):
            return None
        times = _runs(self.boxes.get(b"stts", b""), ">u4", self.num_samples)
        if times is None:
            return None
        times = np.concatenate([[0], np.cumsum(times[:-1])])
        offsets = _runs(self.boxes.get(b"ctts", b""), ">i4", self.num_samples)
        times = times if offsets is None else times + offsets
        shown = 0
        for duration, start in edits:
            end = start + duration * scale / edit_scale
            shown += int(np.count_nonzero((times >= start) & (times < end - 0.5)))
        return min(shown, self.num_samples)


def _runs(box: bytes, values: str, total: int) -> np.ndarray | None:
    """The values of a table of (how often, value) rows; None where they are not as many."""
    usable = (len(box) - 8) // 8 * 8
    if usable <= 0:
        return None
    counts = np.frombuffer(box[8 : 8 + usable], ">u4")[::2].astype(np.int64)
    if counts.sum() != total:
        return None
    return np.repeat(np.frombuffer(box[8 : 8 + usable], values)[1::2].astype(np.int64), counts)


def _first_video(index: bytes) -> _Track | None:
    movie = next(_boxes(index, b"mvhd"), b"")
    for track in _boxes(index, b"trak"):
        media = next(_boxes(track, b"mdia"), b"")
        if next(_boxes(media, b"hdlr"), b"")[8:12] != b"vide":
            continue
        header = next(_boxes(track, b"tkhd"), b"")
        number = header[20:24] if header[:1] == b"\1" else header[12:16]
        table = next(_boxes(next(_boxes(media, b"minf"), b""), b"stbl"), b"")
        edits = next(_boxes(next(_boxes(track, b"edts"), b""), b"elst"), b"")
        scales = _scale(movie), _scale(next(_boxes(media, b"mdhd"), b""))
        return _Track(int.from_bytes(number), dict(_all_boxes(table)), edits, scales)
    return None


def _scale(header: bytes) -> int:
    return int.from_bytes(header[20:24] if header[:1] == b"\1" else header[12:16])


def _check_chunks(track: _Track, size: int) -> None:
    """Raise Damaged unless every sample that the index names lies in the file."""
    small = track.boxes.get(b"stco")
    offsets = small if small is not None else track.boxes.get(b"co64", b"")
    width = 4 if small is not None else 8
    starts = np.frombuffer(offsets[8 : 8 + len(offsets[8:]) // width * width], f">u{width}")
    rows = track.boxes.get(b"stsc", b"")[8:]
    rows = np.frombuffer(rows[: len(rows) // 12 * 12], ">u4").reshape(-1, 3).astype(np.int64)
    if b"stsz" not in track.boxes or not track.num_samples:
        return
    damaged = Damaged("damaged: the tables of its index contradict each other")
    if not len(starts) or not len(rows) or rows[0, 0] != 1 or (np.diff(rows[:, 0]) <= 0).any():
        raise damaged
    if rows[-1, 0] > len(starts) or (rows[:, 1] > track.num_samples).any():
        raise damaged
    per_chunk = np.repeat(rows[:, 1], np.diff([*rows[:, 0], len(starts) + 1]))
    if per_chunk.sum() != track.num_samples or track.num_samples > size:
        raise damaged
    sizes = track.sizes()
    if len(sizes) != track.num_samples:
        raise damaged
    ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])[np.cumsum(per_chunk)]
    chunk_sizes = np.diff(np.concatenate([[0], ends]))
    end = int((starts.astype(np.int64) + chunk_sizes).max())
    if end > size or end < 0:
        raise cut_off(size, end)


def _check_numbers(fragments: list[bytes]) -> None:
    """Raise Damaged where the fragments' own numbers leave one out."""
    numbers = [int.from_bytes(next(_boxes(f, b"mfhd"), b"")[4:8]) for f in fragments]
    if any(b - a > 1 for a, b in itertools.pairwise(numbers)):
        raise Damaged("damaged: a fragment of it is missing")


def _samples(fragment: bytes, number: int) -> int:
    """How many samples of a track a fragment holds."""
    total = 0
    for track in _boxes(fragment, b"traf"):
        if int.from_bytes(next(_boxes(track, b"tfhd"), b"")[4:8]) == number:
            total += sum(int.from_bytes(run[4:8]) for run in _boxes(track, b"trun"))
    return total


def _all_boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of the boxes that lie directly in another one's content."""
    at = 0
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4])
        if size < 8:
            return
        yield content[at + 4 : at + 8], content[at + 8 : at + size]
        at += size


def _boxes(content: bytes, name: bytes) -> Iterator[bytes]:
    return (inside for found, inside in _all_boxes(content) if found == name)
