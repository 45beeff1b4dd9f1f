"""The baseline GRU: its equations, its read-out, and the sine-wave exercise."""

import sys

import numpy as np
import torch

from gesture3d.files import PACKAGE
from gesture3d.models import build_model
from gesture3d.models.gru import GRUNet
from tests.forked_runs import run_forked
from tests.models.test_deepgru import gru_layer


def test_it_is_a_stack_of_grus_and_a_linear_read_out() -> None:
    torch.manual_seed(0)
    net = GRUNet(3, 5, 2, num_layers=2).double().eval()
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    lengths = torch.tensor([7, 3, 1, 5])
    with torch.no_grad():
        scores = net(x, lengths).numpy()
        assert torch.equal(net(x)[0], torch.from_numpy(scores[0]))
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    for row, sequence in enumerate(x.numpy()):
        h = sequence[: lengths[row]]
        for layer in ("l0", "l1"):
            h = gru_layer(weights, "gru", layer, h, np.zeros(5))
        expected = weights["fc.weight"] @ h[-1] + weights["fc.bias"]
        np.testing.assert_allclose(scores[row], expected, atol=1e-12)


def test_a_built_network_standardises_its_input() -> None:
    from gesture3d.config import GRUConfig

    torch.manual_seed(0)
    model = build_model(GRUConfig(name="gru", hidden_size=4), num_classes=3, num_features=2).eval()
    x = torch.randn(2, 5, 2)
    plain = model(x)
    # Mean 3 and deviation 2; a feature that (nearly) never changes is only centred.
    for other, change in ((-1.0, 0.0), (0.0, 1e-7)):
        model.fit_inputs([torch.tensor([[1.0, other], [5.0, other + change]])] * 2)
        moved = x * torch.tensor([2.0, 1.0]) + torch.tensor([3.0, other])
        torch.testing.assert_close(model(moved), plain)
    assert {"mean", "std"} <= model.state_dict().keys()


def test_the_sine_wave_exercise(tmp_path) -> None:
    """Predicts the next value of a sine wave, after the training part, to an MSE below 1e-3."""
    script = PACKAGE.parent / "tools" / "sine_wave.py"
    picture = tmp_path / "sine.png"
    done = run_forked([sys.executable, script, "--picture", picture])
    assert done.returncode == 0, done.stderr
    errors = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines() if "MSE" in line)
    assert float(errors["test MSE"]) < 1e-3
    assert float(errors["test MSE of repeating the last value"]) > 2e-3
    assert picture.stat().st_size > 10_000
