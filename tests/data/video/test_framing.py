"""A square that follows what moves, found in made clips whose answer is known."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gesture3d.config import load_experiment
from gesture3d.data.index import Index, Item
from gesture3d.data.video import framing, reading
from gesture3d.data.video.clips import ReadClip, load_clip
from gesture3d.data.video.evaluated import load_windows
from gesture3d.data.video.framing import cut, moving_part, seen_in
from gesture3d.data.video.reading import open_video, read_frames
from gesture3d.errors import Gesture3dError
from gesture3d.inference.sliding import _VideoEye
from gesture3d.rng import generator

HEIGHT, WIDTH, FRAMES = 120, 200, 24


def room(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A smooth random picture, uint8 (H, W, 3)."""
    coarse = generator("room").integers(40, 160, (9, 15, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def waving(row: int, column: int, reach: int, size: int = 12, sway: int = 0) -> np.ndarray:
    """A bright square of ``size`` pixels that goes ``reach`` to and fro about (row, column), before
    a room that a camera sways ``sway`` pixels in."""
    back = room(HEIGHT + 40, WIDTH + 40)
    clip = []
    for number in range(FRAMES):
        swayed = 20 + round(sway * np.sin(number / 3))
        frame = back[20 : 20 + HEIGHT, swayed : swayed + WIDTH].copy()
        left = column + round(reach * np.sin(number / 2)) - size // 2
        top = row - size // 2
        frame[top : top + size, left : left + size] = 255
        clip.append(frame)
    return np.stack(clip)


@pytest.mark.parametrize("sway", [0, 3])
@pytest.mark.parametrize(("row", "column", "reach"), [(30, 40, 10), (60, 100, 25), (90, 165, 12)])
def test_it_lies_about_what_moves_and_not_about_what_the_camera_moves(row, column, reach, sway):
    top, left, side = moving_part(waving(row, column, reach, sway=sway))
    assert top <= row - 6
    assert row + 6 <= top + side
    assert left <= column - reach
    assert column + reach <= left + side
    if not sway:
        assert side < 0.8 * HEIGHT
    if reach == 25:
        assert abs(top + side / 2 - row) < 8
        assert abs(left + side / 2 - column) < 8


def test_it_grows_with_the_motion() -> None:
    sides = [moving_part(waving(60, 100, reach))[2] for reach in (12, 20, 30)]
    assert sides[0] < sides[1] < sides[2]


def test_where_nothing_moves_it_is_the_square_in_the_middle() -> None:
    still = np.repeat(room()[None], 8, axis=0)
    assert moving_part(still) == (0, 40, 120)
    assert moving_part(still[:1]) == (0, 40, 120)
    light = np.linspace(0.9, 1.0, 8)[:, None, None, None]
    noise = generator("noise").normal(0, 3, still.shape)
    drifting = (still * light + noise).clip(0, 255).astype(np.uint8)
    _, _, side = moving_part(drifting)
    assert side > 0.7 * HEIGHT


def test_it_never_leaves_the_frame_nor_becomes_too_small() -> None:
    for row, column in ((6, 8), (6, 191), (113, 8), (113, 191)):
        top, left, side = moving_part(waving(row, column, 1))
        assert side == round(framing.LEAST * HEIGHT)
        assert 0 <= top <= HEIGHT - side
        assert 0 <= left <= WIDTH - side


def test_cutting_scales_the_square() -> None:
    frame = room()
    assert np.array_equal(cut(frame, (10, 20, 60), None), frame[10:70, 20:80])
    assert cut(frame, (10, 20, 60), 24).shape == (24, 24, 3)
    flat = np.full_like(frame, 77)
    assert (cut(flat, (0, 0, 90), 48) == 77).all()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A clip by ffmpeg's command line, in which a square goes to and fro on the left."""
    path = tmp_path / "clip.mp4"
    size = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "12"]
    how = ["ffmpeg", "-v", "error", *size, "-i", "-", "-crf", "10", "-pix_fmt", "yuv420p"]
    try:
        subprocess.run([*how, str(path)], input=waving(60, 45, 15).tobytes(), check=True)
    except FileNotFoundError:
        pytest.skip("ffmpeg's command line is not installed")
    return path


def data(*settings: str):
    small = ["data.size=32", "data.cache_size=40", "data.framing=motion"]
    return load_experiment("variant_a", "folder", [*small, *settings]).data


def test_files_windows_and_caches_show_the_same_square(video, monkeypatch) -> None:
    clip = load_clip(video, data())
    assert clip.shape == (16, 3, 32, 32)
    whole = load_clip(video, data("data.framing=whole"))
    assert (clip > 240).float().mean() > 2 * (whole > 240).float().mean()  # it is larger there
    ((_, window),) = load_windows(video, open_video(video), data(), seconds=2.0)
    assert np.array_equal(window, clip)
    eye = _VideoEye(data())  # of a clip network that is slid over a camera's frames
    seen = [eye.look(frame, 0.0) for frame in read_frames(video)]
    assert torch.equal(eye.clip(seen, np.arange(FRAMES) / 12), clip)
    kept = read_frames(video, short_side=40, pixels="followed")
    assert kept.shape == (FRAMES, 40, 40, 3)
    monkeypatch.setattr(reading, "MOST_KEPT", 1)  # long clips are decoded twice
    assert np.array_equal(read_frames(video, short_side=40, pixels="followed"), kept)
    some = read_frames(video, [5, 3, 3], short_side=40, pixels="followed")
    assert np.array_equal(some, kept[[5, 3, 3]])


def test_clips_are_changed_before_they_are_cut_down(video) -> None:
    """As by `evaluate --corruptions`: what moves is looked for in what has become of the clip."""
    item = Item("clip", 0, video)
    read = ReadClip(data(), Index(("a",), [item]), cache=None)
    moved = read.changed(lambda _, frames: np.roll(frames, 90, axis=2))
    assert read.all_frames(item).shape == (FRAMES, HEIGHT, WIDTH, 3)
    same, there = (r(item, None).inputs for r in (read.changed(lambda _, f: f), moved))
    assert torch.equal(same, load_clip(video, data()))
    bright = [(clip > 240).float().mean() for clip in (same, there)]
    assert 0.5 < bright[0] / bright[1] < 2  # the square has followed


def test_the_frames_it_is_found_in_are_spread_over_the_clip() -> None:
    assert seen_in(3).tolist() == [0, 1, 2]
    assert len(seen_in(100)) == framing.SEEN
    assert seen_in(100)[0] == 0
    assert seen_in(100)[-1] >= 90


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.channels=1"], "framing motion is for modality rgb"),
        (["data.modality=depth"], "framing motion is for modality rgb"),
        (["data.framing=hand"], "framing"),
    ],
)
def test_what_it_cannot_do_is_said(settings, said) -> None:
    with pytest.raises(Gesture3dError, match=said):
        data(*settings)


def test_streams_are_taken_whole() -> None:
    with pytest.raises(Gesture3dError, match="framing is there for clips only"):
        load_experiment("variant_a", "synthetic_stream", ["data.framing=motion"])


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (300, 8), (2, 90), (120, 67)])
@pytest.mark.parametrize("count", [1, 2, 16])
def test_any_frames_have_one_within_them(size, count) -> None:
    black = np.zeros((count, *size, 3), np.uint8)
    flash = np.concatenate([black, black[:1] + 255])
    noise = generator("frames").integers(0, 256, black.shape).astype(np.uint8)
    for frames in (black, flash, noise):
        top, left, side = square = moving_part(frames)
        assert side >= 1
        assert 0 <= top <= size[0] - side
        assert 0 <= left <= size[1] - side
        assert cut(frames[0], square, 60).shape == (60, 60, 3)
