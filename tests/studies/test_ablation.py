"""Ablations: what is planned, how runs are compared, and the pages made of given results."""

import csv
import importlib.util
import io
import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import stats

from gesture3d.config import dump_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.bootstrap import compare_runs, paired_bootstrap
from gesture3d.evaluation.predictions import SplitPredictions, write_predictions
from gesture3d.files import PACKAGE, write_text
from gesture3d.studies.report import write_report
from gesture3d.studies.runner import is_finished
from gesture3d.studies.runs import compare, gather, group_by_network, holm, plan_runs

CLASSES = ("left", "right")
CPU = ["train.processes=1", "train.device=cpu"]


# --- plan ----------------------------------------------------------------------------------------


def test_every_network_with_every_seed_one_seed_after_the_other():
    runs, left_out = plan_runs(["convlstm", "variant_a"], ["synthetic"], [3, 5], ["optim.lr=0.5"])
    assert [run.name for run in runs] == [
        "convlstm-synthetic-seed3",
        "variant_a-synthetic-seed3",
        "convlstm-synthetic-seed5",
        "variant_a-synthetic-seed5",
    ]
    assert [run.experiment.train.seed for run in runs] == [3, 3, 5, 5]
    assert {run.experiment.optim.lr for run in runs} == {0.5}
    assert left_out == []


def test_a_pair_is_trained_on_its_own_recipe_and_settings_go_where_they_exist():
    networks = ["variant_a", "r3d_18", "deepgru_small:synthetic_joints"]
    runs, left_out = plan_runs(
        networks, ["synthetic", "synthetic_depth"], [0], ["model.forget_bias=0.5", "data.size=32"]
    )
    assert [(r.experiment.model.name, r.experiment.data.name) for r in runs] == [
        *[("gesture_net", "synthetic")] * 2,
        *[("r3d_18", "synthetic")] * 2,
        ("deepgru", "synthetic_joints"),
    ]
    assert runs[3].experiment.model.in_channels == 1  # depth
    assert runs[0].experiment.model.forget_bias == 0.5
    assert "r3d_18-synthetic has no model.forget_bias: left out" in left_out
    assert "deepgru_small-synthetic_joints has no data.size: left out" in left_out


@pytest.mark.parametrize(
    ("networks", "data", "seeds", "message"),
    [
        (["variant_a"], ["synthetic"], [0, 1, 0], "--seeds: given twice: 0"),
        (["variant_a", "variant_a"], ["synthetic"], [0], "--networks: given twice: variant_a"),
        (["variant_a"], ["folder", "folder"], [0], "--data: given twice: folder"),
        (["varient_a"], ["synthetic"], [0], "no config 'varient_a'.*Did you mean 'variant_a'"),
        (["variant_a"], ["synthtic"], [0], "no config 'synthtic'.*Did you mean 'synthetic'"),
        (["deepgru"], ["synthetic"], [0], "model 'deepgru' reads sequences"),
    ],
)
def test_mistakes_are_one_clear_line(networks, data, seeds, message):
    with pytest.raises(Gesture3dError, match=message) as raised:
        plan_runs(networks, data, seeds, [])
    assert "\n" not in str(raised.value)


def test_a_setting_that_no_network_has_is_refused():
    with pytest.raises(Gesture3dError, match=r"Did you mean 'width'"):
        plan_runs(["variant_a", "r3d_18"], ["synthetic"], [0], ["model.widht=0.5"])


# --- comparing -----------------------------------------------------------------------------------


def test_one_run_each_is_the_paired_bootstrap():
    rng = np.random.default_rng(0)
    a, b = rng.random(150) < 0.8, rng.random(150) < 0.7
    assert compare_runs(a[None], b[None]) == paired_bootstrap(a, b)


@pytest.mark.parametrize(("count", "spread"), [(200, 0.08), (3000, 0.02), (200, 0.0)])
def test_intervals_and_p_values_hold_for_new_samples_and_new_runs(count, spread):
    """Three runs each of two recipes of the same accuracy, which varies from run to run.

    A bootstrap over samples alone claims a difference far more often where runs vary.
    """
    rng = np.random.default_rng(1)
    found, by_samples = [], []
    for trial in range(300):
        a, b = (
            rng.random((3, count)) < 0.7 + spread * rng.standard_normal((3, 1)) for _ in range(2)
        )
        found.append(compare_runs(a, b))
        if spread:
            by_samples.append(paired_bootstrap(a[0], b[0], resamples=400, seed=trial).p_value)
    p_values = np.array([d.p_value for d in found])
    assert np.mean([d.low <= 0 <= d.high for d in found]) > 0.93
    assert (p_values < 0.05).mean() < 0.07
    assert (p_values < 0.005).mean() < 0.02
    if spread:
        assert (np.array(by_samples) < 0.05).mean() > 0.2


def test_runs_that_vary_are_compared_by_welchs_t():
    """All samples alike in a run: what is left is Welch's test of the runs' accuracies."""
    accuracies = (0.9, 0.8, 0.85), (0.7, 0.8, 0.72)
    a, b = (np.stack([np.arange(100) < round(100 * x) for x in xs]) for xs in accuracies)
    a, b = a.repeat(10_000, axis=1), b.repeat(10_000, axis=1)  # samples add next to nothing
    found = compare_runs(a, b)
    expected = stats.ttest_ind(*accuracies, equal_var=False)
    assert found.difference == pytest.approx(0.11)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-2)
    low, high = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-2)


def test_one_run_against_several_and_certain_ones():
    right, wrong = np.ones((3, 50), bool), np.zeros((1, 50), bool)
    assert compare_runs(right, wrong) == (1.0, 1.0, 1.0, 0.0)
    assert compare_runs(right, right[:1]) == (0.0, 0.0, 0.0, 1.0)


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


# --- pages from given results --------------------------------------------------------------------


def finished_run(folder: Path, run, correct: dict[str, np.ndarray]) -> None:
    """A run's folder as training and evaluation leave it, with these samples classified right."""
    for split, right in correct.items():
        labels = np.arange(len(right)) % 2
        predicted = np.where(right, labels, 1 - labels)
        scores = np.eye(2, dtype=np.float32)[predicted]
        keys = [f"{n:04d}" for n in range(len(right))]
        predictions = SplitPredictions(keys, scores, labels, CLASSES, "synthetic_rgb", split)
        write_predictions(
            folder / run.name / f"evaluation-{split}" / "predictions.csv", predictions
        )
    validation = float(correct["validation"].mean())
    order = {"real order": validation, "shuffled frames": 0.25, "one frame repeated": 0.2}
    cost = [[f"recurrent.{n}", 1000, 8 * 10**6] for n in range(2)] + [["total", 2000, 20 * 10**6]]
    result = {
        "epochs": 3,
        "kept_epoch": 2,
        "order_top1": order,
        "num_samples": {"train": 8} | {split: len(right) for split, right in correct.items()},
        "cost": cost,
        "train_seconds": 2.0,
        "train_clips_per_second": 12.5,
        "inference_clips_per_second": 80.0,
        "peak_memory": 10**9,
        "peak_gpu_memory": None,
        "device": "cpu",
        "num_processes": 1,
        "num_threads": 1,
        "versions": {"gesture3d": "abc"},
    }
    write_text(folder / run.name / "result.json", json.dumps(result))
    rows = [{"epoch": n, "validation_top1": validation * n / 2} for n in range(3)]
    write_text(folder / run.name / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in rows))


@pytest.fixture
def ablation(tmp_path):
    """convlstm gets 60 % right, (a) 90 %, (b) 88 %, two seeds each; a third seed of (b) failed."""
    runs, _ = plan_runs(["convlstm", "variant_a", "variant_b"], ["synthetic"], [0, 1], [])
    rng = np.random.default_rng(2)
    level = {"convlstm": 0.6, "variant_a": 0.9, "variant_b": 0.88}
    for run in runs:
        splits = {s: rng.random(200) < level[run.network] for s in ("validation", "test")}
        if run.name != "variant_b-synthetic-seed1":
            finished_run(tmp_path, run, splits)
    return gather(runs, tmp_path, {"variant_b-synthetic-seed1": "no <memory> | left"}), tmp_path


def cells(markdown: str, first: str) -> list[str]:
    line = next(x for x in markdown.splitlines() if x.startswith(f"| {first}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_tables_hold_what_the_runs_predicted(ablation):
    outcomes, folder = ablation
    text = write_report(outcomes, folder).read_text()
    seeds = [100 * o.top1("test") for o in outcomes if o.run.network == "convlstm"]
    mean, deviation = np.mean(seeds), np.std(seeds, ddof=1)
    row = cells(text, "convlstm")
    assert row[1] == f"{mean:.1f} ± {deviation:.1f} ({seeds[0]:.1f}, {seeds[1]:.1f})"
    assert row[4:] == ["25.0 ± 0.0", "95.11", "52.01"]
    assert cells(text, "variant_a")[0] == "variant_a †"
    assert cells(text, "variant_b")[0] == "variant_b †"
    assert cells(text, "convlstm − variant_a")[-1] == "yes"
    assert cells(text, "variant_a − variant_b")[-1] == "no"
    assert cells(text, "variant_b-synthetic-seed1")[1] == "no \\<memory> / left"
    assert "5 of 6 runs finished." in text
    assert "variant_a above convlstm by" in text
    assert "variant_a above variant_b" not in text
    # 24×24 maps of 16 channels, 4 steps: counted and as the paper counts.
    cost = next(x for x in text.split("## Cost")[1].splitlines() if x.startswith("| variant_a"))
    assert "| 0.529M | 415M |" in cost
    rows = list(csv.DictReader(io.StringIO((folder / "ablation.csv").read_text())))
    assert [row["seed"] for row in rows] == ["0", "0", "0", "1", "1", "1"]
    assert float(rows[0]["test_top1"]) == outcomes[0].top1("test")
    assert rows[5]["error"] == "no <memory> | left"
    assert rows[5]["test_top1"] == ""


class Page(HTMLParser):
    """Checks that tags match, and keeps what the page refers to and shows."""

    VOID = ("meta", "line", "circle", "polyline", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open, self.references, self.tags, self.text = [], [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.references += [v for k, v in attributes if k in ("src", "href", "data", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("names", [["flicker", "unfinished"], ["unfinished"]])
def test_what_corruptions_leave_of_each_network(tmp_path, names):
    runs, _ = plan_runs(["convlstm", "variant_a"], ["synthetic"], [0, 1], [], names)
    for run in runs:
        finished_run(tmp_path, run, {"validation": np.ones(4, bool), "test": np.ones(4, bool)})
    assert not any(is_finished(run, tmp_path) for run in runs)
    for number, run in enumerate(runs):
        top1 = {"flicker": [0.5] * 5, "unfinished": [0.9, 0.8, 0.7, 0.6, 0.1 * number]}
        found = {"clean": 0.95, "corruptions": {name: {"top1": top1[name]} for name in top1}}
        text = json.dumps(found)
        write_text(tmp_path / run.name / "evaluation-validation" / "corruptions.json", text)
    write_report(gather(runs, tmp_path, {}), tmp_path)
    report = (tmp_path / "ablation.md").read_text()
    assert cells(report, "clean") == ["clean", "95.0 ± 0.0 (95.0, 95.0)", "95.0 ± 0.0 (95.0, 95.0)"]
    if len(names) == 1:  # every strength
        assert cells(report, "unfinished 0.8")[1] == "60.0 ± 0.0 (60.0, 60.0)"
        assert cells(report, "unfinished 1.0")[1:] == [
            "10.0 ± 14.1 (0.0, 20.0)",
            "20.0 ± 14.1 (10.0, 30.0)",
        ]
    else:
        assert cells(report, "flicker")[1] == "50.0 ± 0.0 (50.0, 50.0)"
        assert cells(report, "unfinished")[1] == "62.0 ± 2.8 (60.0, 64.0)"
        assert cells(report, "mean")[1] == "56.0 ± 1.4 (55.0, 57.0)"
    assert cv2.imread(str(tmp_path / "ablation-corruptions.png")).std() > 5


def test_corruptions_are_of_clips_and_known():
    with pytest.raises(Gesture3dError, match="hapt: --corruptions are what cameras do to clips"):
        plan_runs(["residual_bilstm"], ["hapt"], [0], [], [])
    with pytest.raises(Gesture3dError, match=r"'flickr' is not known for rgb\. Did you mean"):
        plan_runs(["variant_a"], ["synthetic"], [0], [], ["flickr"])


def test_page_is_whole_and_alone(ablation):
    outcomes, folder = ablation
    write_report(outcomes, folder, ["a note with <tags>, \x1b[31m, \udce9 and `$x$`"])
    source = (folder / "ablation.html").read_text()
    page = Page()
    page.feed(source)
    page.close()
    assert page.open == []
    assert page.references == []
    assert not any(word in source for word in ("http:", "https:", "url(", "@import", "<script"))
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        page.tags
    )
    assert "prefers-color-scheme: dark" in source
    assert "no <memory> / left" in page.text
    assert "a note with <tags>, \\x1b[31m, \\udce9 and `$x$`" in page.text
    note = (folder / "ablation.md").read_text().splitlines()[-1]
    assert note == "- a note with \\<tags>, \\\\x1b\\[31m, \\\\udce9 and \\`\\$x\\$\\`"
    # A curve for each of the five finished runs, and a mean for each of the three networks.
    kinds = [attributes["class"] for tag, attributes in page.tags if tag == "polyline"]
    assert (kinds.count("seed"), kinds.count("mean")) == (5, 3)
    boxes = [attributes for tag, attributes in page.tags if attributes.get("class") == "box"]
    assert len(boxes) == sum(tag == "table" for tag, _ in page.tags) == 4


def test_several_recipes_make_the_papers_second_table(tmp_path):
    runs, _ = plan_runs(
        ["variant_a", "r3d_18:synthetic"], ["synthetic", "synthetic_depth"], [0], []
    )
    for run in runs:
        right = np.arange(50) < (40 if run.data == "synthetic" else 30)
        finished_run(tmp_path, run, {"validation": right})
    text = write_report(gather(runs, tmp_path, {}), tmp_path).read_text()
    assert "\n\nsynthetic_depth, validation split (50 samples; runs a network: 1): the hi" in text
    table = text.split("## Accuracy by data")[1]
    assert "In %; one run each." in table
    header, _, first, second = [x for x in table.splitlines() if x.startswith("|")][:4]
    assert header == (
        "| network | synthetic, validation | synthetic_depth, validation | "
        "paper, IsoGD rgb | paper, IsoGD depth |"
    )
    assert first == "| variant_a | 80.0 | 60.0 | 55.98 | 53.28 |"
    assert second == "| r3d_18 | 80.0 | – | – | – |"


def test_runs_on_other_samples_are_not_compared(tmp_path):
    runs, _ = plan_runs(["convlstm", "variant_a"], ["synthetic"], [0], [])
    finished_run(tmp_path, runs[0], {"validation": np.ones(50, bool)})
    finished_run(tmp_path, runs[1], {"validation": np.ones(40, bool)})
    with pytest.raises(Gesture3dError, match="evaluated on different validation samples"):
        group_by_network(gather(runs, tmp_path, {}))


def test_broken_files_cost_one_run_only(ablation):
    outcomes, folder = ablation
    runs = [outcome.run for outcome in outcomes]
    broken = folder / runs[0].name / "evaluation-test" / "predictions.csv"
    broken.write_text(broken.read_text()[:500])
    (folder / runs[1].name / "result.json").write_text("{")
    found = gather(runs, folder, {})
    assert [bool(o.error) for o in found] == [True, True, False, False, False, True]
    assert "predictions.csv" in found[0].error
    assert compare(group_by_network(found), "test")


def test_the_same_accuracy_is_nobodys_alone(tmp_path):
    runs, _ = plan_runs(["convlstm", "variant_a"], ["synthetic"], [0], [])
    for run in runs:
        finished_run(tmp_path, run, {"validation": np.arange(20) < 15})
    text = write_report(gather(runs, tmp_path, {}), tmp_path).read_text()
    assert "highest mean top-1 is that of convlstm and variant_a, 75.0 %" in text
    assert "No difference is significant" in text


@pytest.mark.parametrize("on_test", [False, True])
def test_a_test_split_that_chose_the_epoch_is_said_to_flatter(tmp_path, on_test):
    settings = ["data.validate_on_test=true", "data.validation_groups=[]"] if on_test else []
    (run,), _ = plan_runs(["residual_bilstm_original"], ["hapt_original"], [0], settings)
    finished_run(tmp_path, run, {split: np.arange(20) < 15 for split in ("validation", "test")})
    text = write_report(gather([run], tmp_path, {}), tmp_path).read_text()
    assert ("so both flatter" in text) == on_test
    assert ("the test split chose nothing" in text) != on_test


def test_damaged_predictions_are_an_error_of_the_command(tmp_path, monkeypatch, capsys):
    """Cut at the end of a line, or with other labels: the run is named, and the exit code is 1."""
    spec = importlib.util.spec_from_file_location("ablate", PACKAGE / "cli" / "ablate.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    runs, _ = plan_runs(["convlstm", "variant_a"], ["synthetic"], [0], CPU)
    for run in runs:
        finished_run(tmp_path, run, {"validation": np.arange(20) < 15})
        write_text(tmp_path / run.name / "experiment.yaml", dump_experiment(run.experiment))
    command = ["ablate.py", "--networks", "convlstm", "variant_a", "--seeds", "0"]
    monkeypatch.setattr(sys, "argv", [*command, "--out", str(tmp_path), "--set", *CPU])
    assert tool.main() == 0
    path = tmp_path / runs[0].name / "evaluation-validation" / "predictions.csv"
    whole = path.read_text()
    for damaged in (
        "\n".join(whole.splitlines()[:12]) + "\n",
        whole.replace(f",{CLASSES[0]},{CLASSES[0]},", f",{CLASSES[1]},{CLASSES[0]},"),
        "",
    ):
        assert damaged != whole
        path.write_text(damaged)
        assert tool.main() == 1
        assert f"error: {runs[0].name}" in capsys.readouterr().err
    path.unlink()
    assert tool.main() == 1
