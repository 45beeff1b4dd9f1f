"""Video files as people make them, against what ffmpeg's command line makes of them."""

import base64
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gesture3d.data.video import backends
from gesture3d.data.video.containers import examine
from gesture3d.data.video.reading import (
    VideoError,
    frame_count,
    open_video,
    read_frames,
    timed_frames,
)
from gesture3d.data.walk import is_clip

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")

H264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"
INTERLACED = "-flags +ilme+ildct"
CAPTURE = backends.cv2.VideoCapture


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


@pytest.mark.parametrize("name", ["narrow.mp4", "narrow.avi"])
def test_frames_48_pixels_wide_are_whole_under_decord(tmp_path, name):
    """Whose rows decord pads, and which it calls four channels."""
    path = make(tmp_path / name, "-c:v mpeg4", "testsrc2=s=48x64:r=25:d=1")
    frames = read_frames(path, backend="decord")
    assert np.abs(frames.astype(int) - expected(path)).mean() < 3


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
    agrees(tmp_path / "mixed.avi")


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


# --- 16 bits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "bits"),
    [
        ("g.mkv", "-pix_fmt gray16le -c:v ffv1", 16),
        ("g.mov", "-pix_fmt gray16be -c:v png", 16),
        ("g.apng", "-pix_fmt gray16be", 16),
        ("g.mp4", "-pix_fmt gray12le -c:v libx265 -x265-params log-level=none", 12),
    ],
)
def test_depth_in_videos_is_refused_with_the_commands(tmp_path, name, options, bits):
    """Of which OpenCV gives the upper 8 bits."""
    path = make(tmp_path / name, options)
    with pytest.raises(VideoError, match=rf"grey of {bits} bits.*%05d.png.*data\.modality=depth"):
        read_frames(path)
    command = ["ffmpeg", "-loglevel", "error", "-i", path]
    subprocess.run([*command, "-pix_fmt", "yuv420p", tmp_path / "8.mp4"], check=True)
    assert frame_count(tmp_path / "8.mp4") == 25
    (tmp_path / "frames").mkdir()
    subprocess.run([*command, tmp_path / "frames" / "%05d.png"], check=True)
    assert len(read_frames(tmp_path / "frames", rules=("depth", "refuse", ""))) == 25


@pytest.mark.parametrize("pixels", ["gray -c:v ffv1", "yuv420p10le -c:v libx264"])
def test_grey_of_8_and_colours_of_10_bits_are_videos(tmp_path, pixels):
    assert frame_count(make(tmp_path / "a.mkv", f"-pix_fmt {pixels}")) == 25


# --- how many frames there are ------------------------------------------------------------------

SOUND = "-f lavfi -i sine=d=3"
FEW_KEYS = f"{H264} -g 10"
SLOW_THEN_FAST = f"-vf setpts='if(lt(N,5),N*4,N+15)/25/TB' -fps_mode vfr {FEW_KEYS}"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("frag_keyframe.mp4", f"{FEW_KEYS} -movflags frag_keyframe"),
        ("empty_moov.mp4", f"{FEW_KEYS} -movflags frag_keyframe+empty_moov"),
        ("dash.mp4", f"{FEW_KEYS} -movflags dash"),
        ("long_sound.mp4", f"{SOUND} {FEW_KEYS} -c:a aac -movflags frag_keyframe"),
        ("every_frame.mp4", f"{SOUND} {FEW_KEYS} -c:a aac -movflags frag_every_frame"),
        ("slow_then_fast.mp4", SLOW_THEN_FAST),
        ("slow_then_fast_dash.mp4", f"{SLOW_THEN_FAST} -movflags dash"),
        ("sound.avi", f"{SOUND} -c:v libxvid -c:a libmp3lame"),
        ("slots.avi", "-f lavfi -i sine=d=0.2 -c:v mjpeg -c:a pcm_s16le"),
        ("packed.avi", "-c:v libxvid -bf 2"),
        ("hidden.webm", "-c:v libvpx -auto-alt-ref 1 -lag-in-frames 20"),
        ("live.webm", "-c:v libvpx -f webm -live 1"),
        ("sound.wmv", f"{SOUND} -c:v wmv1 -c:a wmav2"),
        ("b.mpg", "-c:v mpeg2video -bf 2"),
        ("mpeg2.ts", "-c:v mpeg2video"),
        ("mpeg4.ts", "-c:v mpeg4 -bf 2"),
        ("h264.m2ts", H264),
        ("h264.flv", H264),
        ("theora.ogv", f"{SOUND} -c:v libtheora -c:a libvorbis"),
        ("h263.3gp", "-s 176x144 -c:v h263"),
        ("plain.gif", ""),
        ("plain.y4m", "-pix_fmt yuv420p"),
        ("plain.mjpeg", "-c:v mjpeg -f mjpeg"),
        ("quicktime.qt", f"{H264} -f mov"),
    ],
)  # fmt: skip
def test_every_frame_of_whole_files_is_read(tmp_path, name, options):
    agrees(make(tmp_path / name, options))


@pytest.mark.parametrize("name", ["slow_then_fast.mp4", "slow_then_fast.mkv", "steady.avi"])
def test_frames_have_the_times_of_the_file_whose_rate_may_vary(tmp_path, name):
    is_steady = name.startswith("steady")
    path = make(tmp_path / name, "-c:v mjpeg" if is_steady else SLOW_THEN_FAST)
    right = [n / 25 if is_steady else (4 * n if n < 5 else n + 15) / 25 for n in range(25)]
    opened = open_video(path)
    for reader in (opened, backends.DecordVideo(path, opened)):
        found = [seconds for _, seconds in timed_frames(reader, 25.0)]
        assert found == pytest.approx(right, abs=1e-3)


@pytest.mark.parametrize("said", [[0.0] * 4, [5.0, 4.0, 3.0, 2.0], [None] * 4])
def test_times_of_a_file_that_do_not_ascend_are_those_of_its_rate(said):
    class Reader:
        num_frames, seconds_of = 4, staticmethod(said.__getitem__)

        def frames(self, indices):
            return iter(np.zeros((4, 2, 2, 3), np.uint8))

    found = [seconds for _, seconds in timed_frames(Reader(), 10.0)]
    assert found == pytest.approx([0.0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.avi"])
def test_a_part_that_was_copied_is_whole(tmp_path, name):
    codec = "-c:v libxvid" if name == "cut.avi" else f"{FEW_KEYS} -bf 2"
    whole = make(tmp_path / f"whole{name[3:]}", f"{SOUND} {codec} -c:a libmp3lame")
    command = ["ffmpeg", "-loglevel", "error", "-ss", "0.4", "-i", whole, "-c", "copy"]
    subprocess.run([*command, tmp_path / name], check=True)
    agrees(tmp_path / name)


def test_an_avi_that_was_written_into_a_pipe_is_whole(tmp_path):
    whole = make(tmp_path / "a.avi", f"{SOUND} -c:v mpeg4 -c:a libmp3lame")
    copy = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", whole, "-c", "copy", "-f", "avi", "-"]
    data = subprocess.run(copy, capture_output=True, check=True).stdout
    (tmp_path / "b.avi").write_bytes(data)
    agrees(tmp_path / "b.avi")
    for end in (len(data) // 3, len(data) * 2 // 3, len(data) - 3):
        (tmp_path / "cut.avi").write_bytes(data[:end])
        with pytest.raises(VideoError, match="cut off: its structure breaks off"):
            read_frames(tmp_path / "cut.avi")


@pytest.mark.parametrize("options", [f"{SOUND} {H264} -c:a mp2", "-c:v mpeg2video"])
def test_transport_streams_put_together_are_whole(tmp_path, options):
    """As by ``cat a.ts b.ts``: packets are numbered anew from where the second file begins."""
    first = make(tmp_path / "a.ts", options).read_bytes()
    second = make(tmp_path / "b.ts", options, "testsrc2=s=96x64:r=25:d=0.6").read_bytes()
    (tmp_path / "both.ts").write_bytes(first + second)
    agrees(tmp_path / "both.ts")
    assert frame_count(tmp_path / "both.ts") == 40
    for damaged in (
        first + second[:3760] + second[188 * 23 :],
        first[:3760] + first[188 * 23 :] + second,
        first + second[188 * 3 :],  # it does not begin anew
    ):
        (tmp_path / "damaged.ts").write_bytes(damaged)
        with pytest.raises(VideoError, match="packets of it are missing"):
            read_frames(tmp_path / "damaged.ts")
    other = make(tmp_path / "c.ts", "-streamid 0:300 -c:v mpeg2video").read_bytes()
    (tmp_path / "both.ts").write_bytes(first + other)
    with pytest.raises(VideoError, match="parts with different streams"):
        read_frames(tmp_path / "both.ts")


@pytest.mark.parametrize("kind", ["mp4", "webm", "avi", "gif", "ts", "flv", "wmv", "ogv"])
def test_a_file_that_was_cut_off_never_passes(tmp_path, kind):
    codecs = {"webm": "libvpx", "avi": "libxvid", "wmv": "wmv2", "ogv": "libtheora"}
    codec = f"-c:v {codecs[kind]}" if kind in codecs else H264 if kind != "gif" else ""
    path = make(tmp_path / f"whole.{kind}", codec)
    cut, whole = tmp_path / f"cut.{kind}", path.read_bytes()
    for share in (0.4, 0.8):
        cut.write_bytes(whole[: int(len(whole) * share) // 188 * 188 + 7])
        with pytest.raises(VideoError):
            read_frames(cut)


@pytest.mark.parametrize("kind", ["mp4", "webm", "avi", "ivf"])
def test_a_codec_without_a_decoder_is_named_with_the_command(tmp_path, monkeypatch, kind):
    path = make(tmp_path / f"av1.{kind}", "-frames 3 -c:v libaom-av1 -cpu-used 8")
    monkeypatch.setattr("gesture3d.data.video.reading.other_decoder", lambda *_: None)
    monkeypatch.setattr(backends.cv2, "VideoCapture", Undecodable)
    with pytest.raises(VideoError, match=r"AV1: convert it: ffmpeg -i IN -c:v libx264"):
        read_frames(path)


@pytest.mark.skipif(backends.import_decord() is None, reason="needs a second decoder")
def test_another_decoder_reads_what_opencv_cannot(tmp_path, monkeypatch):
    """H.264 stands for AV1, which not every build of the others decodes either."""
    path = make(tmp_path / "a.mp4", H264)
    right = expected(path)
    monkeypatch.setattr(backends.cv2, "VideoCapture", Undecodable)
    with pytest.raises(VideoError, match="none of its frames can be decoded here"):
        read_frames(path)
    monkeypatch.setattr(backends.OpenCVVideo, "decodes_nothing", lambda video: True)
    assert np.abs(read_frames(path).astype(int) - right).mean() < 3


def test_a_codec_without_a_name_is_not_called_a_cut_off_file(tmp_path):
    """HEVC in AVI has no four letters there, so that FFmpeg itself decodes nothing."""
    path = make(tmp_path / "hevc.avi", "-c:v libx265 -x265-params log-level=none")
    with pytest.raises(VideoError, match=r"no decoder of its codec: convert it: ffmpeg -i IN"):
        read_frames(path)


class Undecodable:
    """OpenCV without the decoder of a codec, as most builds of it are for AV1."""

    def __init__(self, *arguments) -> None:
        self.capture = CAPTURE(*arguments)

    def __getattr__(self, name):
        return getattr(self.capture, name)

    def grab(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("song.m4a", "aac"), ("song.mp4", "aac"), ("song.mp3", "libmp3lame")),
        *(("song.flac", "flac"), ("song.aiff", "pcm_s16be -write_id3v2 1")),
        *(("song.opus", "libopus"), ("song.ogg", "libvorbis")),
    ],
)
def test_a_cover_beside_sound_is_no_video(tmp_path, name, codec):
    picture = make(tmp_path / "cover.png", "-frames 1")
    cover = f"-i {picture} -map 1 -map 2 -c:v png -disposition:v attached_pic"
    if name in ("song.opus", "song.ogg"):  # in a comment, as FLAC describes it
        data, kind = picture.read_bytes(), b"image/png"
        block = struct.pack(">II9s6I", 3, len(kind), kind, 0, 96, 64, 24, 0, len(data)) + data
        cover = f"-map 1 -metadata METADATA_BLOCK_PICTURE={base64.b64encode(block).decode()}"
    path = make(tmp_path / name, f"{SOUND} {cover} -c:a {codec}")
    with pytest.raises(VideoError, match="audio only"):
        read_frames(path)
    assert not is_clip(path) or name == "song.mp4"


def test_a_cover_beside_a_video_is_passed_over(tmp_path):
    picture = make(tmp_path / "cover.png", "-frames 1")
    video = make(tmp_path / "with_cover.mp4", f"-i {picture} -map 0 -map 1 {H264} "
                 "-c:v:1 png -disposition:v:1 attached_pic")  # fmt: skip
    agrees(video)


def test_a_name_with_a_colon_is_a_file(tmp_path, monkeypatch):
    path = make(tmp_path / "10-22.mp4", H264)
    path.rename(tmp_path / "10:22:31.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(read_frames(Path("10:22:31.mp4"))) == 25
    assert len(read_frames(Path("10:22:31.mp4"), [3], backend="decord")) == 1


@pytest.mark.parametrize("name", ["long.ts", "long.mts", "long.mpg"])
def test_sound_longer_than_h264_is_no_missing_picture(tmp_path, name):
    path = make(tmp_path / name, f"-f lavfi -i sine=d=3 {H264} -c:a mp2")
    assert frame_count(path) == len(read_frames(path)) == 25


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg1video", "mpeg2video"])
def test_a_part_of_an_avi_that_begins_with_pictures_between_others(tmp_path, codec):
    whole = make(tmp_path / "a.avi", f"-c:v {codec} -g 8 -bf 2")
    copy = ["ffmpeg", "-nostdin", "-loglevel", "error", "-ss", "0.5", "-i", whole, "-c", "copy"]
    subprocess.run([*copy, tmp_path / "b.avi"], check=True)
    assert len(read_frames(tmp_path / "b.avi")) == len(expected(tmp_path / "b.avi"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wmv", "-c:v wmv2"),
        ("b.wmv", "-f lavfi -i sine=d=3 -c:v wmv2 -c:a wmav2"),
        ("a.mjpeg", "-c:v mjpeg -pix_fmt yuvj420p"),
    ],
)
def test_pictures_are_counted_in_wmv_and_raw_mjpeg(tmp_path, name, options):
    path = make(tmp_path / name, options)
    assert examine(path).num_frames == frame_count(path) == 25
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for at in rng.integers(len(whole) // 2, len(whole), 10):
        path.write_bytes(whole[:at])
        try:
            assert frame_count(path) == 25
        except VideoError:
            refused += 1
    assert refused >= 9
