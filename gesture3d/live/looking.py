"""What a network looks at in a clip, as a picture for the page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from gesture3d.errors import Gesture3dError
from gesture3d.live.networks import Choice

HAND_FRAMES = 8


def look(choice: Choice, clip: Path) -> tuple[bytes, list[tuple[str, float]]]:
    """A PNG, and the classes that the network finds in the clip, most probable first.

    Of video networks heat maps (as ``tools/explain.py`` draws), of those that read hands the joints
    that were found.

    Raises:
        Gesture3dError: the network cannot be explained, or the clip not read.
    """
    from gesture3d.inference.classifier import Classifier

    if choice.kind == "stream":
        raise Gesture3dError(
            "this network follows streams and reads no single clips; choose another one"
        )
    classifier = Classifier(choice.path)
    if choice.kind == "hands":
        picture = _hands(clip)
    elif classifier.model.explainable:
        picture = _heat(classifier, clip)
    else:
        raise Gesture3dError(f"{choice.key}: this kind of network cannot be explained")
    return picture, [(c.name, round(c.probability, 4)) for c in classifier(clip)[:5]]


def _heat(classifier: Any, clip: Path) -> bytes:
    from gesture3d.viz.explain import central_view, explain
    from gesture3d.viz.heat_maps import plot_strip

    view = central_view(classifier.load(clip), classifier.experiment.data)
    explanation = explain(classifier.model, view)
    name = classifier.class_names[explanation.label]
    buffer = io.BytesIO()
    plot_strip(explanation, view.numpy(), f"what speaks for {name}").savefig(buffer, dpi=85)
    return buffer.getvalue()


def _hands(clip: Path) -> bytes:
    import cv2

    from gesture3d.data.video.prepared.joints import draw, read_track
    from gesture3d.data.video.reading import read_frames
    from gesture3d.hands.tracker import HandTracker

    track = read_track(clip, HandTracker())
    frames = read_frames(clip, short_side=min(track.height, track.width))
    chosen = np.linspace(0, len(frames) - 1, HAND_FRAMES).round().astype(int)
    pictures = [draw(frames[n].copy(), track.joints[n]) for n in chosen]
    half = HAND_FRAMES // 2
    rows = [np.concatenate(pictures[:half], 1), np.concatenate(pictures[half:], 1)]
    return cv2.imencode(".png", np.concatenate(rows)[..., ::-1])[1].tobytes()
