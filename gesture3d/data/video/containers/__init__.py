"""What a video file itself says about its kind, its frames and its wholeness.

Each kind of file is walked from one header to the next, to its last byte. Nothing is decoded.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from gesture3d.data.video.containers import asf, avi, flv, matroska, mp4, mpeg, streams
from gesture3d.data.video.containers.contents import Contents, Damaged

# First bytes (at an offset) → kind of file, and what walks it.
_Walk = Callable[[BinaryIO, int], Contents]
_KINDS: list[tuple[int, tuple[bytes, ...], str, _Walk]] = [
    (4, (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"), "mp4", mp4.walk),
    (8, (b"AVI ", b"AVIX"), "avi", avi.walk),
    (0, (b"\x1a\x45\xdf\xa3",), "matroska", matroska.walk),
    (0, (b"FLV",), "flv", flv.walk),
    (0, (b"GIF8",), "gif", streams.walk_gif),
    (0, (b"OggS",), "ogg", streams.walk_ogg),
    (0, (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",), "asf", asf.walk),
    (0, (b"\0\0\1\xba",), "mpg", mpeg.walk_mpg),
    (0, (b"\x47",), "ts", mpeg.walk_ts),
    (4, (b"\x47",), "ts", mpeg.walk_ts),
    (0, (b"\xff\xd8\xff",), "mjpeg", streams.walk_mjpeg),
    (0, (b"YUV4MPEG2 ",), "y4m", streams.walk_y4m),
    (0, (b"ID3", b"fLaC", b"wvpk", b"MAC "), "sound", streams.walk_sound),
    (8, (b"WAVE", b"AIFF", b"AIFC"), "sound", streams.walk_sound),
]
_BY_SUFFIX = {
    "mp4": (".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".m4a"),
    "avi": (".avi",),
    "matroska": (".mkv", ".webm"),
    "flv": (".flv",),
    "gif": (".gif",),
    "ogg": (".ogv", ".ogg"),
    "asf": (".wmv", ".asf"),
    "y4m": (".y4m",),
    "mjpeg": (".mjpeg", ".mjpg"),
}
_READ_AT_ONCE = 16 << 20


def examine(path: Path) -> Contents:
    """Walk a file. Raises OSError where it cannot be read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        source = io.BytesIO(file.read()) if size <= _READ_AT_ONCE else file
        head = source.read(12)
        for at, magic, kind, walk in _KINDS:
            if head[at:].startswith(magic):
                source.seek(0)
                try:
                    return walk(source, size)
                except Damaged as damage:
                    return Contents(kind, None, str(damage))
    for kind, suffixes in _BY_SUFFIX.items():
        if path.suffix.lower() in suffixes:
            problem = f"no video can be opened in it: it does not begin as {kind} files do"
            return Contents("other", None, problem)
    return Contents("other", None)
