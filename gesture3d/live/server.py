"""The server of the page: what may be asked of it, and how it starts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE
from gesture3d.live.clips import Clips
from gesture3d.live.exporting import Exporting
from gesture3d.live.gate import Gate
from gesture3d.live.networks import Networks
from gesture3d.live.teaching import Teaching
from gesture3d.live.videos import Videos, as_csv, as_json
from gesture3d.live.visit import MOST_BYTES, SHORT_SIDE, WANTED_CLIPS, Visit, in_words

STATIC = Path(__file__).parent / "static"
HIDDEN = ".live"  # in the folder of the clips: what is no clip
MOST_BODY = 64 << 10  # bytes of a request that is no video
MOST_VISITS = 8
TAKEN = "Too many pages are open: close some, and this one goes on by itself."
MOST_STILL = 20.0  # seconds that what is sent may stand still
MOST_SENDING = 900.0  # seconds that sending it may take

Answer = Callable[[Request], Awaitable[Response]]


class Live:
    """Everything behind the page.

    Args:
        folder: of the clips, and of what else is kept.
        runs: where trained networks are.
    """

    def __init__(self, folder: Path, runs: Path) -> None:
        self.clips, self.networks = Clips(folder), Networks(runs)
        self.teaching = Teaching(folder, folder / HIDDEN, runs)
        self.videos = Videos(folder / HIDDEN / "videos", self.networks)
        self.exporting = Exporting(folder / HIDDEN / "export", self.networks)
        self.visits = 0

    def app(self, host: str, port: int, token: str) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/", self.page),
            Mount("/static", StaticFiles(directory=STATIC)),
            WebSocketRoute("/ws", self.visit),
            _route("/api/state", self.state, "GET"),
            _route("/api/clips", self.delete_clips, "DELETE"),
            _route("/api/strip", self.strip, "GET"),
            _route("/api/training", self.train, "POST"),
            _route("/api/training", self.cancel, "DELETE"),
            _route("/api/videos", self.receive_video, "POST"),
            _route("/api/videos/{key}", self.video, "GET"),
            _route("/api/videos/{key}", self.stop_video, "DELETE"),
            _route("/api/videos/{key}/thumbs/{number:int}", self.thumb, "GET"),
            _route("/api/videos/{key}/events.{kind}", self.events, "GET"),
            _route("/api/look", self.look, "GET"),
            _route("/api/export", self.export, "POST"),
            _route("/api/export/file", self.exported, "GET"),
        ]
        gate = Middleware(Gate, host=host, port=port, token=token)
        return Starlette(routes=routes, middleware=[gate])

    async def page(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def visit(self, socket: WebSocket) -> None:
        if self.visits >= MOST_VISITS:
            await socket.accept()  # else the page is not told why
            await socket.close(4429, TAKEN)
            return
        self.visits += 1
        try:
            await Visit(socket, self.networks, self.clips).run()
        finally:
            self.visits -= 1

    async def state(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._state))

    def _state(self) -> dict[str, Any]:
        networks = [
            {"key": c.key, "kind": c.kind, "names": list(c.class_names)}
            for c in self.networks.listed().values()
        ]
        return {
            "folder": str(self.clips.root),
            "nothing": NO_GESTURE,
            "side": SHORT_SIDE,
            "wanted": WANTED_CLIPS,
            "gestures": self.clips.listed(),
            "networks": networks,
            "training": self.teaching.status(),
            "export": self.exporting.status,
            "videos": [video.said() for video in self.videos.known.values()],
        }

    async def delete_clips(self, request: Request) -> Response:
        said = await _body(request)
        clip = said.get("clip")
        await run_in_threadpool(self.clips.delete, str(said.get("gesture")), clip and str(clip))
        return JSONResponse({})

    async def strip(self, request: Request) -> Response:
        names = (request.query_params.get(name, "") for name in ("gesture", "clip"))
        return _jpeg(await run_in_threadpool(self.clips.strip, *names))

    async def train(self, request: Request) -> Response:
        said = await _body(request)
        way = str(said.get("way", "auto"))
        return JSONResponse(await run_in_threadpool(self.teaching.start, way, self.clips.listed()))

    async def cancel(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.teaching.cancel))

    async def receive_video(self, request: Request) -> Response:
        asked = request.query_params
        title, network = asked.get("title", ""), asked.get("network", "")
        video = await self.videos.receive(_sent(request), title, network)
        return JSONResponse(video.said())

    async def video(self, request: Request) -> Response:
        return JSONResponse(self.videos.find(request.path_params["key"]).said())

    async def stop_video(self, request: Request) -> Response:
        self.videos.stop(request.path_params["key"])
        return JSONResponse({})

    async def thumb(self, request: Request) -> Response:
        thumbs = self.videos.find(request.path_params["key"]).thumbs
        number = request.path_params["number"]
        if number >= len(thumbs):
            raise Gesture3dError("there is no such picture")
        return _jpeg(thumbs[number][1])

    async def events(self, request: Request) -> Response:
        video, kind = self.videos.find(request.path_params["key"]), request.path_params["kind"]
        write = {"csv": as_csv, "json": as_json}.get(kind)
        if write is None:
            raise Gesture3dError("events are there as csv and as json")
        kept = {"content-disposition": f"attachment; filename=events.{kind}"}
        media = "text/csv" if kind == "csv" else "application/json"
        return Response(write(video), media_type=media, headers=kept)

    async def look(self, request: Request) -> Response:
        from gesture3d.live.looking import look

        asked = request.query_params
        path = await run_in_threadpool(
            self.clips.path, asked.get("gesture", ""), asked.get("clip", "")
        )
        choice = await run_in_threadpool(self.networks.find, asked.get("network", ""))
        picture, top = await run_in_threadpool(look, choice, path)
        return Response(picture, media_type="image/png", headers={"x-top": json.dumps(top)})

    async def export(self, request: Request) -> Response:
        key = (await _body(request)).get("network")
        return JSONResponse(await run_in_threadpool(self.exporting.start, key))

    async def exported(self, request: Request) -> Response:
        path = self.exporting.file()
        return FileResponse(path, media_type="application/zip", filename=path.name)


def _route(path: str, answer: Answer, method: str) -> Route:
    """Where what a user can cause becomes a line for the page."""

    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except ClientDisconnect:  # a page that was closed while it sent something
            return Response(status_code=400)
        except Exception as error:
            status = 400 if isinstance(error, (Gesture3dError, OSError)) else 500
            return JSONResponse({"error": in_words(error)}, status)

    return Route(path, answered, methods=[method])


async def _sent(request: Request) -> AsyncIterator[bytes]:
    """What is sent, part by part. Raises Gesture3dError where that takes too long."""
    parts, clock = request.stream(), asyncio.get_running_loop()
    until = clock.time() + MOST_SENDING
    while True:
        try:
            async with asyncio.timeout(min(MOST_STILL, until - clock.time())):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Gesture3dError("what was sent did not arrive: send it again") from None
        yield part


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises Gesture3dError where there is none, or a large one."""
    body = b""
    async for part in _sent(request):
        body += part
        if len(body) > MOST_BODY:
            raise Gesture3dError(f"a request of more than {MOST_BODY} bytes")
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(body)
        if isinstance(said, dict):
            return said
    raise Gesture3dError("a request that is no JSON object; load the page again")


def _jpeg(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg")


def serve(folder: Path, runs: Path, host: str, port: int, open_page: bool) -> None:
    """Serve until Ctrl-C.

    Raises:
        Gesture3dError: the port is taken, the host is not this machine's.
    """
    import uvicorn

    token = secrets.token_urlsafe(24)
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    app = Live(folder, runs).app(host, port, token)
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    address = f"http://{shown}:{port}/?token={token}"
    print(f"open in a browser: {address}\nclips are kept in {folder}; Ctrl-C ends it", flush=True)
    threading.Thread(target=_warm_up, daemon=True).start()
    if open_page:
        threading.Timer(0.3, _open, [address]).start()
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws_max_size=MOST_BYTES,
        ws_max_queue=4,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    # What is still being answered when the program is ended is no error.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not server.should_exit)
    server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    plain = host.strip("[]")
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((plain, port))
        listening.listen(64)
    except OSError as error:
        listening.close()
        raise Gesture3dError(
            f"--host {host} --port {port}: cannot listen there ({error.strerror or error}); is "
            "this running already? Else take another --port"
        ) from None
    return listening


def _warm_up() -> None:
    """Import what takes seconds while the page is being opened."""
    with contextlib.suppress(Exception):
        import gesture3d.inference.sliding
        import gesture3d.inference.stream  # noqa: F401


def _open(address: str) -> None:
    import webbrowser

    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(address)
