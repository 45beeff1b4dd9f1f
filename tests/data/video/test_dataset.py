from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d.data import Datasets, build_datasets, make_loader
from gesture3d.data.batch import EpochSampler
from gesture3d.data.index import Item
from gesture3d.data.video.clips import clip_from_frames, load_clip
from gesture3d.data.video.reading import read_frames
from gesture3d.data.video.sets.folder import FolderData
from gesture3d.data.video.sets.jester import JesterData
from gesture3d.data.video.sets.synthetic import SyntheticData
from gesture3d.data.video.stream import Augmentation
from gesture3d.errors import Gesture3dError
from tests.clips import clip_samples, copied, square_clip, square_folder, write_clip

AUGMENTATION = Augmentation(
    crop_scale=(0.7, 1.0), aspect=0.1, shift=0.2, time_span=(0.8, 1.0), gain=(0.7, 1.3)
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return square_folder(tmp_path_factory.mktemp("squares"))


def config(root: Path, **settings) -> FolderData:
    settings = {"num_frames": 8, "size": 24, "augmentation": AUGMENTATION} | settings
    return FolderData(name="folder", root=root, **settings)


def build(root: Path, **settings) -> Datasets:
    return build_datasets(config(root, **settings), 0, progress=False)


def test_samples_are_uint8_clips_with_keys(root):
    datasets = build(root)
    assert (len(datasets.train), len(datasets.validation), datasets.test) == (20, 4, None)
    assert datasets.class_names == ("down", "left", "right", "up")
    sample = datasets.train[3, 5]
    assert sample.inputs.shape == (8, 3, 24, 24)
    assert sample.inputs.dtype == torch.uint8
    assert sample.key == datasets.train.keys[5]
    assert sample.label == datasets.train.labels[5]
    assert set(datasets.fingerprint) == {"train", "validation"}


def test_training_samples_depend_on_seed_epoch_and_key_alone(root):
    train = build(root).train
    first = train[2, 7].inputs
    train[0, 1]
    assert torch.equal(train[2, 7].inputs, first)
    assert not torch.equal(train[3, 7].inputs, first)
    other = clip_samples(train.items[7:], train.class_names, config(root), True, seed=0)
    assert torch.equal(other[2, 0].inputs, first)
    other = clip_samples(train.items[7:], train.class_names, config(root), True, seed=1)
    assert not torch.equal(other[2, 0].inputs, first)


@pytest.mark.parametrize("cache_size", [None, 20])
def test_evaluation_equals_load_clip(root, tmp_path, monkeypatch, cache_size):
    monkeypatch.chdir(tmp_path)
    data = config(root, cache_size=cache_size)
    validation = build_datasets(data, 0, progress=False).validation
    for index, clip in enumerate(validation.items):
        expected = load_clip(clip.path, data)
        assert torch.equal(validation[index].inputs, expected)
        assert torch.equal(validation[4, index].inputs, expected)
        frames = read_frames(clip.path)
        assert torch.equal(clip_from_frames(frames, data), expected)


def test_training_is_the_same_from_the_cache(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cached = build(root, cache_size=20).train
    decoded = clip_samples(cached.items, cached.class_names, config(root, cache_size=20), True)
    assert all(torch.equal(cached[1, i].inputs, decoded[1, i].inputs) for i in range(len(cached)))
    assert not list(root.glob("cache"))  # a folder of your clips is left as it is


def test_a_share_of_the_training_clips_is_corrupted(root, tmp_path, monkeypatch):
    """Before the crop, so that it is the same from the cache; evaluation sees clean clips."""
    monkeypatch.chdir(tmp_path)

    def samples(share: float, cache_size: int | None = 20) -> Datasets:
        augmentation = AUGMENTATION.model_copy(update={"corruption": share})
        return build(root, cache_size=cache_size, augmentation=augmentation)

    clean, half, whole = (samples(share) for share in (0, 0.5, 1))
    data = config(
        root, cache_size=20, augmentation=AUGMENTATION.model_copy(update={"corruption": 1})
    )
    decoded = clip_samples(clean.train.items, clean.class_names, data, True)
    changed = {0.5: 0, 1: 0}
    for epoch in range(4):
        for i in range(len(clean.train)):
            before = clean.train[epoch, i].inputs
            for share, datasets in ((0.5, half), (1, whole)):
                after = datasets.train[epoch, i].inputs
                assert after.shape == before.shape
                assert torch.equal(after, datasets.train[epoch, i].inputs)
                changed[share] += not torch.equal(after, before)
    assert changed[1] > 70
    assert 20 < changed[0.5] < 60
    for i in range(len(decoded)):
        assert torch.equal(whole.train[1, i].inputs, decoded[1, i].inputs)
    for i in range(len(clean.validation)):
        assert torch.equal(whole.validation[1, i].inputs, clean.validation[1, i].inputs)


def test_the_number_of_workers_changes_nothing(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = build(root, cache_size=20).train

    def epochs(num_workers: int) -> list:
        sampler = EpochSampler(len(train), 6, seed=0, shuffle=True, drop_last=True)
        loader = make_loader(train, sampler, num_workers)
        batches = []
        for epoch, first_batch in ((0, 0), (1, 2), (2, 0)):
            sampler.set_position(epoch, first_batch)
            batches += list(loader)
        return batches

    alone, together = epochs(0), epochs(2)
    assert len(alone) == len(together) == 3 + 1 + 3
    for one, two in zip(alone, together, strict=True):
        assert one.keys == two.keys
        assert torch.equal(one.inputs, two.inputs)
        assert torch.equal(one.labels, two.labels)


def test_a_flip_swaps_labels_where_that_is_declared(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", square_clip("left", 0))
    clips = [Item("clip", 0, path), Item("unknown", -1, path)]
    data = FolderData(name="folder", size=32, augmentation=Augmentation(horizontal_flip=True))
    names, mirror = ("left", "right"), {"left": "right", "right": "left"}
    dataset = clip_samples(clips, names, data, True, mirror=mirror)
    samples = [dataset[epoch, 0] for epoch in range(20)]
    assert {sample.label for sample in samples} == {0, 1}
    moves = [np.diff(centres(sample.inputs)).mean() for sample in samples]
    assert all((move > 0) == (s.label == 1) for move, s in zip(moves, samples, strict=True))
    assert {dataset[epoch, 1].label for epoch in range(20)} == {-1}
    evaluated = clip_samples(clips, names, data, False, mirror=mirror)
    assert {evaluated[epoch, 0].label for epoch in range(20)} == {0}
    with pytest.raises(Gesture3dError, match="horizontal_flip"):
        clip_samples(clips, names, data, True)


def centres(clip: torch.Tensor) -> np.ndarray:
    """Column of the bright spot in each frame."""
    bright = clip[:, 0].float() > 120
    columns = torch.arange(clip.shape[-1])
    return ((bright * columns).sum((1, 2)) / bright.sum((1, 2))).numpy()


def test_a_broken_clip_fails_with_its_name(root, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    data = FolderData(name="folder", root=root)
    for training in (True, False):
        dataset = clip_samples([Item("bad", 0, bad)], ("a",), data, training)
        with pytest.raises(Gesture3dError, match=r"bad\.mp4: no video"):
            dataset[0]


def test_generated_clips_are_made_on_first_use(generated, tmp_path, monkeypatch, capsys):
    def as_drawn_before(root: Path, *_, **how) -> None:
        for folder in (path for path in generated.iterdir() if path.is_dir()):
            copied(folder, root / folder.name)

    monkeypatch.setattr("gesture3d.synthetic.generate.make_missing", as_drawn_before)
    counts = {"train": 1, "validation": 1, "test": 1}
    config = SyntheticData(
        name="synthetic", root=tmp_path, clips_per_class=counts, size=32, cache_size=40
    )
    datasets = build_datasets(config, 0, progress=False)
    assert capsys.readouterr().out == ""
    assert len(datasets.train) == len(datasets.validation) == len(datasets.test) == 27
    assert sorted(datasets.test.labels) == list(range(27))
    assert datasets.train[0].inputs.shape == (16, 3, 32, 32)
    depth = config.model_copy(update={"modality": "depth"})
    again = build_datasets(depth, 0, progress=False)
    assert again.fingerprint == datasets.fingerprint
    assert not torch.equal(again.validation[0].inputs, datasets.validation[0].inputs)


# --- several views, playing backwards, promised lengths -----------------------------------------


def test_views_are_clips_times_crops(tmp_path):
    wide = np.zeros((12, 20, 60, 3), np.uint8)
    wide[:, :, :20, 0], wide[:, :, 20:40, 1], wide[:, :, 40:, 2] = 250, 250, 250
    wide[6:] //= 2  # the second half is darker
    data = FolderData(
        name="folder", num_frames=4, size=16, eval_clips=2, eval_crops=3, sampling="dense"
    )
    views = clip_from_frames(wide, data.model_copy(update={"frame_stride": 1}))
    assert views.shape == (6, 4, 3, 16, 16)
    means = views.float().mean((1, 3, 4)).round()
    assert means.tolist() == [
        [250, 0, 0],
        [0, 250, 0],
        [0, 0, 250],
        [125, 0, 0],
        [0, 125, 0],
        [0, 0, 125],
    ]


def test_one_view_is_what_it_always_was(root):
    clip = build(root).validation.items[0]
    one = FolderData(name="folder", num_frames=8, size=24)
    several = one.model_copy(update={"eval_clips": 3})
    assert torch.equal(load_clip(clip.path, several)[0], load_clip(clip.path, one))


def test_scores_of_several_views_are_the_mean_of_their_probabilities(root):
    from gesture3d.evaluation.predict import predict

    validation = build(root, eval_clips=2, eval_crops=3).validation

    def model(inputs: torch.Tensor, lengths: None = None) -> torch.Tensor:
        return inputs.float().mean((1, 3, 4))  # (B, 3) "scores"

    sampler = EpochSampler(len(validation), 3, 0, shuffle=False)
    linear = torch.nn.Identity()
    linear.forward = model
    found = predict(linear, make_loader(validation, sampler), torch.device("cpu"))
    levels = torch.from_numpy(found.scores).logsumexp(1)
    for key, probabilities, level in zip(found.keys, found.probabilities, levels, strict=True):
        views = validation[validation.keys.index(key)].inputs
        assert views.shape == (6, 8, 3, 24, 24)
        assert np.allclose(probabilities, model(views).softmax(1).mean(0), atol=1e-5)
        torch.testing.assert_close(level, model(views).logsumexp(1).mean())


def test_playing_backwards_swaps_labels_where_they_are_declared(root):
    clips = [clip for clip in build(root).train.items if clip.key.startswith("left/")]
    data = JesterData(name="jester", num_frames=12, size=32, augmentation={"time_reversal": True})
    names = ("left", "right")
    clips = [Item(clip.key, 0, clip.path) for clip in clips]
    with pytest.raises(Gesture3dError, match="which classes swap when played backwards"):
        clip_samples(clips, names, data, True)
    swap = {"left": "right", "right": "left"}
    set_ = clip_samples(clips, names, data, True, reversal=swap)
    labels = []
    for epoch in range(6):
        sample = set_[epoch, 0]
        column = torch.arange(32.0)
        weight = (sample.inputs[:, 0].float() - 90).clamp(min=0).sum(1)  # (T, W)
        x = (weight * column).sum(1) / weight.sum(1)
        labels.append(sample.label)
        assert names[sample.label] == ("left" if x[-1] < x[0] else "right")
    assert set(labels) == {0, 1}


@pytest.mark.parametrize("cached", [True, False])
def test_a_mirroring_cameras_clips_are_turned_back(root, cached):
    settings = {"augmentation": Augmentation(), "cache_size": 32 if cached else None}
    plain, turned = (build(root, mirrored_camera=m, **settings) for m in (False, True))
    for split in ("train", "validation"):
        as_filmed, back = (getattr(d, split)[1, 2] for d in (plain, turned))
        assert torch.equal(back.inputs, as_filmed.inputs.flip(-1))
        assert not torch.equal(back.inputs, as_filmed.inputs)
        assert back.label == as_filmed.label


def test_jester_declares_what_happens_backwards():
    from gesture3d.data.video.sets.jester import REVERSAL_PAIRS
    from gesture3d.synthetic.gestures import GESTURES

    names = [name for pair in REVERSAL_PAIRS for name in pair]
    assert len(set(names)) == len(names) == 20
    assert set(names) <= set(GESTURES)


def test_a_clip_has_the_frames_that_its_list_promises(root, tmp_path):
    (tmp_path / "clips.csv").write_text(
        "path,label,split,frames\n"
        + "".join(
            f"{name}/{n}.mp4,{name},{split},{12 + (split == 'validation')}\n"
            for name in ("left", "right")
            for n, split in ((0, "train"), (1, "validation"))
        )
    )
    datasets = build(root, csv=tmp_path / "clips.csv")
    assert datasets.train[0].inputs.shape == (8, 3, 24, 24)
    with pytest.raises(Gesture3dError, match=r"left/1\.mp4: has 12 frames, its list says 13"):
        datasets.validation[0]


def test_channels_of_network_and_clips_must_agree():
    from gesture3d.config import load_experiment

    with pytest.raises(Gesture3dError, match=r"model\.in_channels is 3, but depth clips have 1"):
        load_experiment("variant_a", "synthetic", ["data.modality=depth"])
    assert load_experiment("variant_a", "synthetic_depth").model.in_channels == 1
    with pytest.raises(Gesture3dError, match="channels 2 does not fit modality rgb"):
        load_experiment("variant_a", "synthetic", ["data.channels=2"])
    with pytest.raises(Gesture3dError, match="would falsify flow vectors"):
        load_experiment("variant_a", "synthetic_flow", ["data.augmentation.rotation_degrees=5"])
