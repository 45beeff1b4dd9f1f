"""Whether a stream may hold interlaced pictures, by what its header says."""

CONVERT = "ffmpeg -i IN -vf yadif -c:v libx264 OUT.mp4"

# Codecs that know no fields.
PROGRESSIVE = {"h263", "s263", "vp80", "vp90", "av01", "flv1", "theo", "wmv1", "wmv2", "gif "}


def may_be_interlaced(codec: str, header: bytes) -> bool:
    """Whether some pictures of an H.264, MPEG-2 or DV stream may be interlaced and others not.

    Args:
        codec: the four letters of it.
        header: H.264's parameter sets or MPEG-2's sequence header.
    """
    codec = codec.lower()
    if codec in ("h264", "avc1", "x264"):
        return _fields_allowed(header)
    if codec in ("mpg2", "mpeg", "mp2v"):
        at = header.find(b"\0\0\1\xb5\x14")  # sequence extension; the first one of its kind: 1
        at = at if at >= 0 else header.find(b"\0\0\1\xb5")
        return not (at >= 0 and len(header) > at + 5 and header[at + 5] & 8)
    return codec.startswith("dv")


def _fields_allowed(header: bytes) -> bool:
    """H.264: ``frame_mbs_only_flag`` (ITU-T H.264, 7.3.2.1.1) is 0, or cannot be found."""
    start = 8 if header[:1] == b"\1" else header.find(b"\0\0\1") + 3  # avcC, or start codes
    bits = _Bits(header[start + 1 : start + 200].replace(b"\0\0\3", b"\0\0"))
    try:
        profile = bits.read(8)
        bits.read(16)
        bits.golomb()
        if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
            chroma_format = bits.golomb()
            if chroma_format == 3:
                bits.read(1)
            bits.golomb()
            bits.golomb()
            bits.read(1)
            if bits.read(1):
                bits.skip_scaling_lists(8 if chroma_format != 3 else 12)
        bits.golomb()
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.read(1)
            bits.golomb()
            bits.golomb()
            for _ in range(min(bits.golomb(), 255)):
                bits.golomb()
        bits.golomb()
        bits.read(1)
        bits.golomb()
        bits.golomb()
        return not bits.read(1)
    except ValueError:  # it ends before
        return True


class _Bits:
    """Reads numbers from bits. Raises ValueError behind their end."""

    def __init__(self, data: bytes) -> None:
        self._bits = f"{int.from_bytes(data):0{8 * len(data)}b}"
        self._at = 0

    def read(self, count: int) -> int:
        self._at += count
        return int(self._bits[self._at - count : self._at], 2)

    def golomb(self) -> int:
        """An unsigned number in the code of Golomb."""
        zeros = self._bits.index("1", self._at) - self._at
        self._at += zeros
        return self.read(zeros + 1) - 1

    def skip_scaling_lists(self, count: int) -> None:
        for number in range(count):
            last = following = 8
            for _ in range((16 if number < 6 else 64) * self.read(1)):
                if following:
                    code = self.golomb() + 1
                    following = (last + (code // 2 if code % 2 == 0 else -(code // 2))) % 256
                last = following or last
