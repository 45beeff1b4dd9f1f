"""Cameras, addresses and files that are watched: at their pace, also where they fail."""

import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from gesture3d.cli import watch
from gesture3d.errors import Gesture3dError
from gesture3d.events import Event, read_annotations
from gesture3d.inference import watching
from gesture3d.inference.classifier import Classifier
from gesture3d.inference.stream import Stream
from tests.inference.networks import ninety_frames, small_video_network


@pytest.fixture(scope="module")
def video_network(tmp_path_factory) -> Classifier:
    return small_video_network(tmp_path_factory.mktemp("video"))


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return ninety_frames(tmp_path_factory.mktemp("videos") / "long.mp4")


def test_watching_a_file_writes_its_events(
    video_network, video, tmp_path, capsys, monkeypatch
) -> None:
    out = tmp_path / "events.csv"
    command = ["watch.py", str(video), "--weights", str(video_network.weights), "--out", str(out)]
    monkeypatch.setattr("sys.argv", command)
    assert watch.main() == 0
    said = capsys.readouterr()
    events = read_annotations(out, may_overlap=True)[str(video)]
    assert len(said.out.splitlines()) == len(events)
    assert "90 frames read" in said.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_watching_loses_no_event(
    video_network, video, tmp_path, capsys, monkeypatch, number
) -> None:
    def stopped(source):
        for place in range(24):
            yield np.full((48, 64, 3), 10 * place, np.uint8), place / 12
        assert read_annotations(out) == {str(video): [zero]}  # also if nobody had ended it
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr(watching.Source, "frames", stopped)
    zero, one = Event("wave", 0.1, 0.4, 0.3, 0.8), Event("wave", 0.5, 1.0, 0.75, 0.9)
    ended = [[zero]]
    monkeypatch.setattr(Stream, "take_ended", lambda stream: ended.pop() if ended else [])
    monkeypatch.setattr(Stream, "close", lambda stream: [one])
    out, usual = tmp_path / "events.csv", signal.getsignal(signal.SIGTERM)
    command = ["watch.py", str(video), "--weights", str(video_network.weights), "--out", str(out)]
    monkeypatch.setattr("sys.argv", command)
    assert watch.main() == 0
    assert read_annotations(out) == {str(video): [zero, one]}
    assert "2 events; 0 frames read, 0 dropped" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == usual


def test_frames_are_dropped_rather_than_late(video) -> None:
    source = watching.Source(str(video))
    frames = source.frames()
    next(frames)
    while source.counts.read < 90:
        time.sleep(0.01)
    left = [seconds for _, seconds in frames]
    assert left == pytest.approx([n / 45 for n in range(82, 90)])
    assert source.counts.dropped == 81


def test_a_watched_file_that_is_damaged_is_named_with_the_cause(video, tmp_path) -> None:
    whole = video.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(Gesture3dError, match=r"cut\.mp4: is cut off: \d+ of \d+ bytes"):
        next(watching.Source(str(tmp_path / "cut.mp4")).frames())


def test_a_camera_that_fails_is_opened_again(monkeypatch) -> None:
    class Camera:
        opened = itertools.count(1)

        def __init__(self, place: int) -> None:
            self.number, self.left = next(self.opened), 3

        def isOpened(self) -> bool:
            return self.number in (1, 3)

        def get(self, what: int) -> float:
            return 30.0

        def read(self):
            self.left -= 1
            return self.left >= 0, np.full((4, 6, 3), self.number, np.uint8)

        def release(self) -> None:
            pass

    monkeypatch.setattr(watching.cv2, "VideoCapture", Camera)
    monkeypatch.setattr(watching, "RETRY_SECONDS", (0.001,))
    said = []
    source = watching.Source("0", retries=3, say=said.append)
    found = list(source.frames())
    failed = "0: gives no frames any more; opening it again and again"
    assert said == [failed, "0: opened again", failed]
    assert [int(frame[0, 0, 0]) for frame, _ in found] == [1, 1, 1, 3, 3, 3]
    assert (source.counts.reopened, source.counts.dropped) == (1, 0)
    seconds = [seconds for _, seconds in found]
    assert seconds == sorted(seconds)


def test_a_source_that_is_not_there_is_one_line(monkeypatch) -> None:
    with pytest.raises(Gesture3dError, match=r"nothing.mp4: no such file; a camera is a number"):
        watching.Source("nothing.mp4")
    for wrong in ("-1", "²", "9" * 20):
        with pytest.raises(Gesture3dError, match=f"{wrong}: no such file; a camera is a number"):
            watching.Source(wrong)
    monkeypatch.setattr(watching.cv2, "VideoCapture", lambda place: Closed())
    with pytest.raises(Gesture3dError, match="9: cannot be opened"):
        next(watching.Source("9").frames())


class Closed:
    def isOpened(self) -> bool:
        return False
