"""Files read in processes beside the one with the network: many at once, each within a time limit.

A decoder that hangs or crashes costs its clip, which is named; the others go on. Long videos come
in windows, and files for networks of streams frame by frame, so that none is in memory whole.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch

from gesture3d.data.sets import Cut
from gesture3d.data.streams import TimedFrame
from gesture3d.errors import Gesture3dError
from gesture3d.helpers import Helper, HelperDied, HelperPool, NotStarted
from gesture3d.inference.classifier import Classifier, Read, Result

File = tuple[Path | str, AbstractContextManager[Path]]  # its name; within, it is a local file
PROCESS = "gesture3d.inference.reader_process"


class Readers:
    """Processes that read files for a classifier.

    Args:
        count: processes.
        most_seconds: for a file, or for the next part of a long one.
        long_seconds: videos that last longer go through the network in windows.
        window_seconds: how long these are.
    """

    def __init__(
        self,
        classifier: Classifier,
        count: int,
        most_seconds: float,
        long_seconds: float,
        window_seconds: float,
    ) -> None:
        self._classifier, self._most_seconds = classifier, most_seconds
        self._network = threading.Lock()
        description = classifier.description
        names = description.channel_names and list(description.channel_names)
        said = json.dumps(
            {
                "experiment": classifier.experiment.model_dump(mode="json"),
                "spec": [description.num_features, names],
                "long": [long_seconds, window_seconds],
            }
        )
        self._pool = HelperPool([Helper(PROCESS, "answer", said) for _ in range(count)])
        self._ahead = 2 * count + 16

    def read(self, files: Iterable[File]) -> Iterator[Read]:
        """What the network takes of each file, in order."""
        return self._pool.map(files, self._read, self._ahead)

    def streams(self, files: Iterable[File]) -> Iterator[Result]:
        """The events in each file, for networks of streams."""
        return self._pool.map(files, self._stream, self._ahead)

    def close(self) -> None:
        self._pool.close()

    def _read(self, helper: Helper, file: File) -> Read:
        name, as_local = file
        started = time.perf_counter()
        cut, scores, error = None, None, None
        try:
            with as_local as path, naming(name, path):
                cut, scores = self._cut(helper, path)
        except NotStarted:  # not the file's fault
            raise
        except (Gesture3dError, OSError) as problem:
            error = str(problem)
        return Read(name, cut, time.perf_counter() - started, error, scores)

    def _cut(self, helper: Helper, path: Path) -> tuple[Cut, torch.Tensor | None]:
        """A file's windows and their scores, or its one cut."""
        spans: list[tuple[float, float]] = []
        inputs: list[torch.Tensor] = []
        scores: list[torch.Tensor] = []
        is_long = False
        with contextlib.closing(self._parts(helper, path)) as parts:
            for part in parts:
                inputs = [torch.from_numpy(values) for values in part["inputs"]]
                spans += map(tuple, part["spans"] or [])
                is_long = part["long"]
                if is_long:
                    with self._network:
                        scores.append(self._classifier.scores(inputs))
        if is_long:
            return Cut([], spans), torch.cat(scores)
        return Cut(inputs, spans or None), None

    def _stream(self, helper: Helper, file: File) -> Result:
        from gesture3d.inference.stream_files import result_of_stream

        name, as_local = file
        try:
            with (
                as_local as path,
                contextlib.closing(self._frames(helper, path)) as frames,
            ):
                found = result_of_stream(self._classifier, path, frames)
                error = found.error and found.error.replace(str(path), str(name))
                return replace(found, path=name, error=error)
        except NotStarted:
            raise
        except (Gesture3dError, OSError) as problem:
            return Result(name, [], 0.0, f"{name}: {problem}")

    def _frames(self, helper: Helper, path: Path) -> Iterator[TimedFrame]:
        with contextlib.closing(self._parts(helper, path)) as parts:
            for part in parts:
                with self._network:
                    yield from zip(part["frames"], part["starts"], part["ends"], strict=True)

    def _parts(self, helper: Helper, path: Path) -> Iterator[dict]:
        question, is_over = str(path), False
        try:
            while not is_over:
                answer = helper.ask(question, self._most_seconds)
                is_over, question = answer["last"], "next"
                if "error" in answer:
                    raise Gesture3dError(answer["error"])
                if len(answer) > 1:
                    yield answer
        except HelperDied as death:
            is_over = True
            raise Gesture3dError(str(death)) from None
        finally:
            if not is_over:  # it would take the next question for a reply
                helper.restart()


@contextlib.contextmanager
def naming(name: object, path: Path) -> Iterator[None]:
    """Errors of the block begin with the name of a file, not with where it is at the moment."""
    try:
        yield
    except NotStarted:
        raise
    except Gesture3dError as error:
        said = str(error).replace(str(path), str(name))
        raise Gesture3dError(said if str(name) in said else f"{name}: {said}") from None
