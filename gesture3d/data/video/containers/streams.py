"""Files without an index: GIF, Ogg, raw MJPEG, YUV4MPEG."""

from collections import Counter
from typing import BinaryIO

from gesture3d.data.video.containers.contents import Contents, Damaged, breaks_off, cut_off

_LARGEST = 256 << 20  # larger ones are not walked
_OGG_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")


def walk_gif(file: BinaryIO, size: int) -> Contents:
    """Blocks of pictures and extensions up to the trailer; each picture holds all of its pixels."""
    data = file.read(_LARGEST)
    at = 13 + _colours(data[10]) if len(data) > 13 else size
    frames = 0
    while at < len(data):
        start, kind = at, data[at]
        if kind == 0x3B:
            return Contents("gif", frames)
        if kind == 0x2C and at + 11 <= len(data):
            frames += 1
            width, height = (int.from_bytes(data[at + k : at + k + 2], "little") for k in (5, 7))
            at += 11 + _colours(data[at + 9])  # behind the smallest width of a code
        elif kind == 0x21:
            at += 2
        else:
            raise breaks_off(at)
        if at > len(data):
            break
        smallest, blocks = data[at - 1], []
        while at < len(data) and data[at]:
            blocks.append(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]
        if kind == 0x2C and _lzw_pixels(b"".join(blocks), smallest) != width * height:
            raise breaks_off(start)
        at += 1
    raise breaks_off(size)


def _lzw_pixels(data: bytes, smallest: int) -> int | None:
    """How many pixels a picture's codes stand for; None where they do not end with the end code."""
    if not 1 <= smallest <= 11:
        return None
    clear, end = 1 << smallest, (1 << smallest) + 1
    lengths, width, before, pixels = [1] * clear + [0, 0], smallest + 1, 0, 0
    bits = num_bits = 0
    for position, byte in enumerate(data):
        bits |= byte << num_bits
        num_bits += 8
        while num_bits >= width:
            code = bits & ((1 << width) - 1)
            bits >>= width
            num_bits -= width
            if code == clear:
                del lengths[end + 1 :]
                width, before = smallest + 1, 0
                continue
            if code == end:
                return pixels if position >= len(data) - 2 else None
            if code > len(lengths) or (code == len(lengths) and not before):
                return None
            if before and len(lengths) < 4096:
                lengths.append(before + 1)
                if len(lengths) == 1 << width and width < 12:
                    width += 1
            before = lengths[code]
            pixels += before
    return None


def _colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 128 else 0


def walk_ogg(file: BinaryIO, size: int) -> Contents:
    """Pages, numbered in each stream; a stream ends with a page that says so."""
    following: dict[bytes, int] = {}
    ended: set[bytes] = set()
    packets: Counter[bytes] = Counter()
    empty: Counter[bytes] = Counter()
    first: bytes | None = None
    is_sound = True
    at, carry = 0, {}
    while at < size:
        file.seek(at)
        head = file.read(27 + 255 + 8)
        if head[:4] != b"OggS" or len(head) < 27 or len(head) < 27 + head[26]:
            raise breaks_off(at)
        lacing = head[27 : 27 + head[26]]
        end = at + 27 + len(lacing) + sum(lacing)
        if end > size:
            raise cut_off(size, end)
        stream, number = head[14:18], int.from_bytes(head[18:22], "little")
        if following.get(stream, 0) != number:
            raise breaks_off(at)
        begin = head[27 + len(lacing) :]
        if number == 0 and first is None and begin[:7] == b"\x80theora":
            first = stream
        is_sound &= number > 0 or begin.startswith(_OGG_SOUND)
        following[stream] = number + 1
        length = carry.get(stream, 0)
        for part in lacing:
            length += part
            if part < 255:
                packets[stream] += 1
                empty[stream] += length == 0
                length = 0
        carry[stream] = length
        if head[5] & 4:
            ended.add(stream)
        at = end
    if first is None:
        return Contents("ogg", None, has_video=not is_sound)
    if first not in ended:
        raise Damaged("is cut off: its last page is missing")
    # A packet of no bytes repeats the picture before it.
    return Contents("ogg", packets[first] - 3, may_lack=empty[first])


def walk_mjpeg(file: BinaryIO, size: int) -> Contents:
    """JPEG pictures one behind another, each from its first marker to its end."""
    if size > _LARGEST:
        return Contents("mjpeg", None)
    data = file.read()
    at = frames = 0
    while at < size:
        if data[at : at + 3] != b"\xff\xd8\xff":
            raise breaks_off(at)
        at += 2
        while data[at : at + 2] != b"\xff\xd9":
            if data[at : at + 1] != b"\xff" or at + 4 > size or data[at + 1] in (0, 0xD8):
                raise breaks_off(at)
            marker = data[at + 1]
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
            if marker == 0xDA:  # what follows are pixels, up to a marker that is no part of them
                at = data.find(b"\xff", at)
                while 0 <= at < size - 1 and (data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7):
                    at = data.find(b"\xff", at + 2)
                if at < 0:
                    raise breaks_off(size)
        at += 2
        frames += 1
    return Contents("mjpeg", frames)


def walk_y4m(file: BinaryIO, size: int) -> Contents:
    """A line of text, then frames of one size."""
    line = file.readline(4096)
    values = {part[:1]: part[1:] for part in line.split()[1:]}
    try:
        width, height = int(values[b"W"]), int(values[b"H"])
    except (KeyError, ValueError):
        raise breaks_off(0) from None
    colours = values.get(b"C", b"420").decode("latin-1")
    halves = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "411": (4, 1)}.get(colours[:3])
    if colours.startswith("mono"):
        samples = width * height
    elif halves is None or "alpha" in colours:
        return Contents("y4m", None)
    else:
        samples = width * height + 2 * (-(-width // halves[0]) * -(-height // halves[1]))
    deep = any(d in colours.removeprefix(colours[:3]) for d in ("p9", "p10", "p12", "p14", "p16"))
    length = samples * (2 if deep or colours in ("mono9", "mono10", "mono12", "mono16") else 1)
    at, frames = len(line), 0
    while at < size:
        file.seek(at)
        line = file.readline(256)
        if not line.startswith(b"FRAME") or at + len(line) + length > size:
            raise breaks_off(at)
        at += len(line) + length
        frames += 1
    return Contents("y4m", frames)


def walk_sound(file: BinaryIO, size: int) -> Contents:
    """MP3, FLAC, WavPack, Monkey's Audio, WAV, AIFF: the cover in it is no video."""
    return Contents("sound", 0, has_video=False)
