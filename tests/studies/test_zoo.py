"""Rows of the zoo: written where they belong and nowhere else, and true to the runs."""

import csv
import multiprocessing
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.config import dump_experiment, load_experiment
from gesture3d.data import build_datasets
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE, write_text
from gesture3d.models import build_model
from gesture3d.studies.record import differences, nearest_recipe, row_of_folds
from gesture3d.studies.runs import gather, plan_runs
from gesture3d.studies.zoo import BEGIN, COLUMNS, END, read_rows, record
from tests.clips import square_folder, tiny_settings
from tests.studies.test_ablation import CPU, finished_run

HEAD = ",".join(COLUMNS) + "\n"
# Quoted without need, another line end, a line end within a field: none of it may change.
TYPED = (
    'Clips,variant_a,synthetic,,test,"216",0 1 2,94.4 97.2 95.4,95.7,1.4,,,,,,"a, b",,,,typed,\r\n'
    'Clips,"convlstm",synthetic,,test,216,0 1 2,,95.2,,,,,,,"two\nlines",,,,typed,\n'
    "Windows,cnn1d,hapt,,test,2996,0 1 2,,97.4,,,,,,,c,,,,typed,\n"
)


def row(**fields: str) -> dict[str, str]:
    known = {"network": "variant_a", "data": "synthetic", "split": "test", "top1": "50.0"}
    return dict.fromkeys(COLUMNS, "") | known | {"written_by": "ablate"} | fields


def tool(name: str, monkeypatch, *arguments) -> int:
    path = str(PACKAGE / "cli" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
    return runpy.run_path(path, run_name=name)["main"]()


@pytest.fixture
def results(tmp_path) -> Path:
    path = tmp_path / "zoo" / "results.csv"
    write_text(path, HEAD + TYPED)
    return path


# --- the file ------------------------------------------------------------------------------------


def test_a_row_takes_the_place_of_its_own_and_no_byte_of_others_changes(results):
    lines = TYPED.encode().split(b"\n")
    said = record(results, [row(top1="61.5")])
    assert said == [f"{results}: variant_a, synthetic, test: 61.5 % replaces 95.7 % (typed)"]
    head, first, *others = results.read_bytes().split(b"\n")
    assert head.decode() + "\n" == HEAD
    assert first.startswith(b"Clips,variant_a,synthetic,,test,")
    assert others == lines[1:]
    record(results, [row(top1="61.5")])
    assert results.read_bytes().split(b"\n")[1:] == [first, *lines[1:]]


@pytest.mark.parametrize(
    ("fields", "place", "group"),
    [
        ({"network": "variant_b"}, 2, "Clips"),
        ({"settings": "data.hard=true"}, 2, "Clips"),
        ({"split": "validation"}, 2, "Clips"),
        ({"weights": "w.safetensors"}, 2, "Clips"),
        ({"data": "hapt", "network": "lstm"}, 3, "Windows"),
        ({"data": "jester"}, 3, "jester"),
    ],
)
def test_another_key_is_a_new_row_behind_its_group(results, fields, place, group):
    before = read_rows(results)
    assert "a new row" in record(results, [row(**fields)])[0]
    after = read_rows(results)
    assert after[place][1] == row(**fields) | {"group": group}
    assert after[:place] + after[place + 1 :] == before


def test_rows_on_the_same_data_stand_together(results):
    record(results, [row(data="fused", group="Clips"), row(network="lstm")])
    found = [(fields["data"], fields["network"]) for _, fields in read_rows(results)]
    assert found == [
        *(("synthetic", name) for name in ("variant_a", "convlstm", "lstm")),
        *(("fused", "variant_a"), ("hapt", "cnn1d")),
    ]


def test_a_file_that_is_not_there_is_begun(tmp_path):
    path = tmp_path / "new" / "results.csv"
    record(path, [row()])
    assert path.read_text().startswith(HEAD)
    assert [fields["top1"] for _, fields in read_rows(path)] == ["50.0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("network,top1\na,5\n", r"its columns are network, top1; they must be group, network"),
        (HEAD + "a,b\n", "row 1 has 2 fields; the head has 21"),
        (HEAD + TYPED + TYPED, "row 4: there already: variant_a, synthetic, test"),
        (HEAD + TYPED.replace("97.4", "good"), "row 3: top1 'good'"),
        (HEAD + TYPED.replace("typed,\r", ",\r"), "row 1: written_by is empty"),
        (HEAD + '"', "no CSV"),
        (b"\xff\xfe", "no CSV"),
    ],
)
def test_what_is_no_table_of_results_is_refused_and_stays(results, content, message):
    results.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = results.read_bytes()
    with pytest.raises(Gesture3dError, match=message) as raised:
        record(results, [row()])
    assert "\n" not in str(raised.value)
    assert results.read_bytes() == before


def write_many(path: Path, writer: int) -> None:
    for number in range(15):
        record(path, [row(network=f"n{writer}-{number}", top1=str(number))])


def test_of_many_writers_at_a_time_no_row_is_lost(results):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(results, n)) for n in range(4)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0] * 4
    found = {fields["network"] for _, fields in read_rows(results)}
    assert found >= {f"n{writer}-{number}" for writer in range(4) for number in range(15)}
    text = results.read_bytes().decode()
    assert all(line in text for line, _ in read_rows(results)[:2])
    assert len(found) == 63


def test_the_tables_beside_follow_and_say_who_wrote_a_row(results):
    readme = results.with_name("README.md")
    write_text(readme, f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    said = record(results, [row(settings="model.a=[1|2]", command="tools/ablate.py", code="abc")])
    assert said[-1] == f"tables: {readme}"
    text = readme.read_text()
    assert re.fullmatch(r"before\n.*\nafter\n", text, re.S)
    assert "old" not in text
    rows = [line for line in text.splitlines() if line.startswith("| variant_a")]
    assert [line.split(" | ")[-1] for line in rows] == ["typed |", "ablate |"]
    assert r"model.a=\[1\|2\]" in rows[1]
    assert "- `tools/ablate.py` (code abc)" in text


# --- the rows ------------------------------------------------------------------------------------


def test_an_ablation_records_what_its_runs_came_to(tmp_path, results, monkeypatch, capsys):
    place = ["data.root=elsewhere", "train.num_threads=1"]
    settings = [*CPU, *place, "optim.lr=0.25"]
    runs, _ = plan_runs(["convlstm", "variant_a"], ["synthetic"], [3, 5], settings)
    rng = np.random.default_rng(0)
    for run in runs:
        write_text(tmp_path / run.name / "experiment.yaml", dump_experiment(run.experiment))
        finished_run(tmp_path, run, {s: rng.random(80) < 0.7 for s in ("validation", "test")})
    command = ["--networks", "convlstm", "variant_a", "--seeds", 3, 5, "--out", tmp_path]
    command += ["--record", results, "--set", *settings]
    assert tool("ablate", monkeypatch, *command) == 0
    rows = {(r["network"], r["settings"]): r for _, r in read_rows(results)}
    assert len(rows) == 5
    found = rows["variant_a", "optim.lr=0.25"]
    outcomes = [o for o in gather(runs, tmp_path, {}) if o.run.network == "variant_a"]
    top1 = [100 * o.top1("test") for o in outcomes]
    assert found["top1_by_seed"] == f"{top1[0]:.1f} {top1[1]:.1f}"
    assert found["top1"] == f"{np.mean(top1):.1f}"
    assert found["std"] == f"{np.std(top1, ddof=1):.1f}"
    low, high = map(float, found["interval"].split(" to "))
    assert low < np.mean(top1) < high
    assert found["command"] == "tools/ablate.py " + " ".join(map(str, command))
    expected = {"group": "Clips", "seeds": "3 5", "samples": "80", "split": "test", "code": "abc"}
    expected |= {"parameters": "2000", "multiply_adds": "20000000", "train_seconds": "2"}
    assert found.items() >= (expected | {"written_by": "ablate"}).items()

    # A run without a result: its network's row stays, the others are written.
    (tmp_path / runs[0].name / "evaluation-test" / "predictions.csv").write_text("")
    finished_run(tmp_path, runs[1], {s: np.arange(80) < 40 for s in ("validation", "test")})
    capsys.readouterr()
    assert tool("ablate", monkeypatch, *command) == 1
    assert "not recorded: convlstm, synthetic: 1 of 2 runs" in capsys.readouterr().out
    after = {(r["network"], r["settings"]): r for _, r in read_rows(results)}
    assert after["convlstm", "optim.lr=0.25"] == rows["convlstm", "optim.lr=0.25"]
    assert after["variant_a", "optim.lr=0.25"]["top1_by_seed"] == f"50.0 {top1[1]:.1f}"


def test_a_table_of_something_else_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    other = tmp_path / "mine.csv"
    other.write_text("network,top1\n")
    command = ["--data", "hapt", "--networks", "cnn1d", "--out", tmp_path / "out"]
    with pytest.raises(Gesture3dError, match=r"mine\.csv: no table of results"):
        tool("ablate", monkeypatch, *command, "--record", other)
    assert not (tmp_path / "out").exists()


def test_folds_of_a_seed_count_as_one_run(tmp_path):
    outcomes, right = [], {1: 10, 2: 30}
    for seed in (0, 1):
        for fold, count in right.items():
            settings = [f"data.fold={fold}"]
            ((run,), _) = plan_runs(["deepgru_small"], ["sfinge3d"], [seed], settings)
            run = replace(run, name=f"fold-{fold}-seed-{seed}")
            finished_run(
                tmp_path,
                run,
                {"validation": np.ones(2, bool), "test": np.arange(40) < count + 4 * seed},
            )
            outcomes += gather([run], tmp_path, {})
    found = row_of_folds(outcomes, "tools/train.py --folds")
    assert (found["split"], found["samples"], found["settings"]) == ("2 folds", "80", "")
    assert (found["seeds"], found["top1_by_seed"], found["top1"]) == ("0 1", "50.0 60.0", "55.0")
    assert found["written_by"] == "train"
    with pytest.raises(Gesture3dError, match="fold-1-seed-0: no memory; nothing is recorded"):
        row_of_folds([replace(outcomes[0], error="no memory"), *outcomes[1:]], "tools/train.py")


NETWORKS_OF = {
    "synthetic": ("variant_a", "variant_b", "variant_c", "variant_d", "convlstm", "r3d_18"),
    "synthetic_flow": ("variant_a", "r3d_18"),
    "utd_mhad_skeleton": ("deepgru", "deepgru_small", "gru"),
    "utd_mhad_skeleton_paper": ("deepgru",),
    "hapt": ("residual_bilstm", "residual_bilstm_2x2", "residual_lstm", "bilstm", "lstm", "cnn1d"),
    "hapt_original": ("residual_bilstm_original",),
}


@pytest.mark.parametrize("pair", [(n, data) for data, all_ in NETWORKS_OF.items() for n in all_])
def test_an_experiment_is_recognised_by_what_it_sets(pair):
    changed = ["optim.lr=0.015", "data.root=elsewhere", "train.seed=9", "train.epochs=7"]
    found = nearest_recipe(load_experiment(*pair, changed), "w")
    assert found == (*pair, ["optim.lr=0.015", "train.epochs=7"])


def test_whose_folder_it_is_counts():
    there = load_experiment("variant_a", "folder", ["data.root=mine", "data.classes=[a, b]"])
    found = differences(there, load_experiment("variant_a", "folder"))
    assert found == ['data.classes=["a","b"]', "data.root=mine"]


def test_an_evaluation_records_its_weights(tmp_path, results, monkeypatch):
    clips = square_folder(tmp_path / "clips", clips_per_class=5, classes=2)
    settings = [*tiny_settings(clips), "data.test_share=0.4", "train.seed=4"]
    experiment = load_experiment("variant_a", "folder", settings)
    datasets = build_datasets(experiment.data, 4, progress=False)
    torch.manual_seed(0)
    model = build_model(experiment.model, 2)
    names, versions = list(datasets.class_names), checkpoint.versions() | {"gesture3d": "older"}
    description = checkpoint.Description(
        experiment.model_dump(mode="json"), names, datasets.fingerprint, versions=versions
    )
    weights = tmp_path / "w.safetensors"
    checkpoint.save(weights, model.state_dict(), description)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert tool("evaluate", monkeypatch, "--weights", weights, "--record", results) == 0
    assert len(read_rows(results)) == 4
    found = read_rows(results)[-1][1]
    text = (tmp_path / "evaluation-w-test" / "report.md").read_text()
    shown = re.search(r"top-1 \| ([\d.]+) % \(95 % interval ([\d.]+ to [\d.]+)\)", text)
    assert (found["top1"], found["interval"]) == shown.groups()
    assert found["settings"].split()[0] == "model.width=0.03125"
    assert f"data.root={clips}" in found["settings"]
    assert (found["samples"], found["seeds"], found["weights"]) == ("4", "4", str(weights))
    assert found["parameters"] == str(sum(p.numel() for p in model.parameters()))
    assert int(found["multiply_adds"]) > 10**5
    assert found["code"].endswith(", trained by older")
    assert found["command"] == f"tools/evaluate.py --weights {weights} --record {results}"
    with results.open(newline="") as file:
        assert list(csv.DictReader(file))[-1] == found
