"""Nothing moved: every recipe gives the samples that it gave, in the order that they had."""

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gesture3d.config import dump_experiment, load_experiment, read_settings, validate_experiment
from gesture3d.config.reading import RENAMED
from tests.clips import copied
from tests.net.pin import CASES, PINS, REAL, experiment_of, make, pin, shipped_weights, weights_pin

EXPECTED = json.loads(PINS.read_text())
OLD_RUNS = sorted((Path(__file__).parent / "old_runs").glob("*.yaml"))


def same(found: Any, expected: Any, where: str = "") -> None:
    """Equal, numbers to what other processors and decoders may make of the last level."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            same(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list) and expected and isinstance(expected[0], dict):
        assert len(found) == len(expected), where
        for row, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            same(ours, theirs, f"{where}/{row}")
    elif where.endswith(("means", "std")):
        pixels = np.max(np.abs(expected)) > 20  # levels 0 to 255, perhaps out of a video
        tolerance = 0.6 if pixels else 2e-3
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=2e-3, err_msg=where)
    elif where.endswith("scores"):
        np.testing.assert_allclose(found, expected, atol=2e-3, err_msg=where)
    else:
        assert found == expected, where


@pytest.fixture(scope="module")
def folder(tmp_path_factory, generated_flow) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    copied(generated_flow, folder / "generated")
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_gives_what_it_gave(name, folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)  # where caches of clips go
    case = CASES[name]
    same(json.loads(json.dumps(pin(experiment_of(case, make(case, folder))))), EXPECTED[name], name)


@pytest.mark.parametrize("name", REAL)
def test_a_real_set_gives_what_it_gave(name, shared_data, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    case = REAL[name]
    found = pin(experiment_of(case, shared_data / case[2]))
    same(json.loads(json.dumps(found)), EXPECTED[name], name)


@pytest.mark.parametrize("path", shipped_weights(), ids=lambda path: path.stem)
def test_shipped_weights_score_as_they_did(path) -> None:
    same(json.loads(json.dumps(weights_pin(path))), EXPECTED[path.name], path.name)


@pytest.mark.parametrize("path", OLD_RUNS, ids=lambda path: path.stem)
def test_the_experiment_of_an_old_run_still_loads_and_means_the_same(path) -> None:
    """``old_runs/`` holds ``experiment.yaml`` files as revision c5f8d65 wrote them."""
    old = yaml.safe_load(path.read_text())
    assert_holds(validate_experiment(read_settings(path), str(path)).model_dump(mode="json"), old)
    model, _, recipe = path.stem.partition("-")
    now = load_experiment(model, recipe)  # and the recipe is still the one of then
    assert_holds(now.model_dump(mode="json"), old, improved=IMPROVED)
    assert dump_experiment(now)


# What recipes have changed on purpose since.
IMPROVED = {
    *("data.clips_per_class." + split for split in ("train", "validation", "test")),
    "train.eval_every",
    *("optim.ema_decay", "optim.lr", "optim.label_smoothing", "train.epochs", "train.batch_size"),
    *("optim.warmup", "optim.weight_decay", "data.augmentation.horizontal_flip"),
}


def assert_holds(tree: dict, old: dict, where: str = "", improved: Container = ()) -> None:
    """Every setting that the old file has is there, with its value."""
    for key, value in old.items():
        if isinstance(value, dict):
            assert_holds(tree[key], value, f"{where}{key}.", improved)
        elif f"{where}{key}" not in improved:
            name = RENAMED.get(f"{where}{key}", f"{where}{key}").rpartition(".")[2]
            kept = [str(v) for v in value] if isinstance(value, list) else value
            assert tree[name] in (value, kept), f"{where}{key}"
