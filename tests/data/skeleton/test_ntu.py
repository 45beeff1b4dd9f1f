"""``.skeleton`` files of NTU RGB+D, as the data set's readme describes them."""

from pathlib import Path

import numpy as np
import pytest

from gesture3d.data import build_datasets
from gesture3d.data.skeleton.sets.skeleton_folder import SkeletonFolderData
from gesture3d.errors import Gesture3dError

Body = tuple[str, np.ndarray]


def body(number: str, seed: int, at: float = 0.0) -> Body:
    """A body's id and joints (25, 3), to the seven digits that the files have."""
    joints = np.random.default_rng(seed).normal(size=(25, 3)) / 10 + [at, 0.5, 3.0]
    return number, np.round(joints, 6)


def ntu_text(frames: list[list[Body]], end: str = "\r\n") -> str:
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for number, joints in bodies:
            lines += [f"{number} 0 1 1 1 1 0 -0.0437 -0.0124 2", str(len(joints))]
            rest = "277.9 191.5 1036.2 519.9 -0.2 0.03 0.96 -0.05 2"
            lines += [f"{x:.6f} {y:.6f} {z:.6f} {rest}" for x, y, z in joints]
    return end.join(lines) + end


def read(tmp_path: Path, frames: list[list[Body]] | str, num_bodies: int = 1) -> np.ndarray:
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text(frames if isinstance(frames, str) else ntu_text(frames), newline="")
    data = SkeletonFolderData(name="skeleton_folder", num_bodies=num_bodies)
    return data.joints_of(path)


def test_one_body_is_read_as_it_stands(tmp_path) -> None:
    frames = [[body("72057594037931101", n)] for n in range(5)]
    joints = read(tmp_path, frames)
    assert joints.dtype == np.float32
    np.testing.assert_allclose(joints, [f[0][1] for f in frames], rtol=1e-6)
    two = read(tmp_path, frames, num_bodies=2)
    assert two.shape == (5, 50, 3)
    np.testing.assert_array_equal(two[:, :25], joints)
    assert not two[:, 25:].any()  # nobody else is there


def test_who_is_seen_longest_comes_first_then_who_moves_more(tmp_path) -> None:
    still, chair = body("1", 99)[1], body("3", 98)
    frames = [[chair] * (n < 3) + [("1", still), body("2", n, at=1.0)] for n in range(6)]
    joints = read(tmp_path, frames, num_bodies=2)
    np.testing.assert_allclose(joints[:, :25], [f[-1][1] for f in frames], rtol=1e-6)
    np.testing.assert_allclose(joints[:, 25:], [still] * 6, rtol=1e-6)
    np.testing.assert_array_equal(read(tmp_path, frames), joints[:, :25])


def test_a_person_who_is_lost_and_found_is_one_and_goes_straight_meanwhile(tmp_path) -> None:
    nothing = ("1", np.zeros((25, 3)))  # tracked, but at the origin: not seen
    first, second = body("1", 1), body("2", 2)
    frames = [[], [first], [nothing], [], [second], [second], []]
    joints = read(tmp_path, frames)
    assert len(joints) == 7  # nothing is played faster
    a, b = first[1], second[1]
    expected = [a, a, a + (b - a) / 3, a + (b - a) * 2 / 3, b, b, b]
    np.testing.assert_allclose(joints, expected, rtol=1e-5)


GOOD = ntu_text([[body("7", n)] for n in range(3)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"\.skeleton: cut off behind this line"),
        ("2\r\n0\r\n0\r\n", "nobody is seen in any of its 2 frames"),
        ("-1\r\n", "line 1: '-1' frames, expected 1 to"),
        ("1" * 5000, "line 1: '1{40}…' frames, expected 1 to"),
        (GOOD[:-900], "line 7[0-9]: .*(cut off|numbers, expected 12|no three)"),
        (GOOD.replace("\r\n25\r\n", "\r\n20\r\n", 1), "line 4: '20' joints, expected 25"),
        (GOOD.replace("\r\n1\r\n", "\r\n999\r\n", 1), "line 2: '999' bodies, expected 0 to 100"),
        (GOOD + "1\r\n", "line 86: goes on behind its 3 frames"),
        (ntu_text([[body("7", 0), body("7", 1)]]), "line 56: body '7' twice in a frame"),
        ("1,2,3\n4,5,6\n", "line 1: '1,2,3' frames"),
        (ntu_text([[("7", np.full((25, 3), np.nan))]]), "frame 0: joint 0 has the coordinate nan"),
        (ntu_text([[("7", np.full((25, 3), 1e39))]]), "frame 0: joint 0 has the coordinate 1e.39"),
        (GOOD.replace("3.", "1.#QNAN", 1), "are no three numbers"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, message) -> None:
    with pytest.raises(Gesture3dError, match=message) as caught:
        read(tmp_path, text)
    assert "S001C001P001R001A001.skeleton" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_them_is_trained_on(tmp_path) -> None:
    for label in ("drink", "wave"):
        (tmp_path / label).mkdir()
        for n in range(4):
            frames = [[body("7", 10 * n + t)] for t in range(4 + n)]
            (tmp_path / label / f"{n}.skeleton").write_text(ntu_text(frames))
    data = SkeletonFolderData(name="skeleton_folder", root=tmp_path, centre="first_frame")
    found = build_datasets(data, 0, progress=False)
    assert found.spec.num_features == 75
    assert len(found.train) + len(found.test) == 8
    key = found.test.keys[0]
    assert (data.load(tmp_path / key) == found.test[0].inputs).all()


def test_joints_that_do_not_fit_the_settings_are_named_with_their_file(tmp_path) -> None:
    np.save(tmp_path / "few.npy", np.zeros((5, 4, 3)))
    data = SkeletonFolderData(name="skeleton_folder", centre="first_frame", centre_joint=9)
    with pytest.raises(Gesture3dError, match=r"few\.npy: data\.centre_joint: no joint 9"):
        data.load(tmp_path / "few.npy")
