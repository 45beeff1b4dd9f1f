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
from collections.abc import Container
from pathlib import Path
from typing import Literal

from gesture3d.data.index import Index, Item
from gesture3d.data.video.stream import VideoData
from gesture3d.errors import Gesture3dError, naming
from gesture3d.settings import Place
from gesture3d.zips import ZipReader

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


class UTDMHADDepthData(VideoData):
    """The depth clips of UTD-MHAD: tested on subjects 2, 4, 6, 8, trained on the others."""

    name: Literal["utd_mhad_depth"]
    root: Place = Path("data/utd_mhad")
    modality: Literal["depth"] = "depth"
    # Trials of the training subjects that validate, beside or instead of whole subjects
    # (validation_groups).
    validation_trials: tuple[Literal[1, 2, 3, 4], ...] = ()

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        """The depth clips, split by subjects.

        Raises:
            Gesture3dError: no clips.
        """
        items = []
        for path in _depth_files(self.root):
            match = _NAME.fullmatch(path.as_posix())
            if not match:
                continue
            key, (action, subject, trial) = match[1], map(int, match.groups()[1:])
            if not 1 <= action <= len(ACTIONS):
                raise Gesture3dError(
                    f"{path}: unknown action {action}: they are 1 to {len(ACTIONS)}"
                )
            if subject not in TRAINING_SUBJECTS:
                split = "test"
            elif trial in self.validation_trials:
                split = "validation"
            else:
                split = "train"
            items.append(Item(key, action - 1, path, str(subject), split, None, str(path)))
        if not items:
            raise Gesture3dError(
                f"{self.root}: no depth clips: expected Depth.zip or the folder Depth with "
                "a1_s1_t1_depth.mat, ...; see tools/prepare.py fetch utd_mhad"
            )
        return Index(ACTIONS, items, shared_groups=bool(self.validation_trials))


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
