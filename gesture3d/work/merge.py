"""How far a work is, and its blocks as one table."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gesture3d.errors import Gesture3dError
from gesture3d.files import atomic_path
from gesture3d.text import csv_text
from gesture3d.work.blocks import FOLDER, Row, Work
from gesture3d.work.manifest import read_manifest
from gesture3d.work.places import Store

RECENT = 50  # blocks, of which the speed is taken


def only_work(store: Store, wanted: str | None = None) -> Work:
    """The work whose results are in a folder.

    Args:
        wanted: its hash, or how it begins, where there are several.

    Raises:
        Gesture3dError: there is none, or more than one.
    """
    manifest = read_manifest(store)
    names = [re.fullmatch(r"work-([0-9a-f]{16})\.json", name) for name in store.names("")]
    hashes = [name[1] for name in names if name and name[1].startswith(wanted or "")]
    if manifest is None or not hashes:
        raise Gesture3dError(f"{store.place}: no {wanted or ''} work in it: nothing was begun")
    if len(hashes) > 1:
        raise Gesture3dError(
            f"{store.place} has results of {len(hashes)} different weights or settings, which are "
            f"never mixed: choose with --work {hashes[0]} (or {', '.join(hashes[1:5])}); what they "
            "are is in work-….json there"
        )
    try:
        said = json.loads(store.read(f"work-{hashes[0]}.json"))
        work = Work(store, manifest, said)
        if work.hash == hashes[0]:
            return work
    except (ValueError, RecursionError):
        pass
    raise Gesture3dError(f"{store.place}/work-{hashes[0]}.json: damaged, or of another manifest")


@dataclass(frozen=True)
class Status:
    """Attributes:
    clips, blocks: all there are.
    clips_done, blocks_done, failed: finished; failed are clips.
    rate: clips a second, of the last blocks together; None where too few are finished.
    """

    clips: int
    blocks: int
    clips_done: int
    blocks_done: int
    failed: int
    rate: float | None

    @property
    def seconds_left(self) -> float | None:
        return (self.clips - self.clips_done) / self.rate if self.rate else None

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f"{self.clips_done:,} of {self.clips:,} clips in {self.blocks_done:,} of "
            f"{self.blocks:,} blocks, {self.failed:,} of them failed"
        ]
        if self.rate and self.clips_done < self.clips:
            minutes = self.seconds_left / 60
            left = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{minutes:.0f} minutes"
            lines.append(f"{self.rate:.1f} clips/s of late; at this pace {left} left")
        return lines


def status(work: Work) -> Status:
    """How far a work is, wherever it runs."""
    found = [work.about(block) for block in sorted(work.finished())]
    recent = sorted(found, key=lambda about: about["ended"])[-RECENT:]
    seconds = recent[-1]["ended"] - min(a["started"] for a in recent) if recent else 0
    rate = sum(about["clips"] for about in recent) / seconds if seconds > 0 else None
    return Status(
        work.manifest.count,
        work.manifest.num_blocks,
        sum(about["clips"] for about in found),
        len(found),
        sum(about["failed"] for about in found),
        rate,
    )


def rows_in_order(work: Work) -> Iterator[Row]:
    """The rows of all clips, by path.

    Raises:
        Gesture3dError: a gap, a block twice, or one that is another work's.
    """
    finished = work.finished()
    gaps = [block for block in range(work.manifest.num_blocks) if block not in finished]
    if gaps:
        first = ", ".join(map(str, gaps[:5])) + (", …" if len(gaps) > 5 else "")
        raise Gesture3dError(
            f"{work.store.place}: {len(gaps)} of {work.manifest.num_blocks} blocks are not done "
            f"({first}): give the command without --merge again, it goes on with them"
        )
    known = {work.name(block) for block in range(work.manifest.num_blocks)}
    for name in work.store.names(FOLDER):
        if work.hash in name and f"{FOLDER}/{name}" not in known:
            raise Gesture3dError(
                f"{work.store.place}/{FOLDER}/{name}: no block of this list, or one of them twice: "
                "remove it"
            )
    for block in range(work.manifest.num_blocks):
        yield from work.rows(block)


def write_table(path: Path, work: Work, header: Sequence[str], as_rows: Any) -> int:
    """All results as one ``.csv`` or ``.parquet``, atomically; returns the number of clips.

    The same bytes however the work was spread.

    Args:
        as_rows: row of a clip → rows of the table, each as long as the header, text or numbers.

    Raises:
        Gesture3dError: as `rows_in_order`; a row is damaged; pyarrow is missing.
    """

    def checked(row: Row) -> list[list]:
        try:
            return as_rows(row)
        except (KeyError, TypeError, ValueError):
            said = f"{work.store.place}: the result of {row['path']} is damaged"
            raise Gesture3dError(f"{said}: remove its block, and start again") from None

    with atomic_path(path) as temporary:
        write = _write_parquet if path.suffix.lower() == ".parquet" else _write_csv
        return write(temporary, header, map(checked, rows_in_order(work)))


def _write_csv(path: Path, header: Sequence[str], clips: Iterator[list[list]]) -> int:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.write(csv_text([header]))
        return sum(bool(file.write(csv_text(rows))) for rows in clips)


def _write_parquet(path: Path, header: Sequence[str], clips: Iterator[list[list]]) -> int:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise Gesture3dError(
            f"{path.suffix} needs pyarrow: pip install 'gesture3d[parquet]', or write .csv"
        ) from None
    number = re.compile("start|stop|probability_.*")
    kinds = [pyarrow.float64() if number.fullmatch(n) else pyarrow.string() for n in header]
    schema, count = pyarrow.schema(list(zip(header, kinds, strict=True))), 0
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while some := list(itertools.islice(clips, 10_000)):
            count += len(some)
            columns = zip(*itertools.chain.from_iterable(some), strict=True)
            arrays = [
                pyarrow.array([_as(kind, value) for value in column], kind)
                for kind, column in zip(kinds, columns, strict=True)
            ]
            writer.write_table(pyarrow.table(arrays, schema=schema))
    return count


def _as(kind: Any, value: Any) -> Any:
    if value is None or value == "":
        return None
    return float(value) if kind == "double" else str(value).encode(errors="replace").decode()
