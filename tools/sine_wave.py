"""Predict the next value of a sine wave with `GRUNet`: python tools/sine_wave.py."""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gesture3d.command_line import run_command_line
from gesture3d.files import atomic_path, check_writable
from gesture3d.models.gru import GRUNet

WINDOW = 50  # values that a prediction sees
NUM_TRAIN = 800


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=150, help="optimiser steps (150)")
    parser.add_argument("--picture", type=Path, default=Path("sine_wave.png"))
    return parser.parse_args()


def sine_windows() -> tuple[Tensor, Tensor]:
    """Windows (N, WINDOW, 1) of a sine wave over 0..100 rad, and the value (N, 1) after each."""
    wave = torch.sin(torch.linspace(0, 100, 1000))
    windows = wave.unfold(0, WINDOW + 1, 1)[:, :, None]
    return windows[:, :-1], windows[:, -1]


def fit(model: nn.Module, inputs: Tensor, targets: Tensor, num_steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(num_steps):
        chosen = torch.randint(len(inputs), (32,), generator=generator)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs[chosen]), targets[chosen]).backward()
        optimizer.step()
        schedule.step()


def plot(path: Path, truth: np.ndarray, predicted: np.ndarray) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(truth, label="true")
    axes.plot(predicted, "--", label="predicted")
    axes.set(xlabel="test window", ylabel="next value")
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def main() -> None:
    args = parse_args()
    check_writable(args.picture)
    torch.manual_seed(0)
    inputs, targets = sine_windows()
    model = GRUNet(input_size=1, hidden_size=20, output_size=1, num_layers=2)
    fit(model, inputs[:NUM_TRAIN], targets[:NUM_TRAIN], args.steps)
    model.eval()
    with torch.no_grad():
        predicted = model(inputs)
    error = (predicted - targets).square()
    repeated = (inputs[:, -1] - targets).square()
    print(f"training MSE {error[:NUM_TRAIN].mean():.2e}")
    print(f"test MSE {error[NUM_TRAIN:].mean():.2e}")
    print(f"test MSE of repeating the last value {repeated[NUM_TRAIN:].mean():.2e}")
    plot(args.picture, targets[NUM_TRAIN:].numpy(), predicted[NUM_TRAIN:].numpy())
    print(f"picture: {args.picture}")


if __name__ == "__main__":
    run_command_line(main)
