"""Video files, made by FFmpeg's command line: 30 frames of 64 × 48, some with sound."""

import json
import subprocess
from pathlib import Path

from gesture3d.data.video.reading import read_frames

from .judge import Kind, Outcome, outcome

FRAMES = 30
# Whose messages are about pixels; "[flv" and "[gif" are demuxers, too, and count as such.
DECODERS = tuple(
    f"[{name} @"
    for name in ("h264", "h263", "mpeg4", "mpeg1video", "mpeg2video", "mjpeg", "vp8", "vp9", "wmv2")
)
SOUND = "-c:a"
X264 = "-c:v libx264 -g 10 -bf 2 -x264-params threads=1"
# Container → how files of it are made: name, and FFmpeg's options (no sound where they name none).
CONTAINERS = {
    "mp4": {
        "h264.mp4": X264,
        "sound.mp4": f"{X264} -c:a aac -movflags +faststart",
        "mpeg4.mp4": "-c:v mpeg4 -q:v 3",
    },
    "mp4_fragmented": {
        "keyframes.mp4": f"{X264} -movflags frag_keyframe+empty_moov",
        "sound.mp4": f"{X264} -c:a aac -movflags frag_keyframe+empty_moov",
        "dash.mp4": f"{X264} -movflags dash+frag_keyframe",
    },
    "mov": {"h264.mov": X264, "mjpeg.mov": "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p"},
    "3gp": {"h263.3gp": "-c:v h263 -s 128x96"},
    "mkv": {"h264.mkv": X264, "sound.mkv": f"{X264} -c:a libvorbis"},
    "webm": {
        "vp8.webm": "-c:v libvpx -b:v 200k -g 10",
        "vp9.webm": "-c:v libvpx-vp9 -b:v 200k -g 10",
        "live.webm": "-c:v libvpx -b:v 200k -g 10 -c:a libopus -f webm -live 1",
    },
    "avi": {
        "xvid.avi": "-c:v mpeg4 -vtag XVID -q:v 3",
        "mjpeg.avi": "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p",
        "sound.avi": "-c:v mpeg4 -vtag XVID -q:v 3 -c:a libmp3lame",
    },
    "mpg": {"mpeg1.mpg": "-c:v mpeg1video -q:v 3", "mpeg2.mpg": "-c:v mpeg2video -c:a mp2 -f vob"},
    "ts": {"h264.ts": X264, "mpeg2.ts": "-c:v mpeg2video -q:v 3 -c:a mp2"},
    "flv": {"flv1.flv": "-c:v flv -q:v 3", "h264.flv": X264},
    "gif": {"plain.gif": ""},
    # FFmpeg's Theora encoder drops frames between key frames
    "ogv": {
        "theora.ogv": "-c:v libtheora -q:v 5 -g 1",
        "sound.ogv": "-c:v libtheora -q:v 5 -g 1 -c:a libvorbis",
    },
    "webp": {"animated.webp": "-c:v libwebp_anim -loop 0 -q:v 60"},
    "y4m": {"raw.y4m": "-f yuv4mpegpipe"},
    "mjpeg": {"raw.mjpeg": "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p -f mjpeg"},
    "wmv": {"wmv2.wmv": "-c:v wmv2 -q:v 3", "sound.wmv": "-c:v wmv2 -q:v 3 -c:a wmav2"},
}


def kinds() -> list[Kind]:
    return [
        Kind(name, lambda folder, files=files: _make(folder, files), _read, _holds, cases=1000)
        for name, files in CONTAINERS.items()
    ]


def _make(folder: Path, files: dict[str, str]) -> list[Path]:
    for name, options in files.items():
        sources = ["-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d={FRAMES / 25}"]
        if SOUND in options:
            sources += ["-f", "lavfi", "-i", f"sine=440:d={FRAMES / 25}"]
        exact = ["-threads", "1", "-fflags", "+bitexact", "-flags", "+bitexact"]
        pixels = [] if "pix_fmt" in options or name.endswith("gif") else ["-pix_fmt", "yuv420p"]
        command = ["ffmpeg", "-y", "-v", "error", *sources, *options.split(), *pixels, *exact]
        subprocess.run([*command, str(folder / name)], check=True, stdin=subprocess.DEVNULL)
    return [folder / name for name in files]


def _read(_: Path, path: Path) -> Outcome:
    clip = read_frames(path)
    return outcome((len(clip),), clip)


def _holds(path: Path) -> int | None:
    """How many frames ffprobe decodes, where the file is consistent in holding just so many.

    A mutation can leave a consistent file of fewer frames: an index or an edit list that shows
    fewer of them, an unindexed stream (MPEG-TS, MPEG-PS) that ends early on a boundary. Such a file
    cannot be told from one that was made so. It is not consistent, and fewer frames of it are a
    loss, where FFmpeg's demuxer (which knows no animated WebP) prints any warning about it, where
    it has packets that are to be shown and do not decode, or where the duration in its header is
    that of more frames than it has, hidden ones included; of YUV4MPEG, where the file does not end
    with a frame, of which FFmpeg says nothing. What decoders print is about pixels, which may be
    damaged.
    """
    if path.suffix == ".y4m" and not _ends_with_a_frame(path.read_bytes()):
        return None
    entries = "packet=flags:stream=nb_read_frames,duration:format=duration"
    command = ["ffprobe", "-v", "warning", "-threads", "1", "-count_frames"]
    command += ["-select_streams", "v:0", "-show_entries", entries, "-of", "json", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=15)
        found = json.loads(done.stdout)
        stream = found["streams"][0]
        frames, packets = int(stream["nb_read_frames"]), found["packets"]
    except (subprocess.TimeoutExpired, ValueError, KeyError, IndexError):
        return None
    shown = sum("D" not in packet["flags"] for packet in packets)
    said = [x for x in done.stderr.splitlines() if x.strip() and not x.startswith(DECODERS)]
    said = [x for x in said if "Last message repeated" not in x]
    if done.returncode or said or frames < shown:
        return None
    seconds = stream.get("duration") or found.get("format", {}).get("duration")
    if seconds and len(packets) < 0.9 * float(seconds) * 25 - 1:
        return None
    return frames


def _ends_with_a_frame(content: bytes) -> bool:
    """Whether a YUV4MPEG file (4:2:0) is its header and whole frames."""
    header = content.partition(b"\n")[0]
    sizes = {word[:1]: word[1:] for word in header.split()}
    if not sizes.get(b"W", b"").isdigit() or not sizes.get(b"H", b"").isdigit():
        return False
    frame = len(b"FRAME\n") + int(sizes[b"W"]) * int(sizes[b"H"]) * 3 // 2
    return (len(content) - len(header) - 1) % frame == 0
