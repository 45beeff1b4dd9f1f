"""Signs at webcams: the real files, and what is refused."""

import numpy as np
import pytest

from gesture3d.config import load_data
from gesture3d.data import build_datasets, count_folds
from gesture3d.errors import Gesture3dError
from tests.data.skeleton.layouts import walk


def test_people_are_tested_who_were_not_trained_on(shared_data) -> None:
    data = load_data("webcam_signs", [f"data.root={shared_data / 'webcam_signs'}"])
    assert count_folds(data) == 5
    found = build_datasets(data, seed=0)
    assert found.class_names == ("hello", "iloveyou", "thanks")
    assert len(found.train) + len(found.test) == 1020
    assert found.spec.shape == (32, 138)  # the features of hands
    people = [{item.group for item in samples.items} for samples in (found.train, found.test)]
    assert (len(people[0]), len(people[1]), people[0] & people[1]) == (8, 2, set())


def test_a_small_copy_and_what_is_wrong_with_it(tmp_path) -> None:
    rows = [f"{label}{n},{label},p{n}" for n in range(5) for label in ("hello", "thanks")]
    table = tmp_path / "sequences.csv"
    table.write_text("\n".join(["key,label,person", *rows]))
    arrays = {row.split(",")[0]: walk(6, 42, row).astype(np.float16) for row in rows}
    np.savez(tmp_path / "hands.npz", **arrays)
    data = load_data("webcam_signs", [f"data.root={tmp_path}"])
    found = build_datasets(data, seed=0)
    assert (len(found.train), len(found.test), found.train[0].inputs.shape) == (8, 2, (32, 138))
    np.savez(tmp_path / "hands.npz", **dict(list(arrays.items())[1:]))
    with pytest.raises(Gesture3dError, match=r"sequences\.csv, line 2: hello0 is not in .*hands"):
        build_datasets(data, seed=0)
    table.write_text("key,label\nhello0,hello\n")
    with pytest.raises(Gesture3dError, match=r"sequences\.csv: no column 'person'"):
        build_datasets(data, seed=0)
    table.write_text("key,label,person\n")
    with pytest.raises(Gesture3dError, match="no samples"):
        build_datasets(data, seed=0)
