"""DeepGRU against the official form of it, in interleaved pairs on the same sequences.

The official form packs every batch, in fp32, in the order of the epoch (Maghoumi & LaViola's
code); ours runs padded batches of similar lengths in training, in fp32 and in bf16, and packs at
inference where that pays.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gesture3d.data.batch import EpochSampler
from gesture3d.models.deepgru import DeepGRU
from gesture3d.rng import generator

NUM_FEATURES, NUM_CLASSES, BATCH_SIZE = 63, 27, 64

Batch = tuple[Tensor, Tensor, Tensor]  # padded (B, T, D), lengths (B,), labels (B,)


class OfficialDeepGRU(nn.Module):
    """The authors' forward pass over the layers of a `DeepGRU`: packed, attention over padding."""

    def __init__(self, net: DeepGRU) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        net = self.net
        order = lengths.argsort(descending=True)
        packed = pack_padded_sequence(x[order], lengths[order], batch_first=True)
        packed, hidden = net.gru3(net.gru2(net.gru1(packed)[0])[0])
        outputs, _ = pad_packed_sequence(packed, batch_first=True)
        weights = (net.attention.w(outputs) @ hidden[-1][:, :, None]).softmax(dim=1)
        context = (weights * outputs).sum(dim=1, keepdim=True)
        auxiliary, _ = net.attention.gru(context, hidden[-1:])
        scores = net.classifier(torch.cat([auxiliary, context], dim=2)[:, 0])
        return scores[order.argsort()]


def make_batches(lengths: np.ndarray, *, bucketed: bool, seed: int = 0) -> list[Batch]:
    """One epoch of batches of noise, in the order in which training visits them."""
    sampler = EpochSampler(
        len(lengths), BATCH_SIZE, seed, shuffle=True, lengths=lengths if bucketed else None
    )
    rng, batches = torch.Generator().manual_seed(seed), []
    for indices in sampler:
        own = torch.from_numpy(lengths[[index for _, index in indices]])
        x = torch.randn(len(own), int(own.max()), NUM_FEATURES, generator=rng)
        x *= torch.arange(x.shape[1])[None, :, None] < own[:, None, None]
        batches.append((x, own, torch.randint(NUM_CLASSES, (len(own),), generator=rng)))
    return batches


def training_step(model: nn.Module, batch: Batch, *, bf16: bool = False) -> None:
    """Forward and backward."""
    x, lengths, labels = batch
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        scores = model(x, lengths)
    F.cross_entropy(scores.float(), labels).backward()
    model.zero_grad(set_to_none=True)


@torch.inference_mode()
def inference(model: nn.Module, batch: Batch) -> None:
    model(*batch[:2])


def compare(ours: list[Callable[[], None]], official: list[Callable[[], None]]) -> float:
    """Official time over our time for the same work: the median over interleaved pairs.

    Each pair is one pass over all batches of both sides, batch by batch in turn, in processor
    seconds of this process, which other processes disturb less than the clock does.
    """
    ratios = []
    for _ in range(3):
        seconds = [0.0, 0.0]
        for pair in zip(ours, official, strict=True):
            for side, run in enumerate(pair):
                started = time.process_time()
                run()
                seconds[side] += time.process_time() - started
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


def run(num_batches: int = 4) -> dict[str, float]:
    """The ratios (official time / our time) on lengths 20 to 160; prints them.

    Args:
        num_batches: of 64 sequences, in each of the passes.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = DeepGRU(NUM_FEATURES, NUM_CLASSES)
    official = OfficialDeepGRU(net)
    lengths = generator("benchmark lengths").integers(20, 161, num_batches * BATCH_SIZE)
    plain = make_batches(lengths, bucketed=False)
    buckets = make_batches(lengths, bucketed=True)

    def steps(function: Callable, model: nn.Module, batches: list[Batch], **options) -> list:
        return [lambda b=batch: function(model, b, **options) for batch in batches]

    steps(training_step, net, buckets)[0]()  # warm up
    theirs = steps(training_step, official, plain)
    results = {
        "training, fp32": compare(steps(training_step, net, buckets), theirs),
        "training, bf16": compare(steps(training_step, net, buckets, bf16=True), theirs),
    }
    net.eval()
    for name, batches in (("mixed lengths", plain), ("bucketed lengths", buckets)):
        theirs = steps(inference, official, batches)
        results[f"inference, fp32, {name}"] = compare(steps(inference, net, batches), theirs)
    print(f"DeepGRU, batch {BATCH_SIZE}, {NUM_FEATURES} features, lengths 20 to 160, one thread")
    for name, ratio in results.items():
        print(f"{name}: {ratio:.2f} × the official form (packed, fp32)")
    return results
