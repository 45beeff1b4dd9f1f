"""What a video file itself says about its kind and its size, read from its first bytes."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path


def container(path: Path) -> str:
    """The kind of file by its first bytes: mp4 (and mov), avi, matroska (and webm) or other."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return "mp4"
    if head[:4] == b"RIFF":
        return "avi"
    return "matroska" if head[:4] == b"\x1a\x45\xdf\xa3" else "other"


def edited_seconds(path: Path) -> float | None:
    """How long the first video of an mp4 plays by its edit list; None where it has none.

    A part that was cut out without decoding holds frames from the last key frame on, and an edit
    list that says from when on they are shown.
    """
    moov = _top_box(path, b"moov")
    header = next(_boxes(moov, b"mvhd"), b"")
    if len(header) < 24:
        return None
    scale = int.from_bytes(header[20:24] if header[0] else header[12:16])
    for track in _boxes(moov, b"trak"):
        media = next(_boxes(track, b"mdia"), b"")
        if next(_boxes(media, b"hdlr"), b"")[8:12] != b"vide":
            continue
        edits = next(_boxes(next(_boxes(track, b"edts"), b""), b"elst"), b"")
        size = 8 if edits[:1] == b"\1" else 4
        rows = [edits[at : at + 2 * size] for at in range(8, len(edits), 2 * size + 4)]
        shown = [int.from_bytes(r[:size]) for r in rows if r[size:] != b"\xff" * size]
        return sum(shown) / scale if shown and scale else None
    return None


def _top_box(path: Path, name: bytes, limit: int = 64 << 20) -> bytes:
    """The content of a box of an mp4 file; empty where there is none, or a larger one."""
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, skip = int.from_bytes(head[:4]), 8
            if size == 1:
                size, skip = int.from_bytes(file.read(8)), 16
            if head[4:] == name:
                return file.read(size - skip) if skip <= size <= limit else b""
            if size < skip:  # 0: to the end of the file
                break
            file.seek(size - skip, 1)
    return b""


def _boxes(content: bytes, name: bytes) -> Iterator[bytes]:
    """The contents of the boxes of a name that lie directly in another one's content."""
    at = 0
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4])
        if size < 8:
            return
        if content[at + 4 : at + 8] == name:
            yield content[at + 8 : at + size]
        at += size


def missing_bytes(path: Path) -> str | None:
    """How a Matroska file is shorter than its one segment says; None where it is not."""
    if container(path) != "matroska":
        return None
    with path.open("rb") as file:
        head = file.read(256)
    try:
        _, after_id = _ebml_number(head, 0, keep_marker=True)
        header_size, start = _ebml_number(head, after_id)
        _, after_id = _ebml_number(head, start + header_size, keep_marker=True)
        size, start = _ebml_number(head, after_id)
    except IndexError:
        return None
    unknown = (1 << (7 * (start - after_id))) - 1  # all bits set: a live stream
    actual = path.stat().st_size
    if size == unknown or start + size <= actual:
        return None
    return f"is cut off: {actual} of {start + size} bytes are there"


def matroska_frames(path: Path) -> int | None:
    """How many frames of its first video a Matroska file holds, whatever their times.

    None where its structure breaks off: damaged, or of a kind unknown here.
    """
    counts: Counter[int] = Counter()
    video, at, end = None, 0, path.stat().st_size
    with path.open("rb") as file:
        while at < end:
            file.seek(at)
            head = file.read(12)
            try:
                element, after = _ebml_number(head, 0, keep_marker=True)
                size, after = _ebml_number(head, after)
            except IndexError:
                return None
            at += after
            if element in _OPENED:
                continue
            if at + size > end or element not in _PASSED | _BLOCKS | {_TRACKS}:
                return None
            file.seek(at)
            if element == _TRACKS and video is None:
                video = _video_track(file.read(size))
            elif element in _BLOCKS:
                counts[_ebml_number(file.read(8), 0)[0]] += 1
            at += size
    return counts[video] if video is not None else None


# Matroska's elements: those that are looked into, those that hold a frame, and those passed over.
_TRACKS = 0x1654AE6B
_OPENED = {0x18538067, 0x1F43B675, 0xA0}  # segment, cluster, block group
_BLOCKS = {0xA3, 0xA1}
_PASSED = {0x1A45DFA3, 0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469}
_PASSED |= {0xE7, 0xA7, 0xAB, 0x5854, 0xEC, 0xBF, 0x9B, 0xFB, 0xFA, 0xFD, 0xA4, 0x75A1, 0x75A2}


def _video_track(content: bytes) -> int | None:
    """The number of the first video in the element of all tracks."""
    for entry, track in _ebml_elements(content):
        values = dict(_ebml_elements(track)) if entry == 0xAE else {}
        if values.get(0x83) == b"\1":
            return int.from_bytes(values.get(0xD7, b""))
    return None


def _ebml_elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    with contextlib.suppress(IndexError):  # broken off
        while at < len(content):
            element, after = _ebml_number(content, at, keep_marker=True)
            size, after = _ebml_number(content, after)
            yield element, content[after : after + size]
            at = after + size


def _ebml_number(data: bytes, at: int, keep_marker: bool = False) -> tuple[int, int]:
    """A number of variable length in Matroska's encoding, and the position behind it.

    Raises:
        IndexError: the data ends before it.
    """
    length = 9 - data[at].bit_length()
    if length > 8 or at + length > len(data):
        raise IndexError("no whole number")
    value = int.from_bytes(data[at : at + length], "big")
    return value if keep_marker else value & ((1 << (7 * length)) - 1), at + length
