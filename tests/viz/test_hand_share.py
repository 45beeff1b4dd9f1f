"""Heat on the hand: the mask against rendered clips, shares and hiding where they are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d.config import load_data
from gesture3d.data.video.clips import clip_from_frames
from gesture3d.data.video.framing import cut
from gesture3d.rng import generator
from gesture3d.synthetic.generate import joint_pixels
from gesture3d.synthetic.motion import perform
from gesture3d.synthetic.performer import draw_performer
from gesture3d.synthetic.render import render
from gesture3d.synthetic.scene import HEIGHT, WIDTH, draw_scene
from gesture3d.viz.explain import FRONT_END, Explanation
from gesture3d.viz.hand_share import (
    MOTION,
    hand_masks,
    hide,
    kept_predictions,
    measure,
    share_inside,
    to_input,
)

DATA = load_data("synthetic", ["data.num_frames=8"])


@pytest.fixture(scope="module")
def performed() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints, colours (T, H, W, 3) and depth (T, H, W, 1) of one clip, as they are generated."""
    performer = draw_performer(generator(0, "performer", 3))
    motion = perform("Swiping Left", performer, generator("a", "motion"))
    rng = generator("a", "scene")
    scene = draw_scene(rng, performer, motion, hard=False)
    scene.shake[:] = 0
    colour, depth = render(motion, performer, scene, rng)
    return motion.joints, colour, depth[..., None]


# ------------------------------------------------------------------------------------- the mask


def test_the_mask_is_the_hand_of_the_rendered_clip(performed) -> None:
    """The depth clip is near where the mask is, and less so three pixels off in any direction."""
    joints, _, depth = performed
    masks = hand_masks(joints, DATA)
    near = clip_from_frames(depth.repeat(3, -1), DATA)[:, 0].numpy() > 50
    assert masks.shape == (8, 48, 48)
    visible = masks.mean((1, 2)) > 0.02
    assert visible.sum() >= 4
    for mask, hand_and_arm in zip(masks[visible], near[visible], strict=True):
        covered = hand_and_arm[mask > 0.5].mean()
        assert covered > 0.9
        for shift, axis in ((-3, 0), (3, 0), (-3, 1), (3, 1)):
            assert hand_and_arm[np.roll(mask, shift, axis) > 0.5].mean() < covered - 0.03


@pytest.mark.parametrize("cache_size", [60, None, 100])
@pytest.mark.parametrize("size", [48, 112])
def test_points_go_through_the_networks_scaling_and_crop(cache_size, size) -> None:
    """A bright square in a frame is where its centre is mapped to."""
    data = DATA.model_copy(update={"cache_size": cache_size, "size": size})
    for x, y in ((88, 50), (60, 20), (120, 77), (45, 90)):
        frame = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
        frame[0, y - 2 : y + 3, x - 2 : x + 3] = 255
        seen = clip_from_frames(frame, data)[0, 0].numpy().astype(float)
        rows, columns = np.indices(seen.shape)
        centre = np.array([(seen * columns).sum(), (seen * rows).sum()]) / seen.sum()
        np.testing.assert_allclose(to_input(np.array([x, y]), data), centre, atol=0.15)


def test_points_go_to_where_something_moves_in_the_clip() -> None:
    """Likewise, where only a square of the frame is shown."""
    data, square = DATA.model_copy(update={"framing": "motion", "cache_size": 60}), (10, 40, 60)
    for x, y in ((60, 20), (75, 50), (90, 60)):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        frame[y - 2 : y + 3, x - 2 : x + 3] = 255
        seen = clip_from_frames(cut(frame, square, 60)[None], data)[0, 0].numpy().astype(float)
        rows, columns = np.indices(seen.shape)
        centre = np.array([(seen * columns).sum(), (seen * rows).sum()]) / seen.sum()
        np.testing.assert_allclose(to_input(np.array([x, y]), data, square), centre, atol=0.15)


def test_joints_project_onto_the_hand(performed) -> None:
    """At the joints' pixels the depth clip is as deep as the joints, to three centimetres."""
    joints, _, depth = performed
    pixels = np.rint(joint_pixels(joints)).astype(int)
    inside = ((pixels >= 0) & (pixels < [WIDTH, HEIGHT])).all(-1)
    frames = np.nonzero(inside)[0]
    grey = depth[frames, pixels[inside][:, 1], pixels[inside][:, 0], 0].astype(float)
    metres = 2.25 - grey / 127.5
    assert inside.mean() > 0.4
    assert np.mean(np.abs(metres - joints[inside][:, 2]) < 0.03) > 0.9


# ----------------------------------------------------------------------------------- the measure


def test_shares_where_they_are_known() -> None:
    mask = np.zeros((2, 10, 10))
    mask[:, 2:4, 5:8] = 1
    assert share_inside(mask * [[[3]], [[0.1]]], mask) == pytest.approx((1.0, 0.06))
    assert share_inside(np.ones((2, 10, 10)), mask) == pytest.approx((0.06, 0.06))
    assert share_inside(1 - mask, mask) == pytest.approx((0.0, 0.06))
    half = np.stack([mask[0], 1 - mask[1]])  # steps count alike, whatever their heat
    assert share_inside(100 * half, mask) == pytest.approx((0.5, 0.06))
    mask[1] = 0  # a step without the hand does not count
    assert share_inside(half, mask) == pytest.approx((1.0, 0.06))
    assert np.isnan(share_inside(0 * half, mask)).all()


def wandering(x: float) -> np.ndarray:
    """Joints (8, 21, 3) of a hand that moves down at the side ``x`` (metres), one metre away."""
    joints = np.random.default_rng(0).uniform(-0.06, 0.06, (1, 21, 3)).repeat(8, 0)
    joints[..., 1] += np.linspace(-0.2, 0.2, 8)[:, None]
    return joints + np.array([x, 0, 1.0])


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "joints").mkdir()
    for key, x in (("left", -0.2), ("right", 0.2)):
        np.save(tmp_path / "joints" / f"{key}.npy", wandering(x))
    return tmp_path


def moving_clip(mask: np.ndarray) -> torch.Tensor:
    """White where the mask is, grey elsewhere, uint8 (T, 3, H, W)."""
    frames = 100 + 155 * (mask > 0.5)
    return torch.from_numpy(frames[:, None].repeat(3, 1).astype(np.uint8))


def explanation_of(saliency: np.ndarray) -> Explanation:
    """Two steps, whose layers are even and whose saliency is given."""
    maps = {FRONT_END: np.ones((2, 1, 8, 8))}
    return Explanation(np.zeros(2), 0, (4, 6, 6), (8, 48, 48), maps, maps, {}, {}, saliency)


def test_measure_of_heat_on_the_hand_and_of_even_heat(root) -> None:
    hands = {key: hand_masks(wandering(x), DATA) for key, x in (("left", -0.2), ("right", 0.2))}
    explained = [
        (key, moving_clip(mask), explanation_of((mask > 0.99).astype(float)))
        for key, mask in hands.items()
    ]
    shares = measure(explained, root, DATA)
    focused, even = shares["gradient × input"], shares[f"Grad-CAM\nof {FRONT_END}"]
    assert focused["hand"].share == pytest.approx(1, abs=1e-3)
    assert focused["path"].share == pytest.approx(1, abs=1e-3)
    assert focused["hand"].other_clip == pytest.approx(0, abs=1e-6)  # on the other side
    assert even["hand"].share == pytest.approx(even["hand"].chance)
    areas = [mask[[0, 4]].mean() for mask in hands.values()]
    assert even["hand"].chance == pytest.approx(np.mean(areas))
    assert even["path"].chance > 2 * even["hand"].chance
    assert shares[MOTION]["path"].share > 0.95
    assert {s.num_clips for s in focused.values()} == {2}
    # The most active map of even features has no heat: nothing to count.
    assert shares[f"{FRONT_END}\nmost active map"]["hand"].num_clips == 0


def test_hidden_pixels_do_not_move() -> None:
    clip = torch.randint(0, 256, (8, 3, 6, 6), dtype=torch.uint8)
    mask = np.zeros((8, 6, 6))
    mask[:, :, 3:] = 1
    hidden = hide(clip, mask)
    assert torch.equal(hidden[..., :3], clip[..., :3])
    assert (hidden[..., 3:] == hidden[:1, ..., 3:]).all()


def test_a_network_that_needs_the_hand_loses_it(root) -> None:
    """It finds a white hand on the left or on the right: only hiding that hand changes it."""
    clips = [
        (key, moving_clip(hand_masks(wandering(x), DATA)))
        for key, x in (("left", -0.2), ("right", 0.2))
    ]

    def predict(batch: list[torch.Tensor]) -> np.ndarray:
        brightest = [(clip[..., :24].max().item(), clip[..., 24:].max().item()) for clip in batch]
        return np.array([np.argmax([*sides, 230]) for sides in brightest])

    assert predict([clip for _, clip in clips]).tolist() == [0, 1]
    kept = kept_predictions(clips, predict, root, DATA)
    assert kept == {
        "the hand": 0,
        "where another clip has it": 1,
        "all but the hand": 1,
        "all off its path": 1,
    }
