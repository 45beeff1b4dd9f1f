"""Opportunity challenge: gestures in a kitchen, 113 channels of body-worn sensors, 30 Hz.

Chavarriaga et al., Pattern Recognition Letters 34 (2013). Channels, windows, labels and files as in
Ordóñez & Roggen, "Deep Convolutional and LSTM Recurrent Neural Networks …" (Sensors 2016), which
the residual LSTM's authors follow: train on all runs of subject 1 and on Drill and ADL1–3 of
subjects 2 and 3, test on ADL4–5 of subjects 2 and 3. ADL3 of subjects 2 and 3 validates.
"""

from collections.abc import Container
from pathlib import Path
from typing import Literal

import numpy as np

from gesture3d.data.archive import Archive
from gesture3d.data.index import Index
from gesture3d.data.inertial.signal import cut_windows, prepare
from gesture3d.data.inertial.stream import InertialData, windows_index
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Place

NUM_COLUMNS = 250  # time, 242 sensor channels, 7 rows of labels
# Columns (from 0) of the challenge: the accelerometers, and acceleration, angular velocity and
# magnetic field of the inertial units, without their quaternions, and the shoes.
CHANNELS = np.r_[1:46, 50:59, 63:72, 76:85, 89:98, 102:134]
GESTURE_COLUMN = 249
TRAIN = tuple(f"S1-{run}" for run in ("Drill", *(f"ADL{n}" for n in range(1, 6)))) + tuple(
    f"S{s}-{run}" for s in (2, 3) for run in ("Drill", "ADL1", "ADL2", "ADL3")
)
TEST = ("S2-ADL4", "S2-ADL5", "S3-ADL4", "S3-ADL5")
GESTURES = {
    0: "NULL",
    406516: "Open Door 1",
    406517: "Open Door 2",
    404516: "Close Door 1",
    404517: "Close Door 2",
    406520: "Open Fridge",
    404520: "Close Fridge",
    406505: "Open Dishwasher",
    404505: "Close Dishwasher",
    406519: "Open Drawer 1",
    404519: "Close Drawer 1",
    406511: "Open Drawer 2",
    404511: "Close Drawer 2",
    406508: "Open Drawer 3",
    404508: "Close Drawer 3",
    408512: "Clean Table",
    407521: "Drink from Cup",
    405506: "Toggle Switch",
}


class OpportunityData(InertialData):
    """Opportunity challenge: the official ``.dat`` files (or the zip), gestures and NULL.

    Groups are the recordings' names, S1-ADL1 and so on.
    """

    name: Literal["opportunity"]
    root: Place = Path("data/opportunity")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        """Windows with the label of their last sample.

        Raises:
            Gesture3dError: missing or damaged files, or an unknown label, with file and line.
        """
        archive = Archive(self.root, "S1-ADL1.dat", "Opportunity")
        parts, keys, labels, runs, splits = [], [], [], [], []
        for run in TRAIN + TEST:
            name = f"{run}.dat"
            rows = archive.numbers(name, NUM_COLUMNS)
            gestures = _gestures(rows[:, GESTURE_COLUMN], archive.where(name))
            recording = prepare(rows[:, CHANNELS], self, archive.where(name))
            windows, starts = cut_windows(recording, self, archive.where(name))
            parts.append(windows)
            keys += [f"{run}_{start:06d}" for start in starts]
            labels.append(gestures[np.array(starts) + self.window - 1])
            runs += [run] * len(starts)
            splits += ["test" if run in TEST else "train"] * len(starts)
        names = tuple(GESTURES.values())
        windows = np.concatenate(parts)
        return windows_index(names, windows, keys, np.concatenate(labels), runs, splits)


def _gestures(codes: np.ndarray, where: str) -> np.ndarray:
    """The authors' codes as classes 0 (NULL) to 17."""
    known = {code: number for number, code in enumerate(GESTURES)}
    for line, code in enumerate(codes.tolist(), 1):
        if code not in known:
            raise Gesture3dError(f"{where}, line {line}: {code:g} is no gesture of the challenge")
    return np.array([known[code] for code in codes.tolist()])
