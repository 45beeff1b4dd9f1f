"""The official skeleton sets: real files, and small copies of their layouts."""

import io
import zipfile
from itertools import chain

import numpy as np
import pytest
from scipy.io import savemat

from gesture3d.data import build_datasets, count_folds, read_index
from gesture3d.data.skeleton.sets.sbu_kinect import FOLDS as SBU_FOLDS
from gesture3d.data.skeleton.sets.sbu_kinect import SBUKinectData
from gesture3d.data.skeleton.sets.sfinge3d import SFINGE3DData
from gesture3d.data.skeleton.sets.shrec17 import SHREC17Data
from gesture3d.data.skeleton.sets.synthetic_joints import SyntheticJointsData
from gesture3d.data.skeleton.sets.utd_mhad_skeleton import UTDSkeletonData
from gesture3d.data.split import folds
from gesture3d.data.video.sets.synthetic import ClipsPerClass
from gesture3d.errors import Gesture3dError
from tests.data.skeleton.layouts import walk


def test_utd_mhad_is_split_by_subject_as_published(shared_data) -> None:
    data = UTDSkeletonData(name="utd_mhad_skeleton", root=shared_data / "utd_mhad")
    index = read_index(data)
    splits = index.splits
    assert (len(splits["train"]), len(splits["test"])) == (431, 430)
    assert {s.group for s in splits["train"]} == {"1", "3", "5", "7"}
    assert len(index.class_names) == 27
    first = next(s for s in index.items if s.key == "a1_s1_t1")
    assert first.content.shape[1:] == (20, 3)
    height = first.content[:, 0, 1].mean() - first.content[:, [15, 19], 1].mean()  # head over feet
    assert 1.2 < height < 2.1  # metres
    lonely = data.model_copy(update={"folds": "leave_one_group_out"})
    found = folds(index, lonely)
    assert len(found) == 8
    assert sum(map(len, found)) == 861


def test_sfinge3d_has_six_folds_of_blocks(shared_data) -> None:
    data = SFINGE3DData(name="sfinge3d", root=shared_data / "sfinge3d")
    index = read_index(data)
    assert len(index.items) == 13 * 36
    found = folds(index, data)
    assert [len(fold) for fold in found] == [78] * data.num_official_folds
    assert {key.split("/")[1] for key in found[1]} == {str(n) for n in range(7, 13)}
    lengths = [len(s.content) for s in index.items]
    assert (min(lengths), max(lengths)) == (24, 96)
    hands = np.concatenate([s.content for s in index.items])
    palm = np.linalg.norm(hands[:, 8] - hands[:, 0], axis=1)
    assert np.median(palm) == pytest.approx(0.09, abs=0.03)  # metres: positions, not quaternions


def test_utd_mhad_from_a_small_archive(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "Skeleton.zip", "w") as archive:
        for action in range(1, 28):
            for subject in (1, 2):
                content = io.BytesIO()
                values = walk(6, 20, (action, subject))
                savemat(content, {"d_skel": values.transpose(1, 2, 0)})
                name = f"Skeleton/a{action}_s{subject}_t1_skeleton.mat"
                archive.writestr(name, content.getvalue())
    data = UTDSkeletonData(name="utd_mhad_skeleton", root=tmp_path)
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
        data = SHREC17Data(name="shrec17", root=tmp_path, num_classes=count)
        datasets = build_datasets(data, seed=0)
        assert len(datasets.class_names) == count
        assert (len(datasets.train), len(datasets.test)) == (28, 28)
        at = datasets.test.keys.index("gesture_3/finger_2/subject_2/essai_1")
        assert datasets.test.labels[at] == (2 if count == 14 else 5)
        assert datasets.spec.num_features == 66
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
    data = SBUKinectData(name="sbu_kinect", root=tmp_path)
    index = read_index(data)
    assert count_folds(data) == data.num_official_folds == 5
    assert [len(fold) for fold in folds(index, data)] == [32, 32, 32, 32, 40]
    joints = next(i for i in index.items if i.key == "s01s02/01/001").content
    assert joints.shape == (5, 30, 3)
    # x = 1280 - 2560 x', y = 960 - 1920 y', z = 10000 z' / 7.8125, in thousands.
    np.testing.assert_allclose(joints[0, 0], [0.0, 0.0, 0.64], atol=1e-6)  # moves: first
    np.testing.assert_allclose(joints[0, 15], [0.64, 0.48, 0.32], atol=1e-6)
    np.testing.assert_allclose(joints[-1, 0, 0], -0.256, atol=1e-6)


def test_joints_of_the_generated_set_keep_its_splits(tmp_path) -> None:
    data = SyntheticJointsData(
        name="synthetic_joints",
        root=tmp_path / "set",
        clips_per_class=ClipsPerClass(train=1, validation=1, test=1),
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
    assert datasets.spec.num_features == 63


@pytest.mark.parametrize(
    ("name", "data_class", "content", "message"),
    [
        ("x.mat", UTDSkeletonData, b"text", r"x\.mat: not a readable \.mat"),
        ("x.txt", SFINGE3DData, b"1;2;3\n", r"x\.txt: 3 values a frame, expected 140"),
        ("x.txt", SHREC17Data, b"1 2 3\n", r"x\.txt: 3 values a frame, expected 66"),
        ("x.txt", SBUKinectData, b"1,2,3\n", r"x\.txt: 3 values a frame, expected 91"),
    ],
)
def test_a_bad_file_of_an_official_set_is_named(tmp_path, name, data_class, content, message):
    (tmp_path / name).write_bytes(content)
    data = data_class(name=data_class.model_fields["name"].annotation.__args__[0], root=tmp_path)
    with pytest.raises(Gesture3dError, match=message):
        data.load(tmp_path / name)
    with pytest.raises(Gesture3dError, match=r"data\.root|no sequences|no files|neither"):
        build_datasets(data.model_copy(update={"root": tmp_path / "none"}), seed=0)
