from pathlib import Path
from typing import get_args

import pytest
import yaml

from gesture3d.config import (
    DataConfig,
    dump_experiment,
    load_data,
    load_experiment,
    read_settings,
    validate_experiment,
)
from gesture3d.data.sets import find_sets
from gesture3d.data.video.stream import VideoData
from gesture3d.errors import Gesture3dError
from gesture3d.files import resource

MODELS = sorted(p.name for p in resource("configs").glob("*.yaml"))
RECIPES = sorted(p.stem for p in (resource("configs") / "data").glob("*.yaml"))
# Streams, which causal networks alone can follow.
VIDEO = tuple(
    Path(name).stem
    for name in MODELS
    if read_settings(resource("configs") / name)["name"] == "gesture_net"
)
SEQUENCES = ("gru", "deepgru", "deepgru_small", "lstm", "residual_lstm")
FOLLOW = {
    recipe: VIDEO if recipe in ("stream_folder", "synthetic_stream") else SEQUENCES
    for recipe in RECIPES
    if "stream" in recipe
}


def stream_of(path: Path) -> str:
    """Clips or sequences, by the name in a model file or in a recipe's section ``data``."""
    tree = yaml.safe_load(path.read_text())
    name = tree.get("data", tree)["name"]
    kinds = [k for k in get_args(get_args(DataConfig)[0]) if issubclass(k, VideoData)]
    clips = ["gesture_net", "r3d_18"]
    clips += [get_args(k.model_fields["name"].annotation)[0] for k in kinds]
    return "clips" if name in clips else "sequences"


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("model", MODELS)
def test_models_go_with_the_recipes_of_their_stream(model: str, recipe: str) -> None:
    configs = resource("configs")
    if model.removesuffix(".yaml") not in FOLLOW.get(recipe, (model.removesuffix(".yaml"),)):
        with pytest.raises(Gesture3dError):
            load_experiment(model, recipe)
        return
    if stream_of(configs / model) == stream_of(configs / "data" / f"{recipe}.yaml"):
        assert load_experiment(model, recipe).train.epochs >= 1
        return
    with pytest.raises(Gesture3dError, match=r"reads (clips|sequences), but data set .* has"):
        load_experiment(model, recipe)


@pytest.mark.parametrize("name", find_sets())
def test_every_setting_of_a_set_has_a_default(name: str) -> None:
    assert find_sets()[name](name=name).name == name


def test_gradient_checkpointing_is_for_the_video_network() -> None:
    setting = ["train.gradient_checkpointing=true"]
    assert load_experiment("variant_b", "jester", setting).train.gradient_checkpointing
    with pytest.raises(Gesture3dError, match="gesture_net only, not for r3d_18"):
        load_experiment("r3d_18", "jester", setting)


def test_shipped_variants_are_those_of_the_paper() -> None:
    variants = {m: load_experiment(m).model.variants for m in MODELS if "variant" in m}
    assert variants == {f"variant_{v}.yaml": (v, "a") for v in "abcd"}
    assert load_experiment("convlstm").model.variants == ("convlstm", "convlstm")


def test_jester_recipe_is_the_papers() -> None:
    e = load_experiment("variant_a", "jester")
    assert (e.data.num_frames, e.data.size, e.train.batch_size, e.train.epochs) == (16, 112, 16, 30)
    assert (e.optim.name, e.optim.lr, e.optim.final_lr, e.optim.power) == ("sgd", 1e-3, 1e-6, 0.9)
    assert (e.optim.momentum, e.optim.weight_decay, e.model.width) == (0.9, 5e-5, 1.0)
    assert e.model.channel_means == (114, 109, 104)
    assert e.model.preprocessing == "channel_mean"


def test_precedence_recipe_model_override(tmp_path) -> None:
    model = tmp_path / "mine.yaml"
    model.write_text("variants: [b, b]\nwidth: 0.5\n")
    assert load_experiment(str(model)).model.width == 0.5  # the recipe says 0.25
    e = load_experiment(str(model), "synthetic", ["model.width=0.125", "optim.lr=1e-3"])
    assert (e.model.width, e.optim.lr, e.model.variants) == (0.125, 1e-3, ("b", "b"))


def test_dump_reads_back_the_same() -> None:
    experiment = load_experiment("variant_c", "jester", ["train.seed=7"])
    assert validate_experiment(yaml.safe_load(dump_experiment(experiment)), "") == experiment


def test_people_may_be_named_by_numbers() -> None:
    for network, data, key in (
        ("deepgru_small", "utd_mhad_skeleton", "validation_groups"),
        ("cnn1d", "utd_mhad_inertial", "validation_groups"),
    ):
        experiment = load_experiment(network, data, [f"data.{key}=[7, anna]"])
        assert getattr(experiment.data, key) == ("7", "anna")
    assert load_data("jester", ["data.exclude=[71072, 'x']"]).exclude == ("71072", "x")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optim.lrr=1", ["--set optim.lrr=1", "'optim.lrr'", "Did you mean 'lr'"]),
        ("data.augmentation.crop_scal=[1, 1]", ["Did you mean 'crop_scale'", "time_span"]),
        ("optim.lr=-1", ["optim.lr = -1", "greater than 0"]),
        ("train.epochs=many", ["train.epochs = 'many'", "integer"]),
        ("train.epochs=2.5", ["train.epochs = 2.5", "integer"]),
        ("optim.lr=.nan", ["optim.lr = nan", "finite"]),
        ("optim.name=adm", ["'adm'", "'sgd'", "Did you mean 'adam'"]),
        ("model.variants=[a, z]", ["'z'", "'convlstm'", "'d'"]),
        ("data.name=jestr", ["'jestr'", "Did you mean 'jester'"]),
        ("optim.final_lr=1", ["--set optim.final_lr=1", "final_lr 1", "above lr"]),
        ("traim.epochs=3", ["--set traim.epochs=3", "'traim'", "Did you mean 'train'"]),
        ("train=3", ["train = 3"]),
        ("train.epochs=true", ["epochs = True", "true and false"]),
        ("optim={nesterov: true, momentum: 0}", ["nesterov needs a momentum"]),
        ("train={compile: true, gradient_checkpointing: true}", ["do not go together"]),
        ("train.epochs", ["key=value"]),
        ("train.epochs=[", ["not valid YAML"]),
    ],
)
def test_a_wrong_override_is_named_in_one_line(override: str, expected: list[str]) -> None:
    with pytest.raises(Gesture3dError) as caught:
        load_experiment("variant_a", "synthetic", [override])
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message


def test_a_wrong_file_is_named(tmp_path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("variant: [a]\n")
    with pytest.raises(Gesture3dError, match=r"bad\.yaml: unknown key .*Did you mean 'variants'"):
        load_experiment(str(bad))
    bad.write_text("variants: [a\n")
    with pytest.raises(Gesture3dError, match=r"bad\.yaml: not valid YAML"):
        load_experiment(str(bad))
    bad.write_text("name: [x]\n")
    with pytest.raises(Gesture3dError, match=r"bad\.yaml: model\.name"):
        load_experiment(str(bad))
    bad.write_text("width: 0.5\nwidth: 0.25\n")
    with pytest.raises(
        Gesture3dError, match=r"bad\.yaml: .*the key 'width' is there twice.*line 2"
    ):
        load_experiment(str(bad))
    bad.write_text("- a\n")
    with pytest.raises(Gesture3dError, match=r"bad\.yaml: expected"):
        load_experiment(str(bad))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {name: jester, siz: 3}\n")
    with pytest.raises(Gesture3dError, match=r"recipe\.yaml: unknown key 'data\.siz'.*'size'"):
        load_experiment("variant_a", str(recipe))
    with pytest.raises(Gesture3dError, match=r"no config 'varaint_a'.*Did you mean 'variant_a'"):
        load_experiment("varaint_a")


def test_batches_out_of_order_are_not_replayed() -> None:
    with pytest.raises(Gesture3dError, match="replay_worst finds batches by their order"):
        load_experiment("gru", "basic_motions", ["train.in_order=false", "train.replay_worst=1"])


def test_classes_are_evened_out_once() -> None:
    with pytest.raises(Gesture3dError, match="both even the classes out: take one"):
        load_experiment(
            "gru", "skeleton_folder", ["data.balance=true", "optim.class_weights=balanced"]
        )


@pytest.mark.parametrize(
    ("model", "data", "able"),
    [
        ("r3d_18", "stream_folder", "gesture_net"),
        ("cnn1d", "hapt_stream", "deepgru, gru, residual_lstm"),
    ],
)
def test_who_can_follow_streams_is_named(model: str, data: str, able: str) -> None:
    with pytest.raises(Gesture3dError, match=rf"set model\.causal=true \(of {able}\), not {model}"):
        load_experiment(model, data)
