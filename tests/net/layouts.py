"""Small copies of every data set's layout, always the same bytes: one function a recipe.

Frames are PNG and numbers are written as text or .npy, so that no codec's version is in the way.
"""

import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from gesture3d.data.skeleton.sets.sbu_kinect import FOLDS as SBU_FOLDS
from gesture3d.rng import generator
from gesture3d.synthetic.generate import GENERATOR_VERSION, LABELS
from tests.data.inertial.layouts import (
    write_csv,
    write_hapt,
    write_opportunity,
    write_uci_har,
)

CLASSES = ("Swiping Left", "Swiping Right", "Thumb Up", "Doing other things")


def walk(shape: tuple[int, ...], *seed: object) -> np.ndarray:
    """A random walk along the first axis."""
    return np.cumsum(generator("net", *seed).normal(size=shape), axis=0) / 10


def frames(folder: Path, *seed: object, count: int = 11, size: tuple[int, int] = (40, 56)) -> None:
    """Numbered PNGs: a bright box that wanders over noise."""
    folder.mkdir(parents=True)
    rng = generator("net", *seed)
    clip = rng.integers(20, 120, (count, *size, 3), np.uint8)
    x, y = rng.integers(0, 20, 2)
    for t in range(count):
        clip[t, y + t : y + t + 12, x + 2 * t : x + 2 * t + 12] = (200, 180, 90)
        assert cv2.imwrite(str(folder / f"{t + 1:05}.png"), clip[t])


def jester(root: Path) -> None:
    (root / "jester-v1-labels.csv").write_text("\n".join(CLASSES) + "\n")
    number = 0
    for split, each in (("train", 3), ("validation", 2), ("test", 1)):
        lines = []
        for name in CLASSES * each:
            number += 1
            frames(root / "20bn-jester-v1" / str(number), "jester", number, count=8 + number % 7)
            lines.append(f"{number};{name}" if split != "test" else str(number))
        (root / f"jester-v1-{split}.csv").write_text("\n".join(lines) + "\n")


def isogd(root: Path) -> None:
    for name, folder, each in (("train", "train", 3), ("valid", "valid", 2), ("test", "test", 1)):
        lines = []
        for number in range(1, 3 * each + 1):
            for letter in "MK":
                place = root / folder / "001" / f"{letter}_{number:05}"
                frames(place, "isogd", letter, number, count=9 + number % 5)
            label = 0 if name == "test" else 80 * (number % 3) + 1
            stem = f"{folder}/001/{{}}_{number:05}.avi"
            lines.append(f"{stem.format('M')} {stem.format('K')} {label}")
        (root / f"{name}_list.txt").write_text("\n".join(lines) + "\n")


def folder(root: Path) -> None:
    for label, name in enumerate(CLASSES[:3]):
        for number in range(5 + label):
            frames(root / name / f"clip{number}", "folder", name, number, count=6 + number)


def egogestar(root: Path) -> None:
    lines = ["file,class,serial,codec,nb_frames"]
    for serial in range(1, 15):
        for name in ("carret", "del", "tick"):
            path = f"testvideo_{name}_{serial}"
            frames(root / path, "egogestar", name, serial, count=7 + serial)
            lines.append(f"{path},{name},{serial},png,{7 + serial}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")


def utd_mhad_depth(root: Path) -> None:
    with zipfile.ZipFile(root / "Depth.zip", "w") as archive:
        for action in (1, 9, 27):
            for subject in range(1, 9):
                depth = np.zeros((60, 80, 8 + subject), np.uint16)
                depth[10:50, 30:50] = 3000
                for t in range(depth.shape[2]):
                    depth[20:30, 28 + action + t : 36 + action + t, t] = 2900 - 10 * t
                add_mat(archive, f"Depth/a{action}_s{subject}_t1_depth.mat", d_depth=depth)


def utd_mhad_skeleton(root: Path) -> None:
    with zipfile.ZipFile(root / "Skeleton.zip", "w") as archive:
        for action in range(1, 28):
            for subject in (1, 2, 3, 7):
                joints = walk((9 + subject, 20, 3), "skeleton", action, subject).transpose(1, 2, 0)
                add_mat(archive, f"Skeleton/a{action}_s{subject}_t1_skeleton.mat", d_skel=joints)


def utd_mhad_inertial(root: Path) -> None:
    with zipfile.ZipFile(root / "Inertial.zip", "w") as archive:
        for action in range(1, 28):
            for subject in (1, 2, 3, 7):
                values = walk((150 + subject, 6), "inertial", action, subject)
                add_mat(archive, f"Inertial/a{action}_s{subject}_t1_inertial.mat", d_iner=values)


def add_mat(archive: zipfile.ZipFile, name: str, **variables: np.ndarray) -> None:
    content = io.BytesIO()
    savemat(content, variables)
    archive.writestr(name, content.getvalue())


def sfinge3d(root: Path) -> None:
    with zipfile.ZipFile(root / "Dictionary.zip", "w") as archive:
        for label in range(1, 14):
            for number in range(1, 37):
                rows = walk((24 + number, 140), "sfinge", label, number)
                text = "\n".join(";".join(f"{v:.5f}" for v in row) + ";" for row in rows)
                archive.writestr(f"Dictionary/{label}/{number}.txt", text + "\n")


def shrec17(root: Path) -> None:
    lists = {"train": [], "test": []}
    for gesture in range(1, 15):
        for fingers in (1, 2):
            for subject, split in ((1, "train"), (2, "test")):
                key = f"gesture_{gesture}/finger_{fingers}/subject_{subject}/essai_1"
                (root / key).mkdir(parents=True)
                np.savetxt(root / key / "skeletons_world.txt", walk((5, 66), "shrec", key))
                label28 = 2 * (gesture - 1) + fingers
                lists[split].append(f"{gesture} {fingers} {subject} 1 {gesture} {label28} 5")
    for split, lines in lists.items():
        (root / f"{split}_gestures.txt").write_text("\n".join(lines) + "\n")


def sbu_kinect(root: Path) -> None:
    for pair in chain.from_iterable(SBU_FOLDS):
        for action in range(1, 9):
            place = root / pair / f"{action:02}" / "001"
            place.mkdir(parents=True)
            values = np.abs(walk((6, 90), "sbu", pair, action)) % 1
            rows = np.column_stack([np.arange(1, 7), values])
            np.savetxt(place / "skeleton_pos.txt", rows, delimiter=",")


def synthetic_joints(root: Path) -> None:
    """Lists and joints as the generator writes them, without rendering."""
    counts = {"train": 2, "validation": 1, "test": 1}
    settings = {"generator_version": GENERATOR_VERSION, "seed": 0, "hard": False}
    (root / "joints").mkdir(parents=True)
    (root / "dataset.json").write_text(json.dumps(settings | {"clips_per_class": counts}))
    (root / "jester-v1-labels.csv").write_text("\n".join(LABELS) + "\n")
    key = 0
    for suffix, each in (("train", 2), ("validation", 1), ("test-labels", 1)):
        lines = []
        for name in LABELS * each:
            key += 1
            np.save(root / "joints" / f"{key}.npy", walk((30, 21, 3), "joints", key))
            lines.append(f"{key};{name}\n")
        (root / f"jester-v1-{suffix}.csv").write_text("".join(lines))


def skeleton_folder(root: Path) -> None:
    for label in range(3):
        for number in range(6):
            place = root / f"class{label}"
            place.mkdir(exist_ok=True)
            np.save(place / f"{number}.npy", walk((8 + number, 5, 3), "own", label, number))


def sequence_folder(root: Path) -> None:
    """In two formats, of unequal lengths, some values missing."""
    for label in range(3):
        for number in range(6):
            place = root / f"class{label}"
            place.mkdir(exist_ok=True)
            values = walk((8 + number, 4), "values", label, number)
            values[3 : 3 + number % 3, 1] = np.nan
            if number % 2:
                np.savetxt(place / f"{number}.csv", values, "%.6f", ",")
            else:
                np.save(place / f"{number}.npy", values)


def sequence_archive(root: Path) -> None:
    for end, each in (("TRAIN", 4), ("TEST", 2)):
        lines = ["@problemName Net", "@timeStamps false", "@classLabel true 1 2 10", "@data"]
        for number in range(3 * each):
            values = walk((7 + number, 2), "archive", end, number)
            channels = [",".join(f"{v:.6f}" for v in channel) for channel in values.T]
            channels[1] = ",".join(["?", *channels[1].split(",")[1:]])
            lines.append(":".join([*channels, ("1", "2", "10")[number % 3]]))
        (root / f"Net_{end}.ts").write_text("\n".join(lines) + "\n")


def inertial_folder(root: Path) -> None:
    for number, subject in enumerate(("anna", "ben", "carl", "dora")):
        rows, extra = 300 + 20 * number, f"subject={subject}"
        write_csv(root / f"{subject}.csv", rows, lambda n: "ab"[n // 150 % 2], extra=extra)


def uci_har(root: Path) -> None:
    write_uci_har(root, train=12, test=6)


def basic_motions(root: Path) -> None:
    for end, each in (("TRAIN", 3), ("TEST", 2)):
        lines = ["@problemName BasicMotions", "@classLabel true Walking Running", "@data"]
        for number in range(2 * each):
            values = walk((100, 6), "motions", end, number).T
            channels = [",".join(f"{v:.5f}" for v in row) for row in values]
            lines.append(":".join([*channels, ("Walking", "Running")[number % 2]]))
        (root / f"BasicMotions_{end}.ts").write_text("\n".join(lines) + "\n")


def webcam_signs(root: Path) -> None:
    keys = [(label, n) for n in range(5) for label in ("hello", "thanks")]
    rows = [f"{label}{n},{label},p{n}" for label, n in keys]
    (root / "sequences.csv").write_text("\n".join(["key,label,person", *rows]) + "\n")
    np.savez(root / "hands.npz", **{f"{k}{n}": walk((9 + n, 42, 3), k, n) for k, n in keys})


def annotated(root: Path, write: Callable[[Path, int], None], suffix: str) -> None:
    """Four streams of at least 14 s, and what is in them."""
    lines = ["path,label,start,end"]
    for number in range(4):
        write(root / f"{number}{suffix}", number)
        for name, start in (("wave", 3), ("nod", 9 + number)):
            lines.append(f"{number}{suffix},{name},{start},{start + 2}")
    (root / "annotations.csv").write_text("\n".join(lines) + "\n")


def skeleton_stream_folder(root: Path) -> None:
    annotated(root, lambda path, n: np.save(path, walk((420 + n, 4, 3), "streams", n)), ".npy")


def inertial_stream_folder(root: Path) -> None:
    def write(path: Path, number: int) -> None:
        values = walk((1050 + number, 3), "recordings", number)
        np.savetxt(path, values, "%.5f", ",", header="x,y,z", comments="")

    annotated(root, write, ".csv")


def stream_folder(root: Path) -> None:
    annotated(root, lambda path, n: frames(path, "stream", n, count=168 + n), "")


hapt_stream = partial(write_hapt, more=(20,))
hapt, opportunity = write_hapt, lambda root: write_opportunity(root / "dataset")
