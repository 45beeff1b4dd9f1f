"""Exported files: proven equal, described, usable without this package or PyTorch."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gesture3d import checkpoint
from gesture3d.cli import export as tool
from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE
from gesture3d.inference.classifier import Classifier
from gesture3d.models.deepgru import DeepGRU
from tests.clips import square_clip, square_folder, tiny_settings, write_clip
from tests.forked_runs import run_forked
from tests.inference.networks import few_blocks, untrained

for name in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(name, reason=f"{name}, of the extra export, is not installed")

VIDEO = ("data.num_frames=8", "data.size=24", "model.width=0.03125", "model.stem_stride=[1,2,2]")
CAUSAL = ("model.causal=true", "model.preprocessing=running_mean", "model.differences=true")


def run(*words: str | Path) -> None:
    """The tool, in this process."""
    args = tool.parse_args([str(word) for word in words])
    parse_args, tool.parse_args = tool.parse_args, lambda: args
    try:
        tool.main()
    finally:
        tool.parse_args = parse_args


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        few_blocks(patch)
        yield


@pytest.fixture(scope="module")
def causal(small, tmp_path_factory) -> Classifier:
    """With a temperature and a decision."""
    folder = tmp_path_factory.mktemp("causal")
    settings = (*VIDEO, *CAUSAL, "model.variants=[d]", "model.recurrent_skip=true")
    settings += ("model.top_skip=true",)
    classifier = untrained(folder, "variant_a", "folder", None, *settings)
    calibration = checkpoint.Calibration(0.5, [0.1, 0.2], 3, "x")
    checkpoint.add_calibration(classifier.weights, calibration)
    decision = OnlineDecision({"wave": 0.4, "drink": 0.4}, smoothing=0.1)
    checkpoint.add_online_decision(classifier.weights, decision)
    return Classifier(classifier.weights, "cpu")


@pytest.fixture(scope="module")
def step_file(causal, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("step") / "s.onnx"
    run("--weights", causal.weights, "--to", "onnx", "--step", "--out", path)
    return path


@torch.no_grad()
def test_a_step_model_runs_through_a_stream_as_the_network_does(causal, step_file) -> None:
    import onnxruntime

    model = checkpoint.load_model(causal.weights)[0]
    said = json.loads(_metadata(step_file))
    stream = np.random.default_rng(1).integers(0, 256, (3, 20, 3, 24, 24), dtype=np.uint8)
    expected = model.step_scores(torch.from_numpy(stream)) / 0.5
    session = onnxruntime.InferenceSession(step_file)
    state = [np.zeros((3, *shape), np.float32) for shape in said["state_shapes"]]
    assert said["step_frames"] == model.step_frames == 2
    for number in range(10):
        values = [stream[:, 2 * number : 2 * number + 2], *state]
        names = [entry.name for entry in session.get_inputs()]
        scores, *state = session.run(None, dict(zip(names, values, strict=True)))
        np.testing.assert_allclose(scores, expected[:, number], atol=1e-4)


def test_a_step_has_no_loop_and_only_2d_convolutions(step_file) -> None:
    import onnx

    graph = onnx.load(step_file).graph
    sizes = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    kinds = {node.op_type for node in graph.node}
    assert not kinds & {"Loop", "Scan", "If", "GRU", "LSTM"}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    assert {sizes[node.input[1]] for node in convolutions} == {4}
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in graph.input} == {"batch"}


def test_a_file_says_all_that_is_needed_without_torch(causal, step_file) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from gesture3d.export import read_onnx\n"
        "from gesture3d.inference.online import EventFinder\n"
        "said = read_onnx(sys.argv[1])\n"
        "EventFinder(said.online, said.class_names)\n"
        "print(said)"
    )
    words = [sys.executable, "-c", program, step_file]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    from gesture3d.export import read_onnx

    said = read_onnx(step_file)
    assert done.stdout.strip() == str(said)
    assert said.class_names == ["drink", "wave"]
    assert said.shape == (2, 3, 24, 24)
    assert said.calibration == causal.calibration
    assert said.online.thresholds == {"wave": 0.4, "drink": 0.4}
    assert said.proof.difference <= 1e-4
    assert said.proof.events > 0
    assert str(PACKAGE.parent).encode() not in step_file.read_bytes()


SEQUENCES = {
    ("cnn1d", "hapt"): ["model.magnitudes=true", "model.widths=[8,8]"],
    ("residual_bilstm", "hapt"): ["model.num_stacked=1"],
    ("deepgru_small", "sfinge3d"): ["model.dims={gru1: 6, gru2: 6, gru3: 8, fc: 8}"],
}


class Through(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return x, None


WAYS = [
    pytest.param(*names, marks=[pytest.mark.slow] if "residual_bilstm" in names else [])
    for names in SEQUENCES
]


@pytest.mark.parametrize(("model", "data"), WAYS)
@torch.no_grad()
def test_sequences_of_any_length(model, data, tmp_path, monkeypatch) -> None:
    """In a fork: tracing a scan starts PyTorch's threads of gradients, behind which no later test
    could train in a fork of this process."""
    import onnxruntime

    def init(self, *args, **options) -> None:
        whole(self, *args, **options)
        self.gru1 = self.gru2 = Through()  # layers of which the third is another

    whole = DeepGRU.__init__
    monkeypatch.setattr(DeepGRU, "__init__", init)
    classifier = untrained(tmp_path, model, data, 6, *SEQUENCES[model, data])
    path = tmp_path / "w.onnx"
    words = ["--weights", classifier.weights, "--to", "onnx", "--out", path]
    done = run_forked([sys.executable, PACKAGE / "cli" / "export.py", *words])
    assert done.returncode == 0, done.stderr
    network = checkpoint.load_model(classifier.weights)[0]
    session = onnxruntime.InferenceSession(path)
    for batch, length in ((4, 5), (1, 77)):
        x = torch.randn(batch, length, 6)
        (found,) = session.run(None, {"inputs": x.numpy()})
        np.testing.assert_allclose(found, network(x), atol=1e-4)


@pytest.mark.parametrize("framing", ["whole", "motion"])
def test_the_example_classifies_without_torch(framing, tmp_path, capsys) -> None:
    """A file of video, whose frames it scales a little otherwise."""
    square_folder(tmp_path / "clips", clips_per_class=2, classes=2)
    settings = [s for s in tiny_settings(tmp_path / "clips") if "train" not in s]
    settings.append(f"data.framing={framing}")
    classifier = untrained(tmp_path, "no_recurrence", "folder", None, *settings)
    if framing == "motion":
        shutil.copy(PACKAGE / "data" / "video" / "framing.py", tmp_path)
    clip = write_clip(tmp_path / "clip.mp4", square_clip("left", 3, frames=19))
    clip = clip.rename(tmp_path / "10:22:31.mp4")  # which FFmpeg may take for an address
    words = ("--weights", classifier.weights, "--to", "onnx", "--out", tmp_path / "gesture.onnx")
    run(*words, "--inputs", clip)
    assert "1 real samples" in capsys.readouterr().out
    blocked = "import sys; sys.modules['torch'] = sys.modules['gesture3d'] = None\n"
    example = (PACKAGE / "export" / "run_onnx.py").read_text("utf-8")
    words = [sys.executable, "-c", blocked + example, "gesture.onnx", clip.name]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    expected = classifier(clip)
    assert [name for name, _ in lines] == [c.name for c in expected]
    for (_, share), c in zip(lines, expected, strict=True):
        assert float(share.strip("%")) / 100 == pytest.approx(c.probability, abs=0.02)
    if framing == "motion":
        return
    (tmp_path / "no.mp4").write_text("no video")
    write_clip(tmp_path / "still.mp4", np.zeros((9, 48, 48, 3), np.uint8))  # as interlaced ones
    for name, reason in (("no.mp4", "no video"), ("still.mp4", "is interlaced, or does not move")):
        done = subprocess.run([*words[:-1], name], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 1
        assert f"error: {name}: {reason}" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_file_that_differs_is_not_left_behind(tmp_path, monkeypatch) -> None:
    from gesture3d.export import write

    classifier = untrained(tmp_path, "cnn1d", "hapt", 6, "model.widths=[8]")

    def wrong(source):
        model = right(source)
        for tensor in model.graph.initializer:
            if len(tensor.dims) == 2:
                tensor.raw_data = bytes(len(tensor.raw_data))
        return model

    right = write.to_onnx
    monkeypatch.setattr(write, "to_onnx", wrong)
    before = set(tmp_path.iterdir())
    with pytest.raises(Gesture3dError, match=r"not kept, as onnxruntime .* differs .* by 0\.\d+"):
        run("--weights", classifier.weights, "--to", "onnx", "--out", tmp_path / "w.onnx")
    assert set(tmp_path.iterdir()) == before


def test_what_cannot_be_exported_is_said(tmp_path, monkeypatch, capsys) -> None:
    classifier = untrained(tmp_path, "gru", "sfinge3d", 6)
    words = ("--weights", classifier.weights, "--to", "onnx", "--out")
    with pytest.raises(Gesture3dError, match=r"no steps; train one .*model\.causal=true"):
        run(*words, tmp_path / "s.onnx", "--step")
    (tmp_path / "folder.onnx").mkdir()
    shutil.copy(classifier.weights, tmp_path / "there.onnx")
    with pytest.raises(Gesture3dError, match="there already, and not a file"):
        run(*words, tmp_path / "folder.onnx")
    with pytest.raises(Gesture3dError, match="there already; remove it"):
        run(*words, tmp_path / "there.onnx")
    with pytest.raises(Gesture3dError, match="no such checkpoint"):
        run("--weights", tmp_path / "none", "--to", "onnx", "--out", tmp_path / "n.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(Gesture3dError, match=r"onnxscript is not installed.*gesture3d\[export\]"):
        run(*words, tmp_path / "n.onnx")
    assert not (tmp_path / "n.onnx").exists()
    for wrong in (("tflite",), ("onnx", "--out", "x.pt2"), ("torch", "--int8")):
        with pytest.raises(SystemExit):
            run("--weights", "w", "--to", *wrong)
        said = capsys.readouterr().err
        assert any(what in said for what in ("invalid choice", "must end in .onnx", "only with"))


@pytest.mark.parametrize("content", [b"", b"no protobuf", None])
def test_other_onnx_files_are_refused(content, tmp_path) -> None:
    from onnx import TensorProto, helper, save

    from gesture3d.export import read_onnx

    path = tmp_path / "x.onnx"
    if content is None:  # of another program
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
        save(helper.make_model(helper.make_graph([], "g", [value], [value])), path)
    else:
        path.write_bytes(content)
    with pytest.raises(Gesture3dError, match=r"x\.onnx: no "):
        read_onnx(path)


def _metadata(path: Path) -> str:
    import onnxruntime

    return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["gesture3d"]
