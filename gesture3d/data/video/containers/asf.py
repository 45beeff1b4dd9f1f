"""ASF (WMV): a header of objects, then packets of one size that hold parts of media objects."""

from typing import BinaryIO

from gesture3d.data.video.containers.contents import Contents, Damaged, breaks_off, cut_off

_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_VIDEO = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_SIZES = (0, 1, 2, 4)  # of a field, by its two bits


def walk(file: BinaryIO, size: int) -> Contents:
    """Count the media objects of the first video, all of whose bytes must be there."""
    head = file.read(1 << 16)
    at = head.find(_FILE)
    properties = head[at : at + 104] if at >= 0 else b""
    begin = head.find(_DATA)
    if len(properties) < 104 or begin < 0:
        raise breaks_off(0)
    wanted, packets = _number(properties[40:48]), _number(properties[56:64])
    is_live = properties[88] & 1
    if not is_live and wanted != size:
        raise cut_off(size, wanted) if wanted > size else breaks_off(wanted)
    video = _first_video(head[:begin])
    if video is None:
        return Contents("asf", 0, has_video=False)
    length = _number(properties[92:96])
    if length != _number(properties[96:100]) or not 32 <= length <= 1 << 20:
        raise Damaged("damaged: its header says no size of its packets")
    frames, missing, before = 0, 0, None
    for n in range((size - begin - 50) // length if is_live else packets):
        file.seek(begin + 50 + n * length)
        try:
            parts = list(_parts(file.read(length)))
        except IndexError:
            raise breaks_off(begin + 50 + n * length) from None
        for stream, number, offset, whole, part in parts:
            if stream != video:
                continue
            if offset == 0:
                if missing or (before is not None and number != (before + 1) % 256):
                    raise Damaged("damaged: parts of its frames are missing")
                frames, missing, before = frames + 1, whole, number
            elif number != before or offset + missing != whole:
                raise Damaged("damaged: parts of its frames are missing")
            missing -= part
    if missing:
        raise Damaged("is cut off: the last frame is not whole")
    return Contents("asf", frames)


def _first_video(head: bytes) -> int | None:
    at = head.find(_STREAM)
    while at >= 0 and head[at + 24 : at + 40] != _VIDEO:
        at = head.find(_STREAM, at + 16)
    return head[at + 72] & 127 if 0 <= at < len(head) - 72 else None


def _parts(packet: bytes):
    """(stream, number of its media object, offset in that, its size, bytes) of each payload.

    Raises IndexError where a packet is not whole.
    """
    at = 1 + (packet[0] & 15) if packet[0] & 128 else 0
    flags, kinds = packet[at], packet[at + 1]
    fields = [_SIZES[flags >> shift & 3] for shift in (5, 1, 3)]  # length, sequence, padding
    at += 2
    values = []
    for field in fields:
        values.append(_number(packet[at : at + field]))
        at += field
    at += 6  # times
    end = (values[0] or len(packet)) - values[2]
    several = flags & 1
    count, size_of_length = (packet[at] & 63, _SIZES[packet[at] >> 6]) if several else (1, 0)
    at += several
    for _ in range(count):
        stream = packet[at] & 127
        at += 1
        found = []
        for shift in (4, 2, 0):  # media object, offset, length of what is replicated
            field = _SIZES[kinds >> shift & 3]
            found.append(_number(packet[at : at + field]))
            at += field
        number, offset, replicated = found
        whole = _number(packet[at : at + 4])
        at += replicated
        part = _number(packet[at : at + size_of_length]) if several else end - at
        at += size_of_length
        if replicated < 8 or part <= 0 or at + part > len(packet):
            raise IndexError("no whole packet")
        yield stream, number % 256, offset, whole, part
        at += part


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")
