"""A new head on a network that stays as it is: from a few clips, in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from gesture3d import checkpoint
from gesture3d.config import Experiment, validate_experiment
from gesture3d.data import Datasets
from gesture3d.data.batch import Sample, collate
from gesture3d.data.samples import Samples
from gesture3d.errors import Gesture3dError

Head = Literal["means", "linear"]
VIEWS = 8  # of each training clip, each changed at random in another way
BATCH = 16
SHARPNESS = 20.0  # scores a unit of cosine, of class means
DECAY = 1e-3  # of the linear head's weights


def fit_head(datasets: Datasets, experiment: Experiment, init: Path, head: Head, out: Path) -> None:
    """Write a checkpoint of ``init``'s network with a head for these classes.

    ``means``: the cosine with each class's mean feature (Snell et al., NeurIPS 2017, without their
    training). ``linear``: multinomial logistic regression with weight decay.

    Raises:
        Gesture3dError: ``init`` is a network of another kind, or has no linear head.
    """
    tensors, description = checkpoint.load(init)
    model, _ = checkpoint.load_model(init)
    classifier = getattr(model, model.head, None)
    if not isinstance(classifier, nn.Linear):
        raise Gesture3dError(f"{init}: its head is not linear; train it (tools/train.py --init)")
    features, labels = features_of(model, classifier, datasets.train, VIEWS)
    fit = {"means": class_means, "linear": linear_head}[head]
    weight, bias = fit(features, labels, len(datasets.class_names))
    weights = checkpoint.weights_of(tensors)
    weights |= {f"{model.head}.weight": weight, f"{model.head}.bias": bias}
    tree = experiment.model_dump(mode="json") | {"model": description.experiment["model"]}
    experiment = validate_experiment(tree, str(out))
    names, prints = list(datasets.class_names), datasets.fingerprint
    said = replace(description, class_names=names, data_fingerprint=prints, calibration=None)
    said = replace(said, experiment=experiment.model_dump(mode="json"), online=None)
    checkpoint.save(out, weights, replace(said, metrics={"head": head}, progress={}))


@torch.no_grad()
def features_of(
    model: nn.Module, classifier: nn.Linear, samples: Samples, views: int
) -> tuple[Tensor, Tensor]:
    """What reaches the head, (views · N, D), and the labels, (views · N,)."""
    caught: list[Tensor] = []
    hook = classifier.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].float()))
    places = [(view, row) for view in range(views) for row in range(len(samples))]
    labels: list[int] = []
    try:
        for first in range(0, len(places), BATCH):
            read = [samples[place] for place in places[first : first + BATCH]]
            batch = collate([one for one in read if isinstance(one, Sample)])
            model(batch.inputs, batch.lengths)
            labels += batch.labels.tolist()
    finally:
        hook.remove()
    return torch.cat(caught), torch.tensor(labels)


def class_means(features: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Weights (K, D) and biases (K,) of the nearest class mean, features centred on their mean."""
    centre = features.mean(dim=0)
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(count)]) - centre
    weight = nn.functional.normalize(means, dim=1)
    spread = (features - centre).norm(dim=1).mean()
    weight = SHARPNESS * weight / spread.clamp(min=1e-6)
    return weight, -(weight @ centre)


def linear_head(features: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Weights (K, D) and biases (K,) of a logistic regression on standardised features."""
    centre, scale = features.mean(dim=0), features.std(dim=0).clamp(min=1e-3)
    inputs = (features - centre) / scale
    weight = torch.zeros(count, features.shape[1], requires_grad=True)
    bias = torch.zeros(count, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        scores = inputs @ weight.T + bias
        loss = nn.functional.cross_entropy(scores, labels) + DECAY * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        weight, bias = weight / scale, bias
        return weight.detach(), (bias - weight @ centre).detach()
