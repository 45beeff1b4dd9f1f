"""One open page: its frames come in, what is recognised or recorded goes out.

A message of bytes is a frame: float64 seconds of the page's clock, uint16 width and height (all
little-endian), then RGB, a byte each. The page sends the next one when this one is answered; should
it send more, the newest waits in a slot and the others are dropped, and counted. Messages of text
are commands. Networks are loaded and run in a thread of the visit; meanwhile frames are answered,
but not looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE
from gesture3d.live.clips import Clips
from gesture3d.live.cutter import MOST_FRAMES, Cutter
from gesture3d.live.disk import disk_words
from gesture3d.live.networks import Networks, follow

HEAD = struct.Struct("<dHH")
LEAST_SIDE, MOST_SIDE = 16, 640  # pixels
MOST_BYTES = HEAD.size + 3 * MOST_SIDE**2  # of a message
SHORT_SIDE = 240  # pixels that the page is asked to send
NOTHING_SECONDS, NOTHING_CLIP = 20.0, 2.0  # recorded of nothing, in clips of
WANTED_CLIPS = 10
TOP = 5
LONG_AGO = -1e6  # seconds of the page's clock


class Mode(Protocol):
    """What is done with frames; `frame` runs in a thread, and its answer is sent to the page."""

    def frame(self, frame: np.ndarray, seconds: float) -> dict[str, Any]: ...


class Watch:
    """Recognise. ``looked``: with this frame the network has looked anew."""

    def __init__(self, networks: Networks, key: object) -> None:
        import torch

        torch.set_num_threads(1)  # several wait for each other, long where a core is busy
        choice = networks.find(key)
        self.names, self.stream = choice.class_names, follow(choice)
        self._warm_up()

    def frame(self, frame: np.ndarray, seconds: float) -> dict[str, Any]:
        before = self.stream.newest
        found = self.stream.push(frame, seconds)
        answer: dict[str, Any] = {"top": top(self.stream.probabilities, self.names)}
        newest = self.stream.newest
        answer["looked"] = newest is not None and newest is not before
        if found:
            answer["events"] = [_event(event) for event in found]
        if ended := self.stream.take_ended():
            answer["ended"] = [_event(event) for event in ended]
        return answer

    def _warm_up(self) -> None:
        """Look at made-up frames, long before the first real one, with which the stream begins
        anew: the first looks of a network take twice as long as others."""
        frame = np.random.default_rng(0).integers(0, 256, (SHORT_SIDE, 320, 3), np.uint8)
        for number in range(13):
            self.stream.push(frame, LONG_AGO + number / 10)
        self.stream.close()


class Record:
    """Cut what is made into clips of a gesture."""

    def __init__(self, clips: Clips, gesture: str, wanted: int) -> None:
        known = clips.listed()
        self.gesture = gesture if gesture in known else clips.check_new(gesture)
        clips.check_room(self.gesture)
        self.clips, self.cutter, self.count, self.wanted = clips, Cutter(), 0, wanted

    def frame(self, frame: np.ndarray, seconds: float) -> dict[str, Any]:
        if self.count >= self.wanted:
            return {"done": True}
        moment = self.cutter.push(frame, seconds)
        answer = {"level": round(moment.level, 2), "moving": moment.moving}
        if moment.problem:
            answer["problem"] = moment.problem
        if moment.clip:
            name = self.clips.add(self.gesture, *moment.clip)
            self.count += 1
            answer["clip"] = {"gesture": self.gesture, "name": name, "number": self.count}
            answer["done"] = self.count >= self.wanted
        return answer


class RecordNothing:
    """Everything for a while, in clips one behind the other."""

    def __init__(self, clips: Clips) -> None:
        clips.check_room(NO_GESTURE)
        self.clips, self.begin, self.left = clips, None, round(NOTHING_SECONDS / NOTHING_CLIP)
        self.frames: list[np.ndarray] = []
        self.seconds: list[float] = []

    def frame(self, frame: np.ndarray, seconds: float) -> dict[str, Any]:
        if not self.left:
            return {"done": True}
        self.begin = seconds if self.begin is None else self.begin
        self.frames.append(frame)
        self.seconds.append(seconds)
        answer: dict[str, Any] = {"share": min((seconds - self.begin) / NOTHING_SECONDS, 1.0)}
        is_long = seconds - self.seconds[0] >= NOTHING_CLIP and len(self.frames) > 4
        if is_long or len(self.frames) >= MOST_FRAMES:  # of a clock that stands still
            name = self.clips.add(NO_GESTURE, self.frames, self.seconds)
            answer["clip"] = {"gesture": NO_GESTURE, "name": name}
            self.frames, self.seconds, self.left = [], [], self.left - 1
        return answer | {"done": not self.left}


class Visit:
    """The WebSocket of one page, until it is closed."""

    def __init__(self, socket: WebSocket, networks: Networks, clips: Clips) -> None:
        self.socket, self.networks, self.clips = socket, networks, clips
        self.mode: Mode | None = None  # None: frames are answered, and forgotten
        self.loading: asyncio.Task | None = None
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="visit")
        self.slot: tuple[np.ndarray, float] | None = None
        self.filled = asyncio.Event()
        self.dropped = 0

    async def run(self) -> None:
        """Returns when the page has gone."""
        await self.socket.accept()
        worker = asyncio.create_task(self._work())
        try:
            while True:
                message = await self.socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                try:
                    if message.get("bytes") is not None:
                        self._put(*read_frame(message["bytes"]))
                    else:
                        await self._command(message.get("text") or "")
                except Gesture3dError as error:
                    await self._say({"error": str(error)})
        except WebSocketDisconnect:
            return
        finally:
            worker.cancel()
            self._stop()
            self.pool.shutdown(wait=False, cancel_futures=True)

    def _put(self, frame: np.ndarray, seconds: float) -> None:
        self.dropped += self.slot is not None
        self.slot = frame, seconds
        self.filled.set()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.filled.wait()
            self.filled.clear()
            if self.slot is None:
                continue
            (frame, seconds), self.slot = self.slot, None
            answer: dict[str, Any] = {"seconds": seconds, "dropped": self.dropped}
            mode = self.mode
            try:
                if mode:
                    answer |= await loop.run_in_executor(self.pool, mode.frame, frame, seconds)
            except Exception as error:
                answer["error"] = in_words(error)
                self.mode = None if self.mode is mode else self.mode
            await self._say(answer)

    async def _command(self, text: str) -> None:
        try:
            said = json.loads(text[:4096])
            what = said["do"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Gesture3dError("a command that is none; load the page again") from None
        self._stop()
        try:
            if what == "watch":
                self.loading = asyncio.create_task(self._watch(said.get("network")))
            elif what == "record":
                gesture = str(said.get("gesture", ""))
                if gesture == NO_GESTURE:
                    self.mode = RecordNothing(self.clips)
                else:
                    self.mode = Record(self.clips, gesture, WANTED_CLIPS)
                await self._say({"recording": gesture})
            elif what == "stop":
                await self._say({"stopped": True})
            else:
                raise Gesture3dError(f"no command {str(what)[:40]!r}; load the page again")
        except OSError as error:
            raise Gesture3dError(in_words(error)) from None

    def _stop(self) -> None:
        self.mode = None
        if self.loading:
            self.loading.cancel()

    async def _watch(self, key: object) -> None:
        loop = asyncio.get_running_loop()
        try:
            mode = await loop.run_in_executor(self.pool, Watch, self.networks, key)
        except Exception as error:
            await self._say({"error": in_words(error)})
            return
        self.mode = mode
        await self._say({"watching": key, "names": list(mode.names)})

    async def _say(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it has gone meanwhile
            await self.socket.send_text(json.dumps(answer, allow_nan=False))


def read_frame(message: bytes) -> tuple[np.ndarray, float]:
    """A message → RGB (H, W, 3), uint8, and its seconds. Raises Gesture3dError."""
    if len(message) >= HEAD.size:
        seconds, width, height = HEAD.unpack_from(message)
        sides = min(width, height) >= LEAST_SIDE and max(width, height) <= MOST_SIDE
        if sides and abs(seconds) < 1e9 and len(message) == HEAD.size + 3 * width * height:
            pixels = np.frombuffer(message, np.uint8, offset=HEAD.size)
            return pixels.reshape(height, width, 3), seconds
    raise Gesture3dError(
        f"a frame that is none: expected seconds, width and height (each {LEAST_SIDE} to "
        f"{MOST_SIDE}), then three bytes a pixel"
    )


def top(probabilities: np.ndarray | None, names: list[str]) -> list[tuple[str, float]]:
    """The most probable classes; none where there is nothing to say."""
    if probabilities is None:
        return []
    order = np.argsort(-probabilities, kind="stable")[:TOP]
    return [(names[number], round(float(probabilities[number]), 4)) for number in order]


def in_words(error: Exception) -> str:
    """What the page says of an error; one that no user can cause is printed here."""
    if isinstance(error, OSError):
        return disk_words(error)
    if isinstance(error, Gesture3dError):
        return str(error)
    traceback.print_exception(error)
    return "the program has a fault; its window says which"


def _event(event: Any) -> dict[str, Any]:
    times = {"start": event.start, "end": event.end, "decided": event.decided}
    rounded = {name: round(float(value), 3) for name, value in times.items()}
    return {"label": event.label, "score": round(float(event.score), 4), **rounded}
