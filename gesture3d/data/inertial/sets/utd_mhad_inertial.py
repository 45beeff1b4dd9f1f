"""The inertial half of UTD-MHAD: 27 actions, 8 subjects, one sensor on wrist or thigh, 50 Hz.

Chen, Jafari & Kehtarnavaz, "UTD-MHAD", ICIP 2015. Official protocol: train on subjects 1, 3, 5, 7,
test on 2, 4, 6, 8.
"""

import re
from collections.abc import Container
from pathlib import Path
from typing import Literal

import numpy as np

from gesture3d.data.archive import Archive
from gesture3d.data.index import Index
from gesture3d.data.inertial.recording import parse_mat
from gesture3d.data.inertial.signal import cut_windows, prepare
from gesture3d.data.inertial.stream import InertialData, windows_index
from gesture3d.data.video.sets.utd_mhad_depth import ACTIONS
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Place

FILE = re.compile(r"(?:.*/)?(a([0-9]{1,9})_s([0-9]{1,9})_t([0-9]{1,9}))_inertial\.mat")


class UTDInertialData(InertialData):
    """UTD-MHAD: ``Inertial.zip``, or the folder unpacked from it. Subjects 1 to 8."""

    name: Literal["utd_mhad_inertial"]
    root: Place = Path("data/utd_mhad")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        """One window a recording with ``resample``, else as many as fit; official split.

        Raises:
            Gesture3dError: missing or damaged files.
        """
        archive = Archive(self.root, "a1_s1_t1_inertial.mat", "UTD-MHAD's inertial recordings")
        parts, keys, labels, subjects = [], [], [], []
        found = sorted((m for m in map(FILE.fullmatch, archive.names) if m), key=_numbers)
        for match in found:
            action, subject, _ = _numbers(match)
            where = archive.where(match.string)
            if not 1 <= action <= len(ACTIONS):
                raise Gesture3dError(f"{where}: action {action} of {len(ACTIONS)}")
            recording = prepare(parse_mat(archive.read(match.string), where), self, where)
            windows, starts = cut_windows(recording, self, where)
            parts.append(windows)
            keys += [match[1] if self.resample else f"{match[1]}_{start:03d}" for start in starts]
            labels += [action - 1] * len(starts)
            subjects += [subject] * len(starts)
        splits = ["train" if subject % 2 else "test" for subject in subjects]
        return windows_index(ACTIONS, np.concatenate(parts), keys, labels, subjects, splits)


def _numbers(match: re.Match) -> tuple[int, int, int]:
    """Action, subject, trial."""
    return int(match[2]), int(match[3]), int(match[4])
