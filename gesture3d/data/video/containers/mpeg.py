"""MPEG programme and transport streams, and the pictures of MPEG-1 and MPEG-2 in them."""

import re
from itertools import pairwise
from typing import BinaryIO

import numpy as np

from gesture3d.data.video.containers.contents import (
    Contents,
    Damaged,
    breaks_off,
    cut_off,
    num_leading,
)

_LARGEST = 256 << 20  # larger ones are not walked
_PICTURE, _SEQUENCE, _EXTENSION, _GROUP = 0x00, 0xB3, b"\0\0\1\xb5", 0xB8
_LAST_SLICE = 0xAF
_START_CODES = re.compile(rb"\x00\x00\x01([\x00-\xaf\xb3\xb8])")
_PROGRAMMES, _SERVICES, _FILLING = 0, 17, 0x1FFF  # streams of their own
_TALL = 2800  # rows of pictures, from which on slices are numbered otherwise


def walk_mpg(file: BinaryIO, size: int) -> Contents:
    """Packs and packets of a programme stream; counts the pictures of MPEG-1 and MPEG-2."""
    if size > _LARGEST:
        return Contents("mpg", None)
    data = file.read()
    at, first, video = 0, None, []
    while at < size:
        code = data[at : at + 4]
        if code == b"\0\0\1\xba":
            is_mpeg2 = at + 13 < size and data[at + 4] >> 6 == 1
            at += 14 + (data[at + 13] & 7) if is_mpeg2 else 12
        elif code == b"\0\0\1\xb9":
            at += 4
        elif code[:3] == b"\0\0\1" and code[3] >= 0xBB and at + 6 <= size:
            length = 6 + int.from_bytes(data[at + 4 : at + 6])
            if 0xE0 <= code[3] <= 0xEF and (first is None or first == code[3]):
                first = code[3]
                video.append(_payload(data[at : at + length]))
            at += length
        elif not data[at:].strip(b"\0"):
            break
        else:
            raise breaks_off(at)
    if at > size:
        raise cut_off(size, at)
    return _pictures("mpg", b"".join(video))


def walk_ts(file: BinaryIO, size: int) -> Contents:
    """Packets of 188 bytes (of 192 in .m2ts), numbered in each stream."""
    head = file.read(5)
    length = 192 if head[:1] != b"\x47" else 188
    if size > _LARGEST:
        return Contents("ts", None)
    file.seek(0)
    data = np.frombuffer(file.read(), np.uint8)
    if size % length:
        raise breaks_off(size - size % length)
    packets = data.reshape(-1, length)[:, length - 188 :]
    wrong = np.flatnonzero(packets[:, 0] != 0x47)
    if len(wrong):
        raise breaks_off(int(wrong[0]) * length)
    streams = (packets[:, 1].astype(int) & 31) << 8 | packets[:, 2]
    bounds = [0, *_joins(packets, streams), len(packets)]
    found, videos = [], set()
    for start, stop in pairwise(bounds):
        stream, contents = _part_of_ts(packets[start:stop], streams[start:stop])
        videos.add(stream)
        found.append(contents)
    if len(found) == 1:
        return found[0]
    counts = [part.num_frames for part in found]
    if len(videos) > 1 or None in counts:
        raise Damaged("is put together of parts with different streams: convert each part")
    return Contents("ts", sum(counts), may_lack=sum(p.may_lack for p in found), has_edits=True)


def _joins(packets: np.ndarray, streams: np.ndarray) -> list[int]:
    """Where other files begin that were put behind the first one, as by ``cat a.ts b.ts``.

    There every stream begins anew with a unit of its own, numbered from 0, the table of programmes
    (or that of services, and it) first; where packets are missing, they do not all do so.
    """
    if not _misses_packets(packets, streams):
        return []
    counts = np.flatnonzero((packets[:, 3] & 16 > 0) & (streams != _FILLING))  # have a payload
    begins = (packets[:, 1] & 64 > 0) & (packets[:, 3] & 15 == 0)
    joins = []
    for at in np.flatnonzero(begins & (streams == _PROGRAMMES)).tolist():
        at -= at > 0 and streams[at - 1] == _SERVICES
        behind = counts[counts >= at]
        firsts = behind[np.unique(streams[behind], return_index=True)[1]]
        if at > 0 and begins[firsts].all():
            joins.append(at)
    return joins


def _misses_packets(packets: np.ndarray, streams: np.ndarray) -> bool:
    """Whether a stream's numbers have a gap that it does not announce."""
    has_payload = packets[:, 3] & 16 > 0
    jumps = (packets[:, 3] & 32 > 0) & (packets[:, 4] > 0) & (packets[:, 5] & 128 > 0)
    for stream in np.unique(streams[has_payload]).tolist():
        chosen = np.flatnonzero((streams == stream) & has_payload)
        steps = np.diff(packets[chosen, 3].astype(int) & 15) % 16
        if stream != _FILLING and ((steps > 1) & ~jumps[chosen[1:]]).any():
            return True
    return False


def _part_of_ts(packets: np.ndarray, streams: np.ndarray) -> tuple[int | None, Contents]:
    """The first video stream of one file, and what it holds."""
    if _misses_packets(packets, streams):
        raise Damaged("damaged: packets of it are missing")
    has_payload = packets[:, 3] & 16 > 0
    for stream in dict.fromkeys(streams[has_payload].tolist()):
        chosen = np.flatnonzero((streams == stream) & has_payload)
        bodies = [_body(packets[n].tobytes()) for n in chosen.tolist()]
        if bodies[0][:3] == b"\0\0\1" and bodies[0][3:4] and 0xE0 <= bodies[0][3] <= 0xEF:
            starts = packets[chosen, 1] & 64 > 0
            video = [_payload(b) if s else b for b, s in zip(bodies, starts, strict=True)]
            found = _pictures("ts", b"".join(video))
            if found.num_frames is None:  # H.264, HEVC: a packet of theirs holds a picture
                times = (_time(b) for b, is_start in zip(bodies, starts, strict=True) if is_start)
                leading = num_leading(time for time in times if time is not None)
                found = Contents("ts", int(starts.sum()), may_lack=leading, has_edits=True)
            return stream, found
    return None, _pictures("ts", b"")


def _body(packet: bytes) -> bytes:
    return packet[5 + packet[4] :] if packet[3] & 32 else packet[4:]


def _time(packet: bytes) -> int | None:
    """When the picture that begins in a packet of MPEG-2's is shown, in units of 1/90000 s."""
    if len(packet) < 14 or not packet[7] & 0x80:
        return None
    bits = int.from_bytes(packet[9:14])
    return (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF


def _payload(packet: bytes) -> bytes:
    """What a packet of an elementary stream holds behind its header."""
    if len(packet) > 8 and packet[6] >> 6 == 2:  # MPEG-2
        return packet[9 + packet[8] :]
    at = 6
    while at < len(packet) and packet[at] == 0xFF:
        at += 1
    if at < len(packet) and packet[at] >> 6 == 1:
        at += 2
    if at < len(packet):
        at += {2: 5, 3: 10}.get(packet[at] >> 4, 1)
    return packet[at:]


def _pictures(kind: str, video: bytes) -> Contents:
    """Count the pictures of an elementary stream of MPEG-1 or MPEG-2 (ISO/IEC 11172-2, 13818-2).

    Raises:
        Damaged: slices that are in no picture, or not in the order of their rows, or two pictures
            of the same number in a group: headers or packets between them are missing.
    """
    start = video.find(b"\0\0\1\xb3")
    is_mpeg4 = video.find(b"\0\0\1\xb6", start, start + 16) >= 0  # the same code, and a picture
    if start < 0 or start > 4096 or is_mpeg4:
        return Contents(kind, None, has_edits=True)
    rows = int.from_bytes(video[start + 5 : start + 7]) & 0xFFF
    halves = leading = kept = 0
    numbers: dict[int, int] = {}  # of the group's pictures → how many halves of a frame
    row: int | None = None  # of the picture's last slice; None in no picture
    for found in _START_CODES.finditer(video):
        code, at = found[1][0], found.start()
        if code == _PICTURE:
            header = video[at : at + 48]
            coding = header.find(_EXTENSION, 4)
            is_frame = coding < 0 or len(header) < coding + 7 or header[coding + 6] & 3 in (0, 3)
            halves += 2 if is_frame else 1
            number = int.from_bytes(header[4:6]) >> 6
            kind_of_picture = header[5] >> 3 & 7 if len(header) > 5 else 0
            numbers[number] = numbers.get(number, 0) + (2 if is_frame else 1)
            row = 0
            if numbers[number] > 2:
                raise Damaged("damaged: pictures of it are missing")
            if len(numbers) > 512:  # without groups, they begin again after 1024
                numbers.clear()
            if kind_of_picture != 3:
                kept += 1
            elif kept == 1:
                leading += 1  # shown before the first, they may refer to what is not there
        elif code > _LAST_SLICE:
            numbers.clear()
            row = None
        elif 0 < rows <= _TALL and at > start:
            begins_row = at + 4 < len(video) and video[at + 4] & 6 == 2
            if row is None or code < row or (code == row and begins_row):
                raise Damaged("damaged: the header of a picture is missing")
            row = code
    return Contents(kind, halves // 2, may_lack=leading)
