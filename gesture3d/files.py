"""Files that are either whole or not there, and the folders that travel with the package."""

import contextlib
import glob
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from gesture3d.errors import Gesture3dError

PACKAGE = Path(__file__).resolve().parent
DEFAULT_WEIGHTS = "variant_a-synthetic.safetensors"
STREAM_WEIGHTS = "variant_a_causal-synthetic.safetensors"  # of the same gestures, in streams


def resource(folder: str) -> Path:
    """``configs`` or ``weights``: beside the package in a checkout, inside it when installed."""
    beside = PACKAGE.parent / folder
    return beside if beside.is_dir() else PACKAGE / folder


def child_environment() -> dict[str, str]:
    """The environment of a process that finds this package, too, wherever it starts."""
    search = filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH")))
    return os.environ | {"PYTHONPATH": os.pathsep.join(search)}


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes ``path``'s place when the block succeeds.

    On any error (a full disk, Ctrl-C) the temporary file is removed and ``path`` stays as it was.

    Raises:
        Gesture3dError: ``path`` is something else than a file, such as a folder or a device.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise Gesture3dError(f"{path}: there already, and not a file; name another file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    start, end = _around_temporary(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=start, suffix=end)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of writing ``path``; nobody may be writing it now."""
    start, end = map(glob.escape, _around_temporary(path))
    for leftover in path.parent.glob(f"{start}*{end}"):
        leftover.unlink(missing_ok=True)


def _around_temporary(path: Path) -> tuple[str, str]:
    """How the name of a temporary file begins and ends: a name may have 255 bytes at most."""
    return f".{path.stem[:20]}-", path.suffix[:20]


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8 (names of files that are not, with backslashes)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def check_writable(path: Path, inputs: Iterable[Path] = (), *, is_folder: bool = False) -> None:
    """Find out before the work whether its result can be written; nothing is left behind.

    Args:
        path: a file, or with ``is_folder`` a folder, there already or not.
        inputs: files and folders of frames that are read; ``path`` must be no part of them.

    Raises:
        Gesture3dError: one of the inputs; a folder instead of a file or the reverse; no
            permission, a read-only or full disk.
    """
    try:
        there = _exists(path)
        for source in inputs:
            if path.resolve().is_relative_to(source.resolve()):
                raise Gesture3dError(f"{path}: would be written over an input; name another place")
        if there and not (path.is_dir() if is_folder else path.is_file()):
            what = "folder" if is_folder else "file"
            raise Gesture3dError(f"{path}: there already, and not a {what}; name another {what}")
        folder = path if is_folder else path.parent
        while not _exists(folder):
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(bytes(4096))
            os.fsync(file.fileno())
    except OSError as error:
        raise Gesture3dError(f"{path}: cannot be written ({error.strerror})") from None


def _exists(path: Path) -> bool:
    """As ``path.exists()``, but with an error for a name that is too long or not to be reached."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time into the block; the others wait (not on Windows).

    The lock dies with its holder, however that ends. The block may put another file in the place of
    ``path``: who waited for the old one then waits for the new one.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    while True:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):
                yield
                return


def _is_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def take_lock(path: Path) -> TextIO | None:
    """Lock a file for this process, until it ends or closes what is returned; None where another
    process has it. Unlike that of `locked`, the lock does not go on in forked processes.

    Raises:
        OSError: the system has no such locks here, or the file cannot be written.
    """
    try:
        import fcntl
    except ImportError:
        raise OSError("no locks on this system") from None
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.close()
        return None
    except OSError:
        file.close()
        raise
    return file
