"""Video files as people make them, against what ffmpeg's command line makes of them."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gesture3d.data import backends
from gesture3d.data.video import VideoError, frame_count, read_frames

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")

H264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"
INTERLACED = "-flags +ilme+ildct"


def make(path: Path, options: str, source: str = "testsrc2=s=96x64:r=25:d=1") -> Path:
    """A file of 25 frames by ffmpeg's command line."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", source]
    done = subprocess.run([*command, *options.split(), path], capture_output=True, text=True)
    if "Unknown encoder" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return path


def expected(path: Path) -> np.ndarray:
    """What ffmpeg's command line decodes."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", path, "-map", "0:v:0"]
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    height, width = read_frames(path, [0]).shape[1:3]
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def agrees(path: Path) -> None:
    """Every frame, and some alone, are what ffmpeg decodes (but for rounding)."""
    frames, right = read_frames(path), expected(path)
    assert len(frames) == len(right) == frame_count(path)
    assert np.abs(frames.astype(int) - right).mean() < 3
    for indices in ([0], [len(right) // 2], [3, len(right) - 1] if len(right) > 3 else [0]):
        assert np.array_equal(read_frames(path, indices), frames[indices])


# --- interlaced ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tff.mp4", f"{H264} {INTERLACED} -x264-params tff=1"),
        ("bff.mkv", f"{H264} {INTERLACED} -x264-params bff=1"),
        ("progressive_in_fields.mp4", f"{H264} -x264-params fake-interlaced=1"),
        ("mpeg4.avi", f"-c:v mpeg4 {INTERLACED}"),
        ("mpeg2.mkv", f"-c:v mpeg2video {INTERLACED}"),
        ("mpeg2.avi", f"-c:v mpeg2video {INTERLACED}"),
        ("dv.avi", "-s 720x576 -frames 3 -c:v dvvideo -pix_fmt yuv420p"),
        ("ffv1.mkv", "-vf setfield=tff -c:v ffv1"),
        ("hevc.mp4", "-vf setfield=tff -c:v libx265 -x265-params interlace=tff:log-level=none"),
        ("one.mp4", f"-frames 1 {H264} {INTERLACED} -x264-params tff=1"),
        ("one.mkv", "-frames 1 -vf setfield=tff -c:v ffv1"),
    ],
)
def test_interlaced_frames_are_decoded(tmp_path, name, options):
    agrees(make(tmp_path / name, options))


def test_an_interlaced_picture_among_others_is_not_overlooked(tmp_path):
    """The first picture of each group is of two fields, the others are not."""
    for kind, flag in (("a", INTERLACED), ("b", "")):
        make(tmp_path / f"{kind}.m2v", f"-frames 1 -c:v mpeg2video {flag}")
        make(
            tmp_path / f"{kind}5.m2v", f"-vf trim=start_frame=1:end_frame=6 -c:v mpeg2video {flag}"
        )
    mixed = b"".join((tmp_path / n).read_bytes() for n in ("a.m2v", "b5.m2v", "a.m2v", "b5.m2v"))
    (tmp_path / "mixed.m2v").write_bytes(mixed)
    command = ["ffmpeg", "-loglevel", "error", "-i", tmp_path / "mixed.m2v", "-c", "copy"]
    subprocess.run([*command, tmp_path / "mixed.avi"], check=True)
    with pytest.raises(VideoError, match="interlaced"):  # decord counts 11 of 12
        read_frames(tmp_path / "mixed.avi")


@pytest.mark.parametrize("name", ["mpeg2.mpg", "h264.ts"])
def test_what_no_decoder_can_be_trusted_with_is_refused_with_the_command(tmp_path, name):
    codec = "-c:v mpeg2video" if name == "mpeg2.mpg" else f"{H264} -x264-params tff=1"
    path = make(tmp_path / name, f"{codec} {INTERLACED}")
    with pytest.raises(VideoError, match="interlaced: convert it: ffmpeg -i IN -vf yadif"):
        read_frames(path)
    with pytest.raises(VideoError):  # it gives other frames
        read_frames(path, backend="decord")


def test_without_a_second_decoder_interlaced_frames_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "import_decord", lambda: None)
    for name, options in [
        ("h264.mp4", f"{H264} {INTERLACED} -x264-params tff=1"),
        ("ffv1.mkv", "-vf setfield=tff -c:v ffv1"),
    ]:
        with pytest.raises(VideoError, match=r"interlaced.*: convert it: ffmpeg"):
            read_frames(make(tmp_path / name, options))


def test_a_picture_that_stands_still_for_a_while_is_no_interlaced_one(tmp_path, monkeypatch):
    path = make(tmp_path / "still.mp4", f"-vf tpad=stop_mode=clone:stop_duration=1 {H264}")
    frames = read_frames(path)
    agrees(path)
    monkeypatch.setattr(backends, "import_decord", lambda: None)
    assert np.array_equal(read_frames(path), frames)
