"""What only a GPU can show: ``pytest tests/test_gpu.py``. Skipped where there is none.

Everything else is tested on the CPU; here: that a GPU computes the same, in bf16 and compiled too,
that training never waits for it, and that the tools use it.
"""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.data import build_datasets
from gesture3d.distributed import Processes
from gesture3d.files import PACKAGE
from gesture3d.inference.classifier import Classifier
from gesture3d.models import build_model
from gesture3d.models.gesture_net import GestureNet
from gesture3d.training.loop import Trainer
from gesture3d.training.run_log import RunLog
from tests.clips import square_folder, tiny_settings

TOOLS = PACKAGE.parent / "tools"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(autouse=True)
def full_precision():
    """Without TF32, so that results compare with the CPU's."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def make_clips(batch=4):
    return torch.randint(0, 256, (batch, 8, 3, 32, 32), dtype=torch.uint8)


def make_net(variants=("a", "a"), **options):
    torch.manual_seed(0)
    return GestureNet(5, variants, width=1 / 8, preprocessing="clip_mean", **options)


def compare_devices(model, *inputs):
    """Scores and gradients on the GPU are those on the CPU."""
    found = []
    for device in ("cpu", "cuda"):
        model = model.to(device).eval()  # without dropout, which differs
        for layer in model.modules():  # cuDNN differentiates its own only in training mode
            layer.train(isinstance(layer, nn.GRU))
        model.zero_grad()
        scores = model(*(x.to(device) if n == 0 else x for n, x in enumerate(inputs)))
        scores.square().sum().backward()
        gradients = {name: p.grad.cpu() for name, p in model.named_parameters()}
        found.append((scores.detach().cpu(), gradients))
    (scores, gradients), (gpu_scores, gpu_gradients) = found
    torch.testing.assert_close(gpu_scores, scores, rtol=1e-3, atol=1e-4)
    for name, gradient in gradients.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(
            gpu_gradients[name], gradient, rtol=1e-3, atol=1e-3 * scale + 1e-7, msg=name
        )


@pytest.mark.parametrize("variant", ["convlstm", "a", "b", "c", "d"])
def test_video_networks(variant):
    compare_devices(make_net((variant, variant)), make_clips())


@pytest.mark.parametrize(
    ("network", "recipe"),
    [
        ("deepgru_small", "utd_mhad_skeleton"),
        ("residual_bilstm", "hapt"),
        ("residual_lstm", "hapt"),
        ("lstm", "hapt"),
        ("cnn1d", "hapt"),
    ],
)
def test_sequence_networks(network, recipe):
    torch.manual_seed(0)
    experiment = load_experiment(network, recipe)
    model = build_model(experiment.model, 5, 9)
    x = torch.randn(6, 64, 9)
    lengths = torch.tensor([64, 50, 40, 33, 20, 9])
    compare_devices(model, x, *([lengths] if network == "deepgru_small" else []))


@pytest.mark.parametrize("network", ["deepgru_small", "deepgru", "gru"])
def test_recurrent_layers_of_pytorch_stay_in_fp32(network):
    model = build_model(load_experiment(network, "utd_mhad_skeleton").model, 5, 9).cuda()
    x = torch.randn(6, 64, 9, device="cuda")
    lengths = torch.tensor([64, 50, 40, 33, 20, 9])
    with torch.autocast("cuda", torch.bfloat16):
        scores = model(x, lengths)
        assert scores.dtype == torch.float32
    scores.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_compiled_network_gives_the_same_scores():
    """In a process of its own: the run-time checks of shape annotations do not compile."""
    program = """if True:
        import torch
        from gesture3d.models.gesture_net import GestureNet
        net = GestureNet(5, width=1 / 8).cuda().eval()
        clips = torch.randint(0, 256, (2, 8, 3, 32, 32), dtype=torch.uint8, device="cuda")
        with torch.no_grad():
            torch.testing.assert_close(torch.compile(net)(clips), net(clips), rtol=1e-2, atol=1e-2)
    """
    subprocess.run([sys.executable, "-c", program], check=True)


def test_gradient_checkpointing_saves_memory():
    peaks = []
    for checkpointing in (False, True):
        net = make_net().cuda().train()
        net.gradient_checkpointing = checkpointing
        clips = torch.randint(0, 256, (8, 16, 3, 64, 64), dtype=torch.uint8, device="cuda")
        torch.cuda.reset_peak_memory_stats()
        with torch.autocast("cuda", torch.bfloat16):
            net(clips).sum().backward()
        peaks.append(torch.cuda.max_memory_allocated())
        del net, clips
        torch.cuda.empty_cache()
    assert peaks[1] < peaks[0]


def test_a_training_step_never_waits_for_the_gpu(tmp_path):
    folder = square_folder(tmp_path / "squares")
    settings = [*tiny_settings(folder), "train.device=cuda", "optim.clip_norm=1"]
    experiment = load_experiment("variant_a", "folder", settings)
    datasets = build_datasets(experiment.data, seed=0, progress=False)
    model = build_model(experiment.model, len(datasets.class_names))
    log = RunLog(tmp_path / "run", num_epochs=1, progress=False)
    trainer = Trainer(experiment, model, datasets, Processes(0, 1, torch.device("cuda", 0)), log)
    batches = list(trainer.train_loader)
    sums = torch.zeros(4, dtype=torch.float64, device="cuda")
    trainer.model.train()
    trainer._step(batches[:1], sums)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[1:]:
            trainer._step([batch], sums)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sums[3] == sum(len(batch) for batch in batches)


def test_train_resume_evaluate_and_classify_on_the_gpu(tmp_path):
    folder = square_folder(tmp_path / "squares")
    settings = [s for s in tiny_settings(folder) if not s.startswith("train.device")]

    def run(tool, *arguments):
        command = [sys.executable, str(TOOLS / tool), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    chosen = ["--cfg", "variant_a", "--data", "folder", "--name", "r"]
    printed = run("train.py", *chosen, "--set", *settings, "train.device=cuda")
    assert ", cuda; from scratch" in printed
    result = json.loads((tmp_path / "runs/r/result.json").read_text())
    assert result
    weights = tmp_path / "runs/r/best.safetensors"
    run("evaluate.py", "--weights", weights, "--split", "validation")
    clips = sorted(folder.glob("*/*.mp4"))[:3]
    gpu, cpu = (Classifier(weights, device) for device in ("cuda", "cpu"))
    loaded = [cpu.load(clip) for clip in clips]
    torch.testing.assert_close(gpu.scores(loaded), cpu.scores(loaded), rtol=1e-2, atol=1e-3)
    assert checkpoint.load(weights)[0]  # readable where there is no GPU


def test_every_gpu_takes_part(tmp_path):
    count = torch.cuda.device_count()
    if count < 2:
        pytest.skip("there is one GPU only")
    folder = square_folder(tmp_path / "squares", clips_per_class=12)
    settings = [s for s in tiny_settings(folder) if not s.startswith("train.")]
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}"]
    command += [str(TOOLS / "train.py"), "--cfg", "variant_a", "--data", "folder", "--set"]
    command += [*settings, "train.epochs=2", f"train.batch_size={2 * count}", "train.device=cuda"]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=300)
