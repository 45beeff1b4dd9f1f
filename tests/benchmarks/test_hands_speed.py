"""The benchmark of finding hands measures every engine that is there, on a clip with a hand."""

import pytest

from gesture3d.benchmarks import hands
from gesture3d.cli import benchmark
from gesture3d.errors import Gesture3dError
from gesture3d.hands.weights import NAMES, find_weights


def test_every_engine_has_a_row(monkeypatch) -> None:
    try:
        for name in NAMES:
            find_weights(name)
    except Gesture3dError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(hands, "NUM_FRAMES", 6)
    monkeypatch.setattr(hands, "SIZES", ("lite",))
    monkeypatch.delitem(hands.ENGINES, "PyTorch, bf16")
    rows = hands.measure(seconds=0.01)
    assert rows[-1]["engine"] == "PyTorch, fp32"
    assert all(row[what] > 0 for row in rows for what in hands.WORK)
    assert hands.HandTracker().track(hands.rendered_clip()).seen.any(axis=1).all()


def test_the_targets_name_their_processor(monkeypatch, capsys) -> None:
    monkeypatch.setattr(hands, "measure", lambda seconds: [{"followed": seconds}])
    monkeypatch.setattr("sys.argv", ["benchmark.py", "hands", "--seconds", "3"])
    assert benchmark.main() == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("processor: ")
    assert (
        last
        == "wanted of lite in bf16 at most, on AVX512_CORE_BF16: followed 8, detected 25, clip 400"
    )
