"""What is computed once from every clip of a set and kept beside it, under the clips' keys."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gesture3d.data.index import Index, Item, fingerprint
from gesture3d.data.video.depth import split_zip
from gesture3d.errors import Gesture3dError, VideoError
from gesture3d.files import write_text
from gesture3d.helpers import Helper, HelperDied, answer_questions, in_helpers, num_helpers


@dataclass(frozen=True)
class Kept:
    """A folder of such files.

    Attributes:
        what: in messages.
        folder, suffix: ``<folder>/<key><suffix>``.
        settings: that all files in the folder are made with, in ``settings_file`` there.
        module, function: ``function(source, target, *arguments)`` writes the file of one clip,
            atomically; it raises VideoError where the clip cannot be used.
        arguments: text.
    """

    what: str
    folder: Path
    suffix: str
    settings: dict[str, Any]
    settings_file: str
    module: str
    function: str
    arguments: tuple[str, ...] = ()

    def path(self, clip: Item) -> Path:
        """Where a clip's file is, or will be."""
        return self.folder / f"{inside(clip.key)}{self.suffix}"

    def complete(
        self, index: Index, num_workers: int | None = None, progress: bool = True
    ) -> dict[str, str]:
        """Compute what is missing or older than its clip, on all cores.

        Args:
            num_workers: processes; None for one per core.

        Returns:
            Why clips have no file now, by key; empty where all went well.

        Raises:
            Gesture3dError: the folder holds files with other settings, or cannot be written to.
        """
        self._check_settings()
        todo = [clip for clip in index.items if not self._is_done(clip)]
        broken = {}
        hide = None if progress else True  # None: a bar on terminals only
        bar = tqdm(todo, unit="clip", desc=f"computing {self.what}", disable=hide)
        for clip, reason in zip(bar, self._compute(todo, num_workers), strict=True):
            if reason.startswith("disk: "):
                raise Gesture3dError(f"cannot write {self.what} to {self.folder}: {reason[6:]}")
            if reason.startswith("all: "):
                raise Gesture3dError(reason[5:])
            if reason:
                broken[clip.key] = reason
        return broken

    def _compute(self, todo: list[Item], num_workers: int | None) -> Iterator[str]:
        workers = num_helpers(len(todo), num_workers)
        if workers <= 1:
            for clip in todo:
                how = (self.module, self.function, *self.arguments)
                yield _try_to_write(clip.path, self.path(clip), *how)
            return

        def work(helper: Helper, clip: Item) -> str:
            try:
                return helper.ask([str(clip.path), str(self.path(clip))])
            except HelperDied as death:
                return f"{clip.path}: {death}"

        how = (self.module, self.function, *self.arguments)
        helpers = [Helper(__name__, "answer", *how) for _ in range(workers)]
        yield from in_helpers(helpers, todo, work)

    def _is_done(self, clip: Item) -> bool:
        try:
            source = split_zip(clip.path)[0] or clip.path
            return self.path(clip).stat().st_mtime_ns >= source.stat().st_mtime_ns
        except OSError:
            return False

    def _check_settings(self) -> None:
        path = self.folder / self.settings_file
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            write_text(path, json.dumps(self.settings) + "\n")
            return
        except (ValueError, RecursionError):
            raise Gesture3dError(f"{path} is damaged: delete {self.folder} to start anew") from None
        if found != self.settings:
            raise Gesture3dError(
                f"{self.folder} holds {self.what} with other settings ({self.settings_file} has "
                f"{found}, asked for {self.settings}): give the same, or delete that folder"
            )


def inside(key: str) -> str:
    """A key as a path that stays inside a folder and fits; others (absolute, long) are hashed."""
    path = Path(key)
    is_text = key == key.encode(errors="replace").decode()  # OpenCV crashes on other names
    fits = is_text and all(len(os.fsencode(part)) <= 251 for part in path.parts)
    return (
        key if fits and not path.is_absolute() and ".." not in path.parts else fingerprint([(key,)])
    )


def answer(module: str, function: str, *arguments: str) -> None:
    """The helper process."""

    def compute_one(question: list[str], _: Callable[[Any], Any]) -> str:
        return _try_to_write(Path(question[0]), Path(question[1]), module, function, *arguments)

    answer_questions(compute_one)


def _try_to_write(source: Path, path: Path, module: str, function: str, *arguments: str) -> str:
    """What went wrong, or nothing."""
    try:
        getattr(importlib.import_module(module), function)(source, path, *arguments)
    except VideoError as error:
        return str(error)
    except Gesture3dError as error:  # not the clip's fault
        return f"all: {error}"
    except OSError as error:
        return f"disk: {error.strerror or error}"
    return ""
