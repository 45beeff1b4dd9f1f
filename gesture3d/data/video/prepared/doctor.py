"""The doctor: decode every clip of a set once and write down what is found.

A decoder that raises no error proves little: a cut-off AVI or WebM simply ends early. So the
number of decoded frames is compared with what the container promises (in `data.video.reading`)
and with what the data set's list promises.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from gesture3d.data.index import Index, Item
from gesture3d.data.subset import list_line
from gesture3d.data.video.depth import read_mat, split_zip
from gesture3d.data.video.frames import ANY_FRAMES, FrameRules
from gesture3d.data.video.prepared.cache import file_state
from gesture3d.data.video.prepared.manifest import (
    Record,
    bad_list_path,
    duplicates_across_splits,
    read_manifest,
    to_line,
    write_manifest,
)
from gesture3d.data.video.prepared.places import manifest_path
from gesture3d.data.video.reading import (
    Backend,
    VideoError,
    check_steady,
    open_video,
    read_opened,
    require_backend,
)
from gesture3d.errors import Gesture3dError
from gesture3d.files import write_text
from gesture3d.helpers import Helper, HelperDied, answer_questions, in_helpers, num_helpers

if TYPE_CHECKING:
    from gesture3d.data.video.stream import VideoData

_SHORT_SIDE = 16  # decoded frames are looked at in this size, so that long clips fit in memory


@dataclass(frozen=True)
class Diagnosis:
    """What a check found.

    Attributes:
        records: one a clip, in the order of the data set.
        bad: those that cannot be used.
        duplicates: groups of clips with the same content in more than one split.
        num_reused: clips that had not changed since an earlier check.
    """

    records: list[Record]
    bad: list[Record]
    duplicates: list[list[Record]]
    num_reused: int


class _Everything:
    """Contains every key: a check names what is missing instead of stopping at it."""

    def __contains__(self, key: object) -> bool:
        return True


def check_data(
    config: VideoData,
    num_workers: int | None = None,
    progress: bool = True,
    *,
    backend: Backend = "auto",
    fresh: bool = False,
    shard: tuple[int, int] = (0, 1),
) -> tuple[Path, Diagnosis]:
    """`check` all clips that a data set's lists name, there or not; also returns the manifest."""
    from gesture3d.data import read_index

    # What is left out is checked, too: the list of bad clips is made anew.
    config = config.model_copy(update={"exclude": (), "exclude_list": None})
    index = read_index(config, progress, missing_ok=_Everything())
    manifest = manifest_path(config)
    return manifest, check(
        index,
        manifest,
        num_workers=num_workers,
        progress=progress,
        backend=backend,
        fresh=fresh,
        rules=config.frame_rules,
        shard=shard,
    )


def check(
    index: Index,
    manifest: Path,
    *,
    num_workers: int | None = None,
    progress: bool = True,
    backend: Backend = "auto",
    fresh: bool = False,
    rules: FrameRules = ANY_FRAMES,
    shard: tuple[int, int] = (0, 1),
) -> Diagnosis:
    """Decode every clip, write the manifest and, beside it, the list of bad clips.

    Good clips that have not changed since they were last checked are not decoded again, nor are
    those that were done when an earlier check was killed, or by checks of shards.

    Args:
        manifest: its path.
        num_workers: processes; None for one per core.
        fresh: decode everything again.
        rules: how folders of frames are taken.
        shard: check one part of so many only, and leave the manifest to the check of all.

    Raises:
        Gesture3dError: the manifest cannot be written or read, or there is no such backend.
    """
    require_backend(backend)
    name, is_part = f".{manifest.name}.partial", shard[1] > 1
    journal = manifest.with_name(f"{name}-{shard[0]}-of-{shard[1]}" if is_part else name)
    known = {} if fresh else read_manifest(manifest)
    for found in [] if fresh else sorted(manifest.parent.glob(f"{glob.escape(name)}*")):
        known |= read_manifest(found, partial=True)
    clips = index.items[shard[0] :: shard[1]]
    records: dict[str, Record] = {}
    todo = []
    for clip in clips:
        record = known.get(clip.key)
        if _still_true(record, clip):
            records[clip.key] = replace(record, split=clip.split, path=str(clip.path))
        else:
            todo.append(clip)
    reused = len(records)
    try:
        manifest.parent.mkdir(parents=True, exist_ok=True)
        with journal.open("a", encoding="utf-8") as file:
            hide = None if progress else True  # None: a bar on terminals only
            bar = tqdm(todo, unit="clip", desc="checking clips", disable=hide)
            for clip, found in zip(bar, _inspect(todo, num_workers, backend, rules), strict=True):
                record = Record(
                    clip.key, clip.split, str(clip.path), file_state(clip.path), **found
                )
                records[clip.key] = record
                file.write(to_line(record))
                file.flush()
        ordered = [records[clip.key] for clip in clips]
        bad = [record for record in ordered if record.status != "ok"]
        if not is_part:
            write_manifest(manifest, ordered)
            _write_bad_list(bad, bad_list_path(manifest))
            for path in manifest.parent.glob(f"{glob.escape(name)}*"):
                path.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Gesture3dError(f"cannot write the manifest {manifest}: {reason}") from error
    return Diagnosis(ordered, bad, duplicates_across_splits(ordered), reused)


def inspect(
    path: Path,
    promised: int | None = None,
    backend: Backend = "auto",
    rules: FrameRules = ANY_FRAMES,
) -> dict[str, Any]:
    """What is to be known about a clip: the fields of a `Record` from ``status`` on.

    Args:
        promised: the number of frames that the data set's list gives.
    """
    try:
        reader = open_video(path, backend, rules)
        decoded = len(read_opened(path, reader, None, _SHORT_SIDE))
        if promised is not None and decoded != promised:
            raise VideoError(path, f"has {decoded} frames, its list says {promised}")
        if rules[2] == "steady":
            check_steady(path, reader)
    except VideoError as error:
        inside = "" if error.path == path else f"{error.path.name} "
        return {"status": "bad", "reason": inside + error.reason}
    fps, (height, width) = reader.fps, reader.size
    return {
        "status": "ok",
        "num_frames": decoded,
        "height": height,
        "width": width,
        "fps": fps,
        "seconds": round(decoded / fps, 4) if fps else None,
        "hash": content_hash(path),
    }


def content_hash(path: Path) -> str:
    """32 hexadecimal digits of a file's content, or of a folder's frames in order."""
    digest = hashlib.blake2b(digest_size=16)
    if split_zip(path)[0]:
        digest.update(np.ascontiguousarray(read_mat(path, "d_depth")).tobytes())
        return digest.hexdigest()
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    for part in files:
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def answer(backend: Backend, *rules: str) -> None:
    """The helper process."""

    def inspect_one(question: list, _: Callable[[Any], Any]) -> dict:
        return inspect(Path(question[0]), question[1], backend, rules)

    answer_questions(inspect_one)


def _still_true(record: Record | None, clip: Item) -> bool:
    """Whether an earlier check found this very file good, with the frames its list promises."""
    return (
        record is not None
        and record.status == "ok"
        and record.state == file_state(clip.path)
        and clip.num_frames in (None, record.num_frames)
    )


def _inspect(
    todo: list[Item], num_workers: int | None, backend: Backend, rules: FrameRules
) -> Iterator[dict[str, Any]]:
    workers = num_helpers(len(todo), num_workers)
    if workers <= 1:
        for clip in todo:
            yield inspect(clip.path, clip.num_frames, backend, rules)
        return

    def work(helper: Helper, clip: Item) -> dict[str, Any]:
        try:
            return helper.ask([str(clip.path), clip.num_frames])
        except HelperDied as death:
            return {"status": "bad", "reason": str(death)}

    helpers = [Helper(__name__, "answer", backend, *rules) for _ in range(workers)]
    yield from in_helpers(helpers, todo, work)


def _write_bad_list(bad: list[Record], path: Path) -> None:
    if bad:
        write_text(path, "".join(list_line(r.key, f"{r.path}: {r.reason}") for r in bad))
    else:
        path.unlink(missing_ok=True)
