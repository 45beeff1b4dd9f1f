"""What there is to say of taught gestures: advice about the given clips, figures on others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gesture3d.data.index import Index, Item
from gesture3d.data.skeleton.sets.hand_folder import HandFolderData
from gesture3d.data.walk import Walk, find_files
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.bootstrap import wilson
from gesture3d.hands.features import as_hands, hand_features
from gesture3d.training.teach import KEPT, LEAST_SEEN, Clips, Taught

MOST_NAMED = 10  # clips in a list
OUT_OF_SIGHT = 0.5  # share of all frames with a hand, below which the gestures may be of the body


@dataclass(frozen=True)
class Measured:
    """Other clips, recognised.

    Attributes:
        known: how many are of the gestures; ``right``: how many are named rightly; ``kept``: how
            many the threshold accepts. A clip that shows no hand is neither.
        unknown, refused: how many are not, and are refused.
    """

    known: int
    right: int
    kept: int
    unknown: int
    refused: int

    def in_words(self) -> str:
        parts = []
        if self.known:
            low, high = wilson(self.right, self.known)
            parts.append(
                f"{self.right} of {self.known} test clips recognised, "
                f"{self.right / self.known:.1%} (95 % interval {low:.1%} to {high:.1%}); "
                f"{self.kept / self.known:.1%} accepted by --reject {KEPT}"
            )
        if self.unknown:
            parts.append(
                f"{self.refused} of {self.unknown} unknown clips refused, "
                f"{self.refused / self.unknown:.1%}"
            )
        return "; ".join(parts) or "no test clips"


def advice(taught: Taught, clips: Clips, shares: dict[str, float]) -> list[str]:
    """Lines about the given clips.

    Args:
        shares: key → share (0..1) of a clip's frames that show a hand.
    """
    names = Counter(clips.class_names[label] for label in clips.labels)
    each = ", ".join(f"{name} {count}" for name, count in names.items())
    lines = [f"{len(clips.labels)} clips of {len(names)} gestures ({each}), told by {taught.way}"]
    left_out = shares.keys() - set(clips.keys)
    doubtful = [k for k, share in shares.items() if k in left_out or share < LEAST_SEEN]
    for key in doubtful[:MOST_NAMED]:
        if key in left_out:
            lines.append(f"{key}: a hand in fewer than two frames; left out")
        else:
            lines.append(f"{key}: a hand in only {shares[key]:.0%} of the frames; record it again")
    if len(doubtful) > MOST_NAMED:
        lines.append(f"and {len(doubtful) - MOST_NAMED} more such clips")
    seen = float(np.mean(list(shares.values())))
    if seen < OUT_OF_SIGHT:
        lines.append(
            f"hands are in sight in {seen:.0%} of the frames only: gestures of the whole body, or "
            "with the hands out of the picture, are not read by hands; train a video network "
            "(tools/train.py --cfg variant_a --data folder)"
        )
    lines += [
        f"{one!r} and {other!r} are too alike: record these again, more different"
        for one, other in taught.alike[:MOST_NAMED]
    ]
    if taught.left_out:
        low, high = wilson(taught.recognised, taught.left_out)
        lines.append(
            f"each clip left out once, the others recognise {taught.recognised} of "
            f"{taught.left_out}: expect {low:.0%} to {high:.0%} of clips like these"
        )
    else:
        lines.append("one clip a gesture: a second one of each would show what to expect")
    return lines


def measure(
    taught: Taught, tested: Sequence[Item], unknown: Sequence[np.ndarray], num_frames: int
) -> Measured:
    """Other clips: ``tested`` items of the gestures, joints (T, 42, 3) of ``unknown`` ones."""
    limit = taught.calibration.threshold(KEPT) * taught.calibration.temperature
    right = kept = 0
    for item in tested:
        scores = _scores(taught, item.content, num_frames)
        if scores is not None:
            right += int(scores.argmax() == item.label)
            kept += int(scores.max() >= limit)
    found = [_scores(taught, joints, num_frames) for joints in unknown]
    refused = sum(scores is None or bool(scores.max() < limit) for scores in found)
    return Measured(len(tested), right, kept, len(unknown), refused)


def unknown_joints(paths: Sequence[str], data: HandFolderData) -> list[np.ndarray]:
    """Joints of the clips at these paths, files and folders."""
    index = Index(
        ("",),
        [
            Item(f"unknown/{number}-{path.stem}", 0, path)
            for number, path in enumerate(
                file
                for one in paths
                for file in find_files(one, data.suffixes, Walk(), data.is_input)
            )
        ],
    )
    if not index.items:
        raise Gesture3dError(f"--unknown {', '.join(paths)}: no clips there")
    return [item.content for item in data.present(index).items]


@torch.inference_mode()
def _scores(taught: Taught, joints: np.ndarray, num_frames: int) -> torch.Tensor | None:
    """(K,); None where no hand is seen."""
    features = hand_features(as_hands(joints), num_frames)
    return taught.model(torch.from_numpy(features)[None])[0] if features.any() else None
