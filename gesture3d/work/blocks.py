"""A work: what is to be done with every clip of a manifest, and what has been, block by block.

The result of a block is one file, ``blocks/<hash>-<number>.jsonl``, written whole: a line about
the block, then a line a clip, ``{"path": …, "error": null, …}``. The hash is of the manifest, of
the weights and of all settings that change a result, so that what does not belong together has
other names. A clip that fails is a line with its reason.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gesture3d.errors import Gesture3dError
from gesture3d.work.manifest import Manifest
from gesture3d.work.places import Entry, Store, joined

FORMAT = 1
FOLDER = "blocks"
_NAME = re.compile(r"([0-9a-f]{16})-(\d{6,})\.jsonl")

Row = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """Attributes:
    store: the folder of results.
    manifest: its clips.
    said: what is done with them: weights (by a hash of their content) and settings.
    """

    store: Store
    manifest: Manifest
    said: dict[str, Any]

    @property
    def hash(self) -> str:
        """16 hexadecimal digits."""
        text = json.dumps([FORMAT, self.manifest.content, self.manifest.block, self.said])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def begin(self) -> None:
        """Leave beside the blocks what their hash stands for."""
        name = f"work-{self.hash}.json"
        if not self.store.has(name):
            self.store.write(name, json.dumps(self.said).encode())

    def finished(self) -> set[int]:
        """The blocks that have results."""
        names = map(_NAME.fullmatch, self.store.names(FOLDER))
        return {int(name[2]) for name in names if name and name[1] == self.hash}

    def name(self, block: int) -> str:
        return f"{FOLDER}/{self.hash}-{block:06}.jsonl"

    def write(self, block: int, rows: Sequence[Row], started: float, ended: float) -> None:
        """Write the result of a block, whole.

        Raises:
            Gesture3dError: the folder has vanished; no other in its place is begun.
            OSError: a full disk.
        """
        if not self.store.has("manifest.json"):
            raise Gesture3dError(f"{self.store.place} has vanished; bring it back and start again")
        about = {
            "hash": self.hash,
            "block": block,
            "clips": len(rows),
            "failed": sum(row["error"] is not None for row in rows),
            "started": round(started, 3),
            "ended": round(ended, 3),
        }
        lines = [json.dumps(line, ensure_ascii=True) for line in (about, *rows)]
        self.store.write(self.name(block), ("\n".join(lines) + "\n").encode())

    def about(self, block: int) -> Row:
        """The first line of a block's result."""
        line = self.store.read(self.name(block), 0, 1000).partition(b"\n")[0]
        about = self._parsed(block, line)
        numbers = (about.get(name) for name in ("clips", "failed", "started", "ended"))
        if not all(isinstance(value, int | float) for value in numbers):
            raise self._wrong(block)
        return about

    def rows(self, block: int) -> list[Row]:
        """The result of a block: a row for each of its clips, in order.

        Raises:
            Gesture3dError: it is another block's or work's, or not that of these clips.
        """
        lines = self.store.read(self.name(block)).splitlines() or [b""]
        about, *rows = (self._parsed(block, line) for line in lines)
        entries = self.manifest.entries(self.store, block)
        right = about.get("hash") == self.hash and about.get("block") == block
        if not right or [row.get("path") for row in rows] != [entry.path for entry in entries]:
            raise self._wrong(block)
        return rows

    def _parsed(self, block: int, line: bytes) -> Row:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._wrong(block)
        return found

    def _wrong(self, block: int) -> Gesture3dError:
        place = joined(self.store.place, self.name(block))
        return Gesture3dError(
            f"{place}: damaged, or not what its name says: remove it, and start again"
        )

    def todo(self, shard: tuple[int, int], retry_errors: bool) -> Iterator[Task]:
        """What a shard has to do: (which of how many, from 0)."""
        index, count = shard
        finished = self.finished()
        for block in range(index, self.manifest.num_blocks, count):
            if block not in finished:
                yield Task(self, block)
            elif retry_errors and self.about(block)["failed"]:
                yield Task(self, block, retry=True)


@dataclass(frozen=True)
class Task:
    """A block that is to be done, or of which the clips that failed are.

    Attributes:
        retry: only those.
    """

    work: Work
    block: int
    retry: bool = False

    @property
    def num_clips(self) -> int:
        """How many `entries` has."""
        about = self.work.manifest
        if self.retry:
            return self.work.about(self.block)["failed"]
        return min(about.block, about.count - self.block * about.block)

    def entries(self) -> list[Entry]:
        """The clips to work on."""
        entries = self.work.manifest.entries(self.work.store, self.block)
        if not self.retry:
            return entries
        rows = self.work.rows(self.block)
        return [entry for entry, row in zip(entries, rows, strict=True) if row["error"]]

    def question(self) -> list[list]:
        """`entries`, as lists of their fields."""
        return [list(asdict(entry).values()) for entry in self.entries()]

    def finish(self, found: Sequence[Row], started: float, ended: float) -> tuple[int, int]:
        """Write what was found of `entries`; how many they are, and how many of them failed."""
        rows = list(found)
        if self.retry:
            new = {row["path"]: row for row in found}
            rows = [new.get(row["path"], row) for row in self.work.rows(self.block)]
        self.work.write(self.block, rows, started, ended)
        return len(found), sum(row["error"] is not None for row in found)
