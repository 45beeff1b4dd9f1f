"""The matrix of exported networks: measured by one command, its rows kept in a file."""

import csv
import json
import zipfile

import pytest

from gesture3d.benchmarks import export
from gesture3d.benchmarks.export import COLUMNS, matrix, recipes, record, table
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE, resource

for name in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(name, reason=f"{name}, of the extra export, is not installed")


def test_a_networks_settings_say_what_it_is_measured_on_and_whether_it_can_be_causal() -> None:
    found = recipes()
    assert set(found) == {path.stem for path in resource("configs").glob("*.yaml")}
    data = {name: found[name].data for name in ("variant_a", "gru", "cnn1d", "bilstm")}
    assert list(data.values()) == ["synthetic", "utd_mhad_skeleton", "hapt", "hapt"]
    causal = {name for name, recipe in found.items() if recipe.causal is not None}
    assert causal > {"variant_a", "no_recurrence", "gru", "deepgru_small", "residual_lstm", "lstm"}
    assert not causal & {"r3d_18", "cnn1d", "bilstm", "residual_bilstm"}


def test_a_network_is_exported_compared_and_timed(monkeypatch) -> None:
    """Its file of torch in a process that cannot import gesture3d, as every export."""
    said = {}

    def looked_at(source, to, path):
        found = exported(source, to, path)
        if to == "torch":
            with zipfile.ZipFile(path) as file:
                (name,) = [name for name in file.namelist() if name.endswith("gesture3d.json")]
                said.update(json.loads(file.read(name)))
        return found

    exported = export.export
    monkeypatch.setattr(export, "export", looked_at)
    (row,) = matrix(["cnn1d"], 0.01)
    assert "problem" not in row
    assert {*row} <= {*COLUMNS}
    for name in ("ONNX: difference", ".pt2: difference"):
        assert 0 <= float(row[name]) <= 1e-4
    assert said["proof"]["runtime"].startswith("torch ")
    assert said["proof"]["difference"] <= 1e-4
    assert float(row["int8: difference"]) > 1e-4
    assert row["int8: MB"] < 0.5 * row["ONNX: MB"]
    assert all(row[name] > 0 for name in row if name.endswith("ms"))


def test_an_unknown_network_is_said() -> None:
    with pytest.raises(Gesture3dError, match=r"no network 'variant_e' here.*variant_"):
        next(matrix(["variant_e"], 0.01))


def test_rows_take_the_places_of_those_before(tmp_path) -> None:
    path, readme = tmp_path / "m.csv", tmp_path / "README.md"
    readme.write_text("before\n<!-- matrix -->\nold\n<!-- /matrix -->\nafter\n")
    record(path, [{"network": n, "kind": "clip", "PyTorch, ms": 12.345} for n in ("a", "b")])
    record(path, [{"network": "a", "kind": "clip", "PyTorch, ms": 400.04, "events": None}])
    rows = [(row["network"], row["PyTorch, ms"]) for row in csv.DictReader(path.open())]
    assert rows == [("a", "400"), ("b", "12.3")]
    before, shown, after = readme.read_text().partition(table(path))
    assert (before[:6], after[-6:]) == ("before", "after\n")
    assert shown.splitlines()[2] == "| a | clip | 400 |"


def test_the_readme_shows_the_measured_rows() -> None:
    place = PACKAGE / "export" / "matrix.csv"
    assert table(place) in place.with_name("README.md").read_text("utf-8")
    rows = list(csv.DictReader(place.open()))
    assert {row["network"].partition(",")[0] for row in rows} <= set(recipes())
    for row in rows:
        assert not row["problem"]
        assert max(float(row["ONNX: difference"]), float(row[".pt2: difference"])) <= 1e-4
