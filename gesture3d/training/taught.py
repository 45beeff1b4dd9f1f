"""What there is to say of taught gestures: advice about the given clips, figures on others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gesture3d.data.index import Index, Item
from gesture3d.data.skeleton.sets.hand_folder import HandFolderData
from gesture3d.data.walk import Walk, find_files, is_clip
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.bootstrap import wilson
from gesture3d.hands.features import as_hands, hand_features
from gesture3d.training.teach import KEPT, LEAST_SEEN, Clips, Taught
from gesture3d.work.manifest import listed_paths
from gesture3d.work.places import joined

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
    taught: Taught, tested: Sequence[Item], unknown: Sequence[Item], num_frames: int
) -> Measured:
    """Other clips, with their joints (T, 42, 3): ``tested`` of the gestures, and ``unknown``."""
    limit = taught.calibration.threshold(KEPT) * taught.calibration.temperature
    right = kept = 0
    for item in tested:
        scores = _scores(taught, item.content, num_frames)
        if scores is not None:
            right += int(scores.argmax() == item.label)
            kept += int(scores.max() >= limit)
    found = [_scores(taught, item.content, num_frames) for item in unknown]
    refused = sum(scores is None or bool(scores.max() < limit) for scores in found)
    return Measured(len(tested), right, kept, len(unknown), refused)


def find_unknown(paths: Sequence[str], data: HandFolderData) -> Index:
    """The clips at these paths: files, folders with clips, or lists of them (a ``.csv`` with a
    column ``path``, a ``.txt`` of a path a line). Nothing is decoded yet.

    Raises:
        Gesture3dError: a path does not exist, is no clip, or has none in it.
    """
    walk, found = Walk(), []
    for path in map(Path, paths):
        is_list = path.suffix.lower() in (".csv", ".txt") and path.is_file()
        base, names = listed_paths(str(path)) if is_list else (".", [str(path)])
        for place in (joined(base, name) for name in names):
            file = Path(place)
            if file.is_file() and file.suffix.lower() not in data.suffixes and not is_clip(file):
                raise Gesture3dError(f"--unknown: {file} is no clip")
            found += find_files(place, data.suffixes, walk, data.is_input)
    walk.report(progress=False)
    # By the whole path, under which the joints are kept.
    keys = dict.fromkeys(str(file.resolve()) for file in found)
    if not keys:
        raise Gesture3dError(f"--unknown {', '.join(paths)}: no clips there")
    return Index(("",), [Item(key, 0, Path(key)) for key in keys])


@torch.inference_mode()
def _scores(taught: Taught, joints: np.ndarray, num_frames: int) -> torch.Tensor | None:
    """(K,); None where no hand is seen."""
    features = hand_features(as_hands(joints), num_frames)
    return taught.model(torch.from_numpy(features)[None])[0] if features.any() else None
