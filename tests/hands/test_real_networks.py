"""MediaPipe's own networks, where they have been fetched: engines, precision, rendered and real
hands. Reference numbers are LiteRT 2.3's: ``python -m tests.hands.test_real_networks``."""

import json
from pathlib import Path

import numpy as np
import pytest

from gesture3d.data.video.reading import read_frames
from gesture3d.errors import Gesture3dError
from gesture3d.hands.engines import load_network
from gesture3d.hands.track import HandTrack
from gesture3d.hands.tracker import HandTracker
from gesture3d.hands.weights import NAMES, find_weights
from gesture3d.rng import generator
from gesture3d.synthetic.generate import joint_pixels
from gesture3d.synthetic.motion import perform
from gesture3d.synthetic.performer import draw_performer
from gesture3d.synthetic.render import render
from gesture3d.synthetic.scene import draw_scene

REFERENCE = Path(__file__).with_name("reference.json")
TOLERANCE = 3e-4


@pytest.fixture(scope="module", autouse=True)
def weights() -> None:
    try:
        for name in NAMES:
            find_weights(name)
    except Gesture3dError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def one() -> HandTracker:
    return HandTracker(engine="torch", precision="fp32")


def picture(size: int) -> np.ndarray:
    """Soft waves in three colours: (1, size, size, 3)."""
    y, x = np.mgrid[:size, :size] / size
    waves = [np.sin(9 * x + 5 * y + k) * np.cos(7 * y - 3 * k * x) for k in range(3)]
    return np.round(127.5 * (1 + np.stack(waves, -1))).astype(np.uint8)[None]


def some_numbers(name: str, network) -> list[list[float]]:
    """Of each output at most 63, evenly spread."""
    outputs = network(picture(192 if "palm" in name else 224))
    return [np.ravel(y)[:: max(y.size // 63, 1)][:63].astype(float).tolist() for y in outputs]


@pytest.mark.parametrize("name", NAMES)
def test_pytorch_gives_the_reference_outputs(name) -> None:
    found = some_numbers(name, load_network(find_weights(name), "torch", "fp32"))
    for mine, expected in zip(found, json.loads(REFERENCE.read_text())[name], strict=True):
        np.testing.assert_allclose(mine, expected, atol=TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_the_engines_are_equal(name) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    path, waves = find_weights(name), picture(192 if "palm" in name else 224)
    pair = np.concatenate([255 - waves, waves[..., ::-1]])
    expected, found = load_network(path, "litert")(pair), load_network(path, "torch", "fp32")(pair)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=TOLERANCE)


def rendered(label: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A plain generated clip, RGB, and its joints in pixels (T, 21, 2)."""
    performer = draw_performer(generator(number, "performer"), False)
    motion = perform(label, performer, generator(number, "motion")).at(np.arange(0, 28, 3))
    rng = generator(number, "scene")
    colour, _ = render(motion, performer, draw_scene(rng, performer, motion, False), rng)
    # Frames are halves of drawn ones: the middle of their first pixel is at 0.25 in its own units.
    return np.ascontiguousarray(colour[..., ::-1]), joint_pixels(motion.joints) - 0.25


def errors(track: HandTrack, joints: np.ndarray) -> np.ndarray:
    """Distances of the nearer hand's joints in palm lengths, (N, 21) of the N frames with one."""
    apart = np.linalg.norm(track.joints[..., :2] - joints[:, None], axis=3)
    palm = np.median(np.linalg.norm(joints[:, 9] - joints[:, 0], axis=1))
    seen = track.seen.any(1)
    nearer = np.nanargmin(apart[seen].mean(2), axis=1)
    return apart[seen][np.arange(seen.sum()), nearer] / palm


def test_joints_of_rendered_hands_are_where_they_were_drawn(one) -> None:
    found, frames = [], 0
    for number, label in enumerate(("Stop Sign", "Swiping Left", "Zooming In With Full Hand")):
        clip, joints = rendered(label, number)
        found.append(errors(one.track(clip, fps=4), joints))
        frames += len(clip)
    found = np.concatenate(found)
    assert len(found) > 0.6 * frames
    assert np.median(found) < 0.09


def test_bf16_is_close_to_fp32(one) -> None:
    clip, joints = rendered("Stop Sign", 0)
    exact = one.track(clip)
    rough = HandTracker(engine="torch", precision="bf16").track(clip)
    both = exact.seen & rough.seen
    assert both.sum() > 0.8 * exact.seen.sum()
    palm = np.median(np.linalg.norm(joints[:, 9] - joints[:, 0], axis=1))
    apart = np.linalg.norm(exact.joints - rough.joints, axis=3)[both]
    assert np.median(apart) < 0.04 * palm


def test_a_real_hand_is_found_and_its_mirror_image_too(one, shared_data) -> None:
    frames = read_frames(shared_data / "webcam_real" / "jdemo_06.mp4", range(0, 40, 5))
    track = one.track(frames)
    assert track.seen.any(1).all()
    mirrored = one.track(np.ascontiguousarray(frames[:, :, ::-1]))
    np.testing.assert_array_equal(mirrored.mirrored().seen, track.seen)
    joints = track.joints[track.seen]
    palm = np.median(np.linalg.norm(joints[:, 9] - joints[:, 0], axis=1))
    apart = np.linalg.norm(mirrored.mirrored().joints[track.seen] - joints, axis=2)
    assert np.median(apart) < 0.1 * palm


if __name__ == "__main__":
    numbers = {n: some_numbers(n, load_network(find_weights(n), "litert")) for n in NAMES}
    rounded = {n: [[float(f"{v:.7g}") for v in y] for y in ys] for n, ys in numbers.items()}
    REFERENCE.write_text(json.dumps(rounded) + "\n")
