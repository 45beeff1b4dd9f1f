"""Boxes of mp4 (ISO/IEC 14496-12): a size, a name of four letters, a content, boxes in boxes."""

from collections.abc import Iterator

from gesture3d.data.video.containers.contents import Damaged


def all_boxes(content: bytes, where: str = "") -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of the boxes that lie directly in another one's content.

    Args:
        where: the name of that; the boxes must fill it (but for zeros), else Damaged is raised.
            "" passes over what is no box at its end.
    """
    at = 0
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4])
        if size < 8 or (where and at + size > len(content)):
            break
        yield content[at + 4 : at + 8], content[at + 8 : at + size]
        at += size
    if where and content[at:].strip(b"\0"):
        raise Damaged(f"damaged: the boxes in its '{where}' do not fill it")


def boxes(content: bytes, name: bytes) -> Iterator[bytes]:
    """The contents of the boxes of a name."""
    return (inside for found, inside in all_boxes(content) if found == name)


def first_box(content: bytes, *path: bytes) -> bytes:
    """The content of the first box of a path of names, b"" where there is none."""
    for name in path:
        content = next(boxes(content, name), b"")
    return content


def number(content: bytes, at: int, width: int = 4) -> int:
    """An unsigned number in a content, 0 behind its end."""
    return int.from_bytes(content[at : at + width])


def time_scale(header: bytes) -> int:
    """Units a second, in ``mvhd`` or ``mdhd``."""
    return number(header, 20 if header[:1] == b"\1" else 12)


def duration(header: bytes, at: int) -> int:
    """In ``mdhd`` (at 16) or ``tkhd`` (at 20), whose version 1 has wider numbers."""
    return number(header, at + 8, 8) if header[:1] == b"\1" else number(header, at)
