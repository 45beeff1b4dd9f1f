"""Anyone's sequences: every format, lists, the archives' files, gaps, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from gesture3d.config import load_data, load_experiment
from gesture3d.data import Datasets, build_datasets
from gesture3d.errors import Gesture3dError
from tests.data.test_series import arff_text, ts_text

NAN = float("nan")


def values(steps: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(steps, channels)).round(4)


def build(root: Path, *settings: str) -> Datasets:
    data = load_data("sequence_folder", [f"data.root={root}", *settings])
    return build_datasets(data, seed=0, progress=False)


def load(path: Path, *settings: str) -> np.ndarray:
    return load_data("sequence_folder", list(settings)).load(path).numpy()


# --- a folder per class, or a list ---------------------------------------------------------------


def write(path: Path, x: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".npz":
        np.savez(path, anything=x)
    else:
        header, separator = (",".join("abc"), ",") if "header" in path.stem else ("", ";")
        np.savetxt(path, x, delimiter=separator, header=header, comments="")


def test_every_format_gives_its_rows_at_their_own_lengths(tmp_path) -> None:
    names = ("0.npy", "1.npz", "2-header.csv", "3.csv", "4.npy")
    for label in ("down", "up"):
        for number, name in enumerate(names):
            write(tmp_path / label / name, values(4 + number, 3, number))
    found = build(tmp_path, "data.test_share=0")
    assert found.class_names == ("down", "up")
    assert (len(found.train), found.validation, found.test) == (10, None, None)
    assert found.spec.shape == (None, 3)
    for number, name in enumerate(names):
        sample = found.train[found.train.keys.index(f"up/{name}")].inputs
        assert len(sample) == 4 + number  # changed in training, but not in length
        expected = values(4 + number, 3, number).astype(np.float32)
        np.testing.assert_array_equal(load(tmp_path / "up" / name), expected)
    assert found.train.lengths.tolist() == [4, 5, 6, 7, 8] * 2


def test_a_single_value_a_step_needs_no_second_axis(tmp_path) -> None:
    x = values(6, 1)
    np.save(tmp_path / "flat.npy", x[:, 0])
    np.save(tmp_path / "column.npy", (1000 * x).astype(np.int16))
    np.savetxt(tmp_path / "x.csv", x)
    for name in ("flat.npy", "x.csv"):
        np.testing.assert_array_equal(load(tmp_path / name), x.astype(np.float32))
    assert load(tmp_path / "column.npy", "data.num_frames=11").shape == (11, 1)


def test_a_list_names_files_classes_groups_and_splits(tmp_path) -> None:
    rows = ["path,label,group,split"]
    for number, split in enumerate(("train", "train", "val", "test") * 2):
        np.save(tmp_path / f"{number}.npy", values(5, 2, number))
        rows.append(f"{number}.npy,{'ab'[number // 4]},p{number},{split}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    found = build(tmp_path, "data.csv=list.csv")
    assert found.train.keys == ["0.npy", "1.npy", "4.npy", "5.npy"]
    assert found.validation.keys == ["2.npy", "6.npy"]
    assert (found.test.keys, found.test.labels.tolist()) == (["3.npy", "7.npy"], [0, 1])


def test_values_a_step_must_agree(tmp_path) -> None:
    for label, channels in (("a", 3), ("b", 4)):
        for number in range(2):
            write(tmp_path / label / f"{number}.npy", values(5, channels))
    with pytest.raises(Gesture3dError, match=r"b.0\.npy: 4 values a step, but .*a.0\.npy has 3"):
        build(tmp_path, "data.test_share=0")


# --- what is missing -----------------------------------------------------------------------------


def test_gaps_are_interpolated_up_to_the_limit(tmp_path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n?,0\n1,\n,NaN\n3,6\n")
    expected = [[1, 0], [1, 2], [2, 4], [3, 6]]
    np.testing.assert_allclose(load(tmp_path / "x.csv"), expected, rtol=1e-6)
    np.save(tmp_path / "x.npy", np.array([[NAN, 0], [1, NAN], [NAN, NAN], [3, 6]]))
    np.testing.assert_allclose(load(tmp_path / "x.npy", "data.max_gap=2"), expected, rtol=1e-6)
    message = r"{}, step 2: channel 2 has no values for 2 samples; at most 1 .*\(data\.max_gap\)"
    for name in ("x.csv", "x.npy"):
        with pytest.raises(Gesture3dError, match=message.format(name)):
            load(tmp_path / name, "data.max_gap=1")
    long = np.arange(40.0)
    long[2:38] = NAN
    np.save(tmp_path / "long.npy", long)
    with pytest.raises(Gesture3dError, match="for 36 samples; at most 10 are interpolated"):
        load(tmp_path / "long.npy")
    found = load(tmp_path / "long.npy", "data.max_gap=null")
    np.testing.assert_allclose(found[:, 0], np.arange(40))


def test_too_long_a_gap_in_an_archives_file_is_named_with_its_line(tmp_path) -> None:
    x = values(9, 2)
    x[3:6, 1] = NAN
    cases = [(values(5, 2, 1), 0), (x, 1), (values(5, 2, 2), 1), (values(5, 2, 3), 0)]
    (tmp_path / "own.ts").write_text(ts_text(cases, ["a", "b"]))
    with pytest.raises(Gesture3dError, match=r"own\.ts, line 9, step 4: channel 2 .* 3 samples"):
        build(tmp_path / "own.ts", "data.max_gap=2")
    assert len(build(tmp_path / "own.ts", "data.max_gap=3", "data.test_share=0").train) == 4


# --- the archives' files -------------------------------------------------------------------------

CASES = [(values(4 + n, 2, n), (1, 0, 2, 1, 0, 2)[n]) for n in range(6)]
NAMES = ["two", "ten", "one"]  # the header's order is not the alphabet's
WRITERS = {".ts": ts_text, ".arff": arff_text}


def pair(root: Path, suffix: str, name: str = "Set") -> Path:
    root.mkdir(exist_ok=True)
    for end, cases in (("TRAIN", CASES), ("TEST", CASES[:3])):
        path = root / f"{name}_{end}{suffix}"
        path.write_text(WRITERS[suffix](cases, NAMES))
    return root


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_pair_keeps_its_split_and_its_classes(tmp_path, suffix) -> None:
    root = pair(tmp_path / "Set", suffix)
    for place in (root, root / f"Set_TRAIN{suffix}", root / f"Set_TEST{suffix}"):
        found = build(place)
        assert found.class_names == ("one", "ten", "two")
        assert (len(found.train), found.validation, len(found.test)) == (6, None, 3)
        for row, (x, label) in enumerate(CASES[:3]):
            np.testing.assert_array_equal(found.test[row].inputs, x.astype(np.float32))
            assert found.class_names[found.test.labels[row]] == NAMES[label]
    first = next(
        number
        for number, line in enumerate((root / f"Set_TRAIN{suffix}").read_text().splitlines(), 1)
        if str(float(CASES[0][0][0, 0])) in line
    )
    assert found.train.keys[0] == f"Set_TRAIN:{first}"


def test_ts_is_read_where_there_are_both(tmp_path) -> None:
    pair(tmp_path, ".arff")
    for path in tmp_path.iterdir():
        path.write_text("broken")
    assert len(build(pair(tmp_path, ".ts")).test) == 3


def test_of_several_sets_in_a_folder_one_must_be_named(tmp_path) -> None:
    root = pair(pair(tmp_path / "Set", ".ts"), ".ts", "Set_eq")
    assert build(root).train.keys[0].startswith("Set_TRAIN:")  # the folder has its name
    other = root.rename(tmp_path / "downloads")
    message = r"downloads: several sets, Set, Set_eq: set data\.root to one .*Set_TRAIN\.ts"
    with pytest.raises(Gesture3dError, match=message):
        build(other)
    assert build(other / "Set_eq_TRAIN.ts").train.keys[0].startswith("Set_eq_TRAIN:")


def test_half_a_pair_is_refused(tmp_path) -> None:
    root = pair(tmp_path, ".ts")
    (root / "Set_TEST.ts").unlink()
    for place in (root, root / "Set_TRAIN.ts"):
        with pytest.raises(Gesture3dError, match=r"Set_TEST\.ts: no such file; .* Set_TRAIN\.ts"):
            build(place)


@pytest.mark.parametrize("suffix", WRITERS)
def test_one_file_alone_is_split_by_shares(tmp_path, suffix) -> None:
    cases = [(values(5, 1, n), n % 2) for n in range(20)]
    path = tmp_path / f"all{suffix}"
    path.write_text(WRITERS[suffix](cases, ["a", "b"]))
    found = build(path)
    assert (len(found.train), len(found.test)) == (16, 4)  # the recipe's fifth of each class
    assert sorted(found.test.labels.tolist()) == [0, 0, 1, 1]
    found = build(path, "data.validation_share=0.3", "data.test_share=0")
    assert (len(found.train), len(found.validation), found.test) == (14, 6, None)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        "centre=first_frame",
        "centre_joint=1",
        "scale_joints=[0, 1]",
        "augmentation.rotation_degrees=[0, 0, 10]",
        "augmentation.translation=0.1",
        "augmentation.joint_dropout=0.1",
    ],
)
def test_what_needs_joints_in_space_is_refused_by_name(setting) -> None:
    name = setting.partition("=")[0].replace(".", r"\.")
    with pytest.raises(Gesture3dError, match=f"{name} needs joints in space; leave it out") as e:
        load_experiment("gru", "sequence_folder", [f"data.{setting}"])
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npy", np.zeros((3, 2, 2)), r"shape \(3, 2, 2\); expected \(steps,\) or \(steps, v"),
        ("x.npy", np.zeros((0, 4)), r"shape \(0, 4\)"),
        ("x.npy", np.zeros((4, 0)), r"shape \(4, 0\)"),
        ("x.npy", np.float64(3), r"shape \(\)"),
        ("x.npy", np.zeros(1_000_001), r"1,000,001 steps of 1 values; at most 1,000,000"),
        ("x.npy", np.zeros((1, 10_001)), "1 steps of 10,001 values"),
        ("x.npy", np.array([[0.0], [np.inf]]), "step 2: channel 1 is infinite"),
        ("x.npy", np.array([[0.0, 1e16]]), r"step 1: channel 2 is 1e\+16, beyond"),
        ("x.npy", np.array([[0.0, NAN]]), "channel 2 has no values at all"),
        ("x.npy", np.zeros(3, complex), "not a readable NumPy file"),
        ("x.npy", np.array([None]), "not a readable NumPy file"),
        ("x.npy", b"", "not a readable NumPy file"),
        ("x.npz", b"PK\x03\x04 broken", "not a readable NumPy file"),
        ("x.csv", b"", r"shape \(0, 1\)"),
        ("x.csv", b"a,b\n", r"shape \(0, 1\)"),
        ("x.csv", b"1,2\n1\n", "line 2: 1 cells, 2 columns"),
        ("x.csv", b"1,2\n1,two\n", "line 2: 'two' is no number"),
        ("x.csv", b"a,2\n1,2\n", "line 1: 'a' is no number"),
        ("x.csv", b"1,2\n1,1e400\n", "step 2: channel 2 is infinite"),
        ("x.csv", b'1,"2\n', "line 1: not a CSV"),
        ("x.csv", b"\xff\xfe\x00", "not a text file in UTF-8"),
        ("x.csv", b"1" * (1 << 20) + b"1", "line 1: longer than 1,048,576 characters"),
        ("x.ts", b"1,2:a\n", r"expected a file of \.csv, \.npy, \.npz"),
    ],
)
def test_a_bad_file_is_named(tmp_path, name, content, message) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(Gesture3dError, match=rf"{name}.*{message}") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x_TRAIN.ts", "@classLabel true a b\n@data\n1,2:a\n1,x:b\n", r"_TRAIN\.ts, line 4: .*'x'"),
        (
            "x_TEST.ts",
            "@classLabel true a c\n@data\n1,2:c\n",
            "class 'c' is in test but not in train",
        ),
        ("x_TEST.ts", "@classLabel true a b\n@data\n1:2:a\n", "2 values a step, but"),
        ("x_TEST.ts", "", r"x_TEST\.ts: no line @data"),
        ("x_TEST.ts", "@targetLabel true\n@data\n1:2\n", r"x_TEST\.ts: .*regression"),
    ],
)
def test_a_bad_file_of_a_pair_is_named(tmp_path, name, text, message) -> None:
    good = "@classLabel true a b\n@data\n1,2:a\n3,4:b\n"
    for other in ("x_TRAIN.ts", "x_TEST.ts"):
        (tmp_path / other).write_text(text if other == name else good)
    with pytest.raises(Gesture3dError, match=message) as caught:
        build(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_says_what_goes_there(tmp_path) -> None:
    with pytest.raises(Gesture3dError, match=r"expected .*/<class>/<clip> or .*, of \.npy, \.npz"):
        build(tmp_path)
    with pytest.raises(Gesture3dError, match=r"no folder .*data\.root"):
        build(tmp_path / "none")
