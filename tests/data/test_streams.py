"""The streams of one data set have the same keys, labels and classes, so that they can be fused."""

import numpy as np
from scipy.io import savemat

from gesture3d.config import load_data
from gesture3d.data import build_datasets, read_index


def test_utd_mhads_depth_skeletons_and_recordings_are_samples_of_one_set(tmp_path) -> None:
    for name in ("Depth", "Skeleton", "Inertial"):
        (tmp_path / name).mkdir()
    for sample in (
        "a1_s1_t1",
        "a6_s2_t4",
        "a19_s8_t2",
        "a22_s7_t3",
        "a27_s5_t1",
        "a6_s1_t1",
        "a19_s3_t1",
    ):
        depth = np.full((20, 30, 9), 3000, np.uint16)
        savemat(tmp_path / f"Depth/{sample}_depth.mat", {"d_depth": depth})
        skeleton = np.arange(20 * 3 * 9.0).reshape(20, 3, 9)
        savemat(tmp_path / f"Skeleton/{sample}_skeleton.mat", {"d_skel": skeleton})
        recording = np.ones((80, 6)) * [0, 0, 1, 0, 0, 0]
        savemat(tmp_path / f"Inertial/{sample}_inertial.mat", {"d_iner": recording})
    place = [f"data.root={tmp_path}"]
    depth = read_index(load_data("utd_mhad_depth", [*place, "data.cache_size=null"]))
    skeletons = read_index(load_data("utd_mhad_skeleton", place))
    windows = read_index(load_data("utd_mhad_inertial", place))
    assert depth.class_names == skeletons.class_names == windows.class_names
    rows, other, third = (
        {item.key: (item.label, item.group, item.split) for item in index.items}
        for index in (depth, skeletons, windows)
    )
    assert rows == other == third
    assert rows["a19_s8_t2"] == (18, "8", "test")


def test_generated_clips_depth_and_joints_are_samples_of_one_set(generated) -> None:
    counts = [f"data.clips_per_class.{split}=1" for split in ("train", "validation", "test")]
    place = [f"data.root={generated}", *counts]
    names = ("synthetic", "synthetic_depth", "synthetic_joints")
    uncached = [*place, "data.cache_size=null"]
    colour, depth, joints = (
        build_datasets(load_data(name, place if "joints" in name else uncached), 0, progress=False)
        for name in names
    )
    assert colour.fingerprint == depth.fingerprint == joints.fingerprint
    assert colour.class_names == depth.class_names == joints.class_names
    for split in ("train", "validation", "test"):
        keys = sorted(getattr(colour, split).keys)
        assert keys == sorted(getattr(depth, split).keys) == sorted(getattr(joints, split).keys)
    inputs = depth.validation[0].inputs  # one channel
    assert inputs.shape == (16, 1, 48, 48)
    assert (inputs < 8).float().mean() > 0.5  # background is 0
    assert inputs.max() > 50
