"""Skeleton data sets: real files, small copies of the official layouts, splits and bad input."""

import io
import zipfile
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from gesture3d import config as configs
from gesture3d.data import build_datasets, count_folds, make_loader
from gesture3d.data.batch import EpochSampler
from gesture3d.data.skeleton.dataset import (
    Sequence,
    SkeletonDataset,
    SkeletonIndex,
    held_out_folds,
    load_skeleton,
    split_sequences,
)
from gesture3d.data.skeleton.sets import SBU_FOLDS, read_skeletons
from gesture3d.errors import Gesture3dError
from gesture3d.models.sequence import mean_and_std
from gesture3d.rng import generator


def walk(frames: int, joints: int, seed: object = 0) -> np.ndarray:
    steps = generator("walk", str(seed)).normal(size=(frames, joints, 3))
    return (np.cumsum(steps, axis=0) / 10).astype(np.float32)


def folder_config(root: Path, **settings) -> configs.SkeletonFolderData:
    return configs.SkeletonFolderData(name="skeleton_folder", root=root, **settings)


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


# --- the real sets -------------------------------------------------------------------------------


def test_utd_mhad_is_split_by_subject_as_published(shared_data) -> None:
    data = configs.UTDSkeletonData(name="utd_mhad_skeleton", root=shared_data / "utd_mhad")
    index = read_skeletons(data)
    splits = split_sequences(index, data)
    assert (len(splits["train"]), len(splits["test"])) == (431, 430)
    assert {s.group for s in splits["train"]} == {"1", "3", "5", "7"}
    assert len(index.class_names) == 27
    first = next(s for s in index.sequences if s.key == "a1_s1_t1")
    assert first.joints.shape[1:] == (20, 3)
    height = first.joints[:, 0, 1].mean() - first.joints[:, [15, 19], 1].mean()  # head over feet
    assert 1.2 < height < 2.1  # metres
    lonely = data.model_copy(update={"folds": "leave_one_group_out"})
    folds = held_out_folds(index, lonely)
    assert len(folds) == 8
    assert sum(map(len, folds)) == 861


def test_sfinge3d_has_six_folds_of_blocks(shared_data) -> None:
    data = configs.SFINGE3DData(name="sfinge3d", root=shared_data / "sfinge3d")
    index = read_skeletons(data)
    assert len(index.sequences) == 13 * 36
    folds = held_out_folds(index, data)
    assert [len(fold) for fold in folds] == [78] * 6
    assert {key.split("/")[1] for key in folds[1]} == {str(n) for n in range(7, 13)}
    lengths = [len(s.joints) for s in index.sequences]
    assert (min(lengths), max(lengths)) == (24, 96)
    hands = np.concatenate([s.joints for s in index.sequences])
    palm = np.linalg.norm(hands[:, 8] - hands[:, 0], axis=1)
    assert np.median(palm) == pytest.approx(0.09, abs=0.03)  # metres: positions, not quaternions


# --- small copies of the official layouts --------------------------------------------------------


def test_utd_mhad_from_a_small_archive(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "Skeleton.zip", "w") as archive:
        for action in range(1, 28):
            for subject in (1, 2):
                content = io.BytesIO()
                values = walk(6, 20, (action, subject))
                savemat(content, {"d_skel": values.transpose(1, 2, 0)})
                name = f"Skeleton/a{action}_s{subject}_t1_skeleton.mat"
                archive.writestr(name, content.getvalue())
    data = configs.UTDSkeletonData(name="utd_mhad_skeleton", root=tmp_path)
    datasets = build_datasets(data, seed=0)
    assert (len(datasets.train), datasets.validation, len(datasets.test)) == (27, None, 27)
    sample = datasets.train[datasets.train.keys.index("a5_s1_t1")]
    np.testing.assert_allclose(sample.inputs, walk(6, 20, (5, 1)).reshape(6, 60), rtol=1e-6)
    assert sample.label == 4


def test_shrec17_lists_labels_and_sizes(tmp_path) -> None:
    lists = {"train": [], "test": []}
    for gesture in range(1, 15):
        for fingers in (1, 2):
            for subject, split in ((1, "train"), (2, "test")):
                key = f"gesture_{gesture}/finger_{fingers}/subject_{subject}/essai_1"
                (tmp_path / key).mkdir(parents=True)
                values = walk(4, 22, key).reshape(4, 66)
                np.savetxt(tmp_path / key / "skeletons_world.txt", values)
                label28 = 2 * (gesture - 1) + fingers
                lists[split].append(f"{gesture} {fingers} {subject} 1 {gesture} {label28} 4")
    for split, lines in lists.items():
        (tmp_path / f"{split}_gestures.txt").write_text("\n".join(lines) + "\n")
    for count in (14, 28):
        data = configs.SHREC17Data(name="shrec17", root=tmp_path, num_classes=count)
        datasets = build_datasets(data, seed=0)
        assert len(datasets.class_names) == count
        assert (len(datasets.train), len(datasets.test)) == (28, 28)
        at = datasets.test.keys.index("gesture_3/finger_2/subject_2/essai_1")
        assert datasets.test.labels[at] == (2 if count == 14 else 5)
        assert datasets.num_features == 66
    text = (tmp_path / "test_gestures.txt").read_text()
    (tmp_path / "test_gestures.txt").write_text(text.replace("1 1 4\n", "1 1 5\n", 1))
    with pytest.raises(Gesture3dError, match=r"4 frames, but .*test_gestures\.txt:1 says 5"):
        build_datasets(data, seed=0)


def test_sbu_kinect_is_denormalised_sorted_by_motion_and_folded(tmp_path) -> None:
    for pair in chain.from_iterable(SBU_FOLDS):
        for action in range(1, 9):
            folder = tmp_path / pair / f"{action:02}" / "001"
            folder.mkdir(parents=True)
            still, moving = np.full((5, 15, 3), 0.25), np.full((5, 15, 3), 0.5)
            moving[:, :, 0] += np.linspace(0, 0.1, 5)[:, None]
            table = np.concatenate([still, moving], axis=1).reshape(5, 90)
            rows = np.column_stack([np.arange(1, 6), table])
            np.savetxt(folder / "skeleton_pos.txt", rows, delimiter=",")
    data = configs.SBUKinectData(name="sbu_kinect", root=tmp_path)
    index = read_skeletons(data)
    assert count_folds(data) == 5
    assert [len(fold) for fold in held_out_folds(index, data)] == [32, 32, 32, 32, 40]
    joints = index.sequences[0].joints
    assert joints.shape == (5, 30, 3)
    # x = 1280 - 2560 x', y = 960 - 1920 y', z = 10000 z' / 7.8125, in thousands.
    np.testing.assert_allclose(joints[0, 0], [0.0, 0.0, 0.64], atol=1e-6)  # moves: first
    np.testing.assert_allclose(joints[0, 15], [0.64, 0.48, 0.32], atol=1e-6)
    np.testing.assert_allclose(joints[-1, 0, 0], -0.256, atol=1e-6)


def test_joints_of_the_generated_set_keep_its_splits(tmp_path) -> None:
    data = configs.SyntheticJointsData(
        name="synthetic_joints",
        root=tmp_path / "set",
        clips_per_class=configs.ClipsPerClass(train=1, validation=1, test=1),
    )
    # Lists and joints as the generator writes them, without rendering.
    import json

    from gesture3d.synthetic.generate import GENERATOR_VERSION, LABELS

    settings = {"generator_version": GENERATOR_VERSION, "seed": 0, "hard": False}
    settings["clips_per_class"] = data.clips_per_class.model_dump()
    (data.root / "joints").mkdir(parents=True)
    (data.root / "dataset.json").write_text(json.dumps(settings))
    (data.root / "jester-v1-labels.csv").write_text("\n".join(LABELS) + "\n")
    key = 0
    for suffix in ("train", "validation", "test-labels"):
        lines = []
        for name in LABELS:
            key += 1
            np.save(data.root / "joints" / f"{key}.npy", walk(30, 21, key))
            lines.append(f"{key};{name}\n")
        (data.root / f"jester-v1-{suffix}.csv").write_text("".join(lines))
    datasets = build_datasets(data, seed=0)
    assert [len(d) for d in (datasets.train, datasets.validation, datasets.test)] == [27] * 3
    assert (datasets.validation.keys[0], datasets.test.keys[0]) == ("28", "55")
    assert datasets.class_names == tuple(LABELS)
    assert datasets.num_features == 63


# --- anyone's folder -----------------------------------------------------------------------------


def test_a_folder_of_files_in_all_formats(tmp_path) -> None:
    data = folder_config(folder_set(tmp_path), test_share=0.34)
    datasets = build_datasets(data, seed=0)
    assert len(datasets.train) + len(datasets.test) == 18
    for dataset in (datasets.train, datasets.test):
        for sample in (dataset[i] for i in range(len(dataset))):
            label, number = sample.key.removeprefix("class").split(".")[0].split("/")
            expected = walk(5 + int(number), 4, (int(label), int(number)))
            np.testing.assert_allclose(sample.inputs, expected.reshape(-1, 12), rtol=1e-5)
            assert sample.label == int(label)
    assert build_datasets(data, seed=0).fingerprint == datasets.fingerprint


def test_a_csv_with_groups_gives_folds_by_group(tmp_path) -> None:
    folder_set(tmp_path)
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name},p{int(path.stem) % 3}"
        for path in sorted(tmp_path.glob("*/*"))
    ]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group", *rows]) + "\n")
    for folds, count in (("leave_one_group_out", 3), ("k_fold", 2)):
        data = folder_config(tmp_path, csv="list.csv", folds=folds, num_folds=2)
        assert count_folds(data) == count
        tested = []
        for fold in range(1, count + 1):
            splits = split_sequences(read_skeletons(data), data.model_copy(update={"fold": fold}))
            groups = {s.group for s in splits["test"]}
            assert groups.isdisjoint(s.group for s in splits["train"])
            tested += [s.key for s in splits["test"]]
        assert len(tested) == len(set(tested)) == 18
    held = data.model_copy(update={"folds": "leave_one_group_out", "validation_groups": ("p1",)})
    splits = split_sequences(read_skeletons(held), held)
    assert [len(splits[s]) for s in ("train", "validation", "test")] == [6, 6, 6]


def test_a_group_in_two_splits_is_refused(tmp_path) -> None:
    folder_set(tmp_path)
    paths = [p.relative_to(tmp_path) for p in sorted(tmp_path.glob("*/*"))]
    rows = [f"{p},{p.parent.name},{'train' if n else 'test'},anna" for n, p in enumerate(paths)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split,group", *rows]) + "\n")
    with pytest.raises(Gesture3dError, match="group 'anna' is in test and train"):
        read_skeletons(folder_config(tmp_path, csv="list.csv"))


# --- order, augmentation, statistics -------------------------------------------------------------


def test_training_samples_belong_to_seed_and_epoch(tmp_path) -> None:
    augmentation = configs.SkeletonAugmentation(rotation_degrees=(20, 20, 20), noise=0.01)
    data = folder_config(folder_set(tmp_path), augmentation=augmentation)
    train, again = (build_datasets(data, seed=3).train for _ in range(2))
    assert torch.equal(train[2, 4].inputs, again[2, 4].inputs)
    assert not torch.equal(train[2, 4].inputs, train[3, 4].inputs)
    test = build_datasets(data, seed=3).test
    assert torch.equal(test[2, 0].inputs, test[3, 0].inputs)
    path = tmp_path / test.keys[0]
    assert torch.equal(load_skeleton(path, data), test[0].inputs)  # use = evaluation


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


# --- bad input: one line, with file and frame ----------------------------------------------------


def nan_at(values: np.ndarray, frame: int, joint: int, value: float) -> np.ndarray:
    values = values.copy()
    values[frame, joint, 1] = value
    return values


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npy", nan_at(walk(9, 4), 3, 2, np.nan), r"x\.npy: frame 3: joint 2 .* nan"),
        ("x.npy", nan_at(walk(9, 4), 8, 0, -np.inf), r"x\.npy: frame 8: joint 0 .* -inf"),
        ("x.npy", np.zeros((0, 4, 3)), r"x\.npy: has no frames"),
        ("x.npy", np.zeros((5, 4, 4)), r"x\.npy: shape \(5, 4, 4\); expected"),
        ("x.npy", np.zeros(7), r"x\.npy: shape \(7,\)"),
        ("x.npy", np.zeros((5, 13)), r"x\.npy: 13 values a frame.*data\.num_joints"),
        ("x.npy", np.array([None]), r"x\.npy: not a readable NumPy file"),
        ("x.npy", b"", r"x\.npy: not a readable NumPy file"),
        ("x.npz", b"PK\x03\x04 broken", r"x\.npz: not a readable NumPy file"),
        ("x.csv", b"", r"x\.csv: has no frames"),
        ("x.csv", b"1,2,3\n1,2\n", r"x\.csv: frame 1 has 2 values, frame 0 has 3"),
        ("x.csv", b"1,2,3\n1,two,3\n", r"x\.csv: frame 1: 'two' is no number"),
        ("x.csv", b"1,2,3\n1,nan,3\n", r"x\.csv: frame 1: joint 0 has the coordinate nan"),
        ("x.csv", b"\xff\xfe\x00", r"x\.csv: not a text file"),
        ("x.mp4", b"abc", r"x\.mp4: not a skeleton file; expected \.csv, \.npy"),
    ],
)
def test_a_bad_file_is_named_with_its_frame(tmp_path, name, content, message) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(Gesture3dError, match=message) as caught:
        load_skeleton(path, folder_config(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data_class", "content", "message"),
    [
        ("x.mat", configs.UTDSkeletonData, b"text", r"x\.mat: not a readable \.mat"),
        ("x.txt", configs.SFINGE3DData, b"1;2;3\n", r"x\.txt: 3 values a frame, expected 140"),
        ("x.txt", configs.SHREC17Data, b"1 2 3\n", r"x\.txt: 3 values a frame, expected 66"),
        ("x.txt", configs.SBUKinectData, b"1,2,3\n", r"x\.txt: 3 values a frame, expected 91"),
    ],
)
def test_a_bad_file_of_an_official_set_is_named(tmp_path, name, data_class, content, message):
    (tmp_path / name).write_bytes(content)
    data = data_class(name=data_class.model_fields["name"].annotation.__args__[0], root=tmp_path)
    with pytest.raises(Gesture3dError, match=message):
        load_skeleton(tmp_path / name, data)
    with pytest.raises(Gesture3dError, match=r"data\.root|no sequences|no files|neither"):
        build_datasets(data.model_copy(update={"root": tmp_path / "none"}), seed=0)


def test_one_frame_is_enough(tmp_path) -> None:
    np.save(tmp_path / "x.npy", walk(1, 4))
    assert load_skeleton(tmp_path / "x.npy", folder_config(tmp_path)).shape == (1, 12)


def sequence(key: str = "a", joints: int = 4, label: int = 0) -> Sequence:
    return Sequence(key, walk(5, joints), label, None, f"{key}.npy")


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([sequence(), sequence("b", joints=5)], r"b\.npy: 5 joints of 3 .* a\.npy has 4"),
        ([sequence(), sequence("b", label=2)], r"b\.npy: label 2; the 2 classes are 0 to 1"),
        ([sequence(), sequence("b", label=-1)], r"b\.npy: label -1"),
        ([sequence(), sequence()], "same key 'a'"),
        ([], "no sequences"),
    ],
)
def test_what_does_not_fit_together_is_named(sequences, message) -> None:
    with pytest.raises(Gesture3dError, match=message):
        SkeletonIndex(("x", "y"), sequences)


def test_wrong_folds_and_groups_are_named(tmp_path) -> None:
    index = SkeletonIndex(("x",), [Sequence(str(i), walk(5, 4), 0, f"g{i}") for i in range(4)])
    cases = {
        "data.fold 5: there are folds 1 to 4": {"folds": "leave_one_group_out", "fold": 5},
        "only 4 groups": {"folds": "k_fold", "num_folds": 5},
        "no group 'g9' in the training part": {"validation_groups": ("g9",)},
        "class 'x' has no sequences to train on": {"validation_groups": ("g0", "g1", "g2", "g3")},
    }
    for message, settings in cases.items():
        with pytest.raises(Gesture3dError, match=message):
            split_sequences(index, folder_config(tmp_path, **settings))


def test_lengths_are_those_of_the_samples(tmp_path) -> None:
    sequences = [Sequence(str(n), walk(n, 4), 0) for n in (1, 7, 30)]
    for frames in (None, 12):
        data = folder_config(tmp_path, num_frames=frames)
        dataset = SkeletonDataset(sequences, ("x",), data, training=False, seed=0)
        assert dataset.lengths.tolist() == [len(dataset[i].inputs) for i in range(3)]


def test_groups_with_digits_that_are_no_numbers_are_sorted_as_texts(tmp_path) -> None:
    names = ["10", "9", "²", "1" * 5000]
    index = SkeletonIndex(("x",), [Sequence(g, walk(5, 4), 0, g) for g in names])
    folds = held_out_folds(index, folder_config(tmp_path, folds="leave_one_group_out"))
    assert [min(fold) for fold in folds] == ["9", "10", "1" * 5000, "²"]
