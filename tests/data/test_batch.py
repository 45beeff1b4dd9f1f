from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gesture3d.config import load_experiment
from gesture3d.data.batch import EpochSampler, Sample, collate
from gesture3d.distributed import Processes
from gesture3d.errors import Gesture3dError
from gesture3d.training.batches import training_loader


def indices(sampler: EpochSampler, epoch: int = 0, first_batch: int = 0) -> list[list[int]]:
    sampler.set_position(epoch, first_batch)
    batches = list(sampler)
    assert all(e == epoch for batch in batches for e, _ in batch)
    return [[index for _, index in batch] for batch in batches]


def test_clips_are_stacked():
    clips = [torch.full((2, 3, 4, 4), i, dtype=torch.uint8) for i in range(3)]
    batch = collate([Sample(f"k{i}", clip, i - 1) for i, clip in enumerate(clips)])
    assert batch.keys == ["k0", "k1", "k2"]
    assert batch.inputs.shape == (3, 2, 3, 4, 4)
    assert batch.inputs.dtype == torch.uint8
    assert batch.inputs.movedim(-3, -1).is_contiguous()  # (..., H, W, C), as frames are decoded
    assert batch.lengths is None
    assert batch.labels.tolist() == [-1, 0, 1]
    assert len(batch.to("cpu")) == 3


def test_sequences_are_padded_and_keep_their_lengths():
    sequences = [torch.ones(n, 5) for n in (2, 4, 1)]
    batch = collate([Sample(str(i), s, i) for i, s in enumerate(sequences)])
    assert batch.inputs.shape == (3, 4, 5)
    assert batch.lengths.tolist() == [2, 4, 1]
    assert batch.inputs.sum(dim=(1, 2)).tolist() == [10, 20, 5]


@pytest.mark.parametrize("shapes", [[(2, 3, 4, 4), (2, 3, 5, 4)], [(7, 5), (7, 6)]])
def test_samples_that_do_not_fit_are_named(shapes):
    samples = [Sample(f"clip {i}", torch.zeros(shape), 0) for i, shape in enumerate(shapes)]
    with pytest.raises(Gesture3dError, match="'clip 1' of shape"):
        collate(samples)


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4), st.booleans(), st.booleans())
def test_ranks_share_the_batches_of_one_process(num_samples, batch_size, world, shuffle, drop):
    single = EpochSampler(num_samples, batch_size * world, 3, shuffle, drop_last=drop)
    ranks = [
        EpochSampler(num_samples, batch_size, 3, shuffle, rank, world, drop)
        for rank in range(world)
    ]
    shares = [indices(rank, epoch=2) for rank in ranks]
    whole = indices(single, epoch=2)
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares if number < len(share)]
        assert list(chain(*parts)) == batch
    assert [len(rank) for rank in ranks] == [len(share) for share in shares]
    assert all(batch for share in shares for batch in share)
    seen = sorted(chain(*whole))
    if drop and num_samples >= batch_size * world:
        assert (
            len(seen) == len(set(seen)) == num_samples // (batch_size * world) * batch_size * world
        )
    else:
        assert seen == list(range(num_samples))


def test_the_order_belongs_to_seed_and_epoch():
    sampler = EpochSampler(100, 8, seed=1, shuffle=True)
    first, second = indices(sampler, epoch=0), indices(sampler, epoch=1)
    assert first != second
    assert first == indices(EpochSampler(100, 8, seed=1, shuffle=True), epoch=0)
    assert first != indices(EpochSampler(100, 8, seed=2, shuffle=True), epoch=0)
    assert indices(EpochSampler(5, 2, seed=1, shuffle=False)) == [[0, 1], [2, 3], [4]]


def test_an_epoch_continues_in_its_middle():
    sampler = EpochSampler(50, 4, seed=1, shuffle=True, drop_last=True)
    whole = indices(sampler, epoch=3)
    assert indices(sampler, epoch=3, first_batch=5) == whole[5:]
    assert indices(sampler, epoch=3, first_batch=len(whole)) == []
    assert len(sampler) == len(whole) == 12


def test_no_samples_is_an_error():
    with pytest.raises(Gesture3dError, match="no samples"):
        EpochSampler(0, 4, seed=0, shuffle=True)


@pytest.mark.parametrize("world", [1, 2])
def test_a_balanced_epoch_visits_every_class_equally_often(world) -> None:
    labels = np.repeat([0, 1, 2], [20, 7, 3])
    lengths = np.arange(30)

    def epoch(number: int, first: int = 0) -> list[tuple[int, int]]:
        samplers = [
            EpochSampler(30, 4, 5, True, rank, world, lengths=lengths, balance=labels)
            for rank in range(world)
        ]
        for sampler in samplers:
            sampler.set_position(number, first)
        return [visit for sampler in samplers for batch in sampler for visit in batch]

    visits = epoch(0)
    assert len(visits) == len(set(visits)) == 30  # no visit is the same view as another
    assert Counter(labels[index] for _, index in visits) == {0: 10, 1: 10, 2: 10}
    assert max(Counter(index for _, index in visits).values()) == 4  # 10 visits of 3 samples
    assert visits == epoch(0) != epoch(1)
    assert {index for number in range(9) for _, index in epoch(number)} == set(range(30))
    if world == 1:
        assert epoch(2, first=3) == epoch(2)[12:]  # resumed


@pytest.mark.parametrize(("wanted", "counts"), [(True, {0: 12, 1: 12}), (False, {0: 18, 1: 6})])
def test_a_training_visits_classes_equally_often_where_that_is_wanted(wanted, counts) -> None:
    class Split:
        labels, lengths = np.repeat([0, 1], [18, 6]), np.full(24, 5)

        def __len__(self) -> int:
            return 24

    settings = ["train.batch_size=4", f"data.balance={str(wanted).lower()}", "data.num_workers=0"]
    experiment = load_experiment("gru", "skeleton_folder", settings)
    processes = Processes(0, 1, torch.device("cpu"))
    visits = chain(*training_loader(Split(), experiment, processes).batch_sampler)
    assert Counter(Split.labels[index] for _, index in visits) == counts
