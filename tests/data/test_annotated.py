"""Anyone's streams, named in a file of events: what it cannot mean is said with its place."""

import cv2
import numpy as np
import pytest

from gesture3d.config import load_data
from gesture3d.data import read_index
from gesture3d.errors import Gesture3dError

LONG = "x" * 300


def write(root, *rows: str) -> None:
    """Streams a (joints, a recording, frames), and these rows."""
    (root / "a").mkdir()
    picture = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    for number in range(40):
        (root / "a" / f"{number:02d}.png").write_bytes(picture)
    np.save(root / "a.npy", np.zeros((40, 3, 3), np.float32))
    (root / "a.csv").write_text("x,y\n" + "1,2\n" * 40)
    (root / "annotations.csv").write_text(
        "path,label,start,end\n" + "".join(f"{r}\n" for r in rows)
    )


@pytest.mark.parametrize(
    ("recipe", "suffix"),
    [
        ("skeleton_stream_folder", ".npy"),
        ("inertial_stream_folder", ".csv"),
        ("stream_folder", ""),
    ],
)
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a{},x,0,0.5"], r"a\S*: the only stream to train on"),
        (["a{},x,0,0.5", f"{LONG}{{}},x,0,0.5"], rf"annotations\.csv: {LONG}.*no such"),
    ],
    ids=["one stream", "a long name"],
)
def test_what_a_file_of_events_cannot_mean_is_said(tmp_path, recipe, suffix, rows, message) -> None:
    write(tmp_path, *(row.format(suffix) for row in rows))
    with pytest.raises(Gesture3dError, match=message):
        read_index(load_data(recipe, [f"data.root={tmp_path}"]), progress=False)


def test_a_stream_of_another_kind_is_named_with_its_list(tmp_path) -> None:
    write(tmp_path, "a.npy,x,0,0.5", "annotations.txt,x,0,0.5")
    (tmp_path / "annotations.txt").write_text("notes")
    with pytest.raises(Gesture3dError, match=r"annotations\.csv: .*annotations\.txt: expected a"):
        read_index(load_data("skeleton_stream_folder", [f"data.root={tmp_path}"]), progress=False)
