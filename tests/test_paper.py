"""A variant of one's own: a cell, an entry in paper.py and a yaml are all that it takes."""

import numpy as np
import pytest
import torch

from gesture3d import checkpoint, paper
from gesture3d.benchmarks.cost import network_cost, print_cost
from gesture3d.config import load_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.models import convlstm
from gesture3d.models.convlstm import CellA, CellC, ConvLSTM
from gesture3d.studies.report import write_report
from gesture3d.studies.runs import gather, plan_runs
from gesture3d.training.run import train
from gesture3d.viz.explain import explain
from gesture3d.viz.heat_maps import plot_gates, plot_strip
from tests.clips import square_clip, square_folder, tiny_settings
from tests.run_ends import whole_ends
from tests.studies.test_ablation import Page, cells


class Coupled(CellC):
    """Channel-wise attention lets in what the forget gate, its complement, lets go."""

    def gates(self, input_terms, h):
        gates = super().gates(input_terms, h)
        return gates._replace(forget=1 - gates.input)


class Halved(CellA):
    """Variant (a) with a candidate memory of half the size."""

    def gates(self, input_terms, h):
        gates = super().gates(input_terms, h)
        return gates._replace(candidate=gates.candidate / 2)


@pytest.fixture
def coupled(monkeypatch, tmp_path) -> str:
    """Exactly what an addition touches."""
    monkeypatch.setitem(convlstm.CELLS, "coupled", Coupled)
    monkeypatch.setitem(paper.VARIANTS, "coupled", paper.Variant("coupled gates"))
    path = tmp_path / "mine.yaml"
    path.write_text("name: gesture_net\nvariants: [coupled, a]\n")
    return str(path)


def test_every_variant_has_its_cell() -> None:
    assert convlstm.CELLS.keys() == paper.VARIANTS.keys()
    assert {name for names in paper.TOP1 for name in names} <= paper.VARIANTS.keys()


def test_a_variant_made_of_a_is_computed_by_its_own_steps(monkeypatch) -> None:
    monkeypatch.setitem(convlstm.CELLS, "halved", Halved)
    layer = ConvLSTM(3, 4, variant="halved")
    x = torch.rand(2, 3, 3, 5, 5)
    torch.testing.assert_close(layer(x)[0], layer(x, return_gates=True)[0])


def test_an_unknown_variant_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(Gesture3dError, match=r"'couple'.*'convlstm', 'a', 'b', 'c' or 'd'"):
        load_experiment("variant_a", "folder", ["model.variants=[couple]"])


def test_a_new_variant_is_trained_compared_counted_and_explained(coupled, tmp_path) -> None:
    settings = [
        *tiny_settings(square_folder(tmp_path / "squares", clips_per_class=3)),
        "train.epochs=1",
    ]
    runs, _ = plan_runs([coupled, "convlstm"], ["folder"], [0], settings)
    for run in runs:
        with whole_ends("count_cost_of_one"):
            train(run.experiment, tmp_path / run.name, progress=False)
    outcomes = gather(runs, tmp_path, {})
    assert [outcome.error for outcome in outcomes] == [None, None]
    check_report(write_report(outcomes, tmp_path).read_text())
    page = Page()
    page.feed((tmp_path / "ablation.html").read_text())
    assert "coupled: coupled gates" in page.text
    assert page.text.count("mine") > 3

    model, description = checkpoint.load_model(tmp_path / runs[0].name / "best.safetensors")
    assert description.experiment["model"]["variants"] == ["coupled", "a"]
    clip = torch.from_numpy(square_clip("left", 0, frames=8)).permute(0, 3, 1, 2)
    explanation = explain(model, clip)
    gates = explanation.gates["ConvLSTM 1"]
    np.testing.assert_allclose(gates["input"] + gates["forget"], 1, rtol=1e-5)
    assert explanation.attention["ConvLSTM 1"].shape == explanation.maps["ConvLSTM 1"].shape
    assert (explanation.attention["ConvLSTM 1"].max((2, 3)) == 1).all()
    heats = explanation.heat_maps()
    assert "ConvLSTM 1\nattention" in heats
    strip = plot_strip(explanation, clip.numpy(), "left")
    assert len(strip.axes) == 1 + len(heats)
    assert len(plot_gates(explanation, "left").axes) == 2


def check_report(text: str) -> None:
    """Ours is counted; where the paper's numbers would be is a gap, and not in other rows."""
    accuracy, cost = text.split("## Accuracy")[1], text.split("## Cost")[1]
    assert cells(accuracy, "mine")[-2:] == ["–", "–"]
    assert cells(accuracy, "convlstm")[-2:] == ["95.11", "52.01"]
    separable, pooled = 9 * 8 + 8 * 8, 2 * 8 * 8  # 8 channels
    parameters = 5 * separable + 2 * pooled
    layer = cells(cost, "mine")[3:8]
    assert layer[0] == f"{parameters:,}"
    assert layer[2:] == [f"{parameters * 16 / 1e6:.4g}", "–", "–"]  # 4×4 maps
    assert cells(cost, "convlstm")[6:8] == ["4.719M", "3700M"]
    assert "Layers: coupled: coupled gates; convlstm: the original." in cost
    assert "times the multiply-adds of (coupled)." in text


def test_the_cost_of_a_new_variant_is_counted_in_the_network(coupled, capsys) -> None:
    text, rows, steps = network_cost(load_experiment(coupled, "jester"))
    print_cost(text, rows, steps)
    printed = capsys.readouterr().out
    ours = [layer for layer in steps if layer.variant == "coupled"]
    assert [layer.parameters for layer in ours] == [paper.parameters("c")]  # the same weights
    assert f"recurrent.0   coupled        {ours[0].parameters:,}" in printed
    assert "coupled: coupled gates" in printed
