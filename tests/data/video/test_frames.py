"""Folders of frames as cameras and tools write them: numbering, kinds of frames, depth, JPEGs."""

import os
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from gesture3d.data import build_datasets, read_index
from gesture3d.data.video.clips import load_clip
from gesture3d.data.video.depth import depth_to_grey, median_depth
from gesture3d.data.video.frames import in_order
from gesture3d.data.video.prepared.doctor import check_data, inspect
from gesture3d.data.video.prepared.flow import prepare_flow
from gesture3d.data.video.prepared.manifest import bad_list_path
from gesture3d.data.video.prepared.places import flow_folder
from gesture3d.data.video.reading import VideoError, frame_count, read_frames
from gesture3d.data.video.sets.folder import FolderData


def png(path: Path, pixels: np.ndarray) -> Path:
    """Write uint8 or uint16, grey (H, W) or RGB (H, W, 3), by PNG's own rules."""
    colour = 2 if pixels.ndim == 3 else 0
    height, width = pixels.shape[:2]
    rows = pixels.astype(f">u{pixels.itemsize}").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, colour, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )
    return path


def levels(folder: Path, names: list[str]) -> list[int]:
    """The order in which frames are read that are written in this order, as level 10, 20, ..."""
    for number, name in enumerate(names, 1):
        png(folder / name, np.full((16, 16), 10 * number, np.uint8))
    return read_frames(folder)[:, 0, 0, 0].tolist()


def refused(folder: Path, *parts: str, **options) -> None:
    with pytest.raises(VideoError) as caught:
        read_frames(folder, **options)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


# --- order and numbers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["8.png", "9.png", "10.png"],
        ["frame_0.png", "frame_5.png", "frame_10.png", "frame_15.png"],  # every fifth was kept
        ["00000_of_00020.png", "00001_of_00020.png", "00002_of_00020.png"],
        ["9_rgb.png", "10_rgb.png"],
        ["1714552951033.png", "1714552951066.png", "1714552951101.png"],  # milliseconds
        ["1305031102.175304.png", "1305031102.2.png", "1305031102.211214.png"],  # seconds
        ["2024-05-01_12-30-58.9.png", "2024-05-01_12-30-59.9.png", "2024-05-01_12-31-00.9.png"],
        ["20240501_123059_920.png", "20240501_123059_967.png", "20240501_123100_001.png"],
        ["s1_0001.png", "s1_0002.png", "s2_0003.png"],
        ["0001_at_0.033.png", "0002_at_0.071.png", "0003_at_0.1.png"],
        ["take 2 (1).png", "take 2 (2).PNG", "take 2 (3).png"],
        ["a.png", "b.png", "c.png"],
    ],
)
def test_frames_are_read_in_the_order_of_their_numbers(tmp_path, names) -> None:
    assert levels(tmp_path, names) == [10 * (k + 1) for k in range(len(names))]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["0_rgb.png", "0_depth.png", "1_rgb.png", "1_depth.png"], "two kinds"),
        (["00001.png", "00002.png", "cover.png"], "two kinds, 00001.png and cover.png"),
        (["rgb_1.png", "ir_1.png"], "two kinds"),
        (["1.png", "01.png", "2.png"], "have the same number"),
        (["1.png", "1.bmp"], "have the same number"),
        (["cam1_1.png", "cam1_2.png", "cam2_1.png", "cam2_2.png"], "a folder a clip"),
        (["1.png", "2.png", "4.png"], "frame 3 is missing before 4.png"),
        (
            [f"20240501_12{t}_00{k}.png" for t in (3045, 4512) for k in (1, 2, 3)],
            "a frame is missing before 20240501_124512_001.png",
        ),
        (["0.png", "5.png", "15.png", "20.png", "25.png"], "frame 10 is missing before 15.png"),
        (["100000001.png", "100000002.png", "100000004.png"], "frame 100000003 is missing"),
    ],
)
def test_what_is_no_single_whole_clip_is_refused(tmp_path, names, reason) -> None:
    for name in names:
        png(tmp_path / name, np.zeros((16, 16), np.uint8))
    refused(tmp_path, reason)


def test_gaps_are_taken_where_the_setting_says_so(tmp_path) -> None:
    names = ["1.png", "2.png", "4.png", "cam.png"]
    assert in_order(["4.png", "2.png", "1.png"], gaps_allowed=True) == names[:3]
    with pytest.raises(ValueError, match="two kinds"):
        in_order(names, gaps_allowed=True)
    for kind in ("a", "b"):
        for clip in range(2):
            for name in names[:3]:
                png(tmp_path / kind / str(clip) / name, np.full((16, 16), 7, np.uint8))
    settings = {"name": "folder", "root": tmp_path, "num_frames": 2, "size": 16}
    config = FolderData(**settings, frame_gaps="allow")
    with pytest.raises(VideoError, match=r"frame 3 is missing.*data\.frame_gaps=allow"):
        load_clip(tmp_path / "a" / "0", FolderData(**settings))
    assert load_clip(tmp_path / "a" / "0", config).shape == (2, 3, 16, 16)
    assert inspect(tmp_path / "a" / "0", rules=config.frame_rules)["status"] == "ok"
    assert inspect(tmp_path / "a" / "0")["status"] == "bad"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cache_follows_the_setting(tmp_path, workers) -> None:
    from gesture3d.data.index import Item
    from gesture3d.data.video.prepared.cache import open_cache
    from gesture3d.errors import Gesture3dError

    clips = []
    for clip in range(16):  # enough for two processes
        for name in ("1.png", "2.png", "4.png"):
            png(tmp_path / "clips" / str(clip) / name, np.full((16, 16), 7, np.uint8))
        clips.append(Item(str(clip), 0, tmp_path / "clips" / str(clip)))
    with pytest.raises(Gesture3dError, match="frame 3 is missing"):
        open_cache(clips, tmp_path, 16, workers, progress=False)
    cache = open_cache(clips, tmp_path, 16, workers, progress=False, rules=("rgb", "allow", ""))
    assert cache["15"].shape == (3, 16, 16, 3)
    options = {"num_workers": workers, "progress": False, "skip_broken": True}
    assert len(open_cache(clips, tmp_path, 16, **options)) == 0
    assert len(open_cache(clips, tmp_path, 16, **options, rules=("rgb", "allow", ""))) == 16


def test_names_of_bytes_that_are_no_text(tmp_path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/clip\xff\xfe"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has only names of text")
    names = [os.fsdecode(b"\xe9t\xe9_%d.png" % number) for number in (9, 10, 11)]
    assert levels(folder, names) == [10, 20, 30]


def test_names_of_255_bytes(tmp_path) -> None:
    assert levels(tmp_path / ("c" * 255), [f"{'x' * 245}{k:06d}.png" for k in range(3)]) == [
        *(10, 20, 30)
    ]


ODD_NAMES = ["a\tb", "a\nb", "a\rb", "a\u2028b", '"a"', "#a", "a, b; c", " a ", "\x1b[2J", "a\\b"]


def test_clips_of_any_name_are_checked_left_out_cached_and_turned_into_flow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [*ODD_NAMES, "x" * 255]
    if sys.platform == "linux":  # where names are any bytes
        names.append(os.fsdecode(b"a\xff"))
    for kind in ("b\tc", "d"):
        for name in names:
            for number in range(2):
                png(
                    tmp_path / "clips" / kind / name / f"{number}.png", np.zeros((16, 16), np.uint8)
                )
    for name in names[::2]:
        (tmp_path / "clips" / "d" / name / "1.png").write_bytes(b"broken")
    config = FolderData(name="folder", root=Path("clips"), num_frames=2, size=16, cache_size=16)
    manifest, diagnosis = check_data(config, 1, progress=False)
    assert sorted(record.key for record in diagnosis.bad) == sorted(f"d/{n}" for n in names[::2])
    config = config.model_copy(update={"exclude_list": bad_list_path(manifest)})
    sets = build_datasets(config, seed=0, progress=False)
    keys = {*sets.train.keys, *sets.validation.keys}
    assert keys == {f"b\tc/{n}" for n in names} | {f"d/{n}" for n in names[1::2]}
    assert prepare_flow(read_index(config), flow_folder(config), progress=False) == {}


# --- 16 bits ------------------------------------------------------------------------------------


def depth_frames(folder: Path, count: int = 5) -> np.ndarray:
    """A depth clip (T, H, W) in mm of a near hand before a wall, with holes; and its files."""
    rng = np.random.default_rng(0)
    depth = rng.integers(1900, 2100, (count, 24, 30)).astype(np.uint16)
    for t in range(count):
        depth[t, 5:15, 3 + 2 * t : 12 + 2 * t] = 1500 + 3 * t
    depth[:, :2] = 0
    for t, frame in enumerate(depth):
        png(folder / f"{t:03d}.png", frame)
    return depth


def test_depth_of_16_bits_is_refused_as_colour(tmp_path) -> None:
    depth_frames(tmp_path)
    refused(tmp_path, "000.png has 16 bits", "data.modality=depth", rules=("rgb", "refuse", ""))
    png(tmp_path / "colour" / "1.png", np.full((16, 16, 3), (1000, 2, 3), np.uint16))
    refused(tmp_path / "colour", "1.png has colours of 16 bits")


def test_depth_becomes_grey_as_in_utd_mhad(tmp_path) -> None:
    depth = depth_frames(tmp_path)
    assert median_depth(depth) == np.median(depth[depth > 0])
    assert median_depth(depth[:1, :3, :7]) == np.median(depth[0, 2, :7])  # odd
    assert median_depth(np.zeros((2, 3, 3), np.uint16)) == 0
    expected = depth_to_grey(depth)
    assert len(np.unique(expected)) > 40
    assert (expected[depth == 0] == 0).all()
    grey = read_frames(tmp_path, pixels="grey", rules=("depth", "refuse", ""))[..., 0]
    assert np.array_equal(grey, expected)
    # Some frames alone have the levels that they have in the whole clip.
    assert np.array_equal(read_frames(tmp_path, [3, 1])[..., 0], expected[[3, 1]])


def test_frames_of_different_bits_in_one_folder(tmp_path) -> None:
    depth_frames(tmp_path)
    png(tmp_path / "003.png", np.zeros((24, 30), np.uint8))
    refused(tmp_path, "003.png is uint8, others uint16")


@pytest.mark.parametrize("cache_size", [None, 16])
def test_a_folder_set_of_depth(tmp_path, monkeypatch, cache_size) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("a", "b"):
        for clip in range(2):
            depth_frames(tmp_path / "clips" / kind / str(clip))
    settings = {"name": "folder", "root": Path("clips"), "num_frames": 4, "size": 16}
    config = FolderData(**settings, modality="depth", cache_size=cache_size)
    sample = build_datasets(config, seed=0, progress=False).train[0]
    assert sample.inputs.shape == (4, 1, 16, 16)
    assert len(np.unique(sample.inputs.numpy())) > 20


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4)])
def test_8_bits_are_decoded_as_ever(tmp_path, shape) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    cv2.imwrite(str(tmp_path / "1.png"), pixels)
    cv2.imwrite(str(tmp_path / "2.jpg"), pixels[..., :3] if len(shape) > 2 else pixels)
    for number, name in enumerate(("1.png", "2.jpg")):
        expected = cv2.imread(str(tmp_path / name), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.array_equal(read_frames(tmp_path)[number], expected)


# --- JPEG and WebP ------------------------------------------------------------------------------


def test_a_jpeg_with_bytes_behind_its_end(tmp_path) -> None:
    """As phones write them: a second picture, or a whole video, behind the first."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    picture = cv2.GaussianBlur(noise, (5, 5), 2)
    for progressive in (0, 1):
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1]
        data = data.tobytes()
        # A small picture in the header, as in Exif: its end is not the end.
        thumbnail = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
        data = data[:2] + thumbnail + data[2:]
        (tmp_path / "1.jpg").write_bytes(data)
        whole = read_frames(tmp_path)
        (tmp_path / "1.jpg").write_bytes(data + bytes(5000) + b"\xff\xd8\xff")
        assert np.array_equal(read_frames(tmp_path), whole)
        for cut in (len(thumbnail) + 90, len(data) * 3 // 4, len(data) - 2):
            (tmp_path / "1.jpg").write_bytes(data[:cut])
            refused(tmp_path, "cut off")


def test_an_animated_webp_is_a_clip(tmp_path) -> None:
    if not hasattr(cv2, "Animation"):
        pytest.skip("this OpenCV writes no animations")
    animation = cv2.Animation()
    animation.frames = [np.full((32, 32, 3), 60 * k, np.uint8) for k in range(4)]
    animation.durations = np.full(4, 100, np.int32)
    path = tmp_path / "a.webp"
    cv2.imwriteanimation(str(path), animation)
    assert frame_count(path) == 4
    assert read_frames(path, [0, 2])[:, 0, 0, 0].tolist() == pytest.approx([0, 120], abs=3)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(VideoError, match="cut off"):
        read_frames(path)


def test_a_picture_of_too_many_pixels_is_named(tmp_path) -> None:
    header = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, 1 << 20, 1 << 20, 1, 24, 0, 0, 0, 0, 0, 0)
    (tmp_path / "1.bmp").write_bytes(header + bytes(100))
    refused(tmp_path, "1.bmp: is no image that can be decoded")
