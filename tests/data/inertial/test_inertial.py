"""Inertial recordings: filters, gaps, windows, splits, official layouts, and what is refused."""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from gesture3d.config import load_experiment
from gesture3d.data import build_datasets
from gesture3d.data.inertial.sets.opportunity import CHANNELS, GESTURES
from gesture3d.data.inertial.sets.uci_har import CHANNELS as UCI_CHANNELS
from gesture3d.data.inertial.signal import cut_windows, interpolate_gaps, lowpass, prepare
from gesture3d.data.inertial.transforms import augment, random_rotation, warped_positions
from gesture3d.errors import Gesture3dError
from gesture3d.rng import generator


def data_config(recipe: str, *overrides: str):
    return load_experiment("cnn1d", recipe, list(overrides)).data


def datasets(recipe: str, root: Path, *overrides: str):
    return build_datasets(data_config(recipe, f"data.root={root}", *overrides), seed=0)


def refused(recipe: str, root: Path, *overrides: str) -> str:
    with pytest.raises(Gesture3dError) as caught:
        datasets(recipe, root, *overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --------------------------------------------------------------------------------------- filters


def wave(hz: float, seconds: float = 60.0, rate: float = 50.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(0, seconds, 1 / rate))[:, None]


@pytest.mark.parametrize(("hz", "kept"), [(0.05, 1.0), (0.3, 0.5), (2.0, 0.0)])
def test_lowpass_keeps_slow_and_takes_fast_without_delay(hz, kept):
    """Forwards and backwards: the gain at the cutoff is 1/2, and nothing moves in time."""
    x = wave(hz)
    y = lowpass(x, 0.3, 50.0)
    middle = slice(500, -500)
    np.testing.assert_allclose(y[middle], kept * x[middle], atol=0.03)


def test_gravity_and_body_add_up_to_the_filtered_acceleration():
    config = data_config("hapt")
    rng = np.random.default_rng(0)
    raw = np.concatenate([wave(1.5, 20) * 0.3 + [[0.8, 0.1, -0.6]], rng.normal(size=(1000, 3))], 1)
    x = prepare(raw, config)
    assert x.shape == (1000, 9)
    assert x.dtype == np.float32
    gravity = x[:, 6:] - x[:, :3]
    np.testing.assert_allclose(gravity[200:-200], [[0.8, 0.1, -0.6]] * 600, atol=0.02)
    np.testing.assert_allclose(x[200:-200, :3], raw[200:-200, :3] - [0.8, 0.1, -0.6], atol=0.05)


def test_median_filter_removes_a_single_spike():
    x = wave(1.0, 4).repeat(3, 1)
    spiked = x.copy()
    spiked[100] += 50
    config = data_config("inertial_folder", "data.median_steps=3")
    assert np.abs(prepare(spiked, config) - x).max() < 0.2


def test_gaps_become_straight_lines_and_long_ones_are_refused():
    x = np.array([[np.nan], [1.0], [np.nan], [np.nan], [4.0], [np.nan]])
    found = interpolate_gaps(x, 2, "file")
    np.testing.assert_allclose(found[:, 0], [1, 1, 2, 3, 4, 4])
    assert np.isnan(x[0])  # the input is left alone
    with pytest.raises(Gesture3dError, match="file, line 3: channel 1 has no values for 2 samples"):
        interpolate_gaps(x, 1, "file")
    nothing = np.full((3, 1), np.nan)
    np.testing.assert_array_equal(interpolate_gaps(nothing, None, "file"), np.zeros((3, 1)))
    with pytest.raises(Gesture3dError, match="line 2: channel 1 is infinite"):
        interpolate_gaps(np.array([[0.0], [np.inf]]), None, "file")


def test_windows_are_cut_with_overlap_and_never_padded():
    config = data_config("inertial_folder", "data.window=4", "data.step=2")
    x = np.arange(9.0)[:, None]
    windows, starts = cut_windows(x, config, "file")
    assert starts == [0, 2, 4]
    assert windows[:, :, 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    with pytest.raises(Gesture3dError, match="file: 3 samples, but a window takes 4"):
        cut_windows(x[:3], config, "file")


def test_resampling_keeps_the_ends():
    config = data_config("inertial_folder", "data.window=5", "data.resample=true")
    windows, starts = cut_windows(np.arange(9.0)[:, None], config, "file")
    assert starts == [0]
    np.testing.assert_allclose(windows[0, :, 0], [0, 2, 4, 6, 8])


# ---------------------------------------------------------------------------------- augmentation


def test_rotations_are_rotations_of_at_most_the_given_angle():
    for seed in range(50):
        matrix = random_rotation(20, np.random.default_rng(seed))
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)
        assert np.rad2deg(np.arccos((np.trace(matrix) - 1) / 2)) <= 20 + 1e-6


# The recipe's other changes switched off.
STILL = [
    f"data.augmentation.{change}"
    for change in ("scale=[1, 1]", "noise=0", "time_warp=0", "shift=0")
]


def test_rotation_turns_all_vectors_alike_and_keeps_their_lengths():
    config = data_config("utd_mhad_inertial", "data.augmentation.rotation_degrees=90", *STILL)
    x = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    x[:, 3:] = 2 * x[:, :3]
    y = augment(x, config.augmentation, x.std(0), generator(1))
    assert np.abs(y - x).max() > 0.1
    np.testing.assert_allclose(y[:, 3:], 2 * y[:, :3], atol=1e-5)
    lengths = [np.linalg.norm(v[:, :3], axis=1) for v in (x, y)]
    np.testing.assert_allclose(*lengths, rtol=1e-5)


def test_time_warp_moves_forward_and_keeps_the_ends():
    for seed in range(30):
        positions = warped_positions(64, 0.3, 0.0, np.random.default_rng(seed))
        assert (np.diff(positions) > 0).all()
        assert positions[[0, -1]].tolist() == pytest.approx([0, 63])


# ------------------------------------------------------------------------------- official layouts


def write_hapt(root: Path, seconds: int = 30) -> Path:
    """A tiny set in HAPT's layout: two people, walking and standing for the first half each."""
    rng = np.random.default_rng(0)
    raw, rows = root / "RawData", []
    raw.mkdir(parents=True)
    official = {"Train": [], "Test": []}
    for experiment, user in ((1, 1), (2, 2)):
        half = seconds * 25
        for sensor in ("acc", "gyro"):
            np.savetxt(
                raw / f"{sensor}_exp{experiment:02d}_user{user:02d}.txt",
                rng.normal(size=(2 * half, 3)),
                fmt="%.6f",
            )
        for activity, first in ((1, 1), (5, half + 1)):
            rows.append((experiment, user, activity, first, first + half - 1))
            count = len(range(0, half - 127, 64))
            official["Train" if user == 1 else "Test"] += [(activity, user)] * count
    np.savetxt(raw / "labels.txt", rows, fmt="%d")
    names = ["WALKING", "UP", "DOWN", "SITTING", "STANDING", "LAYING", *(f"T{n}" for n in range(6))]
    lines = [f"{n} {name}" for n, name in enumerate(names, 1)]
    (root / "activity_labels.txt").write_text("\n".join(lines))
    for folder, windows in official.items():
        (root / folder).mkdir()
        split = folder.lower()
        np.savetxt(root / folder / f"y_{split}.txt", [a for a, _ in windows], fmt="%d")
        np.savetxt(root / folder / f"subject_id_{split}.txt", [u for _, u in windows], fmt="%d")
    return root


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"Set/{file.relative_to(folder)}")
    return path


HELD_OUT = "data.validation_subjects=[]"


def test_hapt_reads_the_zip_and_the_folder_alike(tmp_path):
    folder = write_hapt(tmp_path / "set")
    (tmp_path / "download").mkdir()
    zipped(folder, tmp_path / "download" / "hapt.zip")
    one = datasets("hapt", folder, HELD_OUT)
    other = datasets("hapt", tmp_path / "download", HELD_OUT)
    assert one.fingerprint == other.fingerprint
    assert (one.train.inputs == other.train.inputs).all()
    assert one.validation is None
    assert one.num_features == 9
    assert len(one.class_names) == 6
    twelve = datasets("hapt", folder, HELD_OUT, "data.postural_transitions=true")
    assert len(twelve.class_names) == 12


def test_hapt_names_what_is_wrong_with_its_files(tmp_path):
    folder = write_hapt(tmp_path / "set")
    path = folder / "RawData" / "acc_exp01_user01.txt"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2 + 5].rstrip().rsplit(" ", 1)[0])
    assert re.search(
        r"acc_exp01_user01.txt, line \d+: 2 numbers instead of 3", refused("hapt", folder)
    )
    path.write_text("".join(whole.splitlines(keepends=True)[:-10]))
    assert "1490 samples, but RawData/gyro_exp01_user01.txt has 1500" in refused("hapt", folder)
    path.write_text(whole.replace(whole.split()[4], "x,y", 1))
    assert re.search(r"acc_exp01_user01.txt, line 2: 'x,y' is no number", refused("hapt", folder))
    path.write_text(whole)
    y = folder / "Train" / "y_train.txt"
    y.write_text(y.read_text().replace("5", "4", 1))
    assert "not the official ones" in refused("hapt", folder)
    path.unlink()
    assert "acc_exp01_user01.txt: missing" in refused("hapt", folder)


def test_a_zip_without_the_expected_files_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme.txt").write_text("hello")
    zipped(tmp_path / "other", tmp_path / "other.zip")
    message = refused("hapt", tmp_path / "other.zip")
    assert "no 'RawData/labels.txt' in it" in message
    broken = tmp_path / "broken.zip"
    broken.write_bytes((tmp_path / "other.zip").read_bytes()[:40])
    assert "not a readable zip" in refused("uci_har", broken)
    assert "no such file or folder" in refused("opportunity", tmp_path / "nowhere")


def test_validation_subjects_leave_the_training_split(tmp_path):
    folder = write_hapt(tmp_path / "set")
    message = refused("hapt", folder)  # the recipe names subjects 1, 8, 17, 28
    assert "no training windows of subject '8'" in message
    found = datasets("hapt", folder, HELD_OUT, "data.validate_on_test=true")
    assert found.fingerprint["validation"] == found.fingerprint["test"]
    assert "no training windows are left" in refused(
        "hapt", folder, "data.validation_subjects=['1']"
    )


def test_official_hapt_windows(shared_data):
    """All 10,929 official windows in their order (checked inside), and the six basic classes."""
    root = shared_data / "uci_hapt"
    found = datasets("hapt", root, HELD_OUT, "data.postural_transitions=true")
    assert (len(found.train), len(found.test)) == (7767, 3162)
    basic = [(np.asarray(s.labels) < 6).sum() for s in (found.train, found.test)]
    assert basic == [7415, 2996]
    gravity = found.train.inputs[..., 6:] - found.train.inputs[..., :3]
    assert gravity.norm(dim=2).median() == pytest.approx(1.0, abs=0.05)  # g


def test_official_utd_mhad_split(shared_data):
    found = datasets("utd_mhad_inertial", shared_data / "utd_mhad")
    assert (len(found.train), len(found.test)) == (431, 430)
    assert {key.split("_")[1] for key in found.train.keys} == {"s1", "s3", "s5", "s7"}
    assert len(found.class_names) == 27
    first = found.train.inputs[:, 0, :3].norm(dim=1)  # at rest: gravity alone
    assert first.median() == pytest.approx(1.0, abs=0.1)


def test_utd_mhad_names_a_broken_file(tmp_path):
    good = io.BytesIO()
    savemat(good, {"d_iner": np.ones((80, 6))})
    (tmp_path / "a1_s1_t1_inertial.mat").write_bytes(good.getvalue())
    found = datasets("utd_mhad_inertial", tmp_path)
    assert found.train.inputs.shape == (1, 64, 6)
    assert found.train.inputs[0, 0, 3].item() == pytest.approx(np.deg2rad(1.0))
    (tmp_path / "a2_s1_t1_inertial.mat").write_bytes(good.getvalue()[:100])
    assert "a2_s1_t1_inertial.mat: not a readable .mat file" in refused(
        "utd_mhad_inertial", tmp_path
    )


def write_uci_har(root: Path, train: int = 6, test: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        (root / split / "Inertial Signals").mkdir(parents=True)
        for number, channel in enumerate(UCI_CHANNELS):
            values = rng.normal(size=(count, 128)) + number
            np.savetxt(root / split / "Inertial Signals" / f"{channel}_{split}.txt", values)
        np.savetxt(root / split / f"y_{split}.txt", np.arange(count) % 6 + 1, fmt="%d")
        np.savetxt(
            root / split / f"subject_{split}.txt", np.full(count, 1 + (split == "test")), "%d"
        )
    (root / "activity_labels.txt").write_text("\n".join(f"{n} A{n}" for n in range(1, 7)))
    return root


def test_uci_har_layout(tmp_path):
    root = write_uci_har(tmp_path / "UCI HAR Dataset")
    found = datasets("uci_har", tmp_path, HELD_OUT)
    assert found.train.inputs.shape == (6, 128, 9)
    np.testing.assert_allclose(found.train.inputs.mean((0, 1)), np.arange(9), atol=0.2)
    assert found.test.labels.tolist() == [0, 1, 2]
    assert found.class_names == ("A1", "A2", "A3", "A4", "A5", "A6")
    zipped(root, tmp_path / "inner.zip")
    (tmp_path / "official").mkdir()
    with zipfile.ZipFile(tmp_path / "official" / "har.zip", "w") as outer:  # as UCI packs it
        outer.write(tmp_path / "inner.zip", "UCI HAR Dataset.zip")
    again = datasets("uci_har", tmp_path / "official", HELD_OUT)
    np.testing.assert_array_equal(again.train.inputs, found.train.inputs)
    path = root / "train" / "Inertial Signals" / "body_gyro_y_train.txt"
    whole = path.read_text()
    lines = whole.splitlines()  # as many numbers, but not in every row
    first, second = lines[0].rsplit(" ", 1)
    path.write_text("\n".join([first, f"{second} {lines[1]}", *lines[2:]]))
    assert "body_gyro_y_train.txt, line 1: 127 numbers" in refused("uci_har", root)
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    assert "body_gyro_y_train.txt: 5 windows, but y_train.txt has 6" in refused("uci_har", tmp_path)
    path.write_text(whole[:-200])
    assert re.search(r"body_gyro_y_train.txt, line 6: \d+ numbers", refused("uci_har", tmp_path))


def write_opportunity(root: Path, steps: int = 60) -> Path:
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    codes = list(GESTURES)
    for subject in (1, 2, 3):
        for run in ("Drill", *(f"ADL{n}" for n in range(1, 6))):
            rows = np.round(rng.normal(size=(steps, 250)), 3)
            rows[:, 0] = np.arange(steps) * 33
            rows[:, 249] = np.repeat(codes[: steps // 12 + 1], 12)[:steps]
            rows[5:40, 3] = np.nan
            np.savetxt(root / f"S{subject}-{run}.dat", rows, fmt="%g")
    return root


def test_opportunity_layout(tmp_path):
    root = write_opportunity(tmp_path / "dataset")
    found = datasets("opportunity", tmp_path)
    assert found.num_features == len(CHANNELS) == 113
    assert len(found.class_names) == 18
    # windows of 24 with step 12 in 60 steps: 4 a file, labelled by their last step
    assert (len(found.train), len(found.validation), len(found.test)) == (12 * 4, 2 * 4, 4 * 4)
    assert found.train.labels[:4].tolist() == [1, 2, 3, 4]
    assert {k.split("_")[0] for k in found.test.keys} == {
        "S2-ADL4",
        "S2-ADL5",
        "S3-ADL4",
        "S3-ADL5",
    }
    assert np.isfinite(found.train.inputs.numpy()).all()
    path = root / "S2-ADL1.dat"
    lines = path.read_text().splitlines()
    lines[7] = " ".join([*lines[7].split()[:249], "7"])
    path.write_text("\n".join(lines))
    assert "S2-ADL1.dat, line 8: 7 is no gesture" in refused("opportunity", tmp_path)
    lines[7] = " ".join(lines[7].split()[:200])
    path.write_text("\n".join(lines))
    assert "S2-ADL1.dat, line 8: 200 numbers instead of 250" in refused("opportunity", tmp_path)


# ------------------------------------------------------------------------------- anyone's CSV files


def write_csv(path: Path, rows: int, label, rate: float = 50.0, extra: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"time,x,y,z,label{',' + extra.split('=')[0] if extra else ''}"]
    for n in range(rows):
        value = f",{extra.split('=')[1]}" if extra else ""
        lines.append(f"{n / rate:.3f},{n},{-n},1,{label(n)}{value}")
    path.write_text("\n".join(lines))


SMALL = ("data.window=10", "data.step=5")


def test_recordings_are_cut_inside_their_stretches(tmp_path):
    write_csv(tmp_path / "anna.csv", 60, lambda n: "walk" if n < 33 else "" if n < 40 else "sit")
    write_csv(tmp_path / "ben.csv", 20, lambda n: "sit", extra="split=test")
    found = datasets("inertial_folder", tmp_path, *SMALL)
    assert found.num_features == 3
    assert found.class_names == ("sit", "walk")
    assert [found.class_names[n] for n in found.train.labels] == ["walk"] * 5 + ["sit"] * 3
    assert found.train.keys[:2] == ["anna:2", "anna:7"]
    assert found.train.inputs[1, :, 0].tolist() == list(range(5, 15))
    assert len(found.test) == 3
    write_csv(tmp_path / "ben.CSV", 20, lambda n: "sit")
    (tmp_path / "ben.csv").unlink()
    held_out = datasets("inertial_folder", tmp_path, *SMALL, "data.test_subjects=[ben]")
    assert len(held_out.test) == 3


def test_held_out_subjects_are_never_trained_on_by_mistake(tmp_path):
    for name in ("anna", "ben", "carl"):
        write_csv(tmp_path / f"{name}.csv", 40, lambda n: "sit" if n < 20 else "walk")

    def message(*overrides: str) -> str:
        return refused("inertial_folder", tmp_path, *SMALL, *overrides)

    wrong = message("data.test_subjects=[ana]")
    assert "no windows of subject 'ana'; there are anna, ben, carl. Did you mean 'anna'?" in wrong
    write_csv(tmp_path / "ben.csv", 20, lambda n: "sit", extra="split=validation")
    assert "come with a split already" in message("data.test_subjects=[anna]")
    assert "comes with a validation split" in message("data.validation_subjects=[anna]")
    write_csv(tmp_path / "ben.csv", 20, lambda n: "jump", extra="split=validation")
    assert "class 'jump' is in validation but not in train" in message()


def test_windows_that_were_cut_already_are_taken_as_they_are(tmp_path):
    lines = ["window,x,label"] + [f"{n // 4},{n},{'ab'[n // 4 % 2]}" for n in range(16)]
    (tmp_path / "w.csv").write_text("\n".join(lines))
    found = datasets("inertial_folder", tmp_path / "w.csv", "data.window=4")
    assert found.train.inputs[:, :, 0].tolist() == [list(range(s, s + 4)) for s in (0, 4, 8, 12)]
    assert found.train.labels.tolist() == [0, 1, 0, 1]
    (tmp_path / "w.csv").write_text("\n".join(lines[:-1]))
    message = refused("inertial_folder", tmp_path / "w.csv", "data.window=4")
    assert "w.csv, line 14: a window of 3 rows, but data.window is 4" in message


def test_csv_mistakes_are_named_with_their_line(tmp_path):
    path = tmp_path / "a.csv"

    def message(text: str, *overrides: str) -> str:
        path.write_text(text)
        return refused("inertial_folder", path, *SMALL, *overrides)

    write_csv(path, 40, lambda n: "walk")
    good = path.read_text()
    assert "line 5: x '7m' is no number" in message(good.replace("0.060,3,", "0.060,7m,"))
    infinite = good.replace("0.060,3,", "0.060,inf,")
    assert "line 5: channel 1 is infinite" in message(infinite)
    assert "line 1: column 1 has no name" in message(good.replace("time,", ",", 1))
    assert "line 1: column 3 is called 'x', as an earlier" in message(good.replace(",y,", ",x,", 1))
    assert "line 4: 4 cells, 5 columns" in message(good.replace("0.040,2,-2,1,", "0.040,2,-2,"))
    other = message(good, "data.label_column=activity", "data.ignore_columns=[label]")
    assert "line 1: no column 'activity'" in other
    assert "sampled at 50.0 Hz, but data.rate_hz is 100" in message(good, "data.rate_hz=100")
    assert "line 7: the time goes from 0.08 to 60.1 s" in message(good.replace("\n0.1", "\n60.1"))
    gap = good
    for n in range(3, 33):
        gap = gap.replace(f"{n / 50:.3f},{n},", f"{n / 50:.3f},,")
    assert "channel 1 has no values for 30 samples; at most 25" in message(gap)
    assert "no stretch of one label holds 100 samples" in message(good, "data.window=100")
    assert "no .csv files there" in refused("inertial_folder", tmp_path / "nowhere")


# --------------------------------------------------------------------------------------- training


def test_training_samples_are_addressed_and_others_unchanged(tmp_path):
    good = io.BytesIO()
    savemat(good, {"d_iner": np.random.default_rng(0).normal(size=(80, 6))})
    for name in ("a1_s1_t1", "a1_s2_t1"):
        (tmp_path / f"{name}_inertial.mat").write_bytes(good.getvalue())
    found = datasets("utd_mhad_inertial", tmp_path)
    first, again, later = (found.train[e, 0].inputs for e in (0, 0, 1))
    assert (first == again).all()
    assert (first != later).any()
    assert (found.test[0, 0].inputs == found.test.inputs[0]).all()
    assert (found.test[1, 0].inputs == found.test.inputs[0]).all()
