"""The generated data set: what is on disk, and that the gestures are what their names say."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.rng import generator
from gesture3d.synthetic.generate import LABELS, generate
from gesture3d.synthetic.gestures import MAX_FRAMES, MIN_FRAMES, perform
from gesture3d.synthetic.hand import FINGERTIPS, PARENTS, POSES, draw_shape, forward_kinematics
from gesture3d.synthetic.performer import draw_performer

OFFICIAL_LABELS = """Swiping Left
Swiping Right
Swiping Down
Swiping Up
Pushing Hand Away
Pulling Hand In
Sliding Two Fingers Left
Sliding Two Fingers Right
Sliding Two Fingers Down
Sliding Two Fingers Up
Pushing Two Fingers Away
Pulling Two Fingers In
Rolling Hand Forward
Rolling Hand Backward
Turning Hand Clockwise
Turning Hand Counterclockwise
Zooming In With Full Hand
Zooming Out With Full Hand
Zooming In With Two Fingers
Zooming Out With Two Fingers
Thumb Up
Thumb Down
Shaking Hand
Stop Sign
Drumming Fingers
No gesture
Doing other things
"""
ONE_OF_EACH = {"train": 1, "validation": 1, "test": 1}
WRIST, THUMB_TIP, INDEX_TIP = 0, FINGERTIPS[0], FINGERTIPS[1]


@pytest.fixture(scope="module")
def data_set(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("generated") / "set"
    generate(root, clips_per_class=ONE_OF_EACH, num_workers=1, progress=False)
    return root


def read_index(root: Path) -> dict:
    return json.loads((root / "dataset.json").read_text())


def read_video(path: Path) -> np.ndarray:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (grabbed := capture.read())[0]:
        frames.append(grabbed[1])
    return np.stack(frames)


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def clips_by_label(root: Path, split: str = "train") -> dict[str, str]:
    clips = read_index(root)["clips"]
    return {clip["label"]: id for id, clip in clips.items() if clip["split"] == split}


# On disk


def test_layout_and_lists_are_jesters(data_set):
    assert (data_set / "jester-v1-labels.csv").read_text() == OFFICIAL_LABELS
    clips = read_index(data_set)["clips"]
    lines = {
        split: (data_set / f"jester-v1-{split}.csv").read_text().splitlines()
        for split in ("train", "validation", "test", "test-labels")
    }
    for split in ("train", "validation", "test-labels"):
        rows = [line.split(";") for line in lines[split]]
        assert sorted(label for _, label in rows) == sorted(LABELS)
        assert all(clips[id] | {"label": label} == clips[id] for id, label in rows)
        assert {clips[id]["split"] for id, _ in rows} == {split.removesuffix("-labels")}
    assert lines["test"] == [line.split(";")[0] for line in lines["test-labels"]]
    assert len(clips) == 3 * 27
    for folder, suffix in (("20bn-jester-v1", "mp4"), ("depth", "mp4"), ("joints", "npy")):
        assert {p.name for p in (data_set / folder).iterdir()} == {f"{id}.{suffix}" for id in clips}


def test_clips_have_jesters_size_and_agree_with_depth_and_joints(data_set):
    for id in clips_by_label(data_set).values():
        video = cv2.VideoCapture(str(data_set / "20bn-jester-v1" / f"{id}.mp4"))
        depth = cv2.VideoCapture(str(data_set / "depth" / f"{id}.mp4"))
        joints = np.load(data_set / "joints" / f"{id}.npy")
        assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (
            176,
            100,
        )
        assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(12)
        assert MIN_FRAMES <= len(joints) <= MAX_FRAMES
        assert joints.shape[1:] == (21, 3)
        assert joints.dtype == np.float32
        assert video.get(cv2.CAP_PROP_FRAME_COUNT) == len(joints)
        assert depth.get(cv2.CAP_PROP_FRAME_COUNT) == len(joints)


def test_decord_reads_the_same_frames(data_set):
    decord = pytest.importorskip("decord")
    path = data_set / "20bn-jester-v1" / f"{clips_by_label(data_set)['Stop Sign']}.mp4"
    expected = read_video(path)
    frames = decord.VideoReader(str(path))[:].asnumpy()
    assert frames.shape == expected.shape
    assert np.abs(frames[..., ::-1].astype(int) - expected).mean() < 3


def test_depth_shows_the_hand_where_and_how_far_the_joints_are(data_set):
    id = clips_by_label(data_set)["Stop Sign"]
    depth = read_video(data_set / "depth" / f"{id}.mp4")[..., 0]
    joints = np.load(data_set / "joints" / f"{id}.npy")
    middle = len(joints) // 2
    for x, y, z in joints[middle, [0, 5, 9, 13, 17]]:
        column, row = round(88 + 132 * x / z), round(50 + 132 * y / z)
        metres = 1.25 - depth[middle, row, column] / 255
        assert z - 0.05 < metres < z + 0.025
    assert np.median(depth[middle]) < 3


def test_performers_of_the_splits_are_different_people(data_set):
    index = read_index(data_set)
    train, validation, test = (
        {c["performer"] for c in index["clips"].values() if c["split"] == split}
        for split in ("train", "validation", "test")
    )
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert index["performers"]["train"] == sorted(train)


def test_killed_generation_is_completed_to_the_same_files(data_set, tmp_path):
    root = tmp_path / "set"
    code = (  # as a careless script: no guard around the call
        "from pathlib import Path; from gesture3d.synthetic.generate import generate;"
        f"generate(Path({str(root)!r}), clips_per_class={ONE_OF_EACH}, num_workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    videos = root / "20bn-jester-v1"
    deadline = time.monotonic() + 60
    while len(list(videos.glob("*.mp4"))) < 10 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (root / "dataset.json").exists()
    generate(root, clips_per_class=ONE_OF_EACH, num_workers=1, progress=False)
    assert contents(root) == contents(data_set)


def test_missing_files_are_made_again_and_leftovers_removed(data_set, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(data_set, root)
    (root / "dataset.json").unlink()
    lost = sorted((root / "20bn-jester-v1").iterdir())[:2]
    lost += sorted((root / "joints").iterdir())[-2:]
    for path in lost:
        path.unlink()
    (root / "depth" / ".123-abcd.mp4").write_bytes(b"half a clip")
    generate(root, clips_per_class=ONE_OF_EACH, num_workers=1, progress=False)
    assert contents(root) == contents(data_set)


def test_finished_set_is_left_alone(data_set):
    before = {path: path.stat().st_mtime_ns for path in data_set.rglob("*")}
    generate(data_set, clips_per_class=ONE_OF_EACH, progress=False)
    assert before == {path: path.stat().st_mtime_ns for path in data_set.rglob("*")}


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_in_one_line(data_set, tmp_path, finished):
    root = tmp_path / "set"
    shutil.copytree(data_set, root)
    if not finished:
        (root / "dataset.json").unlink()
    with pytest.raises(Gesture3dError, match=r"seed is 0, asked for 1\).*delete") as caught:
        generate(root, clips_per_class=ONE_OF_EACH, seed=1, progress=False)
    assert "\n" not in str(caught.value)


def test_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "20bn-jester-v1").mkdir()
    with pytest.raises(Gesture3dError, match="empty folder"):
        generate(tmp_path, clips_per_class=ONE_OF_EACH, progress=False)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == ["20bn-jester-v1"]


@pytest.mark.parametrize("wrong", [{"val": 1}, {"train": -1}, {"train": 1.5}])
def test_impossible_counts_are_refused(tmp_path, wrong):
    with pytest.raises(Gesture3dError, match="clips_per_class"):
        generate(tmp_path / "set", clips_per_class=wrong, progress=False)
    assert not (tmp_path / "set").exists()


def test_seed_changes_everything_and_hard_changes_the_scene_alone(data_set, tmp_path):
    for name, settings in {"other": {"seed": 1}, "hard": {"hard": True}}.items():
        root = tmp_path / name
        generate(root, clips_per_class={"train": 1}, num_workers=1, progress=False, **settings)
        old, new = clips_by_label(data_set), clips_by_label(root)
        for label in ("Swiping Left", "Drumming Fingers"):
            joints = [
                np.load(where / "joints" / f"{ids[label]}.npy")
                for where, ids in ((data_set, old), (root, new))
            ]
            assert np.array_equal(*joints) == (name == "hard")
            videos = [
                (where / "20bn-jester-v1" / f"{ids[label]}.mp4").read_bytes()
                for where, ids in ((data_set, old), (root, new))
            ]
            assert videos[0] != videos[1]


# Hands


def test_left_hand_mirrors_the_shape_and_keeps_the_orientation():
    shapes = {shape.side: shape for shape in map(draw_shape, map(generator, range(30)))}
    assert set(shapes) == {-1, 1}
    right = shapes[1]
    left = type(right)(**(vars(right) | {"side": -1}))
    rotation = np.stack([[1, 0, 0], [0, -1, 0], [0, 0, -1]], axis=1)[None].astype(float)
    wrist, pose = np.zeros((1, 3)), POSES["open"][None]
    one = forward_kinematics(right, wrist, rotation, pose)
    other = forward_kinematics(left, wrist, rotation, pose)
    assert np.allclose(one * [-1, 1, 1], other)
    assert one[0, 4, 0] > one[0, 20, 0]  # palm to the camera: a right thumb is on the frame's right


def test_bones_keep_their_lengths():
    for number in range(5):
        motion = act("Doing other things", number)
        bones = np.linalg.norm(motion.joints[:, 1:] - motion.joints[:, PARENTS[1:]], axis=-1)
        assert np.ptp(bones, axis=0).max() < 1e-9
        forearm = np.linalg.norm(motion.joints[:, 0] - motion.elbow, axis=-1)
        assert np.ptp(forearm) < 1e-9


# Gestures. Each is looked at in the middle of the clip, where every performer is performing.

PERFORMERS = range(64)


def act(label: str, number: int):
    """The motion of performer ``number``."""
    performer = draw_performer(generator(0, "performer", number))
    return perform(label, performer, generator("test", label, number))


def during(label: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints and orientations while the gesture itself takes place."""
    motion = act(label, number)
    start, stop = round(0.26 * len(motion.joints)), round(0.66 * len(motion.joints))
    return motion.joints[start:stop], motion.rotation[start:stop]


def test_both_hands_occur():
    sides = {draw_performer(generator(0, "performer", p)).shape.side for p in PERFORMERS}
    assert sides == {-1, 1}


@pytest.mark.parametrize("kind", ["Swiping", "Sliding Two Fingers"])
@pytest.mark.parametrize(
    ("direction", "axis", "sign"),
    [("Left", 0, -1), ("Right", 0, 1), ("Down", 1, 1), ("Up", 1, -1)],
)
def test_swipes_go_where_they_say(kind, direction, axis, sign):
    for number in PERFORMERS:
        joints, _ = during(f"{kind} {direction}", number)
        moved = joints[-1].mean(0) - joints[0].mean(0)
        assert sign * moved[axis] > 0.05
        assert abs(moved[1 - axis]) < abs(moved[axis])


@pytest.mark.parametrize("what", ["Hand", "Two Fingers"])
def test_pushing_comes_near_the_camera_and_pulling_leaves_it(what):
    for number in PERFORMERS:
        for label, sign in ((f"Pushing {what} Away", -1), (f"Pulling {what} In", 1)):
            wrist = during(label, number)[0][:, WRIST, 2]
            assert sign * (wrist[-1] - wrist[0]) > 0.1


def test_hand_turns_clockwise_on_the_screen_whichever_hand_it_is():
    for number in PERFORMERS:
        for label, sign in (
            ("Turning Hand Clockwise", 1),
            ("Turning Hand Counterclockwise", -1),
        ):
            _, rotation = during(label, number)
            fingers = np.unwrap(np.arctan2(rotation[:, 1, 1], rotation[:, 0, 1]))
            assert sign * np.rad2deg(fingers[-1] - fingers[0]) > 45


def test_rolling_goes_round_over_the_top_to_the_camera_or_back():
    for number in PERFORMERS:
        for label, sign in (("Rolling Hand Forward", 1), ("Rolling Hand Backward", -1)):
            knuckle = during(label, number)[0][:, 9]
            y, z = (knuckle - (knuckle.max(0) + knuckle.min(0)) / 2)[:, 1:].T
            angle = np.unwrap(np.arctan2(-z / 0.1, -y / 0.05))
            assert sign * np.rad2deg(angle[-1] - angle[0]) > 180


@pytest.mark.parametrize("what", ["Full Hand", "Two Fingers"])
def test_zooming_in_opens_the_hand_and_zooming_out_closes_it(what):
    for number in PERFORMERS:
        for way, sign in (("In", 1), ("Out", -1)):
            joints, _ = during(f"Zooming {way} With {what}", number)
            gap = np.linalg.norm(joints[:, THUMB_TIP] - joints[:, INDEX_TIP], axis=-1)
            assert sign * (gap[-1] - gap[0]) > 0.05


def test_thumbs_point_up_and_down():
    for number in PERFORMERS:
        for label, sign in (("Thumb Up", -1), ("Thumb Down", 1)):
            joints = during(label, number)[0][len(PARENTS) // 3 :]
            assert (sign * (joints[:, THUMB_TIP, 1] - joints[:, WRIST, 1]) > 0.03).all()
            others = joints[:, FINGERTIPS[1:], 1]
            assert (sign * (joints[:, THUMB_TIP, 1:2] - others) > 0).all()


def test_open_hand_fills_about_half_of_the_frame_and_is_in_it():
    heights = []
    for number in PERFORMERS:
        joints = act("Stop Sign", number).joints
        middle = joints[len(joints) // 2]
        pixels = np.array([88, 50]) + 132 * middle[:, :2] / middle[:, 2:]
        assert (pixels > 0).all()
        assert (pixels < [176, 110]).all()
        heights.append(np.ptp(pixels[:, 1]))
    assert 40 < np.mean(heights) < 60


def test_waving_and_drumming_go_to_and_fro_and_a_stop_sign_does_not():
    def reversals(values: np.ndarray) -> int:
        steps = np.diff(values)
        return int((np.sign(steps[1:]) != np.sign(steps[:-1])).sum())

    for number in PERFORMERS:
        waving = during("Shaking Hand", number)[0]
        still = during("Stop Sign", number)[0][4:]
        assert reversals(waving[:, 12, 0]) >= 2
        assert np.ptp(waving[:, 12, 0]) > 0.06
        assert np.ptp(still[:, 12], axis=0).max() < 0.04
        drumming = during("Drumming Fingers", number)[0]
        reach = np.linalg.norm(drumming[:, 12] - drumming[:, WRIST], axis=-1)
        assert reversals(reach) >= 1
        assert np.ptp(reach) > 0.02


def test_without_a_gesture_the_hand_stays_low():
    for number in PERFORMERS:
        tips = act("No gesture", number).joints[:, FINGERTIPS]
        rows = 50 + 132 * tips[..., 1] / tips[..., 2]
        assert rows.min() > 45


def test_number_of_frames_tells_nothing_about_the_class():
    performer = draw_performer(generator(0, "performer", 0))
    lengths = {len(perform(label, performer, generator("same")).joints) for label in LABELS}
    assert len(lengths) == 1
