"""Where clips and results lie: on this machine, on an object store (fsspec), inside a tar.

A place is text: a path, or an address such as ``s3://bucket/clips``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tarfile
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gesture3d.errors import Gesture3dError
from gesture3d.files import atomic_path

# A PUT on these leaves all or nothing; elsewhere a temporary name is renamed.
ATOMIC = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}


@dataclass(frozen=True)
class Entry:
    """A clip of a manifest.

    Attributes:
        path: as it was listed; of a tar's member, the tar's path, a slash and the member's name.
        size: bytes; -1 where it was not there.
        changed: what changes when the content does: nanoseconds, or an object store's tag.
        archive: the tar that it lies in, else "".
        offset: where in the tar, bytes.
    """

    path: str
    size: int
    changed: str
    archive: str = ""
    offset: int = 0


def is_address(place: str) -> bool:
    """Whether a place is for fsspec."""
    return "://" in place


def as_place(text: str) -> str:
    """A place as it was typed: an address, or an absolute path (of ``file://``, too)."""
    text = text.removeprefix("file://")
    return text.rstrip("/") if is_address(text) else os.path.abspath(text)  # noqa: PTH100


def joined(base: str, path: str) -> str:
    """``path`` below ``base``, unless it says itself where it is."""
    if path.startswith("/") or is_address(path) or os.path.isabs(path):  # noqa: PTH117
        return path.removeprefix("file://")
    return f"{base}/{path}"


def filesystem(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path in it.

    Raises:
        Gesture3dError: an unknown protocol, or one whose package is not installed.
    """
    import fsspec

    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise Gesture3dError(
            f"{address}: {error}; pip install 'gesture3d[s3]', or gesture3d[gs]"
        ) from None
    except (ValueError, OSError) as error:
        raise Gesture3dError(f"{address}: {error}") from None


def state(place: str) -> tuple[int, str]:
    """Size and what changes with the content; (-1, "") where nothing is there."""
    try:
        if not is_address(place):
            status = os.stat(place)  # noqa: PTH116 (a million of them)
            return status.st_size, str(status.st_mtime_ns)
        fs, path = filesystem(place)
        with _reaching(place):
            info = fs.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return -1, ""
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return -1, ""
    return info["size"] or 0, _tag(info)


def _tag(info: dict[str, Any]) -> str:
    names = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created")
    return str(next((info[name] for name in names if info.get(name)), ""))


@contextlib.contextmanager
def _reaching(place: str, missing: bool = True) -> Iterator[None]:
    """What a store's library raises as an OSError that says where: botocore's, say, are none.

    Args:
        missing: leave a FileNotFoundError one, as nothing need be there.
    """
    try:
        yield
    except (Gesture3dError, tarfile.TarError):
        raise
    except Exception as error:
        if missing and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise
        raise OSError(f"{place}: {error or type(error).__name__}") from error


def found_below(address: str, suffixes: Collection[str]) -> list[str]:
    """The files of these suffixes below an address, relative to it, sorted.

    Raises:
        Gesture3dError: there is no such place.
    """
    fs, root = filesystem(address)
    ends = tuple(suffixes)
    try:
        with _reaching(address):
            found = fs.find(root)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Gesture3dError(f"{address}: {error}") from None
    names = (name[len(root) :].lstrip("/") for name in found)
    return sorted(name for name in names if name.lower().endswith(ends) and not _is_litter(name))


def _is_litter(name: str) -> bool:
    """Whether a file, or a folder that it is in, is what a walk through folders passes over."""
    from gesture3d.data.walk import is_litter

    return any(is_litter(part) for part in PurePosixPath(name).parts if part != "..")


def members(base: str, archive: str, suffixes: Collection[str]) -> Iterator[Entry]:
    """The clips in a tar, as they stand in it.

    Raises:
        Gesture3dError: it is none, compressed, or damaged.
    """
    place, ends = joined(base, archive), tuple(suffixes)
    changed = state(place)[1]
    try:
        with opened(place) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                is_clip = member.isreg() and member.name.lower().endswith(ends)
                if is_clip and not _is_litter(member.name):
                    name = f"{archive}/{member.name}"
                    yield Entry(name, member.size, changed, archive, member.offset_data)
            if tar.fileobj.tell() > state(place)[0]:
                raise tarfile.ReadError("unexpected end of data")
    except (tarfile.TarError, OSError) as error:
        raise Gesture3dError(
            f"{place}: not a whole, uncompressed tar ({error}): make it anew or leave it out"
        ) from None


@contextlib.contextmanager
def opened(place: str) -> Iterator[Any]:
    """A file for reading bytes, for the length of the block."""
    if not is_address(place):
        with Path(place).open("rb") as file:
            yield file
        return
    fs, path = filesystem(place)
    with _reaching(place), fs.open(path, "rb") as file:
        yield file


@contextlib.contextmanager
def local(base: str, entry: Entry) -> Iterator[Path]:
    """A clip as a file on this machine, for the length of the block.

    Raises:
        Gesture3dError: it is not what it was when it was listed.
        OSError: it cannot be read.
    """
    place = joined(base, entry.archive or entry.path)
    size, changed = state(place)
    same = changed == entry.changed and (entry.archive or size == entry.size)
    if entry.size >= 0 and size >= 0 and not same:
        raise Gesture3dError("has changed since it was listed: list it anew, for another --out")
    if not entry.archive and not is_address(place):
        yield Path(place)
        return
    with tempfile.NamedTemporaryFile(suffix=Path(entry.path).suffix[:20]) as copy:
        with opened(place) as file:
            file.seek(entry.offset)
            left = entry.size if entry.archive else None
            while block := file.read(1 << 20 if left is None else min(left, 1 << 20)):
                copy.write(block)
                left = left and left - len(block)
        if left:
            raise OSError(f"{place}: ends within {entry.path}")
        copy.flush()
        yield Path(copy.name)


def has_vanished(base: str, entry: Entry) -> bool:
    """Whether a listed clip is gone together with the folder that it was in (a lost mount)."""
    place = joined(base, entry.archive or entry.path)
    if entry.size < 0 or is_address(place) or Path(place).exists():
        return False
    return not Path(place).parent.exists()


class Store:
    """A folder of results: each is whole or not there.

    Args:
        place: its path or address.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._fs, self._root = filesystem(place) if is_address(place) else (None, place)

    def make(self) -> None:
        """Make the folder."""
        if self._fs is None:
            Path(self._root).mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def names(self, folder: str) -> list[str]:
        """Of the files in a folder of it, sorted."""
        try:
            if self._fs is None:
                found = os.listdir(self.path(folder))  # noqa: PTH208
            else:
                self._fs.invalidate_cache()
                with _reaching(f"{self.place}/{folder}"):
                    listed = self._fs.ls(self.path(folder), detail=False)
                found = [name.rsplit("/", 1)[1] for name in listed]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in found if not name.startswith("."))

    def has(self, name: str) -> bool:
        path = self.path(name)
        if self._fs is None:
            return Path(path).exists()
        with _reaching(f"{self.place}/{name}"):
            return self._fs.exists(path)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """A file's content, or a part of it."""
        with opened(joined(self.place, name)) as file:
            file.seek(start)
            return file.read() if length is None else file.read(length)

    def write(self, name: str, content: bytes) -> None:
        """Raises OSError: a full disk, no permission; what was there before still is."""
        if self._fs is None:
            with atomic_path(Path(self.path(name))) as temporary:
                temporary.write_bytes(content)
            return
        with _reaching(f"{self.place}/{name}", missing=False):
            if self._protocols & ATOMIC:
                self._fs.pipe_file(self.path(name), content)
                return
            passing = self.path(f"{name}.{os.getpid()}.passing")
            self._fs.pipe_file(passing, content)
            self._fs.mv(passing, self.path(name))

    @property
    def _protocols(self) -> set[str]:
        named = self._fs.protocol
        return {named} if isinstance(named, str) else set(named)
