"""Damage that leaves fewer frames to decode, in headers and tables: it is refused, never silent."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gesture3d.data.video.reading import VideoError, read_frames

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")

FRAMES = 30
H264 = "-c:v libx264 -g 10 -bf 2 -pix_fmt yuv420p"
FRAGMENTED = f"{H264} -movflags frag_keyframe+empty_moov"


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *arguments], check=True)


def make(path: Path, options: str, source: str = "testsrc2=s=64x48:r=25:d=1.2") -> bytes:
    """The content of a whole file of 30 frames."""
    ffmpeg("-f", "lavfi", "-i", source, *options.split(), path)
    assert len(read_frames(path)) == FRAMES
    return path.read_bytes()


def refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(VideoError, match=message):
        read_frames(path)


def count(path: Path) -> int:
    """How many frames ffprobe decodes."""
    probe = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames"]
    found = subprocess.run([*probe, "-of", "csv=p=0", path], capture_output=True, check=True)
    return int(found.stdout.split()[0].strip(b","))


def put(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def behind(content: bytes, name: bytes, count: int = 1) -> int:
    """Where the content of the so many-th box of a name begins."""
    at = 0
    for _ in range(count):
        at = content.index(name, at) + len(name)
    return at


# --- mp4 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "offset", "value"),
    [
        ("elst", 8, 600),  # the edit's duration, of 1200 ms
        ("elst", 12, 1024 + 112),  # its start: behind the first frame, by a part of one
        ("stts", 12, 700),  # from frame to frame, instead of 512
        ("ctts", 12, 1 << 30),  # from when the first frame is decoded to when it is shown
    ],
)
def test_an_edit_list_that_contradicts_the_index_hides_no_frames(tmp_path, box, offset, value):
    path = tmp_path / "a.mp4"
    content = make(path, H264)
    at = behind(content, box.encode()) + offset
    refused(path, put(content, at, value.to_bytes(4)), "edit list contradicts")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: put(c, behind(c, b"trun", 2) - 4, b"trUn"), "in no table of its fragments"),
        (lambda c: put(c, behind(c, b"traf", 3) - 4, b"t\xf2af"), "in no table of its fragments"),
        (lambda c: put(c, behind(c, b"tfdt", 3) - 7, b"\x6c"), "'traf' do not fill it"),
        (lambda c: put(c, behind(c, b"trun", 3) + 7, b"\x09"), "not as long as it says"),
        (lambda c: put(c, behind(c, b"moof", 2) - 8, bytes.fromhex("7fffffff6d303066")), "breaks"),
    ],
)
def test_a_damaged_fragment_is_not_passed_over(tmp_path, damage: Callable[[bytes], bytes], message):
    path = tmp_path / "a.mp4"
    refused(path, damage(make(path, FRAGMENTED)), message)


@pytest.mark.parametrize("flags", ["dash+global_sidx", "dash"])
def test_a_fragment_that_a_table_announces_is_missed(tmp_path, flags):
    """The file ends where a box does."""
    path = tmp_path / "a.mp4"
    content = make(path, f"{H264} -movflags {flags}")
    for number in (1, 2, 3):
        refused(path, content[: behind(content, b"moof", number) - 8], "cut off")


@pytest.mark.parametrize(
    ("name", "options", "cut"),
    [
        ("b.mp4", f"{H264} -g 12 -bf 3", "-ss 0.5"),
        ("b.mov", f"{H264} -g 12 -bf 3", "-ss 0.3 -t 0.6"),
        ("slow.mp4", f"{H264} -vf setpts='if(lt(N,5),N*4,N+15)/25/TB' -fps_mode vfr", "-ss 0.5"),
        ("open.mp4", f"{H264} -x264-params open-gop=1", "-ss 0.5"),
        ("hevc.mp4", "-c:v libx265 -x265-params log-level=none:keyint=12", "-ss 0.5"),
        ("h263.3gp", "-c:v h263 -s 128x96", "-ss 0.5"),
    ],
)
def test_edits_of_parts_that_were_copied_are_believed(tmp_path, name, options, cut):
    whole, part = tmp_path / f"whole_{name}", tmp_path / name
    make(whole, options)
    ffmpeg(*cut.split(), "-i", whole, "-c", "copy", part)
    assert len(read_frames(part)) == count(part)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("b.mkv", "-c:v libx265 -x265-params log-level=none:keyint=12"),
        ("b.ts", "-c:v libx265 -x265-params log-level=none:keyint=12"),
        ("b.flv", f"{H264} -x264-params open-gop=1"),
        ("b.mp4", f"{H264} -x264-params open-gop=1"),
    ],
)
def test_pictures_that_refer_to_what_was_cut_off_are_not_missed(tmp_path, name, options):
    """They are shown before the key frame with which the copied part begins."""
    whole, part = tmp_path / "whole.mp4", tmp_path / name
    make(whole, options)
    fragments = ["-movflags", "frag_keyframe+empty_moov"] if name == "b.mp4" else []
    ffmpeg("-ss", "0.5", "-i", whole, "-c", "copy", *fragments, part)
    assert len(read_frames(part)) == count(part)


# --- other containers ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mpg", "a.ts"])
@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
@pytest.mark.parametrize("picture", [1, 5, 20])
def test_a_picture_without_its_header_is_missed(tmp_path, name, codec, picture):
    path, at = tmp_path / name, 0
    content = make(path, f"-c:v {codec} -q:v 3")
    for _ in range(picture):
        at = content.index(b"\0\0\1\0", at + 1)
    refused(path, put(content, at + 3, b"\xb2"), "header of a picture is missing")


def test_pictures_lost_with_a_packet_are_missed(tmp_path):
    path = tmp_path / "a.mpg"
    content = make(path, "-c:v mpeg1video -q:v 3")
    second = content.index(b"\0\0\1\xe0", content.index(b"\0\0\1\xe0") + 1)
    refused(path, put(content, second + 3, b"\xf5"), "pictures of it are missing")


def test_pictures_in_front_of_the_first_header_of_a_sequence_are_missed(tmp_path):
    """The first packet's own header is said to be longer, and takes the sequence's with it."""
    path = tmp_path / "a.mpg"
    sound = "-f lavfi -i sine=d=1.2 -c:a mp2 -f vob"
    content = make(path, f"{sound} -c:v mpeg2video")
    at = content.index(b"\0\0\1\xe0") + 8
    refused(path, put(content, at, bytes([61])), "promises 29 frames, but only 18 decode")


@pytest.mark.parametrize(
    ("codec", "offset", "value"),
    [
        ("flv", 0, 236),  # a kind of tag that does not exist
        ("flv", 11, 0x52),  # a command to the player, as long as a frame
        ("flv", 11, 0x20),  # another codec
        ("libx264", 12, 0),  # a header of H.264 that holds a frame
    ],
)
def test_no_tag_of_flv_is_passed_over(tmp_path, codec, offset, value):
    path = tmp_path / "a.flv"
    content = make(path, f"-c:v {codec} -pix_fmt yuv420p")
    at = 13
    for _ in range(10):
        at += int.from_bytes(content[at + 1 : at + 4]) + 15
    refused(path, put(content, at + offset, bytes([value])), f"breaks off at byte {at}")


def test_packets_of_wmv_have_one_size(tmp_path):
    path = tmp_path / "a.wmv"
    content = make(path, "-f lavfi -i sine=d=1.2 -c:v wmv2 -q:v 3 -c:a wmav2")
    at = content.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    for offset in (93, 97):  # the smallest, the largest
        refused(path, put(content, at + offset, b"\x04"), "no size of its packets")


def test_a_frame_of_vp8_is_not_hidden_by_its_header(tmp_path):
    path = tmp_path / "a.webm"
    content = make(path, "-c:v libvpx -b:v 200k -g 30")
    at = content.index(b"\x81\x00\xc8\x00") + 4  # the block at 200 ms: track, time, flags
    assert content[at] & 0x11 == 0x11  # between key frames, shown
    refused(path, put(content, at, bytes([content[at] & ~0x10])), "a frame is missing")


def test_frames_of_vp8_that_are_made_to_be_hidden_are_whole(tmp_path):
    source = "testsrc2=s=96x64:r=25:d=2,noise=alls=20:allf=t"
    options = "-c:v libvpx -b:v 60k -auto-alt-ref 1 -lag-in-frames 25 -arnr-maxframes 7"
    for step in ("1", "2"):
        passes = ["-arnr-strength", "5", "-pass", step, "-passlogfile", tmp_path / "log"]
        command = ["-y", "-f", "lavfi", "-i", source, *options.split(), "-pix_fmt", "yuv420p"]
        ffmpeg(*command, *passes, tmp_path / "a.webm")
    assert len(read_frames(tmp_path / "a.webm")) == 50
