"""A server of the page, running in a thread, and the ways to talk to it."""

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("starlette", "uvicorn", "websockets"):
    pytest.importorskip(needed, reason="the extra 'live' is not installed")

TOKEN = "the-token"


@dataclass
class Running:
    """A server, see `running`."""

    live: Any
    port: int
    host: str = "127.0.0.1"

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str | None] | None = None,
    ) -> tuple[int, bytes, dict[str, str]]:
        """(status, body, headers); ``headers`` change those of the page, None takes one away."""
        given: dict[str, str | None] = {"X-Token": TOKEN, "Host": f"{self.host}:{self.port}"}
        if method not in ("GET", "HEAD"):
            given["Origin"] = self.origin
        given |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
        connection.putrequest(method, path, skip_host=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        if data is not None:
            connection.putheader("Content-Length", str(len(data)))
        try:
            connection.endheaders(data.encode() if isinstance(data, str) else data)
            answer = connection.getresponse()
            said = b""
            with contextlib.suppress(ConnectionResetError):  # a refusal before all was sent
                said = answer.read()
            return answer.status, said, dict(answer.getheaders())
        finally:
            connection.close()

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """What it answers where all is well."""
        status, said, _ = self.ask(method, path, body)
        assert status == 200, said
        return json.loads(said)

    def socket(self, token: str = TOKEN, **more: Any) -> Any:
        """The page's WebSocket, as a context."""
        from websockets.sync.client import connect

        more = {"origin": self.origin} | more
        return connect(f"ws://{self.host}:{self.port}/ws?token={token}", **more)


@contextlib.contextmanager
def running(folder: Path, runs: Path | None = None, host: str = "127.0.0.1") -> Iterator[Running]:
    """A server on a free port."""
    import uvicorn

    from gesture3d.live.server import Live
    from gesture3d.live.visit import MOST_BYTES

    live = Live(folder, runs or folder.parent / "runs")
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = uvicorn.Config(live.app(host, port, TOKEN), log_level="error", ws_max_size=MOST_BYTES)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Running(live, port)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def untrained_run(run: Path, data: str, sure: float = 60.0, *settings: str) -> Path:
    """A small network that has learnt nothing; its checkpoint.

    Args:
        data: ``folder``: it reads clips; ``stream_folder``: it follows streams.
        sure: how much so, of what it says.
        settings: more of them.
    """
    import torch

    from gesture3d import checkpoint
    from gesture3d.config import load_experiment
    from gesture3d.decisions import OnlineDecision
    from gesture3d.events import NO_GESTURE
    from gesture3d.models import build_model

    experiment = load_experiment("variant_a", data, ["model.width=0.125", *settings])
    torch.manual_seed(1)
    model = build_model(experiment.model, 3, None)
    with torch.no_grad():
        model.classifier.weight.mul_(sure)
    names = ["wave", "nod", NO_GESTURE]
    online = OnlineDecision({"wave": 0.4, "nod": 0.4}, 0.1)
    said = checkpoint.Description(experiment.model_dump(mode="json"), names, {}, online=online)
    checkpoint.save(run / "best.safetensors", dict(model.state_dict()), said)
    return run / "best.safetensors"


def frame_message(frame: np.ndarray, seconds: float) -> bytes:
    """A frame as the page sends it."""
    return struct.pack("<dHH", seconds, frame.shape[1], frame.shape[0]) + frame.tobytes()


def moving_frames(num_movements: int, fps: float = 15.0, seed: int = 0) -> Iterator[tuple]:
    """(frame, seconds) of a bright square that goes to and fro, with rests of a second."""
    rng = np.random.default_rng(seed)
    number = 0
    for movement in range(num_movements + 1):
        for _ in range(int(fps * (1.2 if movement else 2.0))):
            yield _square(20, rng), number / fps
            number += 1
        if movement < num_movements:
            for step in np.sin(np.linspace(0, np.pi, int(fps))):
                yield _square(20 + 90 * step, rng), number / fps
                number += 1


def _square(x: float, rng: np.random.Generator) -> np.ndarray:
    frame = rng.normal(90, 2, (120, 160, 3))
    frame[40:80, int(x) : int(x) + 35] += 110
    return frame.clip(0, 255).astype(np.uint8)
