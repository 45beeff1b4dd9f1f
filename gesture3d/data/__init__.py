"""Data sets: `build_datasets` from a config to data sets, `make_loader` from those to batches.

Importing this package does not import torch; what needs it is imported where it is used.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gesture3d.config import DataConfig, FolderData, InertialData, JesterData, SyntheticData
from gesture3d.data.cache import FrameCache, open_cache
from gesture3d.data.folder import read_folder
from gesture3d.data.index import ClipIndex, fingerprint
from gesture3d.data.jester import read_jester
from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    import torch

    from gesture3d.data.batch import EpochSampler
    from gesture3d.data.clips import ClipDataset
    from gesture3d.data.inertial import InertialDataset


@dataclass(frozen=True)
class Datasets:
    """The splits of a data set; ``validation`` (sequences only) or ``test`` is None where it has
    none.

    ``fingerprint`` maps each split to a short hash of its keys and labels. Of sequences,
    ``num_features`` is the size of a frame.
    """

    train: ClipDataset | InertialDataset
    validation: ClipDataset | InertialDataset | None
    test: ClipDataset | InertialDataset | None
    class_names: tuple[str, ...]
    fingerprint: dict[str, str]
    num_features: int | None = None


def build_datasets(config: DataConfig, seed: int, progress: bool = True) -> Datasets:
    """The data sets that a config describes, generated and decoded first where that is needed.

    Args:
        seed: of everything random about training samples.
        progress: show bars and say what is reused.

    Raises:
        Gesture3dError: missing or wrong data, in one line.
    """
    if isinstance(config, InertialData):
        return _inertial_datasets(config, seed)
    from gesture3d.data.clips import ClipDataset

    index = _READERS[config.name](config, progress)
    for split in ("train", "validation"):
        if not index.splits.get(split):
            raise Gesture3dError(f"{config.root}: the {split} split has no clips")
    cache = _open_cache(config, index, progress)

    def dataset(split: str) -> ClipDataset | None:
        if not index.splits.get(split):
            return None
        return ClipDataset(
            index.splits[split],
            index.class_names,
            config,
            training=split == "train",
            seed=seed,
            cache=cache,
            mirror=index.mirror,
        )

    prints = {split: index.fingerprint(split) for split, clips in index.splits.items() if clips}
    return Datasets(
        dataset("train"), dataset("validation"), dataset("test"), index.class_names, prints
    )


def _inertial_datasets(config: InertialData, seed: int) -> Datasets:
    from gesture3d.data.inertial import InertialDataset, read_windows, split_windows

    splits = split_windows(read_windows(config), config)
    sets = {s: InertialDataset(w, config, s == "train", seed) for s, w in splits.items()}
    names = sets["train"].class_names
    return Datasets(
        sets["train"],
        sets.get("validation"),
        sets.get("test"),
        names,
        {
            split: fingerprint(
                (key, names[label]) for key, label in zip(w.keys, w.labels, strict=True)
            )
            for split, w in splits.items()
        },
        num_features=sets["train"].inputs.shape[2],
    )


def make_loader(
    dataset: ClipDataset | InertialDataset,
    batch_sampler: EpochSampler,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> torch.utils.data.DataLoader:
    """A loader of `Batch`es in the sampler's order, the same for any number of workers.

    Workers live as long as the loader and use one thread each.
    """
    from torch.utils.data import DataLoader

    from gesture3d.data.batch import collate

    return DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        persistent_workers=num_workers > 0,
        prefetch_factor=4 if num_workers > 0 else None,
    )


def _start_worker(_: int) -> None:
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _read_synthetic(config: SyntheticData, progress: bool) -> ClipIndex:
    from gesture3d.data.synthetic import generate

    generate(
        config.root,
        clips_per_class=config.clips_per_class.model_dump(),
        hard=config.hard,
        seed=config.seed,
        progress=progress,
    )
    return read_jester(config.root, config.modality)


def _read_jester(config: JesterData, progress: bool) -> ClipIndex:
    return read_jester(config.root)


def _read_folder(config: FolderData, progress: bool) -> ClipIndex:
    return read_folder(config)


_READERS = {"synthetic": _read_synthetic, "jester": _read_jester, "folder": _read_folder}


def _open_cache(config: DataConfig, index: ClipIndex, progress: bool) -> FrameCache | None:
    """Decoded frames in ``root/cache``, or in ``data/cache`` where root is not ours to write in."""
    if config.cache_size is None:
        return None
    folder = config.root / "cache"
    writable = os.access(folder if folder.is_dir() else config.root, os.W_OK)
    if isinstance(config, FolderData) or not writable:
        root = config.root.resolve()
        folder = Path("data/cache") / f"{root.name}-{fingerprint([(root,)])[:8]}"
    return open_cache(index.all_clips(), folder, config.cache_size, progress=progress)
