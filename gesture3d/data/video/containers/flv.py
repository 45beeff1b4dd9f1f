"""FLV: tags, each with its length before and behind it."""

import struct
from typing import BinaryIO

from gesture3d.data.video.containers.contents import Contents, breaks_off, cut_off, num_leading

_AUDIO, _VIDEO, _SCRIPT = 8, 9, 18
_KINDS = {_AUDIO, _VIDEO, _SCRIPT, 15}  # 15: a script of ActionScript 3
_COMMAND = 5  # frame type of what is no frame but one byte for the player
_AVC = 7


def walk(file: BinaryIO, size: int) -> Contents:
    """Count the video tags of one codec (Adobe Flash Video File Format, E.4)."""
    file.seek(5)
    at = int.from_bytes(file.read(4)) + 4
    frames: int | None = 0
    formats: dict[int, int] = {}  # of sound and of video
    times: list[int] = []
    while at < size:
        file.seek(at)
        head = file.read(20)
        length = 11 + int.from_bytes(head[1:4])
        if len(head) < 11 or at + length + 4 > size:
            raise breaks_off(at)
        file.seek(at + length)
        kind = head[0] & 31
        if int.from_bytes(file.read(4)) not in (length, 0) or kind not in _KINDS:
            raise breaks_off(at)
        if kind == _SCRIPT:
            _check_size(file, at, length, size)
        elif kind in (_AUDIO, _VIDEO) and length > 11:
            format_ = head[11] >> 4 if kind == _AUDIO else _codec(head)
            if formats.setdefault(kind, format_) != format_:
                raise breaks_off(at)
            if kind == _VIDEO and frames is not None:
                is_new = head[11] & 128  # the newer header
                is_frame = not is_new and _is_frame(head, length - 11, at)
                frames = None if is_new else frames + is_frame
                times += [_time(head)] if is_frame else []
        at += length + 4
    return Contents("flv", frames, may_lack=num_leading(times) if frames else 0)


def _time(head: bytes) -> int:
    """When a frame is shown, in ms: H.264's lie behind when they are decoded."""
    decoded = int.from_bytes(head[4:7]) | head[7] << 24
    is_avc = head[11] & 15 == _AVC
    return decoded + (int.from_bytes(head[13:16], signed=True) if is_avc else 0)


def _codec(head: bytes) -> int:
    """Of a video tag; those with the newer header (HEVC, AV1) have four letters instead."""
    return int.from_bytes(head[12:16]) if head[11] & 128 else head[11] & 15


def _is_frame(head: bytes, length: int, at: int) -> bool:
    """Whether a video tag of so many bytes holds a frame. Raises Damaged where that is unclear."""
    kind, codec = head[11] >> 4, head[11] & 15
    if not 1 <= kind <= 5 or (kind == _COMMAND and length > 8):
        raise breaks_off(at)
    if kind == _COMMAND:
        return False
    if codec != _AVC or head[12:13] == b"\1":
        return True
    is_header = head[12:13] == b"\0" and head[16:17] == b"\1"  # its version
    if not is_header and length > 5:
        raise breaks_off(at)
    return False


def _check_size(file: BinaryIO, at: int, length: int, size: int) -> None:
    """Raise Damaged where a script says that the file has more bytes."""
    file.seek(at)
    script = file.read(min(length, 1 << 16))
    key = script.find(b"\0\x08filesize\0")
    if key >= 0 and len(value := script[key + 11 : key + 19]) == 8:
        (wanted,) = struct.unpack(">d", value)
        if wanted > size:
            raise cut_off(size, int(min(wanted, 1 << 62)))
