"""The clips of a collection, listed once: which, how large, when changed, in which block.

``manifest.csv`` in the folder of results has a row a clip, ``path, size, changed, archive, offset``
(see `Entry`), sorted by path; ``manifest.json`` says how many there are and where each block of
them begins, so that whoever works on a block reads nothing else.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import itertools
import json
import os
import posixpath
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Strict, TypeAdapter

from gesture3d.data.csv_text import csv_rows
from gesture3d.data.numeric import read_named
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.files import locked
from gesture3d.stored import Text, Whole, parse_json
from gesture3d.work.places import (
    Entry,
    Store,
    as_place,
    found_below,
    is_address,
    joined,
    members,
    opened,
    state,
)

CLIPS, ABOUT, LOCK = "manifest.csv", "manifest.json", ".lock"
MOST_IN_A_BLOCK, LEAST_IN_A_BLOCK, WANTED_BLOCKS = 500, 16, 64
TAR = ".tar"


@dataclass(frozen=True)
class Manifest:
    """Attributes:
    base: what relative paths are relative to.
    source: the list, and a hash of its content.
    count: clips.
    block: clips in a block, but for the last one.
    content: hash of manifest.csv.
    starts: byte at which each block begins there, and the end.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    format: Literal[1]
    base: Text
    source: Text
    count: Annotated[int, Strict(), Field(ge=1)]
    block: Annotated[int, Strict(), Field(ge=1)]
    content: Text
    starts: list[Whole]

    @property
    def num_blocks(self) -> int:
        return len(self.starts) - 1

    def entries(self, store: Store, block: int) -> list[Entry]:
        """The clips of a block.

        Raises:
            Gesture3dError: manifest.csv is damaged.
        """
        start, end = self.starts[block : block + 2]
        text = store.read(CLIPS, start, end - start).decode("utf-8", "surrogateescape")
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
            found = [Entry(p, int(s), c, a, int(o)) for p, s, c, a, o in rows]
            if len(found) != min(self.block, self.count - block * self.block):
                raise ValueError
        except (ValueError, csv.Error):
            raise Gesture3dError(
                f"{joined(store.place, CLIPS)}: damaged; remove the folder and start again"
            ) from None
        return found


_MANIFEST = TypeAdapter(Manifest)


def read_manifest(store: Store) -> Manifest | None:
    """None where there is none yet.

    Raises:
        Gesture3dError: it is damaged.
    """
    if not store.has(ABOUT):
        return None
    try:
        found = parse_json(store.read(ABOUT), _MANIFEST)
        if found.num_blocks != -(-found.count // found.block):
            raise ValueError
        return found
    except (ValueError, UnicodeDecodeError):
        place = joined(store.place, ABOUT)
        raise Gesture3dError(f"{place}: damaged; remove the folder and start again") from None


def open_manifest(
    store: Store,
    listed: str,
    suffixes: Collection[str],
    is_input: Callable[[Path], bool] = lambda path: True,
    block: int | None = None,
) -> Manifest:
    """The manifest of the folder; made from ``listed`` where there is none yet.

    Of several processes that come here at the same time one makes it, and the others wait (on an
    object store all make the same).

    Args:
        listed: a ``.csv`` with a column ``path``, a ``.txt`` of a path a line, a folder, a tar.
        suffixes: of clips in folders and tars, of which ``is_input`` are wanted.
        block: clips in a block (None: 500, fewer in small collections).

    Raises:
        Gesture3dError: an unusable list, nothing in it, a clip twice, or another list than before.
    """
    source = _fingerprint(listed)
    store.make()
    with contextlib.nullcontext() if is_address(store.place) else locked(Path(store.place, LOCK)):
        found = read_manifest(store)
        if found is None:
            base, clips = _sorted_clips(listed, suffixes, is_input)
            if not clips:
                raise Gesture3dError(f"{listed}: no clips in it ({', '.join(sorted(suffixes))})")
            size = block or _block_size(len(clips))
            content, starts = _written(base, clips, size)
            digest = hashlib.blake2b(content, digest_size=16).hexdigest()
            found = Manifest(1, base, source, len(clips), size, digest, starts)
            store.write(CLIPS, content)
            store.write(ABOUT, json.dumps(asdict(found)).encode())
    if found.source != source:
        raise Gesture3dError(
            f"{store.place} is of another list ({found.source.rpartition(' ')[0]}, or its content "
            "then): choose another --out"
        )
    if block and found.block != block:
        raise Gesture3dError(f"{store.place} has blocks of {found.block}, not {block}")
    return found


def _block_size(count: int) -> int:
    """Small collections have at least 64 blocks, so that there is something to spread."""
    return min(MOST_IN_A_BLOCK, max(LEAST_IN_A_BLOCK, -(-count // WANTED_BLOCKS)))


def _written(base: str, clips: list[str | Entry], size: int) -> tuple[bytes, list[int]]:
    """manifest.csv, and where each block begins in it."""
    starts, content = [], bytearray()
    for first in range(0, len(clips), size):
        starts.append(len(content))
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows(_rows(base, clips[first : first + size]))
        content += text.getvalue().encode("utf-8", "surrogateescape")
    return bytes(content), [*starts, len(content)]


def _rows(base: str, clips: list[str | Entry]) -> Iterator[tuple]:
    paths = [clip for clip in clips if isinstance(clip, str)]
    places = [joined(base, path) for path in paths]
    if any(map(is_address, places)):  # each takes its time
        with ThreadPoolExecutor(32) as threads:
            states = iter(list(threads.map(state, places)))
    else:
        states = map(state, places)
    for clip in clips:
        if isinstance(clip, str):
            yield clip, *next(states), "", 0
        else:
            yield clip.path, clip.size, clip.changed, clip.archive, clip.offset


def _sorted_clips(
    listed: str, suffixes: Collection[str], is_input: Callable[[Path], bool]
) -> tuple[str, list[str | Entry]]:
    """What relative paths are relative to, and the clips by path: those in tars with all that is
    known of them, others as paths only, of which there may be millions."""
    base, paths = listed_paths(listed, suffixes, is_input)
    compressed = next((p for p in paths if p.lower().endswith((".tar.gz", ".tgz"))), None)
    if compressed:
        raise Gesture3dError(f"{listed}: {compressed} is compressed: unpack it to a .tar")
    clips: list[str | Entry] = []
    for path in paths:
        if path.endswith(TAR):
            clips += members(base, path, suffixes)
        else:
            clips.append(path)
    clips.sort(key=_path)
    names = map(_path, clips)
    if any(_plain(path) != path for path in map(_path, clips)):
        names = sorted(_plain(path) for path in names)
    for before, path in itertools.pairwise(names):
        if before == path:
            raise Gesture3dError(f"{listed}: {path} is there twice")
    return base, clips


def _plain(path: str) -> str:
    """``a.mp4`` for ``./a.mp4``."""
    return path if is_address(path) else posixpath.normpath(path)


def _path(clip: str | Entry) -> str:
    return clip if isinstance(clip, str) else clip.path


# --- lists ---------------------------------------------------------------------------------------


def _fingerprint(listed: str) -> str:
    if listed.lower().endswith((".csv", ".txt")):
        try:
            with opened(listed) as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        except OSError as error:
            raise Gesture3dError(f"{listed}: cannot be read ({error.strerror or error})") from None
        return f"{listed} {digest.hexdigest()}"
    return f"{listed} "


def listed_paths(
    listed: str,
    suffixes: Collection[str] = (),
    is_input: Callable[[Path], bool] = lambda path: True,
) -> tuple[str, list[str]]:
    """What relative paths are relative to, and the paths, see `open_manifest`."""
    lower = listed.lower()
    folder = listed.rpartition("/")[0] if is_address(listed) else str(Path(listed).parent)
    if lower.endswith(TAR):
        return folder, [listed[len(folder) :].lstrip("/")]
    if lower.endswith((".csv", ".txt")):
        with opened(listed) as file:
            content = file.read() if is_address(listed) else read_named(Path(listed))
        paths = _of_table(listed, content) if lower.endswith(".csv") else _of_text(listed, content)
        here = as_place(".")
        beside = not paths or is_address(folder) or os.path.lexists(joined(folder, paths[0]))
        return folder if beside else here, paths
    if is_address(listed):
        return listed, found_below(listed, {*suffixes, TAR})
    from gesture3d.data.walk import Walk

    if not Path(listed).is_dir():
        raise Gesture3dError(f"{listed}: neither a .csv, a .txt, a .tar nor a folder")
    walk = Walk()
    found = walk.clips_below(Path(listed), {*suffixes, TAR})
    walk.report(progress=False)
    wanted = (path for path in found if path.suffix.lower() == TAR or is_input(path))
    return listed, [path.relative_to(listed).as_posix() for path in wanted]


def _of_text(listed: str, content: bytes) -> list[str]:
    lines = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    numbered = enumerate((line.removesuffix("\r") for line in lines), 1)
    return [_named(line, listed, number) for number, line in numbered if line.strip(" \t")]


def _of_table(listed: str, content: bytes) -> list[str]:
    rows = csv_rows(content, listed, ["path"], skip_blank=True)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    if "path" not in header:
        raise Gesture3dError(f"{listed}: no column 'path'.{did_you_mean('path', header)}")
    place = header.index("path")
    return [_named(row[place].strip(), listed, line) for line, row in rows]


def _named(path: str, listed: str, line: int) -> str:
    if not path or "\0" in path:
        raise Gesture3dError(f"{listed}:{line}: {'a NUL in the' if path else 'empty'} path")
    return path
