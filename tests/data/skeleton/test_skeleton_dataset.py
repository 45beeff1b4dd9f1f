"""Splits, folds, order, statistics and batches of skeleton sequences."""

from itertools import chain

import numpy as np
import pytest
import torch

from gesture3d.data import build_datasets, count_folds, make_loader, read_index
from gesture3d.data.batch import EpochSampler
from gesture3d.data.index import Index, Item
from gesture3d.data.samples import Samples
from gesture3d.data.skeleton.stream import SkeletonAugmentation
from gesture3d.data.split import folds
from gesture3d.errors import Gesture3dError
from gesture3d.models.sequence import mean_and_std
from gesture3d.rng import generator
from tests.data.skeleton.layouts import folder_config, folder_set, walk


def test_a_csv_with_groups_gives_folds_by_group(tmp_path) -> None:
    folder_set(tmp_path)
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name},p{int(path.stem) % 3}"
        for path in sorted(tmp_path.glob("*/*"))
    ]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group", *rows]) + "\n")
    for name, count in (("leave_one_group_out", 3), ("k_fold", 2)):
        data = folder_config(tmp_path, csv="list.csv", folds=name, num_folds=2)
        assert count_folds(data) == count
        tested = []
        for fold in range(1, count + 1):
            splits = read_index(data.model_copy(update={"fold": fold})).splits
            groups = {s.group for s in splits["test"]}
            assert groups.isdisjoint(s.group for s in splits["train"])
            tested += [s.key for s in splits["test"]]
        assert len(tested) == len(set(tested)) == 18
    held = data.model_copy(update={"folds": "leave_one_group_out", "validation_groups": ("p1",)})
    splits = read_index(held).splits
    assert [len(splits[s]) for s in ("train", "validation", "test")] == [6, 6, 6]


def test_a_group_in_two_splits_is_refused(tmp_path) -> None:
    folder_set(tmp_path)
    paths = [p.relative_to(tmp_path) for p in sorted(tmp_path.glob("*/*"))]
    rows = [f"{p},{p.parent.name},{'train' if n else 'test'},anna" for n, p in enumerate(paths)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split,group", *rows]) + "\n")
    with pytest.raises(Gesture3dError, match="group 'anna' is in train and test"):
        read_index(folder_config(tmp_path, csv="list.csv"))


def test_sequences_in_folders_of_a_class_are_not_lost(tmp_path) -> None:
    folder_set(tmp_path)
    path = next(tmp_path.glob("*/*"))
    (path.parent / "notes").mkdir()
    assert len(read_index(folder_config(tmp_path)).items) == 18
    inner = path.rename(path.parent / "notes" / path.name)
    with pytest.raises(Gesture3dError, match=f"found {inner}, expected {tmp_path}/<class>/<clip>"):
        read_index(folder_config(tmp_path))


def test_training_samples_belong_to_seed_and_epoch(tmp_path) -> None:
    augmentation = SkeletonAugmentation(rotation_degrees=(20, 20, 20), noise=0.01)
    data = folder_config(folder_set(tmp_path), augmentation=augmentation)
    train, again = (build_datasets(data, seed=3).train for _ in range(2))
    assert torch.equal(train[2, 4].inputs, again[2, 4].inputs)
    assert not torch.equal(train[2, 4].inputs, train[3, 4].inputs)
    test = build_datasets(data, seed=3).test
    assert torch.equal(test[2, 0].inputs, test[3, 0].inputs)
    path = tmp_path / test.keys[0]
    assert torch.equal(data.load(path), test[0].inputs)  # use = evaluation


def test_statistics_are_those_of_the_training_frames_without_augmentation(tmp_path) -> None:
    root = folder_set(tmp_path)
    plain = build_datasets(folder_config(root), seed=0).train
    frames = torch.cat([plain[i].inputs for i in range(len(plain))]).double()
    noisy = build_datasets(folder_config(root, augmentation={"noise": 5.0}), seed=0).train
    assert not torch.equal(noisy[0].inputs, plain[0].inputs)
    mean, std = mean_and_std(noisy.inputs)
    torch.testing.assert_close(mean, frames.mean(0))
    torch.testing.assert_close(std, frames.std(0, correction=0))


@pytest.mark.parametrize("world", [1, 2])
def test_buckets_hold_similar_lengths_and_the_very_samples_of_the_epoch(world: int) -> None:
    lengths = generator("lengths").integers(20, 161, 1000)

    def epoch(number: int, lengths: np.ndarray | None) -> list[list[int]]:
        batches = []
        for rank in range(world):
            sampler = EpochSampler(1000, 32, 5, True, rank, world, drop_last=True, lengths=lengths)
            sampler.set_position(number)
            batches += [[index for _, index in batch] for batch in sampler]
        return batches

    for number in range(3):
        plain, bucketed = epoch(number, None), epoch(number, lengths)
        assert [len(b) for b in plain] == [len(b) for b in bucketed]
        assert sorted(chain(*plain)) == sorted(chain(*bucketed))
        assert bucketed == epoch(number, lengths)
        padding = [
            1
            - sum(lengths[b].sum() for b in batches)
            / sum(len(b) * lengths[b].max() for b in batches)
            for batches in (plain, bucketed)
        ]
        assert padding[0] > 0.35
        assert padding[1] < 0.10
        longest = [lengths[b].max() for b in bucketed]
        assert longest != sorted(longest)  # not from short to long
    assert epoch(0, lengths) != epoch(1, lengths)


def test_batches_are_padded_and_keep_lengths(tmp_path) -> None:
    train = build_datasets(folder_config(folder_set(tmp_path)), seed=0).train
    sampler = EpochSampler(len(train), 4, 0, True, lengths=train.lengths)
    for batch in make_loader(train, sampler):
        assert batch.lengths.max() == batch.inputs.shape[1]
        for row, length in zip(batch.inputs, batch.lengths, strict=True):
            assert (row[length:] == 0).all()


def sequence(key: str = "a", joints: int = 4) -> Item:
    return Item(key, 0, walk(5, joints), where=f"{key}.npy")


def test_sequences_of_other_joints_are_named(tmp_path) -> None:
    index = Index(("x", "y"), [sequence(), sequence("b", joints=5)])
    with pytest.raises(Gesture3dError, match=r"b\.npy: 5 joints of 3 .* a\.npy has 4"):
        folder_config(tmp_path).present(index)


def test_lengths_are_those_of_the_samples(tmp_path) -> None:
    index = Index(("x",), [Item(str(n), 0, walk(n, 4)) for n in (1, 7, 30)])
    for frames in (None, 12):
        opened = folder_config(tmp_path, num_frames=frames).open(index, progress=False)
        dataset = Samples(index.items, ("x",), opened, training=False, seed=0)
        assert dataset.lengths.tolist() == [len(dataset[i].inputs) for i in range(3)]


def test_groups_with_digits_that_are_no_numbers_are_sorted_as_texts(tmp_path) -> None:
    names = ["10", "9", "²", "1" * 5000]
    index = Index(("x",), [Item(g, 0, walk(5, 4), g) for g in names])
    found = folds(index, folder_config(tmp_path, folds="leave_one_group_out"))
    assert [min(fold) for fold in found] == ["9", "10", "1" * 5000, "²"]
