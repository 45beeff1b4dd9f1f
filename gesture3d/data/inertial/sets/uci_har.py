"""UCI HAR v1: "Human Activity Recognition Using Smartphones" (Anguita et al., ESANN 2013).

Windows of 128 samples at 50 Hz as its authors cut and filtered them: nine channels, body
acceleration (g), angular velocity (rad/s), total acceleration (g).
"""

from collections.abc import Container
from pathlib import Path
from typing import Literal

import numpy as np

from gesture3d.data.archive import Archive
from gesture3d.data.index import Index
from gesture3d.data.inertial.stream import InertialData, windows_index
from gesture3d.data.numeric import bad_value
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Place

CHANNELS = tuple(f"{s}_{axis}" for s in ("body_acc", "body_gyro", "total_acc") for axis in "xyz")
MARKER = "train/Inertial Signals/body_acc_x_train.txt"


class UCIHARData(InertialData):
    """UCI HAR v1: the official zip or folder with its nine ``Inertial Signals``; windows as given.

    Subjects 1 to 30.
    """

    name: Literal["uci_har"]
    root: Place = Path("data/uci_har")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        """The official windows, training and test split as they are.

        Raises:
            Gesture3dError: missing or damaged files, or channels with different numbers of windows.
        """
        archive = Archive(self.root, MARKER, "UCI HAR (version 1)")
        lines = archive.text("activity_labels.txt").split("\n")
        names = tuple(line.split()[1] for line in lines if len(line.split()) == 2)
        parts, keys, labels, subjects, splits = [], [], [], [], []
        for split in ("train", "test"):
            y = _column(archive, f"{split}/y_{split}.txt", 1, len(names))
            people = _column(archive, f"{split}/subject_{split}.txt", 1, 1000)
            channels = []
            for channel in CHANNELS:
                name = f"{split}/Inertial Signals/{channel}_{split}.txt"
                values = archive.numbers(name, self.window)
                if (bad := bad_value(values)) is not None:
                    raise Gesture3dError(
                        f"{archive.where(name)}, line {bad[0] + 1}: the value {values[bad]:g}"
                    )
                counts = {f"y_{split}.txt": len(y), f"subject_{split}.txt": len(people)}
                for other, count in counts.items():
                    if count != len(values):
                        raise Gesture3dError(
                            f"{archive.where(name)}: {len(values)} windows, but {other} has "
                            f"{count} lines; the download is not complete"
                        )
                channels.append(values.astype(np.float32))
            parts.append(np.stack(channels, axis=2))
            keys += [f"{split}_{number:05d}" for number in range(len(y))]
            labels.append(y - 1)
            subjects += [str(person) for person in people]
            splits += [split] * len(y)
        windows = np.concatenate(parts)
        return windows_index(names, windows, keys, np.concatenate(labels), subjects, splits)


def _column(archive: Archive, name: str, low: int, high: int) -> np.ndarray:
    values = archive.whole_numbers(name, 1)[:, 0]
    wrong = np.flatnonzero((values < low) | (values > high))
    if len(wrong):
        raise Gesture3dError(
            f"{archive.where(name)}, line {wrong[0] + 1}: {values[wrong[0]]} is not in {low}…{high}"
        )
    return values
