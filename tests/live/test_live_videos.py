"""Videos that are dropped on the page: limits while they stream, decoding apart, events."""

import json
import os
import shutil
import struct
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.events import Event, read_annotations
from gesture3d.live import decode
from tests.live.running import moving_frames, running

videos = pytest.importorskip("gesture3d.live.videos", reason="the extra 'live' is not installed")

NETWORK = "weights/variant_a-synthetic"


def write_video(path, num_movements=2, fps=15.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (160, 120))
    frames = [frame for frame, _ in moving_frames(num_movements, fps)]
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    return frames


def test_a_video_is_decoded_in_a_process_of_its_own(tmp_path) -> None:
    frames = write_video(tmp_path / "v.mp4", fps=30.0)
    found = list(decode.frames(tmp_path / "v.mp4"))
    assert abs(len(found) - len(frames) / 2) <= 1  # at most 15 a second
    seconds = np.array([second for _, second, _ in found])
    assert np.allclose(np.diff(seconds), 1 / 15)
    assert found[0][2] == pytest.approx(len(frames) / 30)
    middle = found[len(found) // 2][0].astype(int)
    assert np.abs(middle - frames[2 * (len(found) // 2)]).mean() < 12  # red is red


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_a_varying_rate_goes_by_the_clock_of_the_file(tmp_path) -> None:
    """As of phones: the second half is shown at half the speed."""
    frames = write_video(tmp_path / "v.mp4", fps=30.0)
    half = len(frames) // 2
    slower = f"setpts='if(lt(N,{half}),N,2*N-{half})/30/TB'"
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "v.mp4", "-vf", slower]
    subprocess.run([*command, "-fps_mode", "vfr", tmp_path / "w.mp4"], check=True)
    seconds = np.array([second for _, second, _ in decode.frames(tmp_path / "w.mp4")])
    assert np.allclose(np.diff(seconds), 1 / 15, atol=0.002)
    assert seconds[-1] == pytest.approx((2 * len(frames) - half) / 30, abs=0.1)


@pytest.mark.parametrize(
    "content",
    [
        b"no video at all",
        b"\0" * 5000,
        b"RIFF\xff\xff\xff\xffAVI LIST" + bytes(200),
        struct.pack(">I4sI", 12, b"ftyp", 0) + bytes(100),
        b"GIF89a" + bytes(50),
        b"\x1aE\xdf\xa3" + bytes(500),
        b"ffconcat version 1.0\nfile near.mp4\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nnear.mp4\n#EXT-X-ENDLIST\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=lambda content: repr(content[:8]),
)
def test_what_is_no_video_is_one_line(tmp_path, content) -> None:
    write_video(tmp_path / "near.mp4")  # which a list of files could name
    path = tmp_path / "secretly-named.video"
    path.write_bytes(content)
    with pytest.raises(Gesture3dError) as refused:
        list(decode.frames(path))
    assert "\n" not in str(refused.value)
    assert "secretly" not in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_a_damaged_video_is_one_line(tmp_path) -> None:
    write_video(tmp_path / "v.mp4", 4)
    content = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(Gesture3dError):
        list(decode.frames(tmp_path / "cut.mp4"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no limits of processes here")
def test_the_process_that_decodes_has_limits() -> None:
    """It can neither write a file nor take more memory than it may."""
    program = """if True:
        import sys, tempfile
        from gesture3d.live.decode import MOST_MEMORY, limit
        limit()
        try:
            bytearray(MOST_MEMORY)
            print("memory")
        except MemoryError:
            pass
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with open(sys.argv[1], "wb", buffering=0) as file:
                file.write(b"x")
            print("written")
        except OSError:
            pass
    """
    done = subprocess.run(
        [sys.executable, "-c", program, "/tmp/gesture3d-must-not-be"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


BUSY = """
from gesture3d.live import decode
def burn(*_):
    while True:
        pass
decode.MOST_WORK, decode._decode = {seconds}, burn
decode.main("the video")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no limits of processes here")
def test_a_video_that_takes_the_processor_for_too_long_is_one_line(tmp_path, monkeypatch) -> None:
    """As one that a decoder never comes to an end with: the system ends the process."""
    start, begun = subprocess.Popen, []

    def start_busy(words, **more):
        assert words[1:] == ["-m", "gesture3d.live.decode", str(tmp_path / "v.mp4")]
        begun.append(time.monotonic())
        return start([sys.executable, "-c", BUSY.format(seconds=2)], **more)

    monkeypatch.setattr(decode.subprocess, "Popen", start_busy)
    with pytest.raises(Gesture3dError, match=r"died \(it took too much of the processor"):
        list(decode.frames(tmp_path / "v.mp4"))
    assert time.monotonic() - begun[0] < decode.MOST_SILENCE


def test_a_video_that_hangs_or_crashes_the_process_is_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(decode, "MOST_SILENCE", 0.01)
    write_video(tmp_path / "v.mp4")
    with pytest.raises(Gesture3dError, match="it took too long"):
        list(decode.frames(tmp_path / "v.mp4"))


def test_a_long_video_is_refused(tmp_path) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 1.0, (32, 32)
    )
    for _ in range(decode.MOST_SECONDS + 10):
        writer.write(np.zeros((32, 32, 3), np.uint8))
    writer.release()
    with pytest.raises(Gesture3dError, match="lasts 30 minutes, 30 are allowed: cut it"):
        list(decode.frames(tmp_path / "v.avi"))


def test_uploads_are_measured_while_they_stream(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(videos, "MOST_BYTES", 100_000)
    with running(tmp_path / "clips") as server:
        place = f"/api/videos?network={NETWORK}&title=../../../evil.mp4"
        status, said, _ = server.ask("POST", place, bytes(300_000))
        assert (status, b"larger than" in said) == (400, True)
        status, said, _ = server.ask("POST", place, b"")
        assert (status, b"an empty file" in said) == (400, True)
        status, said, _ = server.ask("POST", "/api/videos?network=../../etc/passwd", b"x")
        assert (status, b"no such network" in said) == (400, True)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        # What is no video fails, under a name of the server's, and leaves nothing behind.
        key = json.loads(server.ask("POST", place, b"no video")[1])["key"]
        assert set(key) <= set("0123456789abcdef")
        for _ in range(600):
            video = server.json("GET", f"/api/videos/{key}")
            if video["state"] == "failed":
                break
            time.sleep(0.1)
        assert video["state"] == "failed"
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        assert server.ask("GET", "/api/videos/..%2f..%2fetc%2fpasswd")[0] in (400, 404)
        assert server.ask("GET", f"/api/videos/{key}/thumbs/99")[0] == 400
        assert server.ask("GET", f"/api/videos/{key}/events.exe")[0] == 400


def test_no_more_than_a_few_at_once(tmp_path) -> None:
    with running(tmp_path / "clips") as server:
        server.live.videos._busy = videos.MOST_AT_ONCE
        status, said, _ = server.ask("POST", f"/api/videos?network={NETWORK}", b"x")
        assert (status, b"are being searched" in said) == (400, True)


def test_events_go_home_as_files_that_are_read_back(tmp_path) -> None:
    video = videos.Video("k", 'my, "film".mp4', NETWORK, seconds=9.0)
    video.events = [Event("wave", 1.0, 2.5, 1.5, 0.8), Event("=cmd", 3.0, 4.0, 3.5, 0.9)]
    (tmp_path / "events.csv").write_text(videos.as_csv(video))
    assert read_annotations(tmp_path / "events.csv") == {video.title: video.events}
    assert json.loads(videos.as_json(video))["events"][0]["label"] == "wave"


def test_a_video_is_searched(tmp_path) -> None:
    write_video(tmp_path / "v.mp4", 3)
    with running(tmp_path / "clips") as server:
        content = (tmp_path / "v.mp4").read_bytes()
        answer = server.ask("POST", f"/api/videos?network={NETWORK}&title=v.mp4", content)
        key = json.loads(answer[1])["key"]
        for _ in range(1200):
            video = server.json("GET", f"/api/videos/{key}")
            if video["state"] != "searching":
                break
            time.sleep(0.1)
        assert (video["state"], video["error"]) == ("done", None)
        assert video["done"] == video["seconds"] == pytest.approx(8.6, abs=0.3)
        assert len(video["thumbs"]) >= videos.EVERY - 2
        assert server.ask("GET", f"/api/videos/{key}/thumbs/0")[1][:2] == b"\xff\xd8"
        assert b"path,label,start" in server.ask("GET", f"/api/videos/{key}/events.csv")[1]
        assert server.json("GET", "/api/state")["videos"][0]["key"] == key  # after a reload
        server.json("DELETE", f"/api/videos/{key}")
        assert server.ask("GET", f"/api/videos/{key}")[0] == 400
