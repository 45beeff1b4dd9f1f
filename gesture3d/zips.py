"""Zip files that nobody vouches for, read with limits: the one way to what is inside a zip."""

import zipfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from gesture3d.errors import Gesture3dError

MAX_MEMBERS = 200_000
MAX_MEMBER_BYTES = 1 << 30
# What a whole archive may unpack to, as a multiple of its own size, once that is more than this.
MAX_RATIO, FREE_BYTES = 200, 256 << 20
LONGEST_END = 22 + 0xFFFF  # the last record with a comment


class ZipReader:
    """The files in a zip: ``names``, in its order, each once, and `read`.

    Nothing is ever written to disk. Messages do not name the archive, nor what was asked for.

    Args:
        source: the zip's path, or an open file with its content.

    Raises:
        Gesture3dError: it is no zip, its list of members is damaged or too long, a member's name
            leads out of it, or it would unpack to more than `MAX_RATIO` times its size.
    """

    def __init__(self, source: Path | BinaryIO) -> None:
        try:
            self._zip = zipfile.ZipFile(source)
            size = self._zip.fp.seek(0, 2)
            members = self._zip.infolist()
            if len(members) > MAX_MEMBERS:
                raise Gesture3dError(f"{len(members):,} members; at most {MAX_MEMBERS:,}")
            _check_count(len(members), self._zip.fp)
            for member in members:
                _check_name(member, self._zip.fp)
        except Exception as error:  # zipfile raises of every kind on damaged files
            raise Gesture3dError(f"not a readable zip ({_reason(error)})") from None
        unpacked = sum(member.file_size for member in members)
        if unpacked > max(FREE_BYTES, MAX_RATIO * size):
            raise Gesture3dError(
                f"unpacks from {size:,} to {unpacked:,} bytes, which no data set does; unpack it "
                "yourself if you trust it"
            )
        self._members = {m.filename: m for m in members if not m.is_dir()}
        self.names = tuple(self._members)

    def read(self, name: str) -> bytes:
        """A member's content.

        Raises:
            Gesture3dError: there is none of this name, or it is encrypted, packed by another method
                than deflate, too large or damaged.
        """
        member = self._members.get(name)
        if member is None:
            raise Gesture3dError("no such file in the archive")
        if member.flag_bits & 1:
            raise Gesture3dError("encrypted; unpack the archive yourself")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Their decompressors return any amount at once.
            name = zipfile.compressor_names.get(member.compress_type, member.compress_type)
            raise Gesture3dError(f"packed by {name}, not deflate; unpack the archive yourself")
        if member.file_size > MAX_MEMBER_BYTES:
            raise Gesture3dError(f"{member.file_size:,} bytes; at most {MAX_MEMBER_BYTES:,}")
        try:
            with self._zip.open(member) as file:  # ends at `file_size`, and the checksum is right
                content = b"".join(iter(lambda: file.read(1 << 20), b""))
        except Exception as error:
            raise Gesture3dError(f"damaged in the archive ({_reason(error)})") from None
        if len(content) != member.file_size:
            raise Gesture3dError("damaged in the archive (cut off)")
        return content

    def __enter__(self) -> "ZipReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()


def _check_count(found: int, file: BinaryIO) -> None:
    """Raise Gesture3dError unless the list has as many members as the archive's end says: a
    damaged length of one member's comment swallows those behind it."""
    size = file.seek(0, 2)
    file.seek(max(size - LONGEST_END, 0))
    end = file.read()
    place = end.rfind(b"PK\5\6") + 10
    count = int.from_bytes(end[place : place + 2], "little")
    if count not in (0xFFFF, found % 0x10000):  # the first: more than fit
        raise Gesture3dError(f"damaged: a list of {found:,} members, where {count:,} are said")


def _check_name(member: zipfile.ZipInfo, file: BinaryIO) -> None:
    """Raise Gesture3dError unless the name is the one before the member's content, too (or a
    damaged list would lose it), and means the same as the end of a path."""
    name = member.orig_filename
    file.seek(member.header_offset)
    header = file.read(30)
    length = int.from_bytes(header[26:28], "little")
    written = name.encode("utf-8" if member.flag_bits & 0x800 else "cp437")
    if header[:4] != b"PK\3\4" or file.read(length) != written:
        raise Gesture3dError(f"damaged at the member {name[:80]!r}")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(c < " " or c == "\x7f" for c in name):
        raise Gesture3dError(f"a member's name is {name[:80]!r}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
