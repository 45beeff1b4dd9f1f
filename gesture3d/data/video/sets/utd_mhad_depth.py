"""UTD-MHAD's 27 actions, and its depth clips: 8 people, up to four trials each.

    root/Depth.zip or Depth_half.zip       with members Depth/a1_s1_t1_depth.mat, ...; or
    root/Depth/a1_s1_t1_depth.mat ...      the same, unpacked

``aA_sS_tT``: action A, subject S, trial T. How 16-bit depth becomes grey is said in
`data.video.depth`. The official protocol trains on subjects 1, 3, 5, 7 and tests on 2, 4, 6, 8;
what validates is taken out of the training subjects' clips, as configured.

Chen, Jafari, Kehtarnavaz, "UTD-MHAD: a multimodal dataset for human action recognition utilizing a
depth camera and a wearable inertial sensor", ICIP 2015.
"""

import re
from pathlib import Path

from gesture3d.config import UTDMHADDepthData
from gesture3d.data.index import Clip, ClipIndex
from gesture3d.data.zips import ZipReader
from gesture3d.errors import Gesture3dError, naming

ACTIONS = (  # of depth, skeletons and inertial recordings alike
    "swipe left",
    "swipe right",
    "wave",
    "clap",
    "throw",
    "cross arms",
    "basketball shoot",
    "draw x",
    "draw circle clockwise",
    "draw circle counter-clockwise",
    "draw triangle",
    "bowling",
    "boxing",
    "baseball swing",
    "tennis swing",
    "arm curl",
    "tennis serve",
    "push",
    "knock on door",
    "catch",
    "pick up and throw",
    "jog in place",
    "walk in place",
    "sit to stand",
    "stand to sit",
    "lunge",
    "squat",
)
TRAINING_SUBJECTS = (1, 3, 5, 7)
_NAME = re.compile(r"(?:.*/)?(a([0-9]{1,9})_s([1-8])_t([1-4]))_depth\.mat")


def read_utd_mhad_depth(config: UTDMHADDepthData) -> ClipIndex:
    """The depth clips, split by subjects.

    Raises:
        Gesture3dError: no clips.
    """
    splits: dict[str, list[Clip]] = {"train": [], "validation": [], "test": []}
    for path in _depth_files(config.root):
        match = _NAME.fullmatch(path.as_posix())
        if not match:
            continue
        key, (action, subject, trial) = match[1], map(int, match.groups()[1:])
        if not 1 <= action <= len(ACTIONS):
            raise Gesture3dError(f"{path}: unknown action {action}: they are 1 to {len(ACTIONS)}")
        if subject not in TRAINING_SUBJECTS:
            split = "test"
        elif subject in config.validation_subjects or trial in config.validation_trials:
            split = "validation"
        else:
            split = "train"
        splits[split].append(Clip(key, path, action - 1))
    if not any(splits.values()):
        raise Gesture3dError(
            f"{config.root}: no depth clips: expected Depth.zip or the folder Depth with "
            "a1_s1_t1_depth.mat, ...; see tools/prepare.py fetch utd_mhad"
        )
    return ClipIndex(ACTIONS, splits)


def _depth_files(root: Path) -> list[Path]:
    if (root / "Depth").is_dir():
        return sorted((root / "Depth").glob("*.mat"))
    for name in ("Depth.zip", "Depth_half.zip"):
        archive = root / name
        if not archive.is_file():
            continue
        with naming(archive), ZipReader(archive) as file:
            return sorted(archive / member for member in file.names)
    return []
