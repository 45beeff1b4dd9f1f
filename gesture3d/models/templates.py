"""Templates: the class of the most similar example, by dynamic time warping.

Sakoe & Chiba, "Dynamic programming algorithm optimization for spoken word recognition", IEEE
Transactions on Acoustics, Speech, and Signal Processing 26 (1978): symmetric steps (P = 0) within a
band about the diagonal, all weighted alike. Nothing is trained: the examples are the weights.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gesture3d.errors import Gesture3dError
from gesture3d.models.network import Network

MOST_CELLS = 1 << 18  # times T, of cost matrices at once
FARTHEST = 1e4  # of a class without a template


class Nearest(nn.Module):
    """Distances to the templates (B, N) → to the nearest one of each class (B, K)."""

    def __init__(self, num_templates: int, num_classes: int) -> None:
        super().__init__()
        self.out_features = num_classes
        self.register_buffer("classes", torch.arange(num_templates) % num_classes)

    def forward(self, distances: Float[Tensor, "B N"]) -> Float[Tensor, "B K"]:
        farthest = distances.new_full((len(distances), self.out_features), FARTHEST)
        rows = self.classes.expand_as(distances)
        return farthest.scatter_reduce(1, rows, distances, "amin")


class Templates(Network):
    """``model(inputs, lengths=None)`` → scores (B, K): minus ``sharpness`` times the distance to
    the nearest template of each class.

    Args:
        num_features: D of a frame.
        num_templates: N, examples of all classes.
        num_frames: T of every sequence, and of every template.
        band: frames that two sequences may be warped against each other.
        sharpness: scores a unit of distance.

    Attributes:
        templates: (N, T, D).
        weights: (D,), of the squared differences of each feature; ≥ 0.
        nearest.classes: (N,), whose example each template is.
    """

    reads = "sequences"
    head = "nearest"

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        num_templates: int,
        num_frames: int = 32,
        band: int = 4,
        sharpness: float = 10.0,
    ) -> None:
        super().__init__()
        self.band, self.sharpness = band, sharpness
        examples = torch.zeros(num_templates, num_frames, num_features)
        self.templates = nn.Parameter(examples, requires_grad=False)
        self.register_buffer("weights", torch.ones(num_features))
        self.nearest = Nearest(num_templates, num_classes)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise Gesture3dError where sequences of this shape, (B, T, D), do not fit."""
        if tuple(shape[1:]) != tuple(self.templates.shape[1:]):
            raise Gesture3dError(
                f"sequences of {shape[1]} frames with {shape[2]} features; the templates have "
                f"{self.templates.shape[1]} with {self.templates.shape[2]}"
            )

    def forward(
        self, inputs: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B K"]:
        self.check(inputs.shape)
        return -self.sharpness * self.nearest(self.distances(inputs))

    def distances(self, inputs: Float[Tensor, "B T D"]) -> Float[Tensor, "B N"]:
        """To every template."""
        used = self.weights > 0
        scale = self.weights[used].sqrt()
        theirs = self.templates[..., used] * scale
        parts = (inputs[..., used] * scale).split(max(MOST_CELLS // theirs[..., 0].numel(), 1))
        return torch.cat([warped_distances(part, theirs, self.band) for part in parts])


def warped_distances(
    ours: Float[Tensor, "B T D"], theirs: Float[Tensor, "N T D"], band: int
) -> Float[Tensor, "B N"]:
    """√(least sum of squared distances along a warping path within ``band`` frames of the diagonal,
    over T), each sequence with each."""
    num_frames = ours.shape[1]
    costs = torch.cdist(ours[:, None], theirs[None]).square()  # (B, N, T, T)
    before = costs.new_full((*costs.shape[:2], num_frames + 1), math.inf)
    before[..., 0] = 0.0
    last = torch.full_like(before, math.inf)
    # On anti-diagonal k lie the cells (i, k - i); `last` is diagonal k - 1, `before` k - 2, by i.
    for k in range(2, 2 * num_frames + 1):
        first, stop = max(1, k - num_frames), min(num_frames, k - 1) + 1
        rows = torch.arange(first, stop, device=ours.device)
        rows = rows[(2 * rows - k).abs() <= band]
        now = torch.full_like(before, math.inf)
        if len(rows):
            straight = torch.minimum(last[..., rows - 1], last[..., rows])
            best = torch.minimum(straight, before[..., rows - 1])
            now[..., rows] = best + costs[..., rows - 1, k - rows - 1]
        before, last = last, now
    return (last[..., num_frames] / num_frames).sqrt()
