"""Networks whose batch norms are folded into convolutions have the same scores."""

import pytest
import torch
from torch import nn

from gesture3d.config import load_experiment
from gesture3d.models import build_model
from gesture3d.models.folding import fold_batch_norms, in_bf16

NETS = {
    "variant_a": "jester",
    "causal": "jester",
    "r3d_18": "jester",
    "cnn1d": "hapt",
    "residual_bilstm": "hapt",
    "deepgru_small": "sfinge3d",
}
CAUSAL = ["model.causal=true", "model.preprocessing=running_mean", "model.recurrent_skip=true"]


def trained(name: str, dtype: torch.dtype) -> tuple[nn.Module, torch.Tensor]:
    """A network in evaluation whose norms have statistics and weights of their own."""
    generator = torch.Generator().manual_seed(0)
    clips = name in ("variant_a", "causal", "r3d_18")
    settings = ["model.width=0.0625"] if clips else []
    settings += CAUSAL if name == "causal" else []
    cfg = "variant_a" if name == "causal" else name
    config = load_experiment(cfg, NETS[name], settings).model
    torch.manual_seed(0)
    model = build_model(config, 5, None if clips else 6).to(dtype)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            module.running_var.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    shape = (2, 6, 3, 32, 32) if clips else (2, 20, 6)
    inputs = torch.randint(0, 256, shape, generator=generator).to(torch.uint8)
    return model.eval(), inputs if clips else inputs.to(dtype) / 64


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_folding_changes_no_score(name: str) -> None:
    model, inputs = trained(name, torch.float64)
    before = model(inputs)
    folded = fold_batch_norms(model)
    assert before.std() > 1e-3
    torch.testing.assert_close(folded(inputs), before, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(model(inputs), before, rtol=0, atol=0)  # which stays as it was


@pytest.mark.parametrize(("name", "left"), [("variant_a", 0), ("r3d_18", 0), ("cnn1d", 0)])
def test_no_norm_is_left(name: str, left: int) -> None:
    folded = fold_batch_norms(trained(name, torch.float32)[0])
    assert sum("BatchNorm" in type(module).__name__ for module in folded.modules()) == left


@torch.no_grad()
def test_streams_go_on_behind_folding() -> None:
    model, clips = trained("causal", torch.float64)
    folded = fold_batch_norms(model)
    state, found = folded.initial_state(2, (32, 32)), []
    for first in range(0, clips.shape[1], model.step_frames):
        scores, state = folded.step(clips[:, first : first + model.step_frames], state)
        found.append(scores)
    torch.testing.assert_close(torch.stack(found, 1), model.step_scores(clips))


@torch.no_grad()
def test_folded_convolutions_are_right_in_bf16() -> None:
    """As sums of 2-D ones too, which have their bias apart."""
    model, clips = trained("variant_a", torch.float32)
    folded = fold_batch_norms(model)
    with torch.autocast("cpu", torch.bfloat16):
        for frames in (2, 6):  # shorter than a kernel, and longer
            found, expected = (net(clips[:, :frames]) for net in (folded, model))
            torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05 * expected.std())


@torch.no_grad()
def test_all_but_preprocessing_and_classifier_are_in_bf16() -> None:
    model, clips = trained("variant_a", torch.float32)
    before, seen = model(clips), {}
    small = in_bf16(fold_batch_norms(model))
    for name in ("preprocessing", "res3d", "mobilenet", "classifier"):
        part = small.get_submodule(name)
        part.register_forward_hook(lambda _, __, y, name=name: seen.update({name: y.dtype}))
    found = small(clips)
    dtypes = {"preprocessing": torch.float32, "res3d": torch.bfloat16, "mobilenet": torch.bfloat16}
    assert seen == dtypes | {"classifier": torch.float32}
    assert found.dtype == torch.float32
    assert 0 < (found - before).abs().max() < 0.05 * before.std()
