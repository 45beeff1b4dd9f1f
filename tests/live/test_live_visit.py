"""What the page is told while it watches, by networks of each kind."""

import json
import threading
import time

import pytest

from gesture3d.events import NO_GESTURE
from tests.live.running import frame_message, moving_frames, running, untrained_run

visit = pytest.importorskip("gesture3d.live.visit", reason="the extra 'live' is not installed")

SHIPPED = "weights/variant_a-synthetic"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("visit")
    untrained_run(folder / "runs" / "causal", "stream_folder")
    with running(folder / "clips", folder / "runs") as found:
        yield found


@pytest.mark.parametrize("key", [SHIPPED, "runs/causal"])
def test_every_kind_of_network_watches(server, key) -> None:
    kinds = {one["key"]: one["kind"] for one in server.json("GET", "/api/state")["networks"]}
    assert kinds[key] == ("video" if key == SHIPPED else "stream")
    with server.socket() as page:
        page.send(json.dumps({"do": "watch", "network": key}))
        names = json.loads(page.recv(timeout=60))["names"]
        decided, ended, tops = [], [], []
        for frame, seconds in moving_frames(2):
            page.send(frame_message(frame, seconds))
            answer = json.loads(page.recv(timeout=60))
            assert "error" not in answer
            tops += [answer["top"]] if answer["top"] else []
            decided += answer.get("events", [])
            ended += answer.get("ended", [])
        assert len(tops) > 20
        for top in tops:
            shares = [share for _, share in top]
            assert {name for name, _ in top} <= set(names)
            assert shares == sorted(shares, reverse=True)
            assert 0 < sum(shares) <= 1.001
        for event in ended:
            twin = [one for one in decided if one["decided"] == event["decided"]]
            assert twin[0]["label"] == event["label"] != NO_GESTURE
            assert event["start"] < event["end"]
        if key != SHIPPED:
            assert decided


def test_frames_that_come_while_a_network_is_loaded_are_answered(server, monkeypatch) -> None:
    frames, loads = list(moving_frames(1)), threading.Event()
    find = server.live.networks.find

    def find_slowly(key):
        assert loads.wait(60)
        return find(key)

    monkeypatch.setattr(server.live.networks, "find", find_slowly)
    with server.socket() as page:
        page.send(json.dumps({"do": "watch", "network": SHIPPED}))
        for frame, seconds in frames[:3]:
            page.send(frame_message(frame, seconds))
            assert json.loads(page.recv(timeout=20)) == {"seconds": seconds, "dropped": 0}
        loads.set()
        assert json.loads(page.recv(timeout=60))["watching"] == SHIPPED


def test_another_command_ends_the_loading(server, monkeypatch) -> None:
    find, loads = server.live.networks.find, threading.Event()
    monkeypatch.setattr(server.live.networks, "find", lambda key: loads.wait(60) and find(key))
    frame = next(moving_frames(1))[0]
    with server.socket() as page:
        page.send(json.dumps({"do": "watch", "network": SHIPPED}))
        page.send(json.dumps({"do": "stop"}))
        assert json.loads(page.recv(timeout=20)) == {"stopped": True}
        loads.set()
        for seconds in range(3):
            page.send(frame_message(frame, seconds))
            assert json.loads(page.recv(timeout=60)) == {"seconds": seconds, "dropped": 0}
            time.sleep(0.2)


@pytest.mark.parametrize("key", [SHIPPED, "runs/causal"])
def test_a_network_is_warm_when_it_begins_and_has_seen_nothing(server, key) -> None:
    """What it says of the first frames is what one says that was never warmed up."""
    from gesture3d.live.networks import follow

    networks = server.live.networks
    warm, plain = visit.Watch(networks, key), follow(networks.find(key))
    assert warm.stream.newest is not None
    for frame, seconds in moving_frames(1):
        before = plain.newest
        answer, found = warm.frame(frame, seconds), plain.push(frame, seconds)
        assert answer["top"] == visit.top(plain.probabilities, warm.names)
        assert [e["decided"] for e in answer.get("events", [])] == pytest.approx(
            [e.decided for e in found], abs=1e-3
        )
        assert len(answer.get("ended", [])) == len(plain.take_ended())
        assert answer["looked"] == (plain.newest is not before)


def test_a_fault_of_the_program_is_said_and_the_page_goes_on(server, monkeypatch, capfd) -> None:
    monkeypatch.setattr(server.live.networks, "find", lambda key: 1 / 0)
    frame = next(moving_frames(1))[0]
    with server.socket() as page:
        page.send(json.dumps({"do": "watch", "network": SHIPPED}))
        assert "the program has a fault" in json.loads(page.recv(timeout=20))["error"]
        page.send(frame_message(frame, 1.0))
        assert json.loads(page.recv(timeout=20))["seconds"] == 1.0
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_two_pages_watch_at_once_and_one_goes(server) -> None:
    frames = list(moving_frames(1))[:25]
    with server.socket() as first:
        with server.socket() as second:
            for page in (first, second):
                page.send(json.dumps({"do": "watch", "network": SHIPPED}))
            for page in (first, second):
                assert "names" in json.loads(page.recv(timeout=60))
            assert server.live.visits == 2
        for frame, seconds in frames:
            first.send(frame_message(frame, seconds))
            assert json.loads(first.recv(timeout=60))["seconds"] == seconds


def test_a_clock_that_runs_backwards_is_said_and_the_page_goes_on(server) -> None:
    frame = next(moving_frames(1))[0]
    with server.socket() as page:
        page.send(json.dumps({"do": "watch", "network": SHIPPED}))
        page.recv(timeout=60)
        for seconds in (5.0, 4.0):
            page.send(frame_message(frame, seconds))
            answer = json.loads(page.recv(timeout=60))
        assert "after 5" in answer["error"]
        page.send(frame_message(frame, 6.0))
        assert "error" not in json.loads(page.recv(timeout=60))


def test_what_a_network_looks_at_in_a_clip_is_a_picture(tmp_path) -> None:
    untrained_run(tmp_path / "runs" / "clip", "folder", 1.0)
    untrained_run(tmp_path / "runs" / "causal", "stream_folder")
    with running(tmp_path / "clips", tmp_path / "runs") as server:
        frames = list(moving_frames(1))[:20]
        server.live.clips.add("wave", *map(list, zip(*frames, strict=True)))
        place = "/api/look?gesture=wave&clip=clip-0001.avi&network=runs/"
        status, picture, headers = server.ask("GET", f"{place}clip")
        assert (status, headers["content-type"], picture[:4]) == (200, "image/png", b"\x89PNG")
        top = json.loads(headers["x-top"])
        assert {name for name, _ in top} == {"wave", "nod", NO_GESTURE}
        assert sum(share for _, share in top) == pytest.approx(1, abs=1e-3)
        status, said, _ = server.ask("GET", f"{place}causal")
        assert (status, b"reads no single clips" in said) == (400, True)
        status, said, _ = server.ask("GET", f"{place}clip".replace("clip-0001", "../secret"))
        assert (status, b"no such clip" in said) == (400, True)
