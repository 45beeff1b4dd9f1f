import csv
import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest

from gesture3d.data.video import backends
from gesture3d.data.video import reading as video
from gesture3d.data.video.containers.contents import Contents
from gesture3d.data.video.prepared import joints
from gesture3d.data.video.reading import VideoError, frame_count, read_frames
from gesture3d.errors import Gesture3dError
from tests.clips import write_clip

BACKENDS = ["opencv", "decord"]
CONTAINERS = [
    ("mp4", "mp4v"),
    ("mov", "mp4v"),
    ("avi", "XVID"),
    ("avi", "MJPG"),
    ("webm", "VP80"),
    ("mkv", "mp4v"),
]


def numbered(num_frames: int = 36, height: int = 100, width: int = 176) -> np.ndarray:
    """Frame t is grey of level 40 + 5 k with k = 7 t mod 37 (blue: 40 + 3 k), and textured."""
    texture = np.random.default_rng(0).integers(0, 21, (height, width, 1), dtype=np.uint8)
    levels = 40 + (7 * np.arange(num_frames) % 37)[:, None, None, None] * [5, 5, 3]
    return (levels + texture).astype(np.uint8)


def numbers(frames: np.ndarray) -> np.ndarray:
    """Which frames of `numbered` these are."""
    k = np.rint((frames[..., 1].mean(axis=(1, 2)) - 50) / 5).astype(int)
    return 16 * k % 37  # 16 · 7 = 1 mod 37


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[tuple[str, str], Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        (suffix, codec): write_clip(folder / f"{codec}.{suffix}", numbered(), fourcc=codec)
        for suffix, codec in CONTAINERS
    }


@pytest.fixture(scope="module")
def frame_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for number, frame in enumerate(numbered(12), 1):
        cv2.imwrite(str(folder / f"{number}.jpg"), frame[..., ::-1])  # 1.jpg ... 12.jpg
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_frame_in_order(clips, kind, backend):
    frames = read_frames(clips[kind], backend=backend)
    assert frames.shape == (36, 100, 176, 3)
    assert frames.dtype == np.uint8
    assert frame_count(clips[kind]) == 36
    assert numbers(frames).tolist() == list(range(36))
    assert frames[5, ..., 0].mean() > frames[5, ..., 2].mean() + 40  # RGB, not BGR


def test_a_clip_that_must_be_counted_is_decoded_once_unless_it_is_large(clips, monkeypatch):
    path, opened = clips["webm", "VP80"], []
    monkeypatch.setattr(backends, "examine", lambda path: Contents("other", None))

    class Counting:
        def __init__(self, *arguments):
            opened.append(arguments)
            self.capture = original(*arguments)

        def __getattr__(self, name):
            return getattr(self.capture, name)

    original = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Counting)
    once = read_frames(path, [20, 3])
    assert len(opened) == 1
    monkeypatch.setattr(backends, "COUNTED_BYTES", 10 * 176 * 100 * 3)
    assert np.array_equal(read_frames(path, [20, 3]), once)
    assert len(opened) == 3
    assert numbers(once).tolist() == [20, 3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_wanted_frames_in_any_order(clips, backend):
    indices = [35, 3, 3, 0, 20]
    frames = read_frames(clips["mp4", "mp4v"], indices, backend=backend)
    assert numbers(frames).tolist() == indices


@pytest.mark.parametrize("kind", CONTAINERS)
def test_backends_agree_to_the_bit(clips, kind):
    opencv, decord = (read_frames(clips[kind], short_side=60, backend=b) for b in BACKENDS)
    assert np.array_equal(opencv, decord)


def test_long_clips_are_read_by_seeking_to_the_same_pixels(clips, monkeypatch):
    path = clips["mp4", "mp4v"]
    expected = read_frames(path, [2, 30])
    monkeypatch.setattr(backends, "LONG_CLIP", 20)
    assert isinstance(video.open_video(path), backends.DecordVideo)
    assert np.array_equal(read_frames(path, [2, 30]), expected)
    assert np.array_equal(read_frames(path, [2, 30], backend="opencv"), expected)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(100, 176, (60, 106)), (176, 100, (106, 60)), (40, 40, (60, 60))],
)
def test_the_short_side_is_scaled(tmp_path, height, width, expected):
    path = write_clip(tmp_path / "clip.mp4", numbered(5, height, width))
    assert read_frames(path, short_side=60).shape == (5, *expected, 3)


@pytest.mark.parametrize("fps", [1, 7.3, 23.976, 59.94, 120])
@pytest.mark.parametrize("suffix", ["mp4", "avi", "webm"])
def test_odd_frame_rates(tmp_path, fps, suffix):
    codec = {"mp4": "mp4v", "avi": "XVID", "webm": "VP80"}[suffix]
    path = write_clip(tmp_path / f"clip.{suffix}", numbered(17), fps=fps, fourcc=codec)
    for backend in BACKENDS:
        assert numbers(read_frames(path, backend=backend)).tolist() == list(range(17))


@pytest.mark.parametrize("suffix", ["mp4", "avi", "webm"])
def test_a_clip_of_one_frame(tmp_path, suffix):
    codec = {"mp4": "mp4v", "avi": "XVID", "webm": "VP80"}[suffix]
    path = write_clip(tmp_path / f"clip.{suffix}", numbered(1), fourcc=codec)
    assert frame_count(path) == 1
    assert read_frames(path, [0, 0, 0]).shape == (3, 100, 176, 3)


def test_a_4k_clip(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", numbered(3, 2160, 3840))
    frames = read_frames(path, short_side=60)
    assert frames.shape == (3, 60, 107, 3)
    assert numbers(frames).tolist() == [0, 1, 2]


def test_a_turned_clip_stands_upright_under_both_backends(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", numbered(6))
    data = path.read_bytes()
    upright = b"".join(int(v).to_bytes(4, "big") for v in (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30))
    turned = b"".join(
        (int(v) % 2**32).to_bytes(4, "big") for v in (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    )
    at = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:at] + turned + data[at + len(upright) :])
    opencv, decord = (read_frames(path, backend=backend) for backend in BACKENDS)
    assert opencv.shape == (6, 176, 100, 3)
    assert np.array_equal(opencv, decord)


def test_a_folder_of_frames_is_sorted_by_number(frame_folder):
    assert frame_count(frame_folder) == 12
    assert numbers(read_frames(frame_folder)).tolist() == list(range(12))
    assert numbers(read_frames(frame_folder, [11, 0])).tolist() == [11, 0]
    assert read_frames(frame_folder, short_side=60).shape == (12, 60, 106, 3)


def test_real_clips_have_the_frames_that_ffprobe_counts(shared_data):
    folder = shared_data / "egogestar_video"
    with (folder / "clips.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows[::39]:
        opencv, decord = (
            read_frames(folder / row["file"], short_side=32, backend=b) for b in BACKENDS
        )
        assert len(opencv) == len(decord) == int(row["nb_frames"])
        assert np.abs(opencv.astype(int) - decord).max() <= 1  # two versions of FFmpeg round


def test_a_part_of_an_mp4_that_was_cut_without_decoding(tmp_path):
    """It holds frames from the last key frame on, and says which of them are shown."""
    make = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i"]
    make += ["testsrc=size=64x48:rate=30:duration=4", "-pix_fmt", "yuv420p", "-g", "60"]
    whole, part = tmp_path / "whole.mp4", tmp_path / "part.mp4"
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    subprocess.run([*make, whole], check=True)
    cutting = ["ffmpeg", "-loglevel", "error", "-ss", "1.2", "-i", whole, "-c", "copy", part]
    subprocess.run(cutting, check=True)
    frames = read_frames(part)
    assert frame_count(part) == len(frames)
    assert len(frames) == pytest.approx(4 * 30 - 1.2 * 30, abs=1)
    expected = read_frames(whole)[-len(frames) :]
    assert np.abs(frames.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", ["v.mkv", "v.webm", "v.mp4"])
def test_a_variable_frame_rate(tmp_path, name):
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    make = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i"]
    make += ["testsrc=size=64x48:rate=30:duration=4", "-vf", "select='not(mod(n,4))+lt(n,10)'"]
    make += ["-fps_mode", "vfr", "-pix_fmt", "yuv420p", tmp_path / name]
    subprocess.run(make, check=True)
    shown = [n for n in range(120) if n % 4 == 0 or n < 10]
    assert frame_count(tmp_path / name) == len(read_frames(tmp_path / name)) == len(shown)
    frames, seconds = joints._frames(tmp_path / name)
    np.testing.assert_allclose(seconds, np.array(shown) / 30, atol=0.002)
    assert len(frames) == len(shown)


# --- what cannot be read ------------------------------------------------------------------------


def cut(path: Path, target: Path, share: float) -> Path:
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def fails(path: Path, backend: str, *reasons: str) -> None:
    """Both ways of reading name the path and the reason in one line."""
    with pytest.raises(VideoError) as caught:
        read_frames(path, backend=backend)
    message = str(caught.value)
    assert message.startswith(f"{path}")
    assert "\n" not in message
    assert any(reason in message for reason in reasons), message


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_cut_off_file(clips, tmp_path, kind, share, backend):
    path = cut(clips[kind], tmp_path / f"cut.{kind[0]}", share)
    fails(path, backend, "cut off")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_damaged_file(clips, tmp_path, kind, backend):
    data = bytearray(clips[kind].read_bytes())
    middle, length = len(data) // 3, len(data) // 4
    data[middle : middle + length] = np.random.default_rng(1).bytes(length)
    path = tmp_path / f"damaged.{kind[0]}"
    path.write_bytes(data)
    fails(path, backend, "damaged", "cannot be decoded")


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_no_video(tmp_path, backend):
    fails(tmp_path / "nothing.mp4", backend, "no such file")
    for name, content, reason in [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"This is not a video.\n" * 50, "no video"),
        ("zeros.avi", bytes(5000), "no video"),
        ("header.mp4", b"\0\0\0\x18ftypmp42", "cut off"),
    ]:
        (tmp_path / name).write_bytes(content)
        fails(tmp_path / name, backend, reason)
    (tmp_path / "dangling").mkdir()
    (tmp_path / "dangling" / "1.jpg").symlink_to("nowhere.jpg")
    fails(tmp_path / "dangling", backend, "cannot be read: No such file")
    latin = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xfc\xdf.mp4"))
    latin.write_bytes(b"x")
    with pytest.raises(VideoError, match="name is not UTF-8"):
        read_frames(latin, backend=backend)
    with wave.open(str(tmp_path / "sound.mp4"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    fails(tmp_path / "sound.mp4", backend, "no video")


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "mp4v"), ("avi", "XVID"), ("webm", "VP80")])
def test_a_video_without_frames(tmp_path, suffix, codec):
    path = tmp_path / f"none.{suffix}"
    cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 12, (176, 100)).release()
    fails(path, "auto", "no video", "empty")


def test_a_frame_that_is_not_there(clips):
    with pytest.raises(VideoError, match="has 36 frames, asked for frame 36"):
        read_frames(clips["mp4", "mp4v"], [0, 36])


def test_bad_folders_of_frames(frame_folder, tmp_path):
    fails(tmp_path, "auto", "no frames")
    for image in frame_folder.glob("*.jpg"):
        (tmp_path / image.name).write_bytes(image.read_bytes())
    seventh = (tmp_path / "7.jpg").read_bytes()
    (tmp_path / "7.jpg").unlink()
    fails(tmp_path, "auto", "frame 7 is missing")
    (tmp_path / "7.jpg").write_bytes(seventh[: len(seventh) // 2])
    fails(tmp_path, "auto", "cut off")
    (tmp_path / "7.jpg").write_bytes(b"")
    fails(tmp_path, "auto", "empty")
    cv2.imwrite(str(tmp_path / "7.jpg"), np.zeros((50, 60, 3), np.uint8))
    fails(tmp_path, "auto", "7.jpg is 60x50, others 176x100")
    (tmp_path / "7.jpg").write_bytes(b"text \xff\xd9")
    fails(tmp_path, "auto", "no image")


def test_decoders_are_silent(clips, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    for kind in CONTAINERS:
        cut(clips[kind], tmp_path / f"{kind[1]}.{kind[0]}", 0.5)
    program = (
        "import pathlib, sys\n"
        "from gesture3d.data.video.reading import VideoError, read_frames\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    for backend in ('opencv', 'decord'):\n"
        "        try: read_frames(path, backend=backend)\n"
        "        except VideoError: print('failed')\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["failed"] * 14
    assert done.stderr == ""


# --- torchcodec, an optional extra --------------------------------------------------------------


@pytest.mark.parametrize("kind", CONTAINERS)
def test_torchcodec_finds_the_same_frames(clips, kind):
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        pytest.skip("torchcodec and FFmpeg's libraries are not installed")
    frames = read_frames(clips[kind], [35, 3, 3, 0, 20], backend="torchcodec")
    assert numbers(frames).tolist() == [35, 3, 3, 0, 20]


def test_without_torchcodec_the_remedy_is_named(clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(Gesture3dError, match=r"pip install gesture3d\[torchcodec\]"):
        read_frames(clips["mp4", "mp4v"], backend="torchcodec")


def test_frames_that_are_hardly_pictures_are_refused(tmp_path):
    (tmp_path / "line").mkdir()
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / "line" / f"{number}.png"), np.zeros((1, 6000, 3), np.uint8))
    with pytest.raises(VideoError, match="frames of 6000x1 pixels: crop them to less than 50:1"):
        read_frames(tmp_path / "line", short_side=112)
