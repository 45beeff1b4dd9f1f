"""The files of a data set as its authors publish it: a zip, or the folder unpacked from it."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gesture3d.data.numeric import listed, parse_numbers, read_file, read_named, text_lines
from gesture3d.errors import Gesture3dError, naming
from gesture3d.zips import ZipReader

# Zips inside a zip, as UCI packs some of its sets: how many are looked into, and how deep.
MAX_INNER, MAX_DEPTH = 16, 2


class Archive:
    """Files by name below the folder of ``marker``, in a folder tree or in a zip.

    Args:
        root: the zip, a folder with the zip in it, or a folder with the files (at most two levels
            down).
        marker: a file that must be there, relative to where all names are relative to.
        what: the data set's name, for messages.

    Raises:
        Gesture3dError: there is no such file in ``root``.
    """

    def __init__(self, root: Path, marker: str, what: str) -> None:
        root = Path(root)
        self._zip: ZipReader | None = None
        self._looked_into = 0
        if root.is_dir():
            for pattern in (marker, f"*/{marker}", f"*/*/{marker}"):
                for found in sorted(root.glob(pattern)):
                    self.base = str(found)[: -len(marker)]
                    folder = Path(self.base)
                    self.names = {
                        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()
                    }
                    return
        elif not root.is_file():
            raise Gesture3dError(f"{root}: no such file or folder; {what} is expected there")
        zips = [root] if root.is_file() else sorted(root.glob("*.zip"))
        for path in zips:
            if self._open_zip(path, marker):
                return
        inside = f", nor in {listed([path.name for path in zips])}" if zips else ""
        raise Gesture3dError(
            f"{root}: neither a zip nor a folder of {what}: no {marker!r} in it{inside}; point "
            "data.root at the official download"
        )

    def _open_zip(self, path: Path, marker: str, content: bytes | None = None, depth=0) -> bool:
        with naming(path):
            archive = ZipReader(path if content is None else io.BytesIO(content))
        prefixes = [n[: -len(marker)] for n in archive.names if f"/{n}".endswith(f"/{marker}")]
        if not prefixes:
            inner = [n for n in archive.names if n.lower().endswith(".zip")]
            return any(self._open_inner(archive, path, name, marker, depth + 1) for name in inner)
        prefix = min(prefixes, key=len)
        self._zip, self._prefix, self.base = archive, prefix, f"{path}:{prefix}"
        self.names = {n[len(prefix) :] for n in archive.names if n.startswith(prefix)}
        return True

    def _open_inner(self, outer: ZipReader, path: Path, name: str, marker: str, depth: int) -> bool:
        if name.startswith("__MACOSX/"):
            return False
        self._looked_into += 1
        if depth > MAX_DEPTH or self._looked_into > MAX_INNER:
            raise Gesture3dError(
                f"{path}: too many zips inside one another, and no {marker!r} in the first "
                f"{MAX_INNER} of at most {MAX_DEPTH} levels; unpack the right one"
            )
        with naming(path / name):
            content = outer.read(name)
        return self._open_zip(path / name, marker, content, depth)

    def where(self, name: str) -> str:
        """The file's place, for messages."""
        return f"{self.base}{name}"

    def read(self, name: str) -> bytes:
        """Raises Gesture3dError: the file is missing or damaged."""
        if name not in self.names:
            raise Gesture3dError(f"{self.where(name)}: missing; the download is not complete")
        with naming(self.where(name)):
            if self._zip is None:
                return read_file(self.where(name))
            return self._zip.read(self._prefix + name)

    def numbers(self, name: str, columns: int | None = None) -> np.ndarray:
        """A text file of numbers as float64 (rows, columns); see `parse_numbers`."""
        return parse_numbers(self.read(name), self.where(name), columns)

    def whole_numbers(self, name: str, columns: int) -> np.ndarray:
        """As `numbers`, int64."""
        values = self.numbers(name, columns)
        wrong = np.argwhere(~((np.abs(values) < 2**53) & (values == np.rint(values))))
        if len(wrong):
            row, column = wrong[0]
            raise Gesture3dError(
                f"{self.where(name)}, line {row + 1}: {values[row, column]:g} is no whole number"
            )
        return values.astype(np.int64)

    def text(self, name: str) -> str:
        """A text file's content."""
        return "".join(text_lines(self.read(name), self.where(name)))


def files_in(root: Path, name: str, suffix: str) -> Iterator[tuple[str, str, bytes]]:
    """(name, where, content) of the files in ``root/name.zip``, or below ``root/name``, sorted.

    Raises:
        Gesture3dError: there are none, or one cannot be read.
    """
    archive, folder, found = root / f"{name}.zip", root / name, False
    if archive.is_file():
        with naming(archive):
            file = ZipReader(archive)
        with file:
            for member in sorted(file.names):
                if member.endswith(suffix) and not Path(member).name.startswith("."):
                    with naming(f"{archive}/{member}"):
                        content = file.read(member)
                    found = True
                    yield member, f"{archive}/{member}", content
    elif folder.is_dir():
        from gesture3d.data.walk import Walk

        for path in Walk().files_below(folder, [suffix]):
            found = True
            yield str(path), str(path), read_named(path)
    else:
        raise Gesture3dError(f"{root}: neither {name}.zip nor {name}/ there; set data.root")
    if not found:
        raise Gesture3dError(f"{archive if archive.is_file() else folder}: no {suffix} files in it")
