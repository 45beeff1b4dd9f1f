"""Data sets: `build_datasets` from a config to data sets, `make_loader` from those to batches.

Importing this package does not import torch; what needs it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gesture3d.config import (
    DataConfig,
    FolderData,
    InertialData,
    IsoGDData,
    JesterData,
    SkeletonData,
    SyntheticData,
    UTDMHADDepthData,
)
from gesture3d.data.index import ClipIndex, fingerprint
from gesture3d.data.subset import choose_subset, excluded_keys, refuse_untrained, without
from gesture3d.data.video.prepared.cache import FrameCache, open_cache
from gesture3d.data.video.prepared.flow import flow_index, prepare_flow
from gesture3d.data.video.prepared.manifest import bad_clips, explain_bad_clips
from gesture3d.data.video.prepared.places import flow_folder, manifest_path, prepared_folder
from gesture3d.data.video.sets.folder import read_folder
from gesture3d.data.video.sets.isogd import read_isogd
from gesture3d.data.video.sets.jester import read_jester
from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    import torch

    from gesture3d.data.batch import EpochSampler
    from gesture3d.data.inertial.dataset import InertialDataset
    from gesture3d.data.skeleton.dataset import SkeletonDataset
    from gesture3d.data.video.dataset import ClipDataset


@dataclass(frozen=True)
class Datasets:
    """The splits of a data set; ``validation`` or ``test`` is None where it has none.

    ``fingerprint`` maps each split to a short hash of its keys and labels.
    ``num_features`` is the size of a sequence's frame, None for clips.
    ``left_out`` are clips that cannot be decoded and may be left out: key → reason.
    """

    train: ClipDataset | SkeletonDataset | InertialDataset
    validation: ClipDataset | SkeletonDataset | InertialDataset | None
    test: ClipDataset | SkeletonDataset | InertialDataset | None
    class_names: tuple[str, ...]
    fingerprint: dict[str, str]
    num_features: int | None = None
    channel_names: tuple[str, ...] | None = None
    left_out: dict[str, str] = field(default_factory=dict)


def build_datasets(config: DataConfig, seed: int, progress: bool = True) -> Datasets:
    """The data sets that a config describes, generated and decoded first where that is needed.

    Args:
        seed: of everything random about training samples.
        progress: show bars and say what is reused.

    Raises:
        Gesture3dError: missing or wrong data, in one line.
    """
    if isinstance(config, SkeletonData):
        return _skeleton_datasets(config, seed, progress)
    if isinstance(config, InertialData):
        return _inertial_datasets(config, seed)
    from gesture3d.data.video.dataset import ClipDataset

    index = read_index(config, progress)
    listed = index
    index, left_out = refuse_bad_clips(index, config, progress)
    cache = build_cache(index, config, progress)
    if cache is not None and cache.broken:
        _say_left_out(cache.broken, progress)
        left_out |= cache.broken
        index = without(index, set(cache.broken))
    refuse_untrained(index, listed, "data.on_bad_clip=exclude")
    if not index.splits.get("train"):
        raise Gesture3dError(f"{config.root}: the train split has no clips")

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
            reversal=index.reversal,
        )

    prints = {split: index.fingerprint(split) for split, clips in index.splits.items() if clips}
    return Datasets(
        dataset("train"),
        dataset("validation"),
        dataset("test"),
        index.class_names,
        prints,
        left_out=left_out,
    )


def read_index(
    config: DataConfig, progress: bool = True, missing_ok: Container[str] = ()
) -> ClipIndex:
    """The clips that a config describes: listed, without the excluded, the chosen classes.

    Args:
        missing_ok: keys of clips that need not be on disk.
    """
    excluded = excluded_keys(config)
    listed = _READERS[config.name](config, progress, missing_ok or excluded)
    # A folder's classes are chosen when it is listed; what is excluded may be of another.
    chosen = isinstance(config, FolderData) and config.classes is not None
    index = choose_subset(without(listed, excluded, all_known=not chosen), config)
    refuse_untrained(index, listed, "data.exclude")
    index = index.with_real_paths()
    if config.modality == "flow":
        index = flow_index(index, config, missing_ok).with_real_paths()
    return index


def build_cache(
    index: ClipIndex, config: DataConfig, progress: bool, num_workers: int | None = None
) -> FrameCache | None:
    """The decoded frames of all clips; None where ``data.cache_size`` is null."""
    if config.cache_size is None:
        return None
    return open_cache(
        index.all_clips(),
        prepared_folder(config) / "cache",
        config.cache_size,
        num_workers,
        progress=progress,
        pixels=config.pixels,
        skip_broken=config.on_bad_clip == "exclude",
        modality=config.modality,
        rules=config.frame_rules,
    )


def refuse_bad_clips(
    index: ClipIndex, config: DataConfig, progress: bool
) -> tuple[ClipIndex, dict[str, str]]:
    """The index as it is, where the manifest of ``tools/prepare.py check`` has no bad clip in it.

    With ``data.on_bad_clip: exclude`` the bad clips are left out, and it is said how many.

    Returns:
        The index, and the reasons for the clips that were left out by key.

    Raises:
        Gesture3dError: there are bad clips, the first of which it names.
    """
    bad, unchecked = bad_clips(index, manifest_path(config))
    if unchecked and progress:
        print(f"{unchecked} clips have changed or are new since they were checked; check again")
    if bad and config.on_bad_clip == "fail":
        raise Gesture3dError(explain_bad_clips(bad, manifest_path(config)))
    if bad:
        _say_left_out(bad, progress)
    return without(index, set(bad)), dict(bad)


def _say_left_out(broken: Mapping[str, str], progress: bool) -> None:
    if progress:
        first = "; ".join(list(broken.values())[:3]) + ("; ..." if len(broken) > 3 else "")
        print(f"{len(broken)} bad clips are left out (data.on_bad_clip: exclude): {first}")


def _skeleton_datasets(config: SkeletonData, seed: int, progress: bool) -> Datasets:
    from gesture3d.data.skeleton.dataset import SkeletonDataset, split_sequences
    from gesture3d.data.skeleton.sets import read_skeletons

    index = read_skeletons(config, progress)
    names = index.class_names
    splits = {split: s for split, s in split_sequences(index, config).items() if s}
    sets = {
        split: SkeletonDataset(sequences, names, config, split == "train", seed)
        for split, sequences in splits.items()
    }
    return Datasets(
        sets["train"],
        sets.get("validation"),
        sets.get("test"),
        names,
        {split: fingerprint((s.key, names[s.label]) for s in splits[split]) for split in splits},
        num_features=sets["train"][0].inputs.shape[1],
    )


def _inertial_datasets(config: InertialData, seed: int) -> Datasets:
    from gesture3d.data.inertial.dataset import InertialDataset, read_windows, split_windows

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
        channel_names=splits["train"].channel_names,
    )


def count_folds(config: DataConfig) -> int:
    """How many folds the data set has, as ``config.folds`` asks.

    Raises:
        Gesture3dError: it has none.
    """
    if not isinstance(config, SkeletonData):
        raise Gesture3dError(f"--folds: data set {config.name!r} has a fixed split and no folds")
    from gesture3d.data.skeleton.dataset import held_out_folds
    from gesture3d.data.skeleton.sets import read_skeletons

    return len(held_out_folds(read_skeletons(config), config))


def make_loader(
    dataset: ClipDataset | SkeletonDataset | InertialDataset,
    batch_sampler: EpochSampler,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> torch.utils.data.DataLoader:
    """A loader of `Batch`es in the sampler's order, the same for any number of workers."""
    import cv2

    from gesture3d.data.loader import ClipLoader

    # Here, not in the workers: a forked process waits for ever for the threads that OpenCV had
    # before the fork.
    cv2.setNumThreads(1)
    return ClipLoader(dataset, num_workers, batch_sampler=batch_sampler, pin_memory=pin_memory)


def _read_synthetic(config: SyntheticData, progress: bool, missing_ok: Container[str]) -> ClipIndex:
    from gesture3d.synthetic.generate import generate

    generate(
        config.root,
        clips_per_class=config.clips_per_class.model_dump(),
        hard=config.hard,
        seed=config.seed,
        progress=progress,
    )
    folder = "depth" if config.modality == "depth" else "rgb"
    index = read_jester(config.root, folder, missing_ok)
    if config.modality == "flow":
        prepare_flow(index, flow_folder(config), progress=progress)
    return index


def _read_jester(config: JesterData, _: bool, missing_ok: Container[str]) -> ClipIndex:
    return read_jester(config.root, missing_ok=missing_ok)


def _read_isogd(config: IsoGDData, _: bool, missing_ok: Container[str]) -> ClipIndex:
    return read_isogd(config.root, config.modality, missing_ok)


def _read_utd_mhad_depth(config: UTDMHADDepthData, _: bool, __: Container[str]) -> ClipIndex:
    from gesture3d.data.video.sets.utd_mhad_depth import read_utd_mhad_depth

    return read_utd_mhad_depth(config)


def _read_folder(config: FolderData, progress: bool, missing_ok: Container[str]) -> ClipIndex:
    return read_folder(config, missing_ok, progress)


_READERS = {
    "synthetic": _read_synthetic,
    "jester": _read_jester,
    "isogd": _read_isogd,
    "utd_mhad_depth": _read_utd_mhad_depth,
    "folder": _read_folder,
}
