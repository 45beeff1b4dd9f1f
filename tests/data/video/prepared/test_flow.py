import signal
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from gesture3d.config import load_data
from gesture3d.data import build_datasets, read_index
from gesture3d.data.index import Index, Item
from gesture3d.data.video.clips import load_clip
from gesture3d.data.video.pixels import flow_to_frame, frame_to_flow, mirror_flow, reverse_flow
from gesture3d.data.video.prepared import flow
from gesture3d.data.video.prepared.flow import compute_flow, prepare_flow, target, write_flow
from gesture3d.data.video.reading import frame_count, read_frames
from gesture3d.data.video.sets.jester import JesterData, read_jester
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE
from tests.clips import clip_samples, copied, write_clip
from tests.forked_runs import run_forked


def texture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    return cv2.resize(noise, (400, 300), interpolation=cv2.INTER_CUBIC)


def panning_clip(dx: int, dy: int, frames: int = 6) -> np.ndarray:
    """All that is seen moves by (dx, dy) pixels a frame."""
    return np.stack([texture()[100 - t * dy :, 100 - t * dx :][:90, :120] for t in range(frames)])


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    folder = tmp_path_factory.mktemp("clips")
    clips = [
        Item(f"set/{dx}_{dy}", 0, write_clip(folder / f"{dx}_{dy}.mp4", panning_clip(dx, dy)))
        for dx, dy in ((3, 0), (-2, 1), (0, -4))
    ]
    return Index(("pan",), clips)


def test_levels_are_eighths_of_a_pixel_and_saturate():
    values = np.array([[[0, 0.125], [-1, 2.5], [15.875, -15.875], [99, -99]]], np.float32)
    frame = flow_to_frame(values)
    assert frame.tolist() == [[128, 120, 255, 255], [129, 148, 1, 1]]
    assert np.array_equal(frame_to_flow(frame)[:, :3], values[:, :3])


def test_stored_flow_is_the_movement_in_the_video(index, tmp_path):
    assert prepare_flow(index, tmp_path, num_workers=1, progress=False) == {}
    for clip in index.items:
        dx, dy = map(int, clip.key.split("/")[1].split("_"))
        path = target(tmp_path, clip)
        assert frame_count(path) == 6  # as many as the clip has
        levels = read_frames(path, pixels="flow")
        assert levels.shape == (6, 90, 120, 2)
        inner = (levels[:, 20:-20, 20:-20].astype(float) - 128) / 8
        assert np.abs(np.median(inner, axis=(0, 1, 2)) - (dx, dy)).max() < 0.25
        assert np.abs(inner - (dx, dy)).mean() < 0.4
        length = read_frames(path, pixels="flow_magnitude")[..., 2]
        assert abs(np.median(length[:, 20:-20, 20:-20]) - 128 - 8 * np.hypot(dx, dy)) < 3


def test_flow_of_clips_elsewhere_stays_in_its_folder(index, tmp_path):
    clips = [replace(clip, key=str(clip.path)) for clip in index.items]
    clips[1] = replace(clips[1], key="../elsewhere/clip.mp4")
    outside = Index(("pan",), clips)
    data = load_data("jester", [f"data.root={tmp_path}", "data.modality=flow"])
    with pytest.raises(Gesture3dError, match="3 clips have no optical flow"):
        flow.flow_index(outside, data)
    prepare_flow(outside, tmp_path / "flow", num_workers=1, progress=False)
    found = flow.flow_index(outside, data).items
    assert {clip.path.parent for clip in found} == {tmp_path / "flow"}
    assert len({clip.path for clip in found}) == 3


def test_scaling_keeps_both_components_apart(index, tmp_path):
    clip = index.items[0]
    write_flow(clip.path, tmp_path / "a.avi")
    small = read_frames(tmp_path / "a.avi", pixels="flow", short_side=30)
    assert small.shape == (6, 30, 40, 2)
    assert (small[:, 8:-8, 8:-8, 0] > 145).mean() > 0.9  # 3 pixels: 152
    assert np.abs(small[:, 8:-8, 8:-8, 1].astype(int) - 128).mean() < 3


def test_one_frame_has_no_movement(tmp_path):
    assert not compute_flow(np.zeros((1, 20, 20), np.uint8)).any()
    write_flow(write_clip(tmp_path / "one.mp4", panning_clip(1, 1, 1)), tmp_path / "one.avi")
    assert (read_frames(tmp_path / "one.avi", pixels="flow") == 128).all()


def test_what_is_done_stays_and_what_changed_is_done_again(index, tmp_path, monkeypatch):
    done = []
    write = flow.write_flow
    monkeypatch.setattr(flow, "write_flow", lambda s, *how: (done.append(s.stem), write(s, *how)))

    def run() -> list[str]:
        done.clear()
        prepare_flow(index, tmp_path, num_workers=1, progress=False)
        return sorted(done)

    assert run() == ["-2_1", "0_-4", "3_0"]
    assert run() == []
    target(tmp_path, index.items[0]).unlink()  # as if killed before it
    assert run() == ["3_0"]
    index.items[1].path.touch()
    assert run() == ["-2_1"]
    with pytest.raises(Gesture3dError, match="other settings"):
        prepare_flow(index, tmp_path, short_side=60, progress=False)


def test_processes_and_broken_clips(index, tmp_path):
    good = index.items[0]
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    clips = [Item(f"{n}", 0, bad if n == 7 else good.path) for n in range(25)]
    many = Index(("pan",), clips)
    broken = prepare_flow(many, tmp_path / "flow", num_workers=2, progress=False)
    assert list(broken) == ["7"]
    assert str(bad) in broken["7"]
    assert len(list((tmp_path / "flow").glob("*.avi"))) == 24
    assert list((tmp_path / "flow").glob(".*.avi")) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(index, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    (tmp_path / "flow.json").write_text('{"format": 1, "method": "DIS medium", "short_side": 120}')
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(Gesture3dError, match="cannot write optical flow to"):
            prepare_flow(index, tmp_path, num_workers=1, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.rglob("*.avi")) == []


def test_a_mirror_and_playing_backwards_turn_vectors_round():
    def levels(dx: int, dy: int) -> np.ndarray:
        return flow_to_frame(np.full((4, 4, 2), (dx, dy), np.float32)).reshape(2, 4, 4)

    clip = np.moveaxis(levels(3, -2), 0, 2)[None]
    assert np.array_equal(mirror_flow(clip)[0], np.moveaxis(levels(-3, -2), 0, 2))
    assert np.array_equal(reverse_flow(clip)[0], np.moveaxis(levels(-3, 2), 0, 2))


def test_a_data_set_turns_them_with_the_picture(index, tmp_path):
    prepare_flow(index, tmp_path, num_workers=1, progress=False)
    clip = Item("x", 0, target(tmp_path, index.items[0]))  # 3 pixels to the right
    data = JesterData(
        name="jester",
        modality="flow",
        num_frames=4,
        size=32,
        augmentation={"horizontal_flip": True, "time_reversal": True},
    )
    swap = {"left": "right", "right": "left"}
    set_ = clip_samples([clip], ("right", "left"), data, True, mirror=swap, reversal=swap)
    seen = set()
    for epoch in range(12):
        sample = set_[epoch, 0]
        assert sample.inputs.shape == (4, 2, 32, 32)
        to_the_right = np.median(sample.inputs[:, 0].numpy()) > 128
        assert sample.label == (0 if to_the_right else 1)
        seen.add(sample.label)
    assert seen == {0, 1}


def test_a_mirroring_cameras_flow_is_turned_back(index, tmp_path):
    prepare_flow(index, tmp_path, num_workers=1, progress=False)
    data = JesterData(name="jester", modality="flow", num_frames=4, size=32)
    turned = data.model_copy(update={"mirrored_camera": True})
    clip = target(tmp_path, index.items[0])  # 3 pixels to the right
    as_filmed, back = (load_clip(clip, settings).float() for settings in (data, turned))
    assert back[:, 0].median() < 128 < as_filmed[:, 0].median()
    assert torch.equal(back[:, 1], as_filmed[:, 1].flip(-1))
    assert (back[:, 0] + as_filmed[:, 0].flip(-1) - 256).abs().max() <= 1


def test_flow_of_generated_clips_is_made_on_first_use(generated_flow, tmp_path):
    root = copied(generated_flow, tmp_path / "set")
    overrides = ["train", "validation", "test"]
    overrides = [f"data.clips_per_class.{split}=1" for split in overrides]
    overrides += [f"data.root={root}", "data.classes=[Swiping Left, Swiping Right]"]
    config = load_data("synthetic_flow", [*overrides, "data.cache_size=40"])
    index = read_jester(root, "rgb")
    for clip in index.of("train"):
        if index.class_names[clip.label] in config.classes:
            target(root / "flow", clip).unlink()
    data = build_datasets(config, 0, progress=False)
    assert data.train[0].inputs.shape == (16, 2, 48, 48)
    means = {n: data.train[i].inputs[:, 0].float().mean() for i, n in ((0, 0), (1, 1))}
    clips = read_index(config).of("train")
    by_name = {data.class_names[c.label]: load_clip(c.path, config)[:, 0] for c in clips}
    left, right = (by_name[f"Swiping {side}"].float().mean() for side in ("Left", "Right"))
    assert right < 127.9 < 128.1 < left, means


def test_missing_flow_says_how_to_compute_it(index, tmp_path):
    from gesture3d.data.video.prepared.flow import flow_index

    config = JesterData(name="jester", root=tmp_path, modality="flow")
    with pytest.raises(Gesture3dError, match=r"3 clips have no optical flow.*prepare\.py flow"):
        flow_index(index, config)


def test_the_tool_computes_flow_for_a_folder(tmp_path):
    for name in ("left", "right"):
        for n in range(2):
            write_clip(tmp_path / "clips" / name / f"{n}.mp4", panning_clip(1, 0, 3))
    tool = PACKAGE / "cli" / "prepare.py"
    command = [sys.executable, tool, "flow", "--data", "folder", "--quiet"]
    command += ["--set", f"data.root={tmp_path / 'clips'}"]
    done = run_forked(command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "optical flow of 4 clips" in done.stdout
    assert len(list(tmp_path.glob("data/cache/*/flow/*/*.avi"))) == 4


def test_flow_of_clips_whose_names_are_long_or_no_text(tmp_path):
    clips = [
        Item(key, 3, write_clip(tmp_path / f"{number}.mp4", panning_clip(1, 0)), 0)
        for number, key in enumerate(("a" * 251, "a" * 255, "b\udcff"))
    ]
    paths = [target(tmp_path / "flow", clip) for clip in clips]
    assert paths[0].name == f"{'a' * 251}.avi"  # as ever
    assert len({*paths}) == 3
    assert prepare_flow(Index(("x",), clips), tmp_path / "flow") == {}
    assert all(path.is_file() for path in paths)
