"""`HandTrack`: what it refuses, its mirror, its file."""

from dataclasses import fields, replace

import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.hands.track import LEFT, RIGHT, HandTrack


def some_track(num_frames: int = 5) -> HandTrack:
    """The left hand in all frames but the first, the right one in the last alone."""
    rng = np.random.default_rng(0)
    presence = rng.uniform(0.5, 1, (num_frames, 2)).astype(np.float32)
    presence[0, LEFT] = presence[:-1, RIGHT] = 0
    joints, world = rng.normal(size=(2, num_frames, 2, 21, 3)).astype(np.float32)
    joints[presence == 0] = world[presence == 0] = np.nan
    return HandTrack(joints, world, presence, 64, 48, np.arange(num_frames) / 30)


def test_a_track_comes_back_from_its_file(tmp_path) -> None:
    track = some_track()
    track.save(tmp_path / "deep" / "clip.npz")
    back = HandTrack.load(tmp_path / "deep" / "clip.npz")
    for field in fields(track):
        mine, theirs = getattr(track, field.name), getattr(back, field.name)
        np.testing.assert_array_equal(mine, theirs)
    assert back.joints.dtype == back.world.dtype == back.presence.dtype == np.float32
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["clip.npz"]


def test_mirroring_changes_sides_and_is_its_own_inverse() -> None:
    track = some_track()
    mirrored = track.mirrored()
    np.testing.assert_array_equal(mirrored.seen[:, LEFT], track.seen[:, RIGHT])
    expected = 63 - track.joints[-1, RIGHT, :, 0]
    np.testing.assert_array_equal(mirrored.joints[-1, LEFT, :, 0], expected)
    np.testing.assert_array_equal(mirrored.world[-1, LEFT, :, 0], -track.world[-1, RIGHT, :, 0])
    np.testing.assert_allclose(mirrored.mirrored().joints, track.joints, atol=1e-5)


def test_normalised_joints_are_parts_of_the_frame() -> None:
    track = some_track()
    track.joints[-1, RIGHT, 0] = 63.5, 23.5, 6.4  # the right edge, half way down
    np.testing.assert_allclose(track.normalised[-1, RIGHT, 0], (1, 0.5, 0.1), atol=1e-6)
    np.testing.assert_array_equal(np.isnan(track.normalised), np.isnan(track.joints))


def test_what_contradicts_itself_is_refused() -> None:
    track = some_track()
    hole = track.joints.copy()
    hole[-1, RIGHT, 4, 1] = np.nan
    for change, message in (
        ({"joints": hole}, "joints must be finite where presence is above 0"),
        ({"world": track.world[:, :1]}, r"world of shape \(5, 1, 21, 3\); expected"),
        ({"presence": track.presence * 2}, "presence must be in"),
        ({"presence": np.full_like(track.presence, np.nan)}, "presence must be in"),
        ({"seconds": -track.seconds}, "ascend"),
        ({"seconds": np.zeros(0)}, "1 to 100,000 frames"),
        ({"width": 0}, "0x48 pixels"),
    ):
        with pytest.raises(Gesture3dError, match=message):
            replace(track, **change)


@pytest.mark.parametrize("change", ["cut", "text", "fewer", "pickled", "letters", "no file"])
def test_other_files_are_refused_in_one_line(change, tmp_path) -> None:
    path, track = tmp_path / "clip.npz", some_track()
    arrays = {field.name: np.asarray(getattr(track, field.name)) for field in fields(track)}
    if change == "fewer":
        del arrays["world"]
    elif change == "pickled":
        arrays["world"] = np.array([{}], dtype=object)
    elif change == "letters":
        arrays["world"] = np.full(track.world.shape, "a")
    if change == "text":
        path.write_text("joints")
    elif change != "no file":
        np.savez(path, **arrays)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(Gesture3dError) as refusal:
        HandTrack.load(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)
