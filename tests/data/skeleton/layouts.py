"""Small skeletons, and a small folder of them in every format."""

from pathlib import Path

import numpy as np

from gesture3d.data.skeleton.sets.skeleton_folder import SkeletonFolderData
from gesture3d.rng import generator


def walk(frames: int, joints: int, seed: object = 0) -> np.ndarray:
    steps = generator("walk", str(seed)).normal(size=(frames, joints, 3))
    return (np.cumsum(steps, axis=0) / 10).astype(np.float32)


def folder_config(root: Path, **settings) -> SkeletonFolderData:
    return SkeletonFolderData(name="skeleton_folder", root=root, **settings)


def folder_set(root: Path, classes: int = 3, each: int = 6) -> Path:
    """``root/<class>/<n>.npy`` (and other formats) of 4 joints and 5 to 10 frames."""
    for label in range(classes):
        (root / f"class{label}").mkdir(parents=True)
        for number in range(each):
            values = walk(5 + number, 4, (label, number))
            path = root / f"class{label}" / str(number)
            if number % 3 == 0:
                np.save(path.with_suffix(".npy"), values)
            elif number % 3 == 1:
                np.savez(path.with_suffix(".npz"), joints=values.reshape(-1, 12))
            else:
                header = ",".join(f"v{i}" for i in range(12))
                table = values.reshape(-1, 12)
                np.savetxt(
                    path.with_suffix(".csv"), table, delimiter=",", header=header, comments=""
                )
    return root
