"""Attacks on the page's server: from other pages, by other names, with other tokens."""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from starlette.routing import Route

from gesture3d.errors import Gesture3dError
from tests.live.running import TOKEN, Running, moving_frames, running

websockets = pytest.importorskip("websockets", reason="the extra 'live' is not installed")

API = [
    ("GET", "/api/state"),
    ("DELETE", "/api/clips"),
    ("GET", "/api/strip?gesture=a&clip=b"),
    ("POST", "/api/training"),
    ("DELETE", "/api/training"),
    ("POST", "/api/videos?network=x"),
    ("GET", "/api/videos/1"),
    ("DELETE", "/api/videos/1"),
    ("GET", "/api/videos/1/thumbs/0"),
    ("GET", "/api/videos/1/events.csv"),
    ("GET", "/api/look"),
    ("POST", "/api/export"),
    ("GET", "/api/export/file"),
    ("GET", "/"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("live") / "clips") as found:
        yield found


def test_every_route_is_attacked(server: Running) -> None:
    """Those of `API` are all that there are, beside the page's code and its WebSocket."""
    routes = server.live.app("127.0.0.1", 1, TOKEN).routes
    own = [route for route in routes if isinstance(route, Route)]
    for route in own:
        tried = {m for m, p in API if route.path_regex.match(p.partition("?")[0])}
        assert route.methods - {"HEAD"} <= tried, route.path
    assert {route.path for route in routes if route not in own} == {"/static", "/ws"}


def test_the_page_itself_may_ask(server: Running) -> None:
    assert server.json("GET", "/api/state")["gestures"] == {}
    status, page, headers = server.ask("GET", f"/?token={TOKEN}", headers={"X-Token": None})
    assert status == 200
    assert b"<title>gesture3d" in page
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert b"style=" not in page  # which the policy would leave out
    assert b"<script>" not in page
    assert b"http://" not in page
    assert b"https://" not in page


@pytest.mark.parametrize(("method", "path"), API)
@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", "töken"])
def test_without_the_token_nothing_is_said(server: Running, method, path, token) -> None:
    given = None if token is None else token.encode().decode("latin-1")
    status, said, _ = server.ask(method, path, {}, {"X-Token": given})
    assert status == 403
    assert b"open the address that the program printed" in said


@pytest.mark.parametrize(("method", "path"), API)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "", None])
def test_another_name_for_this_machine_is_refused(server: Running, method, path, host) -> None:
    """As of a page whose own name was changed to resolve to 127.0.0.1."""
    name = host and host.format(port=server.port)
    headers = {"Host": name, "Origin": f"http://{name}"}
    status, _, _ = server.ask(method, path, {}, headers)
    assert status in (400, 403)  # 400: a request without a Host is none


@pytest.mark.parametrize(("method", "path"), [one for one in API if one[0] != "GET"])
@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1:1"],
)
def test_other_pages_cannot_change_anything(server: Running, method, path, origin) -> None:
    headers = {"Origin": origin and origin.format(port=server.port)}
    status, said, _ = server.ask(method, path, {}, headers)
    assert (status, said) == (403, b"only this server's own page may do this\n")


def test_other_pages_cannot_read_either(server: Running) -> None:
    status, _, headers = server.ask("GET", "/api/state", headers={"Origin": "http://evil.example"})
    assert status == 403
    assert "access-control-allow-origin" not in headers


def test_two_hosts_are_none(server: Running) -> None:
    text = f"GET /api/state HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nHost: evil\r\n"
    text += f"X-Token: {TOKEN}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(text.encode())
        assert connection.recv(100).split()[1] in (b"400", b"403")


@pytest.mark.parametrize(
    "attack",
    [
        {"origin": "http://evil.example"},
        {"origin": None},
        {"token": "wrong"},
        {"token": ""},
        {"additional_headers": {"Host": "evil.example"}},
    ],
    ids=str,
)
def test_a_websocket_of_another_page_is_never_accepted(server: Running, attack) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        server.socket(**attack).__enter__()
    assert refused.value.response.status_code in (400, 403)
    assert server.live.visits == 0


def test_the_page_may_open_a_websocket(server: Running) -> None:
    with server.socket() as page:
        page.send(json.dumps({"do": "stop"}))
        assert json.loads(page.recv()) == {"stopped": True}


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/..%2f..%2fetc/passwd",
    ],
)
def test_no_path_leaves_the_folder_of_the_page(server: Running, path) -> None:
    status, said, _ = server.ask("GET", path)
    assert status in (403, 404)
    assert b"root:" not in said
    assert b"import" not in said


OUTSIDE = [
    "../secret.avi",
    "..%2fsecret.avi",
    "%2e%2e%2fsecret.avi",
    "%252e%252e%252fsecret.avi",
    "..%5csecret.avi",
    "%2fetc%2fpasswd",
    "wave%2f..%2f..%2fsecret.avi",
    "%00",
    "clip-0001.avi%00",
    "%c0%ae%c0%ae%2fsecret.avi",
    "%ff",
    "file:%2f%2f%2fetc%2fpasswd",
    "C:%5csecret.avi",
    ".live",
    "%2e%2e",
    "a" * 3000,
]
PARAMETERS = [
    ("GET", "/{}"),
    ("GET", "/static/{}"),
    ("GET", "/api/strip?gesture={}&clip=clip-0001.avi"),
    ("GET", "/api/strip?gesture=wave&clip={}"),
    ("GET", "/api/look?gesture={}&clip=clip-0001.avi&network=weights/variant_a-synthetic"),
    ("GET", "/api/look?gesture=wave&clip={}&network=weights/variant_a-synthetic"),
    ("GET", "/api/look?gesture=wave&clip=clip-0001.avi&network={}"),
    ("GET", "/api/videos/{}"),
    ("DELETE", "/api/videos/{}"),
    ("GET", "/api/videos/{}/thumbs/0"),
    ("GET", "/api/videos/1/thumbs/{}"),
    ("GET", "/api/videos/{}/events.csv"),
    ("GET", "/api/videos/1/events.{}"),
    ("POST", "/api/videos?network={0}&title={0}"),
    ("GET", "/api/export/file?path={}"),
]


@pytest.mark.parametrize(("method", "path"), PARAMETERS)
def test_no_parameter_leads_out_of_the_folder(server: Running, method, path) -> None:
    """Plain, encoded, encoded twice, absolute, with a NUL, as no text at all."""
    root = server.live.clips.root
    if not root.exists():
        frames, seconds = zip(*list(moving_frames(0))[:8], strict=True)
        server.live.clips.add("wave", frames, seconds)
        (root.parent / "secret.avi").write_bytes((root / "wave/clip-0001.avi").read_bytes())
    before = sorted(path for path in root.parent.rglob("*") if path.is_file())
    for attack in OUTSIDE:
        status, said, _ = server.ask(method, path.format(attack), None if method == "GET" else b"x")
        assert status in (400, 404), attack
        assert b"root:" not in said
        assert str(root.parent).encode() not in said
    assert sorted(path for path in root.parent.rglob("*") if path.is_file()) == before


def send_part(server: Running, path: str) -> socket.socket:
    """A request whose body is promised, and begun."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nX-Token: {TOKEN}\r\n"
    head += f"Origin: {server.origin}\r\nContent-Length: 1000000\r\n\r\nabc"
    connection.sendall(head.encode())
    return connection


def wait_until_free(server: Running) -> None:
    until = time.monotonic() + 10
    while server.live.videos._busy and time.monotonic() < until:
        time.sleep(0.01)
    assert server.live.videos._busy == 0


VIDEO = "/api/videos?network=weights/variant_a-synthetic"


@pytest.mark.parametrize("path", [VIDEO, "/api/training"])
@pytest.mark.parametrize("limit", ["MOST_STILL", "MOST_SENDING"])
def test_what_stands_still_while_it_is_sent_is_given_up(
    server: Running, monkeypatch, path, limit
) -> None:
    monkeypatch.setattr(f"gesture3d.live.server.{limit}", 0.1)
    with send_part(server, path) as connection:
        connection.settimeout(10)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert b"did not arrive: send it again" in answer.read()
    wait_until_free(server)
    assert not list(server.live.clips.root.rglob("*.video"))


def test_a_page_that_is_closed_while_it_sends_is_no_fault(server: Running, capfd) -> None:
    for path in (VIDEO, "/api/training"):
        send_part(server, path).close()
    wait_until_free(server)
    assert server.ask("GET", "/api/state")[0] == 200
    assert capfd.readouterr().err == ""


def test_connections_that_say_nothing_keep_nobody_out(server: Running) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(300):
            connection = socket.create_connection(("127.0.0.1", server.port))
            stack.enter_context(connection).sendall(b"GET / HTTP/1.1\r\nHost: "[: number % 24])
        assert server.ask("GET", "/api/state")[0] == 200


@pytest.mark.parametrize("head", ["GET /{} HTTP/1.1\r\n", "GET / HTTP/1.1\r\nX: {}\r\n"])
def test_a_head_without_an_end_is_cut_off(server: Running, head) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(10)
        with contextlib.suppress(ConnectionError):
            connection.sendall(head.format("a" * 2_000_000).encode())
            assert b" 400 " in connection.recv(100)
    assert server.ask("GET", "/api/state")[0] == 200


def test_a_message_that_swells_is_cut_off(server: Running) -> None:
    """Compressed it is small."""
    with server.socket(compression="deflate") as page:
        page.send(bytes(20 << 20))
        with pytest.raises(websockets.exceptions.ConnectionClosedError, match="too big"):
            page.recv(timeout=10)


def test_one_page_too_many_is_told_why(server: Running) -> None:
    from gesture3d.live.server import MOST_VISITS

    with contextlib.ExitStack() as stack:
        for _ in range(MOST_VISITS):
            stack.enter_context(server.socket())
        with (
            server.socket() as page,
            pytest.raises(websockets.exceptions.ConnectionClosed, match="close some"),
        ):
            page.recv(timeout=10)
        assert server.live.visits == MOST_VISITS


def test_a_large_request_is_cut_off(server: Running) -> None:
    status, said, _ = server.ask("POST", "/api/training", b"[" * 200_000)
    assert status == 400
    assert b"more than 65536 bytes" in said


@pytest.mark.parametrize("body", [b"", b"[]", b"[" * 60_000, b"\xff", b'"x"'])
def test_what_is_no_object_is_refused(server: Running, body) -> None:
    status, said, _ = server.ask("POST", "/api/training", body)
    assert status == 400
    assert b"no JSON object" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "192.168.1.7"])
def test_another_host_is_named_with_what_others_could_do_then(
    tmp_path, monkeypatch, capsys, host
) -> None:
    from gesture3d.cli import serve as tool
    from gesture3d.live import server

    asked = []
    monkeypatch.setattr(server, "serve", lambda *given: asked.append(given))
    words = ["serve", "--host", host, "--folder", str(tmp_path / "clips"), "--no-browser"]
    monkeypatch.setattr("sys.argv", words)
    tool.main()
    ((folder, _, taken, port, opens),) = asked
    assert (folder, taken, port, opens) == (tmp_path / "clips", host, 8000, False)
    said = capsys.readouterr().err
    if host in ("0.0.0.0", "192.168.1.7"):
        assert said.startswith(f"warning: with --host {host}, whoever is in this network and knows")
        for danger in (
            "see, record and delete your clips",
            "take networks along",
            "upload videos",
            "have this machine train",
            "can be read on the way",
            "no camera",
        ):
            assert danger in said
    else:
        assert said == ""


def test_without_the_extra_the_tool_says_what_to_install(monkeypatch) -> None:
    from gesture3d.cli import serve as tool

    monkeypatch.setattr("sys.argv", ["serve"])
    monkeypatch.setattr(tool, "NEEDED", ("uvicorn", "not_there_at_all"))
    with pytest.raises(Gesture3dError, match="needs not_there_at_all: uv run --extra live"):
        tool.main()


def test_a_port_that_is_taken_is_one_line(server: Running) -> None:
    from gesture3d.live.server import serve

    with pytest.raises(Gesture3dError, match=f"--port {server.port}: cannot listen there"):
        serve(server.live.clips.root, server.live.networks.runs, "127.0.0.1", server.port, False)


def test_from_other_machines_only_numbers_are_names(tmp_path) -> None:
    """With --host 0.0.0.0 an attacker's name is still refused."""
    with running(tmp_path / "clips", host="0.0.0.0") as server:
        for host, expected in (("192.168.1.7", 200), ("evil.example", 403), ("0.0.0.0", 200)):
            name = f"{host}:{server.port}"
            assert server.ask("GET", "/api/state", headers={"Host": name})[0] == expected


SLOW_ANSWERS = """if True:
    import sys, time
    from pathlib import Path
    from gesture3d.command_line import run_command_line
    from gesture3d.live import server

    server._warm_up = lambda: None
    server.Clips.strip = lambda *names: time.sleep(4)
    folder = Path(sys.argv[1])
    run_command_line(lambda: server.serve(folder, folder, "127.0.0.1", 0, False))
"""


def test_ctrl_c_ends_it_in_one_line_whatever_is_being_answered(tmp_path) -> None:
    command = [sys.executable, "-c", SLOW_ANSWERS, str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    said = process.stdout.readline()
    host, port, token = re.search(r"http://([\d.]+):(\d+)/\?token=(\S+)", said).groups()
    browser = http.client.HTTPConnection(host, int(port))
    browser.request("GET", "/api/strip?gesture=a&clip=b", headers={"X-Token": token})
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "interrupted\n")
