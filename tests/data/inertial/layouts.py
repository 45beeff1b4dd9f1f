"""Small copies of the inertial sets' layouts, and what is read of them or refused."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d.config import load_experiment
from gesture3d.data import build_datasets
from gesture3d.data.inertial.sets.opportunity import GESTURES
from gesture3d.data.inertial.sets.uci_har import CHANNELS as UCI_CHANNELS
from gesture3d.errors import Gesture3dError

HELD_OUT = "data.validation_groups=[]"


def data_config(recipe: str, *overrides: str):
    return load_experiment("cnn1d", recipe, list(overrides)).data


def datasets(recipe: str, root: Path, *overrides: str):
    return build_datasets(data_config(recipe, f"data.root={root}", *overrides), seed=0)


def stacked(samples) -> torch.Tensor:
    """All windows (N, T, D), without random changes."""
    return torch.stack(list(samples.inputs))


def refused(recipe: str, root: Path, *overrides: str) -> str:
    with pytest.raises(Gesture3dError) as caught:
        datasets(recipe, root, *overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_hapt(root: Path, seconds: int = 30, more: tuple[int, ...] = ()) -> Path:
    """A tiny set in HAPT's layout: two people, walking and standing for the first half each; and
    as many more to train on, for so many seconds."""
    rng = np.random.default_rng(0)
    raw, rows = root / "RawData", []
    raw.mkdir(parents=True)
    official = {"Train": [], "Test": []}
    for user, length in enumerate((seconds, seconds, *more), 1):
        experiment, half = user, length * 25
        for sensor in ("acc", "gyro"):
            np.savetxt(
                raw / f"{sensor}_exp{experiment:02d}_user{user:02d}.txt",
                rng.normal(size=(2 * half, 3)),
                fmt="%.6f",
            )
        for activity, first in ((1, 1), (5, half + 1)):
            rows.append((experiment, user, activity, first, first + half - 1))
            count = len(range(0, half - 127, 64))
            official["Test" if user == 2 else "Train"] += [(activity, user)] * count
    np.savetxt(raw / "labels.txt", rows, fmt="%d")
    names = ["WALKING", "UP", "DOWN", "SITTING", "STANDING", "LAYING", *(f"T{n}" for n in range(6))]
    lines = [f"{n} {name}" for n, name in enumerate(names, 1)]
    (root / "activity_labels.txt").write_text("\n".join(lines))
    for folder, windows in official.items():
        (root / folder).mkdir()
        split = folder.lower()
        np.savetxt(root / folder / f"y_{split}.txt", [a for a, _ in windows], fmt="%d")
        np.savetxt(root / folder / f"subject_id_{split}.txt", [u for _, u in windows], fmt="%d")
    return root


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"Set/{file.relative_to(folder)}")
    return path


def write_uci_har(root: Path, train: int = 6, test: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        (root / split / "Inertial Signals").mkdir(parents=True)
        for number, channel in enumerate(UCI_CHANNELS):
            values = rng.normal(size=(count, 128)) + number
            np.savetxt(root / split / "Inertial Signals" / f"{channel}_{split}.txt", values)
        np.savetxt(root / split / f"y_{split}.txt", np.arange(count) % 6 + 1, fmt="%d")
        np.savetxt(
            root / split / f"subject_{split}.txt", np.full(count, 1 + (split == "test")), "%d"
        )
    (root / "activity_labels.txt").write_text("\n".join(f"{n} A{n}" for n in range(1, 7)))
    return root


def write_opportunity(root: Path, steps: int = 60) -> Path:
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    codes = list(GESTURES)
    for subject in (1, 2, 3):
        for run in ("Drill", *(f"ADL{n}" for n in range(1, 6))):
            rows = np.round(rng.normal(size=(steps, 250)), 3)
            rows[:, 0] = np.arange(steps) * 33
            rows[:, 249] = np.repeat(codes[: steps // 12 + 1], 12)[:steps]
            rows[5:40, 3] = np.nan
            np.savetxt(root / f"S{subject}-{run}.dat", rows, fmt="%g")
    return root


def write_csv(path: Path, rows: int, label, rate: float = 50.0, extra: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"time,x,y,z,label{',' + extra.split('=')[0] if extra else ''}"]
    for n in range(rows):
        value = f",{extra.split('=')[1]}" if extra else ""
        lines.append(f"{n / rate:.3f},{n},{-n},1,{label(n)}{value}")
    path.write_text("\n".join(lines))
