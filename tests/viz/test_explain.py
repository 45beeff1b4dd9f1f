"""What a network looks at: against independent evaluations, and the tool on good and bad input."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from gesture3d import checkpoint
from gesture3d.command_line import run_command_line
from gesture3d.config import load_experiment
from gesture3d.files import DEFAULT_WEIGHTS, PACKAGE, resource
from gesture3d.models import build_model
from gesture3d.models.gesture_net import GestureNet
from gesture3d.models.res3d import Res3D
from gesture3d.viz.explain import FRONT_END, explain, most_active, spread
from gesture3d.viz.heat_maps import overlay, plot_gates, plot_strip
from tests.clips import square_clip, tiny_settings, write_clip


def make_net(*variants: str, **options) -> GestureNet:
    return make_net_of(variants or ("a", "a"), **options)


def make_net_of(variants: tuple[str, ...], **options) -> GestureNet:
    torch.manual_seed(0)
    net = GestureNet(4, variants, width=1 / 16, pixel_scale=64.0, **options).eval()
    for layer in net.recurrent:  # pooled gates start equal in all channels: make them differ
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.5)
    return net


def make_clip() -> torch.Tensor:
    return torch.from_numpy(square_clip("left", 0, frames=8)).permute(0, 3, 1, 2).contiguous()


# ------------------------------------------------------------------ against the paper's equations


def separable(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    bias = None if block.pointwise.bias is None else block.pointwise.bias.double()
    x = F.conv2d(x, block.depthwise.weight.double(), padding=1, groups=x.shape[1])
    return F.conv2d(x, block.pointwise.weight.double(), bias)


@pytest.mark.parametrize("variant", ["b", "c", "d"])
def test_attention_is_that_of_the_equations(variant) -> None:
    """(17)-(18) and (21)-(23) in float64, from the maps below and the state of the step before."""
    net, clip = make_net(variant, "a"), make_clip()
    explanation = explain(net, clip)
    assert list(explanation.attention) == ["ConvLSTM 1"]
    block = net.recurrent[0].cell.attention
    x = torch.from_numpy(explanation.maps[FRONT_END]).double()
    h = torch.from_numpy(explanation.maps["ConvLSTM 1"]).double()
    h = torch.cat([torch.zeros_like(h[:1]), h[:-1]])
    with torch.no_grad():
        inside = separable(block.transition.input, x) + separable(block.transition.hidden, h)
        if variant == "b":
            z = F.conv2d(inside.tanh(), block.score.weight.double(), padding=1)
            expected = z.flatten(1).softmax(1).view(z.shape)
        else:
            z = separable(block.score, inside.tanh())
            expected = z.exp() / z.exp().amax((2, 3), keepdim=True)
    np.testing.assert_allclose(explanation.attention["ConvLSTM 1"], expected, rtol=2e-4)
    assert expected.flatten(1).std(1).min() > 1e-4  # it is no even map


def test_gates_are_those_of_the_equations() -> None:
    """(8)-(12) of variant (a) in float64, second layer."""
    net = make_net("a", "a")
    explanation = explain(net, make_clip())
    linear = net.recurrent[1].cell.pooled_gates
    x = torch.from_numpy(explanation.maps["ConvLSTM 1"]).double().mean((2, 3))
    h = torch.from_numpy(explanation.maps["ConvLSTM 2"]).double().mean((2, 3))
    h = torch.cat([torch.zeros_like(h[:1]), h[:-1]])
    z = x @ linear.input.weight.double().T + linear.input.bias.double()
    z = (z + h @ linear.hidden.weight.double().T).sigmoid().detach()
    for part, name in zip(z.chunk(3, dim=1), ("input", "forget", "output"), strict=True):
        got = explanation.gates["ConvLSTM 2"][name]
        np.testing.assert_allclose(got, part.mean(1), rtol=1e-5)
        assert np.ptp(got) > 1e-5


@pytest.mark.parametrize("variant", ["convlstm", "a", "b", "c", "d"])
def test_every_variant_is_explained_and_drawn(variant) -> None:
    net, clip = make_net(variant, "a", stem_stride=(2, 2, 2)), make_clip()
    explanation = explain(net, clip, label=2)
    with torch.no_grad():
        np.testing.assert_allclose(explanation.scores, net(clip[None])[0], atol=1e-5)
    heats = explanation.heat_maps()
    assert len(heats) == 5 + (variant in "bcd")
    for heat in heats.values():
        assert heat.shape == (8, 32, 32)
        assert heat.min() >= 0
    assert not any(p.grad is not None for p in net.parameters())
    strip = plot_strip(explanation, clip.numpy(), "left")
    assert len(strip.axes) == 1 + len(heats)
    titles = [label.get_text() for label in strip.axes[0].get_xticklabels()]
    assert titles == ["step 1: frame 1", "step 2: frame 5"]
    assert len(plot_gates(explanation, "left").axes) == 2


def test_steps_of_a_causal_network_lie_at_their_newest_frames() -> None:
    options = {"preprocessing": "running_mean", "differences": True, "stem_stride": (2, 2, 2)}
    net, clip = make_net("a", causal=True, **options), make_clip()
    explanation = explain(net, clip, label=2)
    with torch.no_grad():
        np.testing.assert_allclose(explanation.scores, net(clip[None])[0], atol=1e-5)
    assert explanation.step_frames.tolist() == [3, 7]
    heat = explanation.heat_maps()[f"Grad-CAM\nof {FRONT_END}"]
    np.testing.assert_allclose(heat[3, ::4, ::4], explanation.grad_cam()[0], rtol=1e-5)
    np.testing.assert_allclose(heat[7, ::4, ::4], explanation.grad_cam()[1], rtol=1e-5)


@pytest.mark.parametrize("variants", [("a", "c"), ()])
def test_ways_around_recurrent_layers_are_explained(variants) -> None:
    net, clip = make_net_of(variants, recurrent_skip=True), make_clip()
    explanation = explain(net, clip, label=2)
    with torch.no_grad():
        np.testing.assert_allclose(explanation.scores, net(clip[None])[0], atol=1e-5)
    assert list(explanation.gates) == [f"ConvLSTM {n + 1}" for n in range(len(variants))]
    for layer, maps in explanation.maps.items():
        assert layer == FRONT_END or np.abs(maps).max() <= 1  # hidden states, not the sums
        assert np.abs(explanation.gradients[layer]).max() > 0
    plot_strip(explanation, clip.numpy(), "left")


# ------------------------------------------------------------------------ where heat is placed


@pytest.mark.parametrize(("axis", "stem_stride"), [(0, 1), (0, 2), (2, 2), (2, 3)])
def test_cell_k_sees_the_surroundings_of_pixel_stride_times_k(axis, stem_stride) -> None:
    """What a cell depends on, found by the gradient, is symmetric about its place in the input."""
    strides, size = [1, 1, 1], [9, 9, 9]
    strides[axis], size[axis] = stem_stride, 72 * stem_stride
    net = Res3D(1, width=1 / 8, stem_stride=tuple(strides)).eval()
    for parameter in net.parameters():
        parameter.data.abs_()  # everything stays positive: no ReLU hides a dependence
    x = torch.rand(1, 1, *size, requires_grad=True)
    maps = net(x)
    cell = maps.shape[2 + axis] // 2
    index = [0, 0, 2, 2, 2]
    index[2 + axis] = cell
    (gradient,) = torch.autograd.grad(maps[tuple(index)], x)
    others = [other for other in range(5) if other != 2 + axis]
    seen = gradient.abs().sum(others).nonzero().flatten()
    assert seen[0] > 0
    assert seen[-1] < size[axis] - 1  # not cut off by the ends
    assert (seen[0] + seen[-1]) / 2 == net.strides[axis] * cell


def test_heat_lies_where_its_cells_are() -> None:
    maps = np.random.default_rng(0).random((3, 4, 5))
    fine = spread(maps, (4, 6, 3), (10, 23, 15))
    np.testing.assert_allclose(fine[np.ix_([0, 4, 8], [0, 6, 12, 18], [0, 3, 6, 9, 12])], maps)
    np.testing.assert_allclose(fine[2, 0, 0], maps[:2, 0, 0].mean())  # halfway
    np.testing.assert_allclose(fine[9, 22, 14], maps[2, 3, 4])  # beyond the last cell
    np.testing.assert_allclose(spread(np.ones((1, 2, 2)), (4, 6, 6), (3, 11, 12)), 1)


def test_steps_are_centred_on_every_fourth_frame() -> None:
    explanation = explain(make_net(stem_stride=(2, 2, 2)), make_clip())
    assert explanation.step_frames.tolist() == [0, 4]
    assert explain(make_net(), make_clip()).step_frames.tolist() == [0, 2, 4, 6]


# --------------------------------------------------------------------------- what heat is made of


class Pixels(nn.Module):
    """Stands in for the network: features are the pixels, a score is a weighted mean of them."""

    causal = False

    def __init__(self, weights: list[list[float]]) -> None:
        super().__init__()
        self.classifier = nn.Linear(len(weights[0]), len(weights), bias=False)
        self.classifier.weight.data = torch.tensor(weights)
        self.recurrent = []
        self.res3d = nn.Identity()
        self.res3d.strides = (1, 1, 1)

    def check(self, shape) -> None: ...

    def preprocessing(self, clips, dtype):
        return clips.to(dtype).permute(0, 2, 1, 3, 4)

    def top_layers(self, x):
        return self.classifier(x.mean((1, 3, 4)))


def test_grad_cam_and_gradient_times_input_where_they_are_known() -> None:
    """score = Σ_c w_c · mean(x_c), so both are max(Σ w_c x_c, 0) or |Σ w_c x_c| over the pixels."""
    weights = [[1.0, -0.5, 0.0], [-1.0, 2.0, 0.25]]
    clip = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    for label, w in enumerate(weights):
        explanation = explain(Pixels(weights), clip, label)
        weighted = (np.array(w)[None, :, None, None] * clip.numpy()).sum(1) / (2 * 4 * 5)
        np.testing.assert_allclose(explanation.grad_cam(), np.maximum(weighted, 0), rtol=1e-5)
        np.testing.assert_allclose(explanation.saliency, np.abs(weighted), rtol=1e-4, atol=1e-5)
    best = int((np.array(weights) @ clip.float().mean((0, 2, 3)).numpy()).argmax())
    assert explain(Pixels(weights), clip).label == best


def test_the_most_active_map_has_the_largest_sum() -> None:
    maps = np.full((2, 3, 2, 2), 0.1)
    maps[0, 1, 0, 0] = 0.9
    maps[0, 2] = -1  # strong, but not active
    maps[1, 2] = [[0.5, 0.2], [0.2, 0.2]]
    chosen, channels = most_active(maps)
    assert channels.tolist() == [1, 2]
    np.testing.assert_allclose(chosen, [[[0.8, 0], [0, 0]], [[0.3, 0], [0, 0]]], atol=1e-12)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_overlay_shows_the_frame_where_it_is_cold(channels) -> None:
    clip = np.full((1, channels, 20, 20), 102, np.uint8)
    heat = np.zeros((1, 20, 20))
    heat[0, 3, 4:9] = 7
    picture = overlay(clip, heat)
    assert picture.shape == (1, 20, 20, 3)
    assert 0 <= picture.min() <= picture.max() <= 1
    changed = np.abs(picture[0] - 0.4).max(-1) > 1e-9
    assert np.array_equal(changed, heat[0] > 0)
    np.testing.assert_allclose(overlay(clip, 0 * heat), 0.4)


# --------------------------------------------------------------------------------------- the tool


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("weights") / "w.safetensors", "variant_b")


def save_untrained(path: Path, cfg: str, num_features: int | None = None) -> Path:
    folder = tiny_settings(Path("clips"))
    data, settings = ("folder", folder) if num_features is None else ("synthetic_joints", [])
    experiment = load_experiment(cfg, data, settings)
    model = build_model(experiment.model, 4, num_features)
    description = checkpoint.Description(
        experiment.model_dump(mode="json"),
        ["down", "left", "right", "up"],
        {},
        num_features=num_features,
    )
    checkpoint.save(path, model.state_dict(), description)
    return path


def run_tool(monkeypatch, *arguments: str | Path) -> int:
    path = PACKAGE / "cli" / "explain.py"
    spec = importlib.util.spec_from_file_location("explain_tool", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(sys, "argv", ["explain.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as ending:
        run_command_line(tool.main)
    return ending.value.code or 0


def test_the_tool_prints_classes_and_writes_pictures(weights, tmp_path, monkeypatch, capsys):
    clip = write_clip(tmp_path / "clip.mp4", square_clip("up", 0, frames=20))
    out = tmp_path / "deep" / "out"
    code = run_tool(monkeypatch, clip, "--weights", weights, "--out", out, "--class", "up")
    printed = capsys.readouterr().out
    assert code == 0
    assert all(f"{name} " in printed.splitlines()[0] for name in ("down", "left", "right", "up"))
    assert "frames [1, 5] of the 8" in printed
    assert "'up'" in printed
    assert {path.name for path in out.iterdir()} == {"strip.png", "gates.png", "animation.gif"}
    assert Image.open(out / "animation.gif").n_frames == 8
    assert Image.open(out / "strip.png").size[1] > 300


def test_bad_input_ends_in_one_line(weights, tmp_path, monkeypatch, capsys) -> None:
    clip = write_clip(tmp_path / "clip.mp4", square_clip("up", 0))
    occupied = tmp_path / "file"
    occupied.write_text("")
    joints = save_untrained(tmp_path / "joints.safetensors", "gru", num_features=63)
    cases = [
        ((tmp_path / "none.mp4", "--weights", weights), "none.mp4"),
        ((tmp_path, "--weights", weights), str(tmp_path)),
        ((clip, "--weights", tmp_path / "none.safetensors"), "no such checkpoint"),
        ((clip, "--weights", weights, "--class", "rihgt"), "Did you mean 'right'?"),
        ((clip, "--weights", weights, "--class", "x"), "Its classes: down, left, right, up."),
        ((clip, "--weights", weights, "--out", occupied), "file"),
        ((clip, "--weights", weights, "--out", occupied / "inside"), "inside"),
        ((clip, "--weights", joints), "only networks that read video"),
        (("--measure", "--weights", weights, "--data", "jester"), "only generated sets"),
        (("--measure", "--weights", weights, "--set", "data.sede=1"), "Did you mean 'seed'?"),
    ]
    for arguments, expected in cases:
        code = run_tool(monkeypatch, *arguments)
        error = capsys.readouterr().err
        assert code == 2, arguments
        assert error.count("\n") == 1, error
        assert expected in error


def test_the_hands_share_is_measured_on_the_clips_that_set_chooses(
    generated, monkeypatch, capsys
) -> None:
    weights = resource("weights") / DEFAULT_WEIGHTS
    counts = [f"data.clips_per_class.{split}=1" for split in ("train", "validation", "test")]
    chosen = "data.classes=[Swiping Left, Swiping Right]"
    settings = ("--set", f"data.root={generated}", *counts, chosen)
    assert run_tool(monkeypatch, "--measure", "--weights", weights, *settings) == 0
    printed = capsys.readouterr().out
    assert f"2 validation clips of {generated}\n" in printed
    assert "predicted class unchanged when hidden" in printed
