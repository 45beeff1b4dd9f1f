"""Videos that were dropped on the page: kept, decoded in a process of their own, and searched."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from gesture3d.errors import Gesture3dError
from gesture3d.events import Event
from gesture3d.live import decode
from gesture3d.live.clips import jpeg
from gesture3d.live.disk import check_room, disk_words
from gesture3d.live.networks import Choice, Networks, follow
from gesture3d.text import csv_text

MOST_BYTES = 1 << 30  # of one video
MOST_VIDEOS = 8  # kept; the oldest goes
MOST_AT_ONCE = 2  # uploads and searches
THUMB_HEIGHT = 72
EVERY = 20  # thumbnails along a video, and one a event
MOST_EVENTS = 2000


@dataclass
class Video:
    """One video and what was found in it.

    Attributes:
        key: the server's name of it; ``title`` the page's, only ever shown.
        thumbs: (seconds, JPEG).
    """

    key: str
    title: str
    network: str
    state: str = "searching"  # or done, failed, stopped
    error: str | None = None
    seconds: float = 0.0
    done: float = 0.0  # seconds that have been searched
    events: list[Event] = field(default_factory=list)
    thumbs: list[tuple[float, bytes]] = field(default_factory=list)

    def said(self) -> dict[str, Any]:
        """What the page is told."""
        return {
            "key": self.key,
            "title": self.title,
            "network": self.network,
            "state": self.state,
            "error": self.error,
            "seconds": self.seconds,
            "done": self.done,
            "events": [
                {"label": e.label, "start": e.start, "end": e.end, "score": e.score}
                for e in self.events
            ],
            "thumbs": [seconds for seconds, _ in self.thumbs],
        }


class Videos:
    """Those of this server; their files lie in ``folder``, under names of its own."""

    def __init__(self, folder: Path, networks: Networks) -> None:
        self.folder, self.networks = folder, networks
        self.known: dict[str, Video] = {}
        self._busy = 0
        shutil.rmtree(folder, ignore_errors=True)  # of a server that was stopped hard

    async def receive(self, parts: AsyncIterator[bytes], title: str, network: str) -> Video:
        """Keep a video while it streams in, then begin to search it.

        Raises:
            Gesture3dError: too large, too many at once, a full disk; nothing of it is kept then.
        """
        choice = self.networks.find(network)
        if self._busy >= MOST_AT_ONCE:
            raise Gesture3dError(f"{MOST_AT_ONCE} videos are being searched; wait for one of them")
        self._busy += 1
        key = secrets.token_hex(8)
        path = self.folder / f"{key}.video"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            await _write(path, parts)
        except BaseException:
            self._busy -= 1
            path.unlink(missing_ok=True)
            raise
        video = self.known[key] = Video(key, title[:200], network)
        while len(self.known) > MOST_VIDEOS:
            self.known.pop(next(iter(self.known))).state = "stopped"
        thread = threading.Thread(target=self._search, args=(video, path, choice), daemon=True)
        thread.start()
        return video

    def find(self, key: str) -> Video:
        """Raises Gesture3dError where there is none of this key."""
        if key not in self.known:
            raise Gesture3dError("there is no such video (any more); drop it again")
        return self.known[key]

    def stop(self, key: str) -> None:
        """Do not search on, and forget it."""
        self.find(key).state = "stopped"
        del self.known[key]

    def _search(self, video: Video, path: Path, choice: Choice) -> None:
        try:
            _search(video, path, choice)
        except Gesture3dError as error:
            video.state, video.error = "failed", str(error)
        except OSError as error:
            video.state, video.error = "failed", disk_words(error)
        except Exception as error:  # a fault of the program must not leave the page waiting
            video.state, video.error = "failed", f"the search broke off: {type(error).__name__}"
            raise
        finally:
            self._busy -= 1
            path.unlink(missing_ok=True)


async def _write(path: Path, parts: AsyncIterator[bytes]) -> None:
    size = 0
    with path.open("xb") as file:
        async for part in parts:
            size += len(part)
            if size > MOST_BYTES:
                raise Gesture3dError(f"larger than {MOST_BYTES >> 20} MB; cut it into pieces")
            check_room(path.parent, "drop the video again")
            file.write(part)
    if not size:
        raise Gesture3dError("an empty file; choose a video")


def _search(video: Video, path: Path, choice: Choice) -> None:
    stream = follow(choice)
    next_thumb = 0.0
    for frame, seconds, length in decode.frames(path):
        if video.state == "stopped":
            return
        decided = stream.push(frame, seconds)
        video.events += stream.take_ended()
        video.seconds, video.done = length, seconds
        if len(video.events) > MOST_EVENTS:
            raise Gesture3dError(f"more than {MOST_EVENTS} events: this network does not fit it")
        if seconds >= next_thumb or decided:
            video.thumbs.append((round(seconds, 3), thumb(frame)))
            next_thumb = (
                max(next_thumb, seconds) + length / EVERY if seconds >= next_thumb else next_thumb
            )
    video.events = sorted([*video.events, *stream.close()], key=lambda event: event.start)
    video.done, video.state = video.seconds, "done"


def thumb(frame: Any) -> bytes:
    """A frame, small, as JPEG."""
    width = max(round(frame.shape[1] * THUMB_HEIGHT / frame.shape[0]), 1)
    return jpeg(cv2.resize(frame, (width, THUMB_HEIGHT), interpolation=cv2.INTER_AREA), 80)


def as_csv(video: Video) -> str:
    """Its events as `gesture3d.events` reads them."""
    rows = [[video.title, e.label, e.start, e.end, e.decided, e.score] for e in video.events]
    return csv_text([["path", "label", "start", "end", "decided", "score"], *rows])


def as_json(video: Video) -> str:
    """Its events as objects."""
    return json.dumps({"video": video.title, "events": video.said()["events"]}, indent=1)
