"""What a video file itself says about its kind and its size, read from its first bytes."""

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
