"""Optimiser, learning-rate schedule and the moving average of the weights."""

import copy
import math

import torch
from torch import Tensor, nn

from gesture3d.config import OptimConfig


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """SGD, Adam (L2 penalty) or AdamW (decoupled weight decay) over all trainable parameters."""
    groups = parameter_groups(model, config)
    if config.name == "sgd":
        return torch.optim.SGD(
            groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=True
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name]
    return kind(groups, lr=config.lr, fused=True)


def parameter_groups(model: nn.Module, config: OptimConfig) -> list[dict]:
    """Parameters with and without weight decay: all with, or only matrices and kernels."""
    decayed, free = [], []
    for parameter in filter(lambda p: p.requires_grad, model.parameters()):
        free_of_decay = config.decay_matrices_only and parameter.ndim < 2
        (free if free_of_decay else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def learning_rate(config: OptimConfig, step: int, total_steps: int) -> float:
    """The learning rate of one optimiser step.

    Args:
        step: 0 … total_steps - 1.

    polynomial: ``(lr - final_lr) * (1 - step / total) ** power + final_lr`` (paper, section 3.2;
    power 0.9 as in the authors' code). cosine: linear warm-up from 0, then a half cosine.
    onecycle: half-cosine warm-up from lr / 25, then a half cosine (Smith & Topin 2018).
    """
    peak, final = config.lr, config.final_lr
    if config.schedule == "constant":
        return peak
    if config.schedule == "polynomial":
        return (peak - final) * (1 - step / total_steps) ** config.power + final
    warmup_steps = config.warmup * total_steps
    if step < warmup_steps:
        progress = step / warmup_steps
        if config.schedule == "cosine":
            return peak * (step + 1) / (warmup_steps + 1)
        return _half_cosine(peak / 25, peak, progress)
    last = max(total_steps - 1 - warmup_steps, 1)
    return _half_cosine(peak, final, min((step - warmup_steps) / last, 1.0))


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


class WeightAverage:
    """Exponential moving average of the weights (EMA); buffers are copied.

    The decay grows with the steps, ``min(decay, (1 + n) / (10 + n))``, so that the first steps are
    forgotten soon.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        ours: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(ours, [p.detach() for p in model.parameters()], 1 - decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
