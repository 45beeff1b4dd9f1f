"""BasicMotions of the UEA archive, from a small copy of its layout."""

from pathlib import Path

import numpy as np

from tests.data.inertial.layouts import datasets, refused, stacked


def write(root: Path, steps: int = 100) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("TRAIN", 6), ("TEST", 4)):
        lines = ["@problemName BasicMotions", "@univariate false", "@dimensions 6"]
        lines += ["@equalLength true", "@classLabel true Walking Running", "@data"]
        for number in range(count):
            values = rng.normal(size=(6, steps)) + number
            channels = [",".join(f"{value:.4f}" for value in row) for row in values]
            lines.append(":".join([*channels, ("Walking", "Running")[number % 2]]))
        (root / f"BasicMotions_{split}.ts").write_text("\n".join(lines))


def test_windows_are_as_given(tmp_path) -> None:
    write(tmp_path)
    found = datasets("basic_motions", tmp_path)
    assert found.class_names == ("Running", "Walking")
    assert (len(found.train), found.validation, len(found.test)) == (6, None, 4)
    assert found.train.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert stacked(found.test).shape == (4, 100, 6)
    np.testing.assert_allclose(stacked(found.test).mean((1, 2)), range(4), atol=0.2)
    assert found.spec.rate_hz == 10
    held = datasets("basic_motions", tmp_path, "data.validation_share=0.3")
    assert (len(held.train), len(held.validation), len(held.test)) == (4, 2, 4)


def test_what_is_no_such_file(tmp_path) -> None:
    assert "BasicMotions_TRAIN.arff: no such file" in refused("basic_motions", tmp_path)
    write(tmp_path, steps=90)
    message = refused("basic_motions", tmp_path)
    assert "BasicMotions_TRAIN.ts, line 7: 90 steps of 6 channels, expected 100 of 6" in message
