"""HAPT: "Smartphone-Based Recognition of Human Activities and Postural Transitions" (UCI).

Reyes-Ortiz et al., Neurocomputing 171 (2016). The raw successor of UCI HAR: a phone on the waist
of 30 people, 50 Hz. Windows are cut from the raw recordings inside each labelled stretch; their
number, order, labels and subjects are checked against the official ones.
"""

from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from gesture3d.data.archive import Archive
from gesture3d.data.index import Index
from gesture3d.data.inertial.recording import read_pair
from gesture3d.data.inertial.signal import prepare, window_starts
from gesture3d.data.inertial.stream import InertialData, windows_index
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Place

NUM_BASIC = 6  # walking, upstairs, downstairs, sitting, standing, laying; then 6 transitions
OFFICIAL_WINDOW = (128, 64)  # samples, and from start to start


class HAPTData(InertialData):
    """HAPT (UCI): ``HAPT Data Set.zip``, or the folder unpacked from it. Subjects 1 to 30."""

    name: Literal["hapt"]
    root: Place = Path("data/uci_hapt")
    postural_transitions: bool = False  # all 12 classes instead of the 6 basic activities

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        """All windows in the official order, the official training subjects as ``train``.

        Raises:
            Gesture3dError: missing or damaged files, or windows that are not the official ones.
        """
        archive = Archive(self.root, "RawData/labels.txt", "HAPT")
        stretches = archive.whole_numbers("RawData/labels.txt", 5)
        names = class_names(archive)
        test_subjects = set(archive.whole_numbers("Test/subject_id_test.txt", 1)[:, 0].tolist())
        recordings: dict[tuple[int, int], np.ndarray] = {}
        parts, keys, labels, subjects = [], [], [], []
        for line, (experiment, user, activity, first, last) in enumerate(stretches.tolist(), 1):
            if (experiment, user) not in recordings:
                recordings[experiment, user] = recording(archive, experiment, user, self)
            x = recordings[experiment, user]
            where = f"{archive.where('RawData/labels.txt')}, line {line}"
            if not 1 <= first <= last <= len(x) or not 1 <= activity <= len(names):
                raise Gesture3dError(
                    f"{where}: activity {activity}, samples {first} to {last}; the recording has "
                    f"{len(x)} samples"
                )
            for start in window_starts(first - 1, last, self.window, self.step):
                parts.append(x[start : start + self.window])
                keys.append(f"exp{experiment:02d}_user{user:02d}_{start:05d}_{activity}")
                labels.append(activity - 1)
                subjects.append(user)
        if not parts:
            raise Gesture3dError(
                f"{archive.base}: no labelled stretch holds a window of {self.window} samples; "
                "choose a smaller data.window"
            )
        splits = ["test" if subject in test_subjects else "train" for subject in subjects]
        index = windows_index(names, parts, keys, labels, subjects, splits)
        if (self.window, self.step) == OFFICIAL_WINDOW:
            _check_official(index, archive)
        if self.postural_transitions:
            return index
        basic = [item for item in index.items if item.label < NUM_BASIC]
        return replace(index, class_names=names[:NUM_BASIC], items=basic)


def recording(archive: Archive, experiment: int, user: int, config: HAPTData) -> np.ndarray:
    """A recording as the network is given it: (T, D) float32, filtered; raises Gesture3dError."""
    name = f"RawData/acc_exp{experiment:02d}_user{user:02d}.txt"
    where = archive.where(name)
    return prepare(read_pair(archive.numbers, name, where), config, where)


def class_names(archive: Archive) -> tuple[str, ...]:
    """All twelve, the postural transitions last."""
    lines = archive.text("activity_labels.txt").split("\n")
    return tuple(line.split()[1] for line in lines if len(line.split()) == 2)


def _check_official(index: Index, archive: Archive) -> None:
    for split in ("train", "test"):
        folder = split.capitalize()
        found = np.array([[item.label + 1, int(item.group)] for item in index.of(split)])
        official = np.concatenate(
            [
                archive.numbers(f"{folder}/y_{split}.txt", 1),
                archive.numbers(f"{folder}/subject_id_{split}.txt", 1),
            ],
            axis=1,
        )
        if found.shape != official.shape or (found != official).any():
            raise Gesture3dError(
                f"{archive.base}: the {split} windows cut from the recordings ({len(found)}) are "
                f"not the official ones ({len(official)}) in number, order, label or subject; the "
                "download is not complete"
            )
