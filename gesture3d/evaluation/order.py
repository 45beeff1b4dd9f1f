"""Does time matter? Accuracy on clips with their frames shuffled, and on one frame repeated.

A network that recognises gestures by their motion must fall far below its accuracy on the real
order of the frames; one that looks at single frames would not.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch

from gesture3d.data.batch import Batch
from gesture3d.rng import generator

ORDERS = ("real order", "shuffled frames", "one frame repeated")


def reordered(batches: Iterable[Batch], order: str) -> Iterator[Batch]:
    """The same clips with their frames in another order, each clip by its own key."""
    for batch in batches:
        if order == "real order":
            yield batch
            continue
        total = batch.inputs.shape[1]
        rows = []
        for row, (key, clip) in enumerate(zip(batch.keys, batch.inputs, strict=True)):
            choice = generator("order", key)
            num_frames = total if batch.lengths is None else int(batch.lengths[row])
            frames = np.arange(total)  # padding stays where it is
            frames[:num_frames] = choice.permutation(num_frames)
            if order == "one frame repeated":
                frames[:num_frames] = frames[0]
            rows.append(clip[torch.from_numpy(frames)])
        yield replace(batch, inputs=torch.stack(rows))
