"""Matroska and WebM (RFC 9559): elements of an identifier, a size and a content."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from gesture3d.data.video.containers.contents import (
    Contents,
    Damaged,
    breaks_off,
    cut_off,
    num_leading,
)

_SEGMENT, _CLUSTER, _TRACKS, _GROUP = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xA0
_BLOCKS = {0xA3, 0xA1}
_CLUSTER_TIME = 0xE7
# What is passed over: at the top, and in clusters and groups.
_PASSED = {0x1A45DFA3, 0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469}
_PASSED |= {0xE7, 0xA7, 0xAB, 0x5854, 0xEC, 0xBF, 0x9B, 0xFB, 0xFA, 0xFD, 0xA4, 0x75A1, 0x75A2}
_PASSED |= {0x8E, 0xC8}


def walk(file: BinaryIO, size: int) -> Contents:
    """Count the frames of the first video in all blocks, whatever their times.

    The last element of a live stream, whose sizes are not known, may end anywhere.
    """
    tracks: dict[int, tuple[bool, str]] | None = None
    counts: Counter[int] = Counter()
    times: dict[int, list[tuple[int, bool]]] = {}  # of each track's blocks, and what is hidden
    cluster_time = 0
    ends = [(size, 0)]  # of the elements that we are in, and which
    at = 0
    while at < size:
        while len(ends) > 1 and at >= ends[-1][0]:
            if at > ends[-1][0]:
                raise breaks_off(at)
            ends.pop()
        file.seek(at)
        head = file.read(32)
        try:
            element, after = number(head, 0, keep_marker=True)
            length, start = number(head, after)
        except IndexError:
            raise breaks_off(at) from None
        unknown = length == (1 << (7 * (start - after))) - 1
        begin, at = at, at + start
        if element in (_SEGMENT, _CLUSTER, _GROUP):
            if element != _GROUP:  # the one of unknown size before it ends here
                while len(ends) > 1 and ends[-1][0] == size and ends[-1][1] >= _rank(element):
                    ends.pop()
            end = size if unknown else at + length
            if end > ends[-1][0]:
                raise cut_off(size, end) if ends[-1][0] == size else breaks_off(begin)
            ends.append((end, _rank(element)))
            continue
        if unknown or at + length > ends[-1][0] or element not in _PASSED | _BLOCKS | {_TRACKS}:
            raise breaks_off(begin)
        if element == _TRACKS and tracks is None:
            file.seek(at)
            tracks = _read_tracks(file.read(length))
        elif element in _BLOCKS:
            track, shown, time = _block(head[start : start + length], tracks or {}, begin)
            counts[track] += shown
            if time is not None:
                times.setdefault(track, []).append((cluster_time + time, shown == 0))
        elif element == _CLUSTER_TIME:
            cluster_time = int.from_bytes(head[start : start + length])
        at += length
    if tracks is None:
        raise Damaged("damaged: it names no tracks")
    first = next((track for track, (is_video, _) in tracks.items() if is_video), None)
    if first is None:
        return Contents("matroska", 0, has_video=False)
    blocks = times.get(first, [])
    _check_hidden(blocks)
    leading = num_leading(time for time, is_hidden in blocks if not is_hidden)
    return Contents("matroska", counts[first], may_lack=leading)


def _rank(element: int) -> int:
    return {_SEGMENT: 1, _CLUSTER: 2, _GROUP: 3}[element]


def _block(
    head: bytes, tracks: dict[int, tuple[bool, str]], at: int
) -> tuple[int, int, int | None]:
    """Track of a block (its first bytes), how many frames it shows, and its time in the cluster.

    A block of nothing but its header repeats the frame before it, and has no time here.
    """
    try:
        track, after = number(head, 0)
        if len(head) == after + 3:
            return track, 0, None
        flags = head[after + 2]
        lacing = flags >> 1 & 3
        frames = 1 + head[after + 3] if lacing else 1
        hidden = tracks[track][1] == "V_VP8" and not lacing and not head[after + 3] & 16
    except (IndexError, KeyError):
        raise breaks_off(at) from None
    return track, frames - hidden, int.from_bytes(head[after : after + 2], signed=True)


def _check_hidden(blocks: list[tuple[int, bool]]) -> None:
    """Raise Damaged where a frame that is not shown (VP8 refers to such) has a time of its own.

    A muxer gives it the time of the next one or that of the one before, or the smallest step from
    there. One that lies in the midst between them was to be shown: its header is damaged.
    """
    for (before, _), (time, is_hidden), (after, _) in zip(
        blocks, blocks[1:], blocks[2:], strict=False
    ):
        if is_hidden and min(time - before, after - time) * 4 >= after - before >= 8:
            raise Damaged("damaged: a frame is missing that its times leave room for")


def _read_tracks(content: bytes) -> dict[int, tuple[bool, str]]:
    """Number → is a video, codec."""
    tracks = {}
    for entry, track in _elements(content):
        if entry == 0xAE:
            values = dict(_elements(track))
            codec = values.get(0x86, b"").decode("latin-1")
            tracks[int.from_bytes(values.get(0xD7, b""))] = (values.get(0x83) == b"\1", codec)
    return tracks


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    with contextlib.suppress(IndexError):  # broken off
        while at < len(content):
            element, after = number(content, at, keep_marker=True)
            size, after = number(content, after)
            yield element, content[after : after + size]
            at = after + size


def number(data: bytes, at: int, keep_marker: bool = False) -> tuple[int, int]:
    """A number of variable length, and the position behind it. Raises IndexError at the end."""
    length = 9 - data[at].bit_length()
    if length > 8 or at + length > len(data):
        raise IndexError("no whole number")
    value = int.from_bytes(data[at : at + length])
    return value if keep_marker else value & ((1 << (7 * length)) - 1), at + length
