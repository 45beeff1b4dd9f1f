"""Recorded clips: cut by rests, kept as the data set folder reads them, nothing outside touched."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gesture3d.config import load_data
from gesture3d.data import read_index
from gesture3d.data.video.reading import read_frames
from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE
from gesture3d.live.clips import STRIP_FRAMES, Clips
from gesture3d.live.cutter import MOST_FRAMES, Cutter
from tests.live.running import frame_message, moving_frames, running

visit = pytest.importorskip("gesture3d.live.visit", reason="the extra 'live' is not installed")

NAMES = [
    "../outside",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "/etc",
    ".hidden",
    "a\0b",
    "a\x1bb",
    "train",
    "Validation",
    "x" * 41,
    "<b>",
    "dot.",
    "\u202egnp",
    "__MACOSX",
]


def some_frames(count: int = 12) -> tuple[list[np.ndarray], list[float]]:
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 255, (count, 3, 4, 3)), np.ones((1, 20, 20, 1)))
    return list(smooth.astype(np.uint8)), [number / 15 for number in range(count)]


def record(tmp_path: Path, gesture: str = "wave", count: int = 1) -> Clips:
    clips = Clips(tmp_path / "clips")
    for _ in range(count):
        clips.add(gesture, *some_frames())
    return clips


def test_clips_are_read_as_the_data_set_folder(tmp_path) -> None:
    clips = record(tmp_path, "wave", 3)
    clips.add("Kreis größer", *some_frames())
    data = load_data("folder", [f"data.root={clips.root}", "data.validation_share=0"])
    index = read_index(data)
    assert index.class_names == ("Kreis größer", "wave")
    assert len(index.items) == 4
    frames, _ = some_frames()
    found = read_frames(clips.path("wave", "clip-0002.avi"))
    assert found.shape == (12, 60, 80, 3)
    assert np.abs(found.astype(int) - np.stack(frames)).mean() < 12  # Motion JPEG, colours in order


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_gesture_cannot_be_called_so(tmp_path, name) -> None:
    clips = Clips(tmp_path / "clips")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Gesture3dError, match="type another"):
        clips.add(name, *some_frames())
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_that_exists_says_what_to_do(tmp_path) -> None:
    clips = record(tmp_path)
    for name in ("wave", "WAVE", " wave "):
        with pytest.raises(Gesture3dError, match="there is 'wave' already: press its Record"):
            clips.check_new(name)


@pytest.mark.parametrize("gesture", [*NAMES, "link", "wave"], ids=repr)
@pytest.mark.parametrize(
    "clip", ["../../secret.avi", "secret.avi", "link.avi", "", "..", "note.txt"]
)
def test_what_is_not_a_clip_there_is_neither_read_nor_deleted(tmp_path, gesture, clip) -> None:
    clips = record(tmp_path)
    secret = tmp_path / "secret.avi"
    secret.write_bytes((clips.root / "wave" / "clip-0001.avi").read_bytes())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.avi").write_bytes(secret.read_bytes())
    (clips.root / "link").symlink_to(tmp_path / "elsewhere")
    (clips.root / "wave" / "link.avi").symlink_to(secret)
    (clips.root / "wave" / "note.txt").write_text("mine")
    assert clips.listed() == {"wave": ["clip-0001.avi"]}
    for attempt in (clips.path, clips.delete, clips.strip):
        with pytest.raises(Gesture3dError, match="no such clip"):
            attempt(gesture, clip)
    assert secret.exists()
    assert (tmp_path / "elsewhere" / "secret.avi").exists()


def test_what_is_deleted_is_the_clips_alone(tmp_path) -> None:
    clips = record(tmp_path, count=2)
    record(tmp_path, "other")
    clips.delete("wave", "clip-0001.avi")
    assert clips.listed()["wave"] == ["clip-0002.avi"]
    (clips.root / "wave" / "note.txt").write_text("mine")
    clips.delete("wave")
    assert (clips.root / "wave" / "note.txt").read_text() == "mine"
    clips.delete("other")
    assert not (clips.root / "other").exists()


def test_numbers_of_deleted_clips_do_not_overwrite(tmp_path) -> None:
    clips = record(tmp_path, count=3)
    clips.delete("wave", "clip-0001.avi")
    assert clips.add("wave", *some_frames()) == "clip-0004.avi"


def test_two_pages_that_record_the_same_gesture_lose_nothing(tmp_path) -> None:
    clips = record(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: clips.add("wave", *some_frames()), range(12)))
    assert sorted(names) == [f"clip-{number:04d}.avi" for number in range(2, 14)]
    assert len(clips.listed()["wave"]) == 13


def test_a_server_that_was_killed_while_it_wrote_the_first_clip_leaves_no_gesture(tmp_path) -> None:
    clips = Clips(tmp_path / "clips")
    half = clips.root / "wave" / ".clip-0001-abc.avi"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"RIFF")
    assert clips.listed() == {}
    assert clips.add("wave", *some_frames()) == "clip-0001.avi"  # the name is free
    assert half.exists()  # another page may be writing it
    clips.delete("wave", "clip-0001.avi")
    assert not half.parent.exists()


def test_a_clock_that_stands_still_fills_no_memory(tmp_path) -> None:
    frame = np.zeros((16, 16, 3), np.uint8)
    record, nothing = Cutter(), visit.RecordNothing(Clips(tmp_path / "clips"))
    for number in range(2 * MOST_FRAMES):
        record.push(frame, 1.0)
        nothing.frame(frame, 1.0)
        assert len(record._frames) == min(number + 1, MOST_FRAMES)
        assert len(nothing.frames) < MOST_FRAMES
    assert len(nothing.clips.listed()[NO_GESTURE]) == 2


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch) -> None:
    clips = record(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(Gesture3dError, match=r"the disk is full: make room .* then record again"):
        clips.add("wave", *some_frames())
    assert clips.listed()["wave"] == ["clip-0001.avi"]


def test_a_strip_shows_the_clip(tmp_path) -> None:
    import cv2

    clips = record(tmp_path)
    strip = cv2.imdecode(np.frombuffer(clips.strip("wave", "clip-0001.avi"), np.uint8), 1)
    assert strip.shape == (60, 80 * STRIP_FRAMES, 3)
    wanted = np.concatenate(some_frames()[0], axis=1)[..., ::-1]
    assert np.abs(strip.astype(int) - wanted).mean() < 15


@pytest.mark.parametrize("fps", [10.0, 15.0, 30.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_movements_between_rests_become_clips(fps, seed) -> None:
    cutter, found, problems = Cutter(), [], []
    for frame, seconds in moving_frames(5, fps, seed):
        moment = cutter.push(frame, seconds)
        if moment.clip:
            found.append(moment.clip[1])
        problems.append(moment.problem)
    assert len(found) == 5
    assert not any(problems)
    for number, seconds in enumerate(found):  # 2 s of rest, then movements of 1 s every 2.2 s
        begin = 2.0 + 2.2 * number
        assert begin - 0.35 <= seconds[0] <= begin + 0.15
        assert begin + 0.75 <= seconds[-1] <= begin + 1.45


def test_noise_and_slow_light_are_no_movement() -> None:
    rng = np.random.default_rng(0)
    cutter = Cutter()
    for number in range(300):
        frame = rng.normal(90 + 0.05 * number, 6, (120, 160, 3)).clip(0, 255).astype(np.uint8)
        assert cutter.push(frame, number / 15).clip is None


def test_the_page_records_over_its_socket(tmp_path) -> None:
    with running(tmp_path / "clips") as server, server.socket() as page:
        page.send(json.dumps({"do": "record", "gesture": "wave"}))
        assert json.loads(page.recv()) == {"recording": "wave"}
        named = []
        for frame, seconds in moving_frames(3):
            page.send(frame_message(frame, seconds))
            answer = json.loads(page.recv())
            assert answer["seconds"] == seconds
            named += [answer["clip"]["name"]] if "clip" in answer else []
        assert named == ["clip-0001.avi", "clip-0002.avi", "clip-0003.avi"]
        assert server.json("GET", "/api/state")["gestures"] == {"wave": named}
        status, strip, headers = server.ask("GET", "/api/strip?gesture=wave&clip=clip-0001.avi")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert strip[:2] == b"\xff\xd8"
        server.json("DELETE", "/api/clips", {"gesture": "wave", "clip": named[0]})
        status, said, _ = server.ask("DELETE", "/api/clips", {"gesture": "wave", "clip": named[0]})
        assert (status, "no such clip" in said.decode()) == (400, True)


def test_nothing_is_recorded_without_a_gap(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(visit, "NOTHING_SECONDS", 4.0)
    mode = visit.RecordNothing(Clips(tmp_path / "clips"))
    frames, answers = 0, []
    for frame, seconds in moving_frames(2):
        answers.append(mode.frame(frame, seconds))
        frames += 1
        if answers[-1]["done"]:
            break
    clips = mode.clips.listed()[NO_GESTURE]
    assert len(clips) == 2
    lengths = [len(read_frames(mode.clips.path(NO_GESTURE, clip))) for clip in clips]
    assert abs(sum(lengths) - frames) <= 1


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"x" * 11,
        frame_message(np.zeros((10, 10, 3), np.uint8), 0.0),
        frame_message(np.zeros((64, 64, 3), np.uint8), 0.0)[:-1],
        frame_message(np.zeros((64, 64, 3), np.uint8), 0.0) + b"x",
        frame_message(np.zeros((64, 64, 3), np.uint8), float("nan")),
        frame_message(np.zeros((16, 700, 3), np.uint8), 0.0),
        b"\0" * 8 + b"\xff" * 4,
    ],
    ids=len,
)
def test_what_is_no_frame_is_said(message) -> None:
    with pytest.raises(Gesture3dError, match="a frame that is none"):
        visit.read_frame(message)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"do": []}', '{"do": "delete"}', '{"do": "record"}', "[" * 5000]
)
def test_the_socket_outlives_commands_that_are_none(tmp_path, text) -> None:
    with running(tmp_path / "clips") as server, server.socket() as page:
        page.send(text)
        assert json.loads(page.recv())["error"]
        page.send(b"no frame")
        assert "a frame that is none" in json.loads(page.recv())["error"]
        page.send(json.dumps({"do": "stop"}))
        assert json.loads(page.recv()) == {"stopped": True}


def test_frames_that_come_too_fast_are_dropped_and_counted(tmp_path) -> None:
    frame = np.zeros((240, 320, 3), np.uint8)
    with running(tmp_path / "clips") as server, server.socket() as page:
        for number in range(50):
            page.send(frame_message(frame, number / 100))
        last = {"seconds": -1.0, "dropped": 0}
        answered = 0
        while last["seconds"] < 0.49:
            last = json.loads(page.recv(timeout=10))
            answered += 1
        assert answered + last["dropped"] == 50
