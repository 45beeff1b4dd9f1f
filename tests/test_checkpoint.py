import json
import pickle
import re
import resource
import subprocess

import pytest
import torch
from safetensors.torch import save_file

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.models import build_model

SMALL = ["model.width=0.03125", "data.size=24"]


@pytest.fixture
def saved(tmp_path):
    """A small untrained network, saved: (model, path)."""
    experiment = load_experiment("variant_a", "synthetic", SMALL)
    torch.manual_seed(0)
    model = build_model(experiment.model, 4)
    description = checkpoint.Description(
        experiment=experiment.model_dump(mode="json"),
        class_names=list("wxyz"),
        data_fingerprint={"train": "1"},
        metrics={"top1": 0.5},
    )
    path = tmp_path / "weights.safetensors"
    checkpoint.save(path, model.state_dict(), description)
    return model, path


def test_round_trip(saved) -> None:
    model, path = saved
    loaded, description = checkpoint.load_model(path)
    assert description.class_names == list("wxyz")
    assert description.metrics == {"top1": 0.5}
    assert {"gesture3d", "torch", "python"} <= description.versions.keys()
    clips = torch.randint(0, 256, (2, 16, 3, 24, 24), dtype=torch.uint8)
    assert torch.equal(loaded(clips), model.eval()(clips))


def test_failed_save_leaves_the_old_file(saved) -> None:
    """A file that cannot grow, as on a full disk: one line, and the old checkpoint stays."""
    model, path = saved
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(Gesture3dError, match="cannot be written") as caught:
            checkpoint.save(path, model.state_dict(), checkpoint.Description({}, [], {}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_broken_files_are_refused_in_one_line(saved, tmp_path) -> None:
    _, path = saved
    half = tmp_path / "half.safetensors"
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    odd = tmp_path / "odd.safetensors"
    metadata = {"format": checkpoint.FORMAT, "description": json.dumps({"colour": 1})}
    save_file({"a": torch.zeros(2)}, odd, metadata=metadata)
    missing = tmp_path / "missing.safetensors"
    expected = {
        half: "not a readable safetensors file",
        foreign: "not a gesture3d checkpoint",
        odd: "description is broken",
        missing: "no such checkpoint",
    }
    for file, reason in expected.items():
        with pytest.raises(Gesture3dError, match=reason) as caught:
            checkpoint.load(file)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)


class Explosive:
    exploded = False

    def __reduce__(self):
        return (setattr, (Explosive, "exploded", True))


def test_a_pickle_is_never_opened(tmp_path) -> None:
    path = tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps(Explosive()))
    with pytest.raises(Gesture3dError, match="not a readable safetensors file"):
        checkpoint.load(path)
    torch.save({"model": Explosive()}, path)
    with pytest.raises(Gesture3dError, match="not a readable safetensors file"):
        checkpoint.load(path)
    assert not Explosive.exploded


def test_initialise_replaces_only_a_head_of_another_size(saved) -> None:
    model, path = saved
    experiment = load_experiment("variant_a", "synthetic", SMALL)
    other = build_model(experiment.model, 7)
    head = other.classifier.weight.clone()
    said = checkpoint.initialise_from(other, experiment, path)
    assert "head for 4 classes was replaced" in said
    assert torch.equal(other.classifier.weight, head)
    for name, value in model.state_dict().items():
        if not name.startswith("classifier."):
            assert torch.equal(other.state_dict()[name], value), name
    same = build_model(experiment.model, 4)
    assert "head" not in checkpoint.initialise_from(same, experiment, path)
    assert torch.equal(same.classifier.weight, model.classifier.weight)


def test_a_new_head_takes_over_what_is_known_of_classes_by_their_names(saved) -> None:
    model, path = saved
    experiment = load_experiment("variant_a", "synthetic", SMALL)
    theirs = checkpoint.load(path)[1].class_names
    other = build_model(experiment.model, 3)
    fresh = other.classifier.weight.clone()
    names = (theirs[2], "a new one", theirs[0])
    assert "knows 2 classes" in checkpoint.initialise_from(other, experiment, path, names)
    for part in ("weight", "bias"):
        ours, old = getattr(other.classifier, part), getattr(model.classifier, part)
        assert torch.equal(ours[[0, 2]], old[[2, 0]])
    assert torch.equal(other.classifier.weight[1], fresh[1])


def test_a_causal_network_starts_from_one_for_clips(saved) -> None:
    model, path = saved
    settings = ("causal=true", "preprocessing=running_mean", "differences=true")
    settings = [*SMALL, *(f"model.{setting}" for setting in settings)]
    experiment = load_experiment("variant_a", "synthetic", settings)
    causal = build_model(experiment.model, 4)
    assert checkpoint.initialise_from(causal, experiment, path) == f"started from {path}"
    stem, known = causal.res3d.stem[0].weight, model.res3d.stem[0].weight
    assert torch.equal(stem[:, :3], known)
    assert stem.shape[1] == 6
    assert not stem[:, 3:].any()
    assert torch.equal(causal.res3d.stage3[1].conv2.weight, model.res3d.stage3[1].conv2.weight)


def test_a_network_for_clips_does_not_start_from_a_causal_one(saved, tmp_path) -> None:
    settings = [*SMALL, "model.causal=true", "model.preprocessing=running_mean"]
    causal = load_experiment("variant_a", "synthetic", settings)
    path = tmp_path / "causal.safetensors"
    description = checkpoint.Description(causal.model_dump(mode="json"), list("wxyz"), {})
    checkpoint.save(path, build_model(causal.model, 4).state_dict(), description)
    plain = load_experiment("variant_a", "synthetic", SMALL)
    with pytest.raises(Gesture3dError, match="causal: True there, False here"):
        checkpoint.initialise_from(build_model(plain.model, 4), plain, path)


def test_a_network_of_finer_frames_starts_from_one_of_coarser_frames(saved) -> None:
    model, path = saved
    settings = [*SMALL, "model.stem_stride=[2,6,6]", "data.size=64"]
    finer = load_experiment("variant_a", "synthetic", settings)
    other = build_model(finer.model, 4)
    assert checkpoint.initialise_from(other, finer, path) == f"started from {path}"
    assert torch.equal(other.res3d.stem[0].weight, model.res3d.stem[0].weight)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], True),
        (["model.stabilise=false"], False),
        (["model.preprocessing=running_mean", "model.causal=true"], False),
    ],
)
def test_clips_are_stabilised_as_for_the_weights_unless_said_otherwise(
    tmp_path, overrides, expected
) -> None:
    theirs = load_experiment("variant_a", "synthetic", [*SMALL, "model.stabilise=true"])
    path = tmp_path / "steady.safetensors"
    description = checkpoint.Description(theirs.model_dump(mode="json"), list("wxyz"), {})
    checkpoint.save(path, build_model(theirs.model, 4).state_dict(), description)
    ours = load_experiment("variant_a", "synthetic", [*SMALL, *overrides])
    ours = checkpoint.prepared_alike(ours, path)
    assert ours.model.stabilise is expected
    said = checkpoint.initialise_from(build_model(ours.model, 4), ours, path)
    assert said == f"started from {path}, model.stabilise: True there, {expected} here"


@pytest.mark.parametrize(
    ("data", "overrides", "expected"),
    [
        ("synthetic", [], "motion"),
        ("synthetic", ["data.framing=whole"], "whole"),
        ("synthetic", ["data.channels=1", "model.in_channels=1"], "whole"),
        ("synthetic_stream", [], "whole"),
    ],
)
def test_clips_are_framed_as_for_the_weights_unless_said_otherwise(
    tmp_path, data, overrides, expected
) -> None:
    theirs = load_experiment("variant_a", "synthetic", [*SMALL, "data.framing=motion"])
    path = tmp_path / "framed.safetensors"
    description = checkpoint.Description(theirs.model_dump(mode="json"), list("wxyz"), {})
    checkpoint.save(path, build_model(theirs.model, 4).state_dict(), description)
    ours = load_experiment("variant_a", data, [*SMALL, *overrides])
    ours = checkpoint.prepared_alike(ours, path)
    assert ours.data.framing == expected
    if data == "synthetic" and not overrides:
        said = checkpoint.initialise_from(build_model(ours.model, 4), ours, path)
        assert said == f"started from {path}, data.framing: motion there, motion here"


def test_clips_are_not_stabilised_for_weights_that_did_not_learn_so(saved) -> None:
    experiment = load_experiment("variant_a", "synthetic", SMALL)
    assert checkpoint.prepared_alike(experiment, saved[1]) is experiment


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("model.stem_stride=[1,3,3]", "model.stem_stride: (2, 3, 3) there, (1, 3, 3) here"),
        ("model.variants=[b, a]", "model.variants: ('a', 'a') there, ('b', 'a') here"),
        ("model.width=0.25", "model.width: 0.03125 there, 0.25 here"),
        ("model.preprocessing=channel_mean", "model.preprocessing: clip_mean there"),
    ],
)
def test_initialise_refuses_another_network(saved, override, named) -> None:
    experiment = load_experiment("variant_a", "synthetic", [*SMALL, override])
    with pytest.raises(Gesture3dError, match="cannot start from") as caught:
        checkpoint.initialise_from(build_model(experiment.model, 4), experiment, saved[1])
    assert named in str(caught.value)


def test_weights_of_another_network_are_refused_by_name(saved) -> None:
    model, path = saved
    weights = dict(checkpoint.load(path)[0])
    weights["stranger"] = weights.pop("classifier.bias")
    weights["classifier.weight"] = torch.zeros(9, 9)
    with pytest.raises(Gesture3dError) as caught:
        checkpoint.load_weights(model, weights, path)
    for part in ("stranger: unknown", "classifier.bias: missing", "shape [9, 9] in the file"):
        assert part in str(caught.value)


def test_the_revision_is_dirty_where_code_changed_and_not_where_tables_did(tmp_path, monkeypatch):
    for name in ("package/code.py", "configs/net.yaml", "configs/results.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("one\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(checkpoint, "PACKAGE", tmp_path / "package")

    def revision() -> str:
        return checkpoint._git_revision.__wrapped__()

    clean = revision()
    assert re.fullmatch(r"[0-9a-f]{12}", clean)
    (tmp_path / "configs/results.csv").write_text("two\n")
    assert revision() == clean
    (tmp_path / "configs/net.yaml").write_text("two\n")
    assert revision() == f"{clean}-dirty"
