"""AVI: chunks of RIFF, those of the pictures in lists called ``movi``, further RIFFs behind."""

import re
from typing import BinaryIO

from gesture3d.data.video.containers.contents import Contents, Damaged, breaks_off, cut_off

_IN_LISTS = re.compile(
    rb"\d\d(dc|db|wb|tx|pc|iv|AM|sb)|ix\d\d|JUNK|LIST|idx1|strf|strh|strn|strd|indx|avih|dmlh|vprp"
)
_HAS_INDEX = 0x10  # a flag of the header
_UNKNOWN = b"\xff\xff\xff\xff"  # the size of what was written into a pipe


def walk(file: BinaryIO, size: int) -> Contents:
    """Count the chunks of the first video; its header counts slots of time, not frames.

    A chunk of no bytes repeats the picture before it and is no frame; one of a few bytes may stand
    for a picture that the chunk before it holds, too. Where a part was cut out without decoding,
    MPEG's pictures between the first two others cannot be decoded.
    """
    streams: list[bytes] = []
    flags = frames = small = leading = 0
    has_index = False
    at = 0
    while at + 8 <= size:  # RIFFs
        file.seek(at)
        head = file.read(12)
        if head[:4] != b"RIFF":
            break  # something else was appended
        is_piped = head[4:8] == _UNKNOWN
        end = size if is_piped else at + 8 + int.from_bytes(head[4:8], "little")
        if end > size:
            raise cut_off(size, end)
        at += 12
        while at + 8 <= end:
            file.seek(at)
            head = file.read(64)
            name, length = head[:4], int.from_bytes(head[4:8], "little")
            if name == b"LIST" and head[8:12] in (b"hdrl", b"strl", b"movi", b"rec ", b"odml"):
                at += 12
                continue
            if at + 8 + length > end:
                raise breaks_off(at)
            if name == b"avih":
                flags = int.from_bytes(head[20:24], "little")
            elif name == b"strh":
                streams.append(head[8:12])
            elif name == b"idx1" or name[:2] == b"ix":
                has_index = True
            elif name[2:] in (b"dc", b"db") and _is_first_video(name, streams):
                frames += length > 0
                small += 0 < length < 8
                leading += _is_between(head[8:]) and frames == leading + 2
            elif not _IN_LISTS.match(name) and b"vids" in streams and frames and not has_index:
                raise breaks_off(at)
            at += 8 + length + length % 2
        if is_piped and at != end:
            raise breaks_off(at)
        at = end + end % 2
    if streams and b"vids" not in streams:
        return Contents("avi", 0, has_video=False)
    if flags & _HAS_INDEX and not has_index:
        raise Damaged("is cut off or damaged: the index behind its frames is missing")
    return Contents("avi", frames, may_lack=small + leading)


def _is_between(picture: bytes) -> bool:
    """Whether a picture of MPEG-4, or of MPEG-1 and 2, is made of those before and behind it."""
    kind, bits = picture[:4], picture[4:6].ljust(2, b"\0")
    if kind == b"\0\0\1\xb6":
        return bits[0] >> 6 == 2
    return kind == b"\0\0\1\0" and bits[1] >> 3 & 7 == 3


def _is_first_video(name: bytes, streams: list[bytes]) -> bool:
    return name[:2].isdigit() and b"vids" in streams and int(name[:2]) == streams.index(b"vids")
