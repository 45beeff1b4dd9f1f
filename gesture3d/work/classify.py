"""Classification as work on blocks: what a worker does with the clips that it is handed."""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gesture3d.data.sets import DataSet
from gesture3d.errors import Gesture3dError
from gesture3d.work.blocks import Row
from gesture3d.work.places import Entry, has_vanished, is_address, local, opened


@dataclass(frozen=True)
class How:
    """Settings of a worker; those of `said` change results.

    Attributes:
        base: what the clips' paths are relative to.
        weights: a path or an address.
        top: classes a row.
        readers: processes that decode.
        limit: seconds for decoding one clip.
        long, window: videos of more seconds go through the network in windows of so many.
    """

    base: str
    weights: str
    device: str
    top: int
    mirror: bool | None
    reject: float | None
    batch_size: int
    compile: bool
    readers: int
    limit: float
    long: float
    window: float

    def said(self) -> dict[str, Any]:
        """What the results depend on, for their hash."""
        names = ("top", "mirror", "reject", "batch_size", "long", "window")
        kept = {name: getattr(self, name) for name in names}
        return {"tool": "classify", "weights": content_hash(self.weights), **kept}


def content_hash(place: str) -> str:
    """32 hexadecimal digits of a file's content. Raises Gesture3dError: it is not there."""
    try:
        with opened(place) as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise Gesture3dError(f"{place}: cannot be read ({error.strerror or error})") from None


def inputs_of(weights: str) -> DataSet:
    """The settings of what a checkpoint's network reads, without the network (and without torch).

    Raises:
        Gesture3dError: no readable checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    from gesture3d.config import validate_experiment

    try:
        with safe_open(_fetched(weights), framework="np") as file:
            said = json.loads((file.metadata() or {})["description"])
        return validate_experiment(said["experiment"], weights).data
    except (
        *(SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError),
        RecursionError,
    ) as error:
        raise Gesture3dError(f"{weights}: not a readable checkpoint ({error})") from None


def header(top: int) -> list[str]:
    """Of the merged table: as ``--out``, but without what differs from run to run."""
    ranks = [f"{name}_{rank}" for rank in range(1, top + 1) for name in ("class", "probability")]
    return ["path", "start", "stop", *ranks, "error"]


def table_rows(row: Row, top: int) -> list[list]:
    """A row a segment, or one a clip that failed or has none."""
    rows = []
    for start, stop, classes in row["segments"] or [[None, None, []]]:
        ranked = [value for name, p in classes for value in (name, f"{p:.6f}")]
        padding = [""] * (2 * top - len(ranked))
        rows.append([row["path"], start, stop, *ranked, *padding, row["error"]])
    return rows


def open_worker(how: dict[str, Any]) -> Worker:
    """For `gesture3d.work.spread.Job`."""
    return Worker(How(**how))


class Worker:
    """A network and its readers, loaded once, for as many blocks as come.

    Raises:
        Gesture3dError: the weights cannot be used.
    """

    def __init__(self, how: How) -> None:
        import torch

        from gesture3d.inference.classifier import Classifier
        from gesture3d.inference.readers import Readers

        self.how = how
        self._classifier = Classifier(
            _fetched(how.weights), how.device, compile=how.compile, mirror=how.mirror,
            reject=how.reject,
        )  # fmt: skip
        if self._classifier.device.type == "cpu":
            # The same sums in the same order, whatever else the machine does or has.
            torch.set_num_threads(1)
        self._readers = Readers(self._classifier, how.readers, how.limit, how.long, how.window)
        atexit.register(self._readers.close)

    def __call__(self, question: list[list]) -> list[Row]:
        """A row for each clip, given as the fields of its `Entry`.

        Raises:
            Gesture3dError: the folder of a clip has vanished.
        """
        entries = [Entry(*fields) for fields in question]
        files = [(entry.path, local(self.how.base, entry)) for entry in entries]
        if self._classifier.experiment.data.streams:
            results = self._readers.streams(files)
        else:
            results = self._classifier.results(self._readers.read(files), self.how.batch_size)
        rows = []
        for entry, result in zip(entries, results, strict=True):
            if result.error and has_vanished(self.how.base, entry):
                raise Gesture3dError(
                    f"{entry.path}: the folder it was in has vanished; bring it back and give the "
                    "same command, it goes on where it was"
                )
            segments = [
                [s.start, s.stop, [[c.name, round(c.probability, 6)] for c in s.classes]]
                for s in result.segments
            ]
            shown = [[a, b, classes[: self.how.top]] for a, b, classes in segments]
            rows.append({"path": entry.path, "error": result.error, "segments": shown})
        return rows

    def close(self) -> None:
        self._readers.close()


def _fetched(weights: str) -> Path:
    """The weights as a file on this machine."""
    if not is_address(weights):
        return Path(weights)
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / weights.rpartition("/")[2]
    with opened(weights) as source, path.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    return path
