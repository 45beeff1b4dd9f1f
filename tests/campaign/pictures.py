"""Folders of frames, and depth clips."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from gesture3d.config import load_data
from gesture3d.data import read_index
from gesture3d.data.video.reading import open_video, read_frames, read_opened

from .judge import Kind, Outcome, outcome

SUFFIXES = ("jpg", "png", "bmp", "webp", "tiff")


def _pattern(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    small = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC)


def _make_frames(folder: Path, suffix: str) -> list[Path]:
    for number in range(1, 4):
        written = cv2.imencode(f".{suffix}", _pattern(number))[1].tobytes()
        (folder / f"{number:05d}.{suffix}").write_bytes(written)
    return sorted(folder.glob(f"*.{suffix}"))


def _read_clip(folder: Path, path: Path) -> Outcome:
    clip = read_frames(path if path.suffix == ".mat" else folder)
    return outcome((len(clip),), clip)


def _depth(seed: int) -> np.ndarray:
    depth = np.zeros((24, 32, 6), np.uint16)
    depth[4:20, 8:24] = 2000 + np.random.default_rng(seed).integers(0, 300, (16, 16, 6))
    return depth


def _make_depth_frames(folder: Path) -> list[Path]:
    depth = _depth(0)
    for number in range(3):
        written = cv2.imencode(".png", depth[:, :, number])[1].tobytes()
        (folder / f"{number:05d}.png").write_bytes(written)
    return sorted(folder.glob("*.png"))


def _read_depth_frames(folder: Path, _: Path) -> Outcome:
    config = load_data("folder", ["data.modality=depth"])
    reader = open_video(folder, rules=config.frame_rules)
    clip = read_opened(folder, reader, None, None, config.pixels)
    return outcome((len(clip),), clip)


def _make_depth_mat(folder: Path) -> list[Path]:
    savemat(folder / "depth.mat", {"d_depth": _depth(0)})
    return [folder / "depth.mat"]


def _make_depth_zip(folder: Path) -> list[Path]:
    with zipfile.ZipFile(folder / "Depth.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for subject in (1, 2):
            savemat(folder / "x.mat", {"d_depth": _depth(subject)})
            member = zipfile.ZipInfo(f"Depth/a1_s{subject}_t1_depth.mat")
            file.writestr(member, (folder / "x.mat").read_bytes(), zipfile.ZIP_DEFLATED)
    (folder / "x.mat").unlink()
    return [folder / "Depth.zip"]


def _read_depth_zip(folder: Path, _: Path) -> Outcome:
    config = load_data("utd_mhad_depth", [f"data.root={folder}"])
    clips = read_index(config, progress=False).items
    frames = [read_frames(clip.path) for clip in clips]
    return outcome((len(clips), sum(map(len, frames))), [c.key for c in clips], *frames)


def kinds() -> list[Kind]:
    frames = [
        Kind(f"frames .{s}", lambda folder, s=s: _make_frames(folder, s), _read_clip)
        for s in SUFFIXES
    ]
    return [
        *frames,
        Kind("depth frames .png", _make_depth_frames, _read_depth_frames),
        Kind("depth .mat", _make_depth_mat, _read_clip),
        Kind("Depth.zip (UTD-MHAD)", _make_depth_zip, _read_depth_zip),
    ]
