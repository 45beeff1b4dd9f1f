"""Tables of numbers, damaged and hostile ones: the right numbers, or one line with the place."""

import time
import tracemalloc

import numpy as np
import pytest

from gesture3d.data.inertial.recording import read_table
from gesture3d.data.inertial.sets.hapt import HAPTData
from gesture3d.data.inertial.sets.inertial_folder import InertialFolderData
from gesture3d.data.inertial.signal import prepare
from gesture3d.data.numeric import parse_numbers
from gesture3d.data.skeleton.files import plain_joints
from gesture3d.errors import Gesture3dError
from tests.data.contents import JOINTS, csv_text


@pytest.mark.parametrize("value", [1e300, -1e39, 1e16, np.inf])
def test_recordings_are_finite_after_the_cast(value) -> None:
    config = HAPTData(name="hapt", median_steps=3, lowpass_hz=20.0, gravity_hz=0.3)
    recording = np.random.default_rng(0).normal(size=(300, 6))
    assert np.isfinite(prepare(recording, config)).all()
    recording[57, 2] = value
    with pytest.raises(Gesture3dError, match="x, line 58: channel 3 is"):
        prepare(recording, config, "x")
    with pytest.raises(Gesture3dError, match="x: has no samples"):
        prepare(recording[:0], config, "x")


@pytest.mark.parametrize("value", ["1e39", "-1e300", "nan", ""])
def test_windows_that_were_cut_already_are_finite_after_the_cast(tmp_path, value) -> None:
    rows = [f"{n // 4},{value if n == 5 else n},a" for n in range(16)]
    (tmp_path / "w.csv").write_text("\n".join(["window,x,label", *rows]))
    config = InertialFolderData(name="inertial_folder", root=tmp_path, window=4)
    with pytest.raises(Gesture3dError, match=r"w\.csv, line 7: a window with"):
        config.read()


FOLDER = InertialFolderData(name="inertial_folder")


def test_a_table_of_50_000_columns_takes_no_time(tmp_path) -> None:
    names = [f"c{n}" for n in range(50_000)]
    path = tmp_path / "wide.csv"
    row = ",".join(["1"] * 50_000)
    path.write_text("\n".join([",".join([*names, "label"]), *[f"{row},a"] * 4]))
    started = time.process_time()
    assert read_table(path, FOLDER).channels.shape == (4, 50_000)
    assert time.process_time() - started < 5
    other = tmp_path / "other.csv"
    other.write_text("x,label\n1,a\n2,a\n")
    config = FOLDER.model_copy(update={"root": tmp_path, "resample": True})
    with pytest.raises(Gesture3dError, match="c19, …, but") as caught:
        config.read()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x,label\n" + b"1" * 200_000 + b",a\n", "line 2: not a CSV: field larger than"),
        (b'x,label\n"' + b"1,a\n" * 50_000, "field larger than"),
        (b"x,label\n" + b"1," * 600_000, "line 2: longer than 1,048,576 characters"),
        (b"x,label\n1\x00,a\n", r"NUL|line 2: x '1\\x00' is no number"),
        (b"x,label\n" + b"one " * 5000 + b",a\n", r"line 2: x 'one .{36}…' is no number"),
        (b"x,label\n\xff\xfe,a\n", "not a text file in UTF-8"),
        (b"x,label\n1,a\n1\n", "line 3: 1 cells, 2 columns"),
        (b"x,label", "at least one row are needed"),
        (b"", "at least one row are needed"),
    ],
)
def test_tables_that_cannot_be_used_say_where(tmp_path, content, message) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(Gesture3dError, match=message) as caught:
        read_table(path, FOLDER)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_a_line_of_any_length_is_no_frame() -> None:
    for parse in (lambda c: plain_joints(c, "x", ".csv"), lambda c: parse_numbers(c, "x")):
        with pytest.raises(Gesture3dError, match="x, line 2: longer than 1,048,576 characters"):
            parse(b"1 1 1\n" + b"1 " * 600_000)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_by_comma_semicolon_or_tab_are_read_alike(tmp_path, separator) -> None:
    joints = csv_text(JOINTS[:, :4], ",".join("abcdefghijkl")).replace(b",", separator.encode())
    found = plain_joints(joints, "x", ".csv")
    np.testing.assert_allclose(found, JOINTS[:, :4], atol=1e-4)
    path = tmp_path / "x.csv"
    path.write_text("x,y,label\n1,2,sit; still\n3,,sit; still\n".replace(",", separator))
    if separator != ";":
        table = read_table(path, FOLDER)
        assert table.names == ("x", "y")
        np.testing.assert_array_equal(table.channels, [[1, 2], [3, np.nan]])
        assert table.texts == {"label": ["sit; still"] * 2}


def test_a_comma_in_a_number_is_named(tmp_path) -> None:
    """As spreadsheets of many countries write it, between semicolons."""
    row = "0,5;1,5;2,5\n"
    for header in ("", "x;y;z\n"):
        with pytest.raises(Gesture3dError, match="'0,5' is no number: write it with a point"):
            plain_joints(f"{header}{2 * row}".encode(), "x", ".csv")
    (tmp_path / "x.csv").write_text("x;label\n0,5;a\n")
    with pytest.raises(Gesture3dError, match="line 2: x '0,5' is no number: write it with a point"):
        read_table(tmp_path / "x.csv", FOLDER)


def test_tables_take_little_more_memory_than_their_numbers(tmp_path) -> None:
    """Lines of two bytes, of which an object each would take 50 times the file."""
    content = b"1\n" * 45_000
    (tmp_path / "x.csv").write_bytes(b"x\n" + content)
    readers = (
        lambda: parse_numbers(content, "x"),
        lambda: read_table(tmp_path / "x.csv", FOLDER),
        lambda: plain_joints(b"1,1,1\n" * 15_000, "x", ".csv"),
    )
    for read in readers:
        tracemalloc.start()
        read()
        assert tracemalloc.get_traced_memory()[1] < 20 * len(content)
        tracemalloc.stop()
    with pytest.raises(Gesture3dError, match="x: a gesture has at most 100,000 frames"):
        plain_joints(b"1,1,1\n" * 100_001, "x", ".csv")
