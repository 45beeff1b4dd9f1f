import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from gesture3d.data.index import Item
from gesture3d.data.video import depth
from gesture3d.data.video.frames import ANY_FRAMES
from gesture3d.data.video.prepared import cache as cache_module
from gesture3d.data.video.prepared.cache import FrameCache, open_cache
from gesture3d.data.video.prepared.decode import _Reserve, _Worker
from gesture3d.data.video.reading import VideoError, read_frames
from gesture3d.errors import Gesture3dError
from gesture3d.files import atomic_path
from tests.clips import square_clip, write_clip

NUM_CLIPS = 45  # enough for two processes


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Item]:
    folder = tmp_path_factory.mktemp("clips")
    paths = [
        write_clip(folder / f"{i}.mp4", square_clip("left", i, frames=5 + i % 7))
        for i in range(NUM_CLIPS)
    ]
    return [Item(path.stem, 0, path) for path in paths]


def make(clips: list[Item], folder: Path, **options) -> FrameCache:
    return open_cache(clips, folder, 24, **{"num_workers": 1, "progress": False} | options)


def test_a_cache_holds_every_frame_as_decoded(clips, tmp_path):
    cache = make(clips, tmp_path)
    assert list(cache) == [clip.key for clip in clips]
    for clip in clips:
        frames = cache[clip.key]
        assert frames.dtype == np.uint8
        assert not frames.flags.writeable
        assert np.array_equal(frames, read_frames(clip.path, short_side=24))


def test_processes_write_the_same_frames(clips, tmp_path):
    alone, together = make(clips, tmp_path / "1"), make(clips, tmp_path / "2", num_workers=2)
    assert together.path.stat().st_size == alone.path.stat().st_size
    assert all(np.array_equal(alone[clip.key], together[clip.key]) for clip in clips)


def test_decoding_processes_do_not_import_torch():
    program = "import sys, gesture3d.data.video.prepared.decode; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_fresh_cache_is_used_and_a_stale_one_rebuilt(clips, tmp_path, capsys):
    def open_now() -> tuple[int, str]:
        cache = make(some, tmp_path / "cache", progress=True)
        return cache.path.stat().st_mtime_ns, capsys.readouterr().out

    path = tmp_path / "clip.mp4"
    path.write_bytes(clips[0].path.read_bytes())
    some = [Item("clip", 0, path), clips[1]]
    first, said = open_now()
    assert "2 clips: decoding once" in said
    again, said = open_now()
    assert again == first
    assert "using 2 decoded clips" in said
    path.write_bytes(clips[6].path.read_bytes())
    rebuilt, said = open_now()
    assert rebuilt != first
    assert "out of date" in said
    assert np.array_equal(
        make(some, tmp_path / "cache")["clip"], read_frames(clips[6].path, short_side=24)
    )
    assert len(list((tmp_path / "cache").glob("*.bin"))) == 1


def test_a_broken_cache_is_rebuilt(clips, tmp_path):
    cache = make(clips[:3], tmp_path)
    index = cache.path.with_suffix(".json")
    for damage in (lambda: index.write_text("{"), lambda: os.truncate(cache.path, 100)):
        damage()
        frames = make(clips[:3], tmp_path)["2"]
        assert np.array_equal(frames, read_frames(clips[2].path, short_side=24))


def test_pickling_passes_the_file_not_the_frames(clips, tmp_path):
    cache = make(clips, tmp_path)
    data = pickle.dumps(cache)
    assert len(data) < 100 * NUM_CLIPS
    assert np.array_equal(pickle.loads(data)["7"], cache["7"])


@pytest.mark.parametrize("num_workers", [1, 2])
def test_all_bad_clips_are_named_and_nothing_is_left(clips, tmp_path, num_workers):
    bad = [tmp_path / f"bad{i}.mp4" for i in range(3)]
    for path in bad:
        path.write_text("no video")
    mixed = [Item(path.stem, 0, path) for path in bad] + clips
    with pytest.raises(Gesture3dError) as caught:
        make(mixed, tmp_path / "cache", num_workers=num_workers)
    message = str(caught.value)
    assert f"3 of {NUM_CLIPS + 3} clips cannot be decoded" in message
    assert "\n" not in message
    assert all(str(path) in message for path in bad)
    assert leftovers(tmp_path / "cache") == []


def test_many_bad_clips_are_listed_in_a_file(tmp_path):
    clips = [Item(str(i), 0, tmp_path / f"{i}.mp4") for i in range(15)]
    with pytest.raises(Gesture3dError, match=r"15 of 15 clips .* all of them in .*bad\.txt"):
        make(clips, tmp_path / "cache")
    (listed,) = (tmp_path / "cache").glob("*.bad.txt")
    assert len(listed.read_text().splitlines()) == 15


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != ".lock"]


def test_too_little_space_is_said_before(clips, tmp_path, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(Gesture3dError, match=r"need about .* GB .*data.cache_size"):
        make(clips, tmp_path)
    assert leftovers(tmp_path) == []


SCRIPT = """
import resource, sys
from pathlib import Path
from gesture3d.data.video.prepared.cache import open_cache
from gesture3d.data.index import Item
from gesture3d.errors import Gesture3dError
folder, limit, workers, copies = Path(sys.argv[1]), *map(int, sys.argv[3:])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
paths = sorted(folder.glob("*.mp4"))
clips = [Item(f"{n}-{p.stem}", 0, p) for n in range(copies) for p in paths]
print("start", flush=True)
try:
    open_cache(clips, Path(sys.argv[2]), 24, num_workers=workers, progress=False)
except Gesture3dError as error:
    print(error)
"""


def script(clips, cache: Path, limit: int, workers: int, copies: int = 1) -> list[str]:
    folder = clips[0].path.parent
    arguments = map(str, (folder, cache, limit, workers, copies))
    return [sys.executable, "-c", SCRIPT, *arguments]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_cannot_grow_is_one_line(clips, tmp_path, workers):
    command = script(clips, tmp_path, 100_000, workers)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "cannot write decoded frames to" in done.stdout
    assert done.stderr == ""
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_build_is_never_taken_for_a_cache(clips, tmp_path, workers):
    command = script(clips, tmp_path, 0, workers, copies=100)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    while not any(path.stat().st_size for path in tmp_path.glob(".frames*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob("*.json")) == []
    for _ in range(100):  # the helper processes end by themselves
        if not helpers_of(tmp_path):
            break
        time.sleep(0.05)
    assert helpers_of(tmp_path) == []


def helpers_of(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if str(folder) in line and "work(" in line:
            found.append(line)
    return found


def test_half_written_files_are_cleaned_up(clips, tmp_path):
    cache = make(clips[:2], tmp_path)
    cache.path.with_suffix(".json").unlink()
    writing = atomic_path(cache.path)
    writing.__enter__().write_bytes(b"half")  # and its process is killed
    assert len(leftovers(tmp_path)) == 2
    make(clips[:2], tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.name != ".lock") == [
        ".bin",
        ".json",
    ]


def test_a_clip_that_kills_its_process_is_named(clips, tmp_path):
    worker = _Worker(tmp_path / "frames", (24, "rgb", ANY_FRAMES))
    worker._command = [sys.executable, "-c", "import os; print('{}', flush=True); os.abort()"]
    result = worker.decode(clips[0].path, _Reserve())
    assert isinstance(result, VideoError)
    assert str(result).startswith(f"{clips[0].path}: the process that decoded it died")
    worker.close()


# --- parts, changes, other pixels ---------------------------------------------------------------


def test_a_cache_serves_a_part_of_its_clips(clips, tmp_path, capsys):
    whole = make(clips[:6], tmp_path)
    part = make(clips[2:4], tmp_path, progress=True)
    assert "using 2 decoded clips" in capsys.readouterr().out
    assert part.path == whole.path
    assert list(part) == ["2", "3"]
    assert np.array_equal(part["3"], whole["3"])


def test_old_caches_are_removed_and_others_kept(clips, tmp_path, capsys):
    def bins() -> set[Path]:
        return set(tmp_path.glob("*.bin"))

    small = make(clips[:2], tmp_path).path
    other = make(clips[10:12], tmp_path).path
    grey = make(clips[:2], tmp_path, pixels="grey").path
    moved = [Item(clip.key, 0, clips[20].path) for clip in clips[:2]]  # the same keys
    depth = make(moved, tmp_path, modality="depth").path
    assert bins() == {small, other, grey, depth}
    whole = make(clips[:4], tmp_path).path  # has all that the small one has
    assert bins() == {other, grey, depth, whole}
    assert not small.with_suffix(".json").exists()


def test_one_channel_takes_a_third_of_the_space(clips, tmp_path):
    rgb, grey = make(clips[:2], tmp_path), make(clips[:2], tmp_path, pixels="grey")
    assert grey["1"].shape == (*rgb["1"].shape[:3], 1)
    assert 3 * grey.path.stat().st_size == rgb.path.stat().st_size


def test_a_promised_number_of_frames_is_checked(clips, tmp_path):
    wrong = Item("wrong", 0, clips[0].path, num_frames=6)
    with pytest.raises(Gesture3dError, match="has 5 frames, its list says 6"):
        make([wrong], tmp_path)
    cache = make([wrong, clips[1]], tmp_path, skip_broken=True)
    assert list(cache) == ["1"]
    assert "its list says 6" in cache.broken["wrong"]


def test_a_number_of_frames_that_is_promised_later_is_checked_too(clips, tmp_path):
    make(clips[:2], tmp_path)
    right, wrong = (replace(clips[0], num_frames=count) for count in (5, 6))
    written = make([right, clips[1]], tmp_path).path.stat().st_mtime_ns
    with pytest.raises(Gesture3dError, match="has 5 frames, its list says 6"):
        make([wrong, clips[1]], tmp_path)
    assert make([right, clips[1]], tmp_path).path.stat().st_mtime_ns == written


def test_another_way_from_depth_to_grey_makes_an_old_cache_outdated(tmp_path, monkeypatch):
    clip = Item("a", 0, tmp_path / "a")
    clip.path.mkdir()
    frame = np.arange(1000, 1000 + 48 * 32, dtype=np.uint16).reshape(32, 48)
    cv2.imwrite(str(clip.path / "1.png"), frame)

    def levels() -> np.ndarray:
        options = {"pixels": "grey", "modality": "depth", "rules": ("depth", "refuse", "")}
        return np.array(make([clip], tmp_path / "cache", **options)["a"])

    before = levels()
    depth.mapping_version.cache_clear()
    monkeypatch.setattr(depth, "MM_PER_LEVEL", 10)
    assert not np.array_equal(levels(), before)
    monkeypatch.undo()
    depth.mapping_version.cache_clear()
    assert np.array_equal(levels(), before)


def test_a_cache_that_is_cut_off_while_in_use_is_named(tmp_path):
    frames = tmp_path / "frames.bin"
    frames.write_bytes(bytes(1 << 16))
    cache = FrameCache(frames, {"a": [0, 1, 128, 128, 3]})
    assert cache["a"].shape == (1, 128, 128, 3)
    with frames.open("rb+") as file:
        file.truncate(100)
    with pytest.raises(Gesture3dError, match="cut off while in use"):
        cache["a"]
