"""What a video file itself says about its kind and its size, read from its first bytes."""

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
    _, after_id = _ebml_number(head, 0, keep_marker=True)
    header_size, start = _ebml_number(head, after_id)
    segment = start + header_size
    if segment + 12 > len(head):
        return None
    _, after_id = _ebml_number(head, segment, keep_marker=True)
    size, start = _ebml_number(head, after_id)
    unknown = (1 << (7 * (start - after_id))) - 1  # all bits set: a live stream
    actual = path.stat().st_size
    if size == unknown or start + size <= actual:
        return None
    return f"is cut off: {actual} of {start + size} bytes are there"


def _ebml_number(data: bytes, at: int, keep_marker: bool = False) -> tuple[int, int]:
    """A number of variable length in Matroska's encoding, and the position behind it."""
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    return value if keep_marker else value & ((1 << (7 * length)) - 1), at + length
