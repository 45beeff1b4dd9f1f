"""Training for the page: a process that can be watched, cancelled and found again."""

import errno
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gesture3d import checkpoint
from gesture3d.config import load_data
from gesture3d.data import read_index
from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE
from gesture3d.files import take_lock
from gesture3d.live.clips import Clips
from tests.live.running import moving_frames, running

learn = pytest.importorskip("gesture3d.live.learn", reason="the extra 'live' is not installed")
teaching = pytest.importorskip("gesture3d.live.teaching")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Three clips each of a square that goes right and of one that goes down, five of nothing."""
    root = tmp_path_factory.mktemp("recorded") / "clips"
    clips = Clips(root)
    frames = [(frame, seconds) for frame, seconds in moving_frames(1) if 2.0 <= seconds < 3.0]
    rest = [(frame, seconds) for frame, seconds in moving_frames(1) if seconds < 1.0]
    for _ in range(3):
        clips.add("right", *map(list, zip(*frames, strict=True)))
        turned = [(frame.transpose(1, 0, 2), seconds) for frame, seconds in frames]
        clips.add("down", *map(list, zip(*turned, strict=True)))
    for _ in range(5):
        clips.add(NO_GESTURE, *map(list, zip(*rest, strict=True)))
    return root


@pytest.fixture
def no_hands(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("GESTURE3D_HANDS", str(tmp_path / "nowhere"))


def wait_for(server, states: set[str], seconds: float = 240.0) -> dict:
    until = time.monotonic() + seconds
    while (status := server.json("GET", "/api/state")["training"])["state"] not in states:
        assert time.monotonic() < until, status
        time.sleep(0.2)
    return status


def test_what_is_held_out_is_not_learnt_from(recorded) -> None:
    plan = learn.plan(Clips(recorded))
    assert {name: len(clips) for name, clips in plan.learnt.items()} == {
        "down": 2,
        "right": 2,
        NO_GESTURE: 3,
    }
    for name, clips in plan.held_out.items():
        assert not set(clips) & set(plan.learnt[name])
        assert min(clips) > max(plan.learnt[name])  # of nothing: what was recorded last
    listing = recorded / ".live" / "clips.csv"
    plan.write(listing)
    data = load_data("folder", [f"data.root={recorded}", f"data.csv={listing}"])
    index = read_index(data, progress=False)
    assert (len(index.of("train")), len(index.of("validation"))) == (7, 4)
    # Without the list the folder is one as any other.
    assert len(read_index(load_data("folder", [f"data.root={recorded}"])).items) == 11


def test_the_shipped_network_is_trained_on_the_clips(
    recorded, tmp_path, monkeypatch, no_hands
) -> None:
    monkeypatch.setattr(learn, "EPOCHS", 2)
    clips = Clips(recorded)
    progress = learn.Progress(recorded / ".live", plan := learn.plan(clips))
    learn.learn(recorded, tmp_path / "runs", "auto", progress, plan)
    status = teaching.Teaching(recorded, recorded / ".live", tmp_path / "runs").status()
    assert (status["state"], status["network"]) == ("done", "runs/taught-video")
    found = status["result"]
    assert found["way"] == "video"
    assert "hands" in found["note"]
    assert found["tested"] == found["made"] == 2
    assert 0 <= found["found"] <= 2
    assert found["nothing_seconds"] == pytest.approx(2.0, abs=0.3)
    run = tmp_path / "runs" / "taught-video"
    assert {"experiment.yaml", "last.ckpt", "report.md"} <= {path.name for path in run.iterdir()}
    _, said = checkpoint.load(run / "best.safetensors")
    assert sorted(said.class_names) == sorted(["down", "right", NO_GESTURE])
    assert set(said.online.thresholds) == {"down", "right"}
    assert said.metrics["window_seconds"] == pytest.approx(1.0, abs=0.1)
    with pytest.raises(Gesture3dError, match="weights that find hands"):
        learn.learn(recorded, tmp_path / "runs", "hands", progress, plan)


def test_a_training_is_watched_found_again_and_cancelled(recorded, tmp_path, no_hands) -> None:
    with running(recorded, tmp_path / "runs") as server:
        assert server.json("POST", "/api/training", {"way": "video"})["state"] in teaching.RUNNING
        status, said, _ = server.ask("POST", "/api/training", {"way": "video"})
        assert (status, b"running already" in said) == (400, True)
    with running(recorded, tmp_path / "runs") as server:  # started anew: it still runs
        assert wait_for(server, {"running"})["learnt"]["right"] == 2
        status, said, _ = server.ask("POST", "/api/training", {"way": "video"})
        assert (status, b"running already" in said) == (400, True)
        server.json("DELETE", "/api/training")
        wait_for(server, {"cancelled"})
        status, said, _ = server.ask("DELETE", "/api/training")
        assert (status, b"no training is running" in said) == (400, True)


HANDS = {"right": 6, "tested": 6, "found": 2, "made": 6, "alarms": 0, "nothing_seconds": 8.0}
NO_STREAM = {"right": 6, "tested": 6, "alarms": 0, "nothing_seconds": 0.0}


@pytest.mark.parametrize(
    ("hands", "video", "way", "note"),
    [
        (
            HANDS,
            HANDS | {"found": 6},
            "video",
            "by the hands it recognised 6 of 6, found 2 of 6 one",
        ),
        (
            HANDS,
            HANDS | {"alarms": 1},
            "hands",
            "by the whole picture it recognised 6 of 6, found 2",
        ),
        (HANDS, HANDS, "hands", "had 0 false alarms. That is not better"),
        (HANDS | {"found": 6}, None, "hands", None),
        (HANDS | {"found": 6, "alarms": 3}, HANDS | {"found": 6}, "video", "had 3 false alarms"),
        (NO_STREAM, None, "hands", None),
        (NO_STREAM | {"right": 5}, NO_STREAM, "video", "by the hands it recognised 5 of 6, had 0"),
    ],
)
def test_the_better_way_is_kept_and_the_other_one_is_told_of(
    recorded, tmp_path, monkeypatch, hands, video, way, note
) -> None:
    """Hands come first; what is kept is what held-out clips speak for."""
    found = {"hands": hands, "video": video}

    def teach_by(one: str):
        def teach(plan, listing, runs, progress) -> Path:
            progress.say(way=one)
            return runs / one / "best.safetensors"

        return teach

    monkeypatch.setattr(learn, "teach_hands", teach_by("hands"))
    monkeypatch.setattr(learn, "train_video", teach_by("video"))
    monkeypatch.setattr(learn, "measure", lambda path, plan: dict(found[path.parent.name]))
    progress = learn.Progress(tmp_path, plan := learn.plan(Clips(recorded)))
    learn.learn(recorded, tmp_path, "auto", progress, plan)
    assert progress.status["network"] == f"runs/{way}"
    assert progress.status["result"]["way"] == way
    said = progress.status["result"].get("note")
    assert said == note or note in said


LOSES_EXCEPTIONS = """if True:
    import os, signal, sys, time
    from pathlib import Path
    from gesture3d.live import learn

    def lose(*_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except BaseException:
            os._exit(9)

    learn.learn = lose
    sys.exit(learn.main(sys.argv[1], sys.argv[2], "video"))
"""


def test_cancelling_needs_no_exception(recorded, tmp_path) -> None:
    """Within C++ code, as while torch is imported, one aborts the process or is lost."""
    command = [sys.executable, "-c", LOSES_EXCEPTIONS, str(recorded), str(tmp_path)]
    (recorded / ".live").mkdir(exist_ok=True)
    assert subprocess.run(command, timeout=120).returncode == 0
    assert teaching.read_status(recorded / ".live")["state"] == "cancelled"


def test_a_training_that_is_cancelled_at_once_is_no_failure(tmp_path) -> None:
    hidden = tmp_path / ".live"
    teaching.write_status(hidden, {"state": "starting"})
    one = teaching.Teaching(tmp_path, hidden, tmp_path / "runs")
    one._child = child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    one.cancel()
    child.wait(timeout=60)
    assert one.status()["state"] == "cancelled"


def test_what_has_said_its_last_is_neither_cancelled_nor_waited_for(tmp_path) -> None:
    """Its process may hold the lock for some time yet, and a server looks at it by taking it."""
    hidden = tmp_path / ".live"
    teaching.write_status(hidden, {"state": "cancelled"})
    command = [sys.executable, "-m", "gesture3d.live.learn", str(tmp_path), str(tmp_path), "video"]
    held = take_lock(hidden / teaching.LOCK)
    with pytest.raises(Gesture3dError, match="no training is running"):
        teaching.Teaching(tmp_path, hidden, tmp_path).cancel()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as begun:
        with pytest.raises(subprocess.TimeoutExpired):
            begun.wait(timeout=4)
        held.close()
        said = begun.communicate(timeout=60)[1]
    assert (begun.returncode, said) == (1, "")
    assert "record" in teaching.read_status(hidden)["error"]


def test_another_server_lets_a_training_begin(tmp_path) -> None:
    hidden = tmp_path / ".live"
    teaching.write_status(hidden, {"state": "starting", "since": time.time()})
    found = teaching.Teaching(tmp_path, hidden, tmp_path / "runs")
    assert found.status()["state"] == "starting"
    with pytest.raises(Gesture3dError, match="running already"):
        found.start("auto", {"wave": ["a", "b"], "point": ["a", "b"]})
    teaching.write_status(hidden, {"state": "starting", "since": time.time() - 100})
    assert found.status()["state"] == "failed"


def test_a_training_that_died_says_so(tmp_path) -> None:
    hidden = tmp_path / "clips" / ".live"
    teaching.write_status(hidden, {"state": "running", "run": "x", "process": 2**22 - 1})
    found = teaching.Teaching(tmp_path / "clips", hidden, tmp_path / "runs")
    assert found.status()["state"] == "failed"
    assert "training.log" in found.status()["error"]
    (hidden / teaching.STATUS).write_text("[]")
    assert found.status() == {"state": "none"}


def test_a_full_disk_says_so_before_in_and_after_a_training(tmp_path, monkeypatch) -> None:
    hidden = tmp_path / "clips" / ".live"
    full = r"the disk is full: make room .* then "
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    found = teaching.Teaching(tmp_path / "clips", hidden, tmp_path / "runs")
    with pytest.raises(Gesture3dError, match=f"{full}press Train again"):
        found.start("auto", {"wave": ["a", "b"], "point": ["a", "b"]})
    assert not hidden.exists()
    # It ended where nothing could be written of it any more.
    teaching.write_status(hidden, {"state": "running", "run": "x", "process": 2**22 - 1})
    assert re.match(f"{full}press Train again", found.status()["error"])

    def fill(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/x")

    monkeypatch.setattr(learn, "check_enough", fill)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert learn.main(str(tmp_path / "clips"), str(tmp_path / "runs"), "video") == 1
    assert re.match(f"{full}try again", teaching.read_status(hidden)["error"])
    monkeypatch.setattr(learn, "write_status", fill)
    assert learn.main(str(tmp_path / "clips"), str(tmp_path / "runs"), "video") == 1


@pytest.mark.parametrize(
    ("clips", "said"),
    [
        ({}, "two gestures"),
        ({"wave": ["a", "b"]}, "two gestures"),
        ({"wave": ["a", "b"], "point": ["a"]}, "'point' has one clip only"),
        ({NO_GESTURE: ["a", "b"]}, "a gesture first"),
    ],
)
def test_too_little_says_what_to_record(tmp_path, clips, said) -> None:
    one = teaching.Teaching(tmp_path / "clips", tmp_path / "clips" / ".live", tmp_path / "runs")
    with pytest.raises(Gesture3dError, match=said):
        one.start("auto", clips)
    with pytest.raises(Gesture3dError, match="way 'magic'"):
        one.start("magic", clips)


def test_only_safetensors_are_networks(tmp_path) -> None:
    """A pickle under any name is neither listed nor opened."""
    import pickle

    class Attack:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was-run",)

    for name in ("evil/best.safetensors", "worse/best.pt", "best.safetensors"):
        path = tmp_path / "runs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(Attack()))
    with running(tmp_path / "clips", tmp_path / "runs") as server:
        keys = [one["key"] for one in server.json("GET", "/api/state")["networks"]]
        assert not any("runs/" in key for key in keys)
        assert any(key.startswith("weights/") for key in keys)
        with server.socket() as page:
            for key in ("runs/evil", "../runs/evil", str(tmp_path / "runs"), None, 7, []):
                page.send(json.dumps({"do": "watch", "network": key}))
                assert "no such network" in json.loads(page.recv())["error"]
    assert not (tmp_path / "was-run").exists()
