import hashlib
import http.server
import sys
import threading
from collections.abc import Iterator

import pytest

from gesture3d.data.fetch import SOURCES, RemoteFile, Source, fetch
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE
from tests.forked_runs import run_forked

pytest.importorskip("pooch", reason="downloads need pooch")
CONTENT = b"a data set\n" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    content = CONTENT
    requests: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.requests.append(self.path)
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch) -> Iterator[str]:
    monkeypatch.setattr(Server, "requests", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def source(url: str, sha256: str | None = None) -> dict[str, Source]:
    return {"set": Source((RemoteFile(url, sha256),))}


def test_a_file_is_fetched_once_and_verified(address, tmp_path):
    known = source(f"{address}/some%20set.zip", SHA256)
    (path,) = fetch("set", tmp_path, known, progress=False)
    assert path == tmp_path / "some set.zip"
    assert path.read_bytes() == CONTENT
    assert fetch("set", tmp_path, known, progress=False) == [path]
    assert len(Server.requests) == 1
    path.write_bytes(b"damaged")
    fetch("set", tmp_path, known, progress=False)
    assert path.read_bytes() == CONTENT


def test_another_checksum_is_refused_and_nothing_is_kept(address, tmp_path):
    wrong = source(f"{address}/set.zip", "0" * 64)
    with pytest.raises(Gesture3dError, match="not the file that was expected"):
        fetch("set", tmp_path, wrong, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_checksum_is_kept_for_the_next_time(address, tmp_path, monkeypatch):
    unknown = source(f"{address}/set.zip")
    (path,) = fetch("set", tmp_path, unknown, progress=False)
    assert (tmp_path / "checksums.txt").read_text() == f"{SHA256}  set.zip\n"
    assert fetch("set", tmp_path, unknown, progress=False) == [path]
    path.unlink()
    monkeypatch.setattr(Server, "content", b"something else")
    with pytest.raises(Gesture3dError, match="not the file that was expected"):
        fetch("set", tmp_path, unknown, progress=False)
    assert not path.exists()


def test_no_such_file_and_no_server_are_one_line(address, tmp_path):
    for url in (f"{address}/missing.zip", "http://127.0.0.1:9/set.zip"):
        with pytest.raises(Gesture3dError, match="cannot be fetched into") as caught:
            fetch("set", tmp_path, source(url, SHA256), progress=False)
        assert url in str(caught.value)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_must_be_registered_for_says_where_and_what_then(tmp_path):
    with pytest.raises(Gesture3dError, match=r"register at https://.*must then hold .*labels\.csv"):
        fetch("jester", tmp_path)
    with pytest.raises(Gesture3dError, match=r"no data set 'utd_mad'.*Did you mean 'utd_mhad'"):
        fetch("utd_mad", tmp_path)
    for name, entry in SOURCES.items():
        assert bool(entry.files) != bool(entry.by_hand), name


def test_the_tool_ends_with_one_line(tmp_path):
    tool = PACKAGE / "cli" / "prepare.py"
    command = [sys.executable, tool, "fetch", "isogd"]
    done = run_forked(command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: isogd cannot be fetched by a program: register at")
    assert done.stderr.count("\n") == 1
