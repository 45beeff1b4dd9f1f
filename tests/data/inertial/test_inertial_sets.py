"""The official inertial sets: real files, small copies of their layouts, and what is refused."""

import io
import re
import zipfile

import numpy as np
import pytest
from scipy.io import savemat

from gesture3d.data.inertial.sets.opportunity import CHANNELS
from tests.data.inertial.layouts import (
    HELD_OUT,
    datasets,
    refused,
    stacked,
    write_hapt,
    write_opportunity,
    write_uci_har,
    zipped,
)


def test_hapt_reads_the_zip_and_the_folder_alike(tmp_path):
    folder = write_hapt(tmp_path / "set")
    (tmp_path / "download").mkdir()
    zipped(folder, tmp_path / "download" / "hapt.zip")
    one = datasets("hapt", folder, HELD_OUT)
    other = datasets("hapt", tmp_path / "download", HELD_OUT)
    assert one.fingerprint == other.fingerprint
    assert (stacked(one.train) == stacked(other.train)).all()
    assert one.validation is None
    assert one.spec.num_features == 9
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


def test_validation_groups_leave_the_training_split(tmp_path):
    folder = write_hapt(tmp_path / "set")
    message = refused("hapt", folder)  # the recipe names subjects 1, 8, 17, 28
    assert "no group '8' in the training part" in message
    found = datasets("hapt", folder, HELD_OUT, "data.validate_on_test=true")
    assert found.fingerprint["validation"] == found.fingerprint["test"]
    assert "no samples to train on" in refused("hapt", folder, "data.validation_groups=['1']")


@pytest.mark.slow  # `tests/net` reads them, too
def test_official_hapt_windows(shared_data):
    """All 10,929 official windows in their order (checked inside), and the six basic classes."""
    root = shared_data / "uci_hapt"
    found = datasets("hapt", root, HELD_OUT, "data.postural_transitions=true")
    assert (len(found.train), len(found.test)) == (7767, 3162)
    basic = [(np.asarray(s.labels) < 6).sum() for s in (found.train, found.test)]
    assert basic == [7415, 2996]
    gravity = stacked(found.train)[..., 6:] - stacked(found.train)[..., :3]
    assert gravity.norm(dim=2).median() == pytest.approx(1.0, abs=0.05)  # g


def test_official_utd_mhad_split(shared_data):
    found = datasets("utd_mhad_inertial", shared_data / "utd_mhad")
    assert (len(found.train), len(found.test)) == (431, 430)
    assert {key.split("_")[1] for key in found.train.keys} == {"s1", "s3", "s5", "s7"}
    assert len(found.class_names) == 27
    first = stacked(found.train)[:, 0, :3].norm(dim=1)  # at rest: gravity alone
    assert first.median() == pytest.approx(1.0, abs=0.1)


def test_utd_mhad_names_a_broken_file(tmp_path):
    good = io.BytesIO()
    savemat(good, {"d_iner": np.ones((80, 6))})
    (tmp_path / "a1_s1_t1_inertial.mat").write_bytes(good.getvalue())
    found = datasets("utd_mhad_inertial", tmp_path)
    assert stacked(found.train).shape == (1, 64, 6)
    assert stacked(found.train)[0, 0, 3].item() == pytest.approx(np.deg2rad(1.0))
    (tmp_path / "a2_s1_t1_inertial.mat").write_bytes(good.getvalue()[:100])
    assert "a2_s1_t1_inertial.mat: not a readable .mat file" in refused(
        "utd_mhad_inertial", tmp_path
    )


def test_uci_har_layout(tmp_path):
    root = write_uci_har(tmp_path / "UCI HAR Dataset")
    found = datasets("uci_har", tmp_path, HELD_OUT)
    assert stacked(found.train).shape == (6, 128, 9)
    np.testing.assert_allclose(stacked(found.train).mean((0, 1)), np.arange(9), atol=0.2)
    assert found.test.labels.tolist() == [0, 1, 2]
    assert found.class_names == ("A1", "A2", "A3", "A4", "A5", "A6")
    zipped(root, tmp_path / "inner.zip")
    (tmp_path / "official").mkdir()
    with zipfile.ZipFile(tmp_path / "official" / "har.zip", "w") as outer:  # as UCI packs it
        outer.write(tmp_path / "inner.zip", "UCI HAR Dataset.zip")
    again = datasets("uci_har", tmp_path / "official", HELD_OUT)
    np.testing.assert_array_equal(stacked(again.train), stacked(found.train))
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


def test_opportunity_layout(tmp_path):
    root = write_opportunity(tmp_path / "dataset")
    found = datasets("opportunity", tmp_path)
    assert found.spec.num_features == len(CHANNELS) == 113
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
    assert np.isfinite(stacked(found.train).numpy()).all()
    path = root / "S2-ADL1.dat"
    lines = path.read_text().splitlines()
    lines[7] = " ".join([*lines[7].split()[:249], "7"])
    path.write_text("\n".join(lines))
    assert "S2-ADL1.dat, line 8: 7 is no gesture" in refused("opportunity", tmp_path)
    lines[7] = " ".join(lines[7].split()[:200])
    path.write_text("\n".join(lines))
    assert "S2-ADL1.dat, line 8: 200 numbers instead of 250" in refused("opportunity", tmp_path)
