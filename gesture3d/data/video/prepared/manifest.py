"""The manifest of a data set: what a check found out about every clip, a line of JSON each.

``key split path state status reason num_frames height width fps seconds hash``; ``status`` is
``ok`` or ``bad``, ``state`` changes when the file does, ``hash`` is of the content (BLAKE2b),
``fps`` and ``seconds`` are null where the clip has no clock (folders of frames, depth files).
"""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter

from gesture3d.data.index import Index
from gesture3d.data.video.prepared.cache import file_state
from gesture3d.errors import Gesture3dError
from gesture3d.files import write_text
from gesture3d.stored import NonNegative, Text, Whole, parse_json


@dataclass(frozen=True)
class Record:
    """What is known about one clip."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    key: Text
    split: Text
    path: Text
    state: Text
    status: Literal["ok", "bad"]
    reason: Text = ""
    num_frames: Whole = 0
    height: Whole = 0
    width: Whole = 0
    fps: NonNegative | None = None
    seconds: NonNegative | None = None
    hash: Text = ""


_RECORD = TypeAdapter(Record)


def read_manifest(path: Path, partial: bool = False) -> dict[str, Record]:
    """The records by key; empty where there is no such file.

    Args:
        partial: the file may end in the middle of a line, where a check was killed.

    Raises:
        Gesture3dError: a damaged line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Gesture3dError(f"{path}: cannot be read ({error}); check the data again") from None
    records = {}
    for number, line in enumerate(lines, 1):
        try:
            record = parse_json(line, _RECORD)
            if record.key in records and not partial:
                raise ValueError
        except ValueError:
            if partial:
                continue
            raise Gesture3dError(
                f"{path}:{number}: damaged; delete the file and run tools/prepare.py check again"
            ) from None
        records[record.key] = record
    return records


def write_manifest(path: Path, records: list[Record]) -> None:
    """Write a whole manifest, atomically."""
    write_text(path, "".join(to_line(record) for record in records))


def to_line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


def bad_list_path(manifest: Path) -> Path:
    """Beside a manifest: ``key<tab>path: reason`` of every bad clip, fit for data.exclude_list."""
    return manifest.with_name(manifest.stem.replace("manifest", "bad-clips") + ".txt")


def bad_clips(index: Index, manifest: Path) -> tuple[dict[str, str], int]:
    """Bad clips (key → path and reason), and how many clips the manifest does not know as they are.

    Without a manifest, nothing is known and nothing is counted.
    """
    records = read_manifest(manifest)
    if not records:
        return {}, 0
    bad, unchecked = {}, 0
    for clip in index.items:
        record = records.get(clip.key)
        if record is None or record.state != file_state(clip.path):
            unchecked += 1
        elif record.status != "ok":
            bad[clip.key] = f"{record.path}: {record.reason}"
    return bad, unchecked


def explain_bad_clips(bad: dict[str, str], manifest: Path) -> str:
    """One line for all bad clips: which, and what to do."""
    listed = "; ".join(list(bad.values())[:5]) + ("; ..." if len(bad) > 5 else "")
    return (
        f"{len(bad)} bad clips: {listed}; repair them and check again, or leave them out by name "
        f"with data.exclude=[{', '.join(list(bad)[:3])}{', ...' if len(bad) > 3 else ''}] or "
        f"data.exclude_list={bad_list_path(manifest)}"
    )


def duplicates_across_splits(records: list[Record]) -> list[list[Record]]:
    """Groups of whole clips with the same content, of more than one split."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.status == "ok":
            groups[record.hash].append(record)
    return [group for group in groups.values() if len({record.split for record in group}) > 1]
