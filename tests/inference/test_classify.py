"""Classification from files: the same scores as in evaluation, and every kind of bad input."""

import csv
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.cli import classify as classify_cli
from gesture3d.config import load_experiment
from gesture3d.data import build_datasets, make_loader
from gesture3d.data.batch import EpochSampler
from gesture3d.data.video.clips import load_clip
from gesture3d.data.video.prepared.flow import write_flow
from gesture3d.data.walk import find_files
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.predict import predict
from gesture3d.files import PACKAGE, resource
from gesture3d.inference.classifier import Classifier
from gesture3d.models import build_model
from tests.clips import square_clip, square_folder, tiny_settings, write_clip
from tests.forked_runs import run_forked

CLASSIFY = PACKAGE / "cli" / "classify.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return square_folder(tmp_path_factory.mktemp("squares"), clips_per_class=3)


@pytest.fixture(scope="module")
def weights(folder, tmp_path_factory) -> Path:
    """An untrained network for the four directions; its scores differ from clip to clip."""
    experiment = load_experiment("variant_a", "folder", tiny_settings(folder))
    torch.manual_seed(0)
    model = build_model(experiment.model, 4)
    names = ["down", "left", "right", "up"]
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    description = checkpoint.Description(experiment.model_dump(mode="json"), names, {})
    checkpoint.save(path, model.state_dict(), description)
    return path


@pytest.mark.parametrize("cached", [True, False])
def test_scores_are_those_of_evaluation(folder, weights, cached) -> None:
    """The evaluation's loader (cached frames or files) and the classifier agree on every clip."""
    classifier = Classifier(weights, device="cpu")
    data = classifier.experiment.data
    if not cached:
        data = data.model_copy(update={"cache_size": None})
        classifier.experiment = classifier.experiment.model_copy(update={"data": data})
    validation = build_datasets(data, seed=0, progress=False).validation
    sampler = EpochSampler(num_samples=len(validation), batch_size=4, seed=0, shuffle=False)
    predictions = predict(classifier.model, make_loader(validation, sampler), classifier.device)
    assert len(predictions.keys) == 4
    paths = {clip.key: clip.path for clip in validation.items}
    clips = torch.stack([classifier.load(paths[key]) for key in predictions.keys])
    scores = classifier.scores(clips).numpy()
    np.testing.assert_allclose(scores, predictions.scores, rtol=0, atol=1e-6)
    assert np.ptp(predictions.scores, axis=0).max() > 1e-3  # clips do differ
    for key, row in zip(predictions.keys, predictions.probabilities, strict=True):
        ranked = {c.name: c.probability for c in classifier(paths[key])}
        for name, probability in zip(classifier.class_names, row, strict=True):
            assert ranked[name] == pytest.approx(probability, abs=1e-6)


def test_a_compiled_network_sees_one_batch_size(folder, weights, monkeypatch) -> None:
    """The compiler itself is left out here: it takes half a minute."""
    options, sizes = {}, []

    def compiled(model, **given):
        options.update(given)
        model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
        return model

    monkeypatch.setattr(torch, "compile", compiled)
    clips = sorted(folder.glob("*/*.mp4"))[:5]
    results = list(Classifier(weights, compile=True).classify(clips, batch_size=3))
    assert options == {"options": {"freezing": True}}
    assert sizes == [3, 3]
    plain = list(Classifier(weights).classify(clips, batch_size=3))
    assert [r.segments for r in results] == [r.segments for r in plain]
    assert len(results) == 5


def test_ranking_is_complete_and_sorted(folder, weights) -> None:
    ranked = Classifier(weights)(folder / "left" / "0.mp4")
    probabilities = [c.probability for c in ranked]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert {c.name for c in ranked} == {"down", "left", "right", "up"}


@pytest.fixture(scope="module")
def odd_clips(tmp_path_factory) -> dict[str, Path]:
    """Clips that are unusual but readable."""
    root = tmp_path_factory.mktemp("odd")
    clip = square_clip("left", 0)
    large = np.stack([cv2.resize(frame, (3840, 2160)) for frame in clip[:4]])
    frames = root / "frames"
    frames.mkdir()
    for number, frame in enumerate(clip, start=1):
        cv2.imwrite(str(frames / f"{number:05d}.png"), frame[..., ::-1])
    return {
        "one frame": write_clip(root / "one.mp4", clip[:1]),
        "4K": write_clip(root / "large.mp4", large),
        "odd rate": write_clip(root / "odd.mp4", clip, fps=23.17),
        "odd size": write_clip(root / "size.avi", clip[:, :30, :26], fourcc="MJPG"),
        "frame folder": frames,
    }


@pytest.fixture(scope="module")
def broken_clips(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("broken")
    (root / "zero.mp4").write_bytes(b"")
    (root / "text.mp4").write_text("not a video at all\n" * 100)
    whole = write_clip(root / "whole.mp4", square_clip("left", 0, frames=40, size=64)).read_bytes()
    (root / "whole.mp4").unlink()
    (root / "half.mp4").write_bytes(whole[: len(whole) // 2])
    names = ("zero", "text", "half")
    return {name: root / f"{name}.mp4" for name in names} | {"missing": root / "missing.mp4"}


def test_unusual_clips_are_classified(odd_clips, weights) -> None:
    classifier = Classifier(weights)
    for result in classifier.classify(odd_clips.values(), batch_size=2):
        assert result.error is None, result.path
        (segment,) = result.segments
        assert (segment.start, segment.stop, len(segment.classes)) == (None, None, 4)


def test_a_broken_clip_raises_one_line_with_its_path(broken_clips, weights) -> None:
    classifier = Classifier(weights)
    for path in broken_clips.values():
        with pytest.raises(Gesture3dError) as caught:
            classifier(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_tool_goes_on_past_broken_clips(folder, odd_clips, broken_clips, weights, tmp_path) -> None:
    """Good clips are classified, each broken one is named on one line, the exit code tells."""
    mixed = tmp_path / "mixed"
    shutil.copytree(folder / "left", mixed)
    for name in ("notes.txt", "._0.mp4"):
        (mixed / name).touch()
    good = [mixed, *odd_clips.values()]
    out = tmp_path / "predictions.csv"
    paths = [good[0], *broken_clips.values(), *good[1:]]
    command = [sys.executable, str(CLASSIFY), *map(str, paths)]
    done = run_forked([*command, "--weights", str(weights), "--top", "2", "--out", str(out)])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "left out: 1 .txt" in done.stderr.splitlines()
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(broken_clips), done.stderr
    for path in broken_clips.values():
        assert sum(str(path) in line for line in errors) == 1
    shown = done.stdout.splitlines()
    assert len(shown) == 3 + len(odd_clips)
    total = f"{len(broken_clips)} failed, {len(shown)} classified"
    assert done.stderr.splitlines()[-1] == total
    assert all(line.count("%") == 2 and line.endswith(" s]") for line in shown)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 + len(odd_clips) + 3  # the missing path is no clip
    assert sum(bool(row["error"]) for row in rows) == 3
    assert {row["class_1"] for row in rows if not row["error"]} <= {"down", "left", "right", "up"}


def test_folders_hold_clips_or_frames_and_links_lead_nowhere(folder, odd_clips, tmp_path) -> None:
    (tmp_path / "a.mp4").write_bytes((folder / "left" / "0.mp4").read_bytes())
    (tmp_path / "cover.jpg").write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "frames").symlink_to(odd_clips["frame folder"], target_is_directory=True)
    assert find_files(tmp_path) == [tmp_path / "a.mp4", tmp_path / "frames"]


def test_a_network_that_reads_flow_computes_it(folder, tmp_path) -> None:
    """A clip gives the scores of its stored flow, whichever of the two is named."""
    plain = ("rotation_degrees=0", "gain=[1, 1]", "channel_gain=[1, 1]")
    settings = [*tiny_settings(folder), *(f"data.augmentation.{setting}" for setting in plain)]
    settings += ["data.modality=flow", "model.in_channels=2"]
    experiment = load_experiment("variant_a", "folder", settings)
    torch.manual_seed(0)
    model = build_model(experiment.model, 4)
    description = checkpoint.Description(experiment.model_dump(mode="json"), list("abcd"), {})
    checkpoint.save(tmp_path / "w.safetensors", model.state_dict(), description)
    classifier = Classifier(tmp_path / "w.safetensors", "cpu")
    clip = folder / "left" / "0.mp4"
    write_flow(clip, tmp_path / "flow.avi")
    assert torch.equal(classifier.load(clip), classifier.load(tmp_path / "flow.avi"))
    assert torch.equal(classifier.load(clip), load_clip(tmp_path / "flow.avi", experiment.data))


def test_a_mirroring_cameras_clips_are_turned_back(folder, weights, tmp_path) -> None:
    clip = folder / "left" / "0.mp4"
    as_filmed = Classifier(weights, "cpu").load(clip)
    assert torch.equal(Classifier(weights, "cpu", mirror=True).load(clip), as_filmed.flip(-1))
    assert torch.equal(Classifier(weights, "cpu", mirror=False).load(clip), as_filmed)
    out = tmp_path / "predictions.json"
    command = [sys.executable, str(CLASSIFY), str(clip), "--weights", str(weights), "--mirror"]
    done = run_forked([*command, "--out", str(out)])
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())
    expected = Classifier(weights, "cpu", mirror=True)(clip)
    found = [c["probability"] for c in row["classes"]]
    assert found == pytest.approx([c.probability for c in expected], abs=1e-5)


def test_only_videos_have_a_camera_that_mirrors() -> None:
    joints = resource("weights") / "deepgru_small-utd_mhad_skeleton.safetensors"
    with pytest.raises(Gesture3dError, match="--mirror turns videos"):
        Classifier(joints, "cpu", mirror=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_one_line(weights) -> None:
    with pytest.raises(Gesture3dError, match="PyTorch finds no GPU here"):
        Classifier(weights, "cuda")
    with pytest.raises(Gesture3dError, match="'tpu': must be cpu or cuda"):
        Classifier(weights, "tpu")


def test_json_output_and_success(folder, weights, tmp_path) -> None:
    out = tmp_path / "predictions.json"
    done = run_forked(
        [
            *(sys.executable, str(CLASSIFY), str(folder)),
            *("--weights", str(weights), "--out", str(out)),
        ]
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())
    assert len(rows) == 12
    assert sum(c["probability"] for c in rows[0]["classes"]) == pytest.approx(1, abs=1e-5)


def test_find_files(folder, odd_clips, tmp_path) -> None:
    assert len(find_files(folder)) == 12
    assert find_files(odd_clips["frame folder"]) == [odd_clips["frame folder"]]
    with pytest.raises(Gesture3dError, match="no such file"):
        find_files(tmp_path / "nowhere")
    with pytest.raises(Gesture3dError, match="nothing to read"):
        find_files(tmp_path)


def test_bf16_says_nearly_the_same_where_the_processor_computes_in_it(folder, weights, monkeypatch):
    from gesture3d.inference import classifier as module

    monkeypatch.setattr(module, "has_native_bf16", lambda device: True)  # else PyTorch emulates it
    (clip, *_) = sorted(folder.rglob("*.mp4"))
    full, fast = (Classifier(weights, "cpu", precision=p) for p in ("fp32", "bf16"))
    ours, theirs = (net.scores([net.load(clip)]) for net in (fast, full))
    assert 0 < (ours - theirs).abs().max() < 0.05
    monkeypatch.setattr(module, "has_native_bf16", lambda device: False)
    with pytest.raises(Gesture3dError, match="bf16: this processor does not compute in it"):
        Classifier(weights, "cpu", precision="bf16")
    joints = resource("weights") / "deepgru_hands-synthetic.safetensors"
    with pytest.raises(Gesture3dError, match="only video networks for clips"):
        Classifier(joints, "cpu", precision="bf16")


def test_threads_that_decode_have_their_cores(folder, weights, monkeypatch) -> None:
    clips, asked = sorted(map(str, folder.glob("*/*.mp4"))), []
    monkeypatch.setattr("torch.set_num_threads", asked.append)
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    for count, cores, expected in ((1, 8, []), (2, 2, [1]), (2, 5, [3]), (2, 8, [4])):
        monkeypatch.setattr("gesture3d.machine.num_cores", lambda cores=cores: cores)
        command = ["classify.py", *clips[:count], "--weights", str(weights), "--device", "cpu"]
        monkeypatch.setattr("sys.argv", command)
        assert classify_cli.main() == 0
        assert asked == expected
        asked.clear()
