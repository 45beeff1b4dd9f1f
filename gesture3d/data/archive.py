"""The files of a data set as its authors publish it: a zip, or the folder unpacked from it."""

import io
import warnings
import zipfile
from pathlib import Path

import numpy as np

from gesture3d.errors import Gesture3dError


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
        self._zip: zipfile.ZipFile | None = None
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
        for path in [root] if root.is_file() else sorted(root.glob("*.zip")):
            if self._open_zip(path, marker):
                return
        raise Gesture3dError(
            f"{root}: neither a zip nor a folder of {what}: no {marker!r} in it; point data.root "
            "at the official download"
        )

    def _open_zip(self, path: Path, marker: str, content: io.BytesIO | None = None) -> bool:
        try:
            archive = zipfile.ZipFile(content or path)
        except (zipfile.BadZipFile, OSError) as error:
            raise Gesture3dError(
                f"{path}: not a readable zip ({error}); download it again"
            ) from None
        prefixes = [n[: -len(marker)] for n in archive.namelist() if f"/{n}".endswith(f"/{marker}")]
        if not prefixes:
            inner = [n for n in archive.namelist() if n.lower().endswith(".zip")]
            return any(self._open_inner(archive, path, name, marker) for name in inner)
        prefix = min(prefixes, key=len)
        self._zip, self._prefix, self.base = archive, prefix, f"{path}:{prefix}"
        names = (n for n in archive.namelist() if n.startswith(prefix) and not n.endswith("/"))
        self.names = {n[len(prefix) :] for n in names}
        return True

    def _open_inner(self, outer: zipfile.ZipFile, path: Path, name: str, marker: str) -> bool:
        """A zip inside the zip, as UCI packs some of its sets."""
        if name.startswith("__MACOSX/"):
            return False
        return self._open_zip(path / name, marker, io.BytesIO(outer.read(name)))

    def where(self, name: str) -> str:
        """The file's place, for messages."""
        return f"{self.base}{name}"

    def read(self, name: str) -> bytes:
        """Raises Gesture3dError: the file is missing or damaged."""
        if name not in self.names:
            raise Gesture3dError(f"{self.where(name)}: missing; the download is not complete")
        try:
            return (
                self._zip.read(self._prefix + name)
                if self._zip
                else Path(self.where(name)).read_bytes()
            )
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise Gesture3dError(f"{self.where(name)}: cannot be read ({error})") from None

    def numbers(self, name: str, columns: int | None = None) -> np.ndarray:
        """A text file of numbers as float64 (rows, columns); see `parse_numbers`."""
        return parse_numbers(self.read(name).decode("ascii", "replace"), self.where(name), columns)


def parse_numbers(text: str, where: str, columns: int | None = None) -> np.ndarray:
    """Rows of numbers separated by blanks, ``NaN`` allowed → float64 (rows, columns).

    Args:
        columns: in every row; None: as many as in the first.

    Raises:
        Gesture3dError: a row of another length, or something that is no number: file and line.
    """
    lines = text.rstrip().split("\n")
    if columns is None:
        columns = len(lines[0].split())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = np.fromstring(text, dtype=np.float64, sep=" ")
        if values.size and all(len(line.split()) == columns for line in lines):
            return values.reshape(len(lines), columns)
    except (ValueError, DeprecationWarning):
        pass
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if len(fields) != columns:
            raise Gesture3dError(
                f"{where}, line {number}: {len(fields)} numbers instead of {columns}; the file is "
                "truncated or of another format"
            )
        for field in fields:
            try:
                float(field)
            except ValueError:
                raise Gesture3dError(f"{where}, line {number}: {field!r} is no number") from None
    return np.array([line.split() for line in lines], dtype=np.float64)
