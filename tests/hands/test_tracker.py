"""`HandTracker` on painted hands: who is followed, who is who, and what a mirror does."""

import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.hands.track import LEFT, RIGHT, HandTrack
from gesture3d.hands.tracker import HandTracker, _unite, tiles
from tests.hands.painted import GREEN, RED, SIZE, PalmStandIn, landmarks, paint


def tracker(**settings) -> HandTracker:
    return HandTracker(networks=(PalmStandIn(), landmarks), **settings)


def middles(track: HandTrack, side: int) -> np.ndarray:
    """Where the middle of a hand is painted, as its joints have it: (T, 2)."""
    wrist, root = track.joints[:, side, 0, :2], track.joints[:, side, 9, :2]
    return root - 0.4 * (wrist - root)


def crossing(num_frames: int = 20) -> np.ndarray:
    """A right hand that goes right and a left one that goes left, one above the other."""
    steps = np.linspace(25, 95, num_frames)
    return np.stack([paint((x, 80, RED), (SIZE - x, 35, GREEN)) for x in steps])


def test_hands_are_where_they_are_painted() -> None:
    track = tracker().track(crossing())
    assert track.seen.all()
    steps = np.linspace(25, 95, 20)
    np.testing.assert_allclose(middles(track, RIGHT)[:, 0], steps, atol=1)
    np.testing.assert_allclose(middles(track, LEFT)[:, 0], SIZE - steps, atol=1)
    assert (track.width, track.height) == (SIZE, SIZE)
    np.testing.assert_allclose(track.seconds, np.arange(20) / 30)
    assert (track.joints[:, :, 0, 2] == 0).all()  # z is relative to the wrist


def test_a_stream_gives_what_the_forward_pass_gives() -> None:
    frames, one = crossing(), tracker()
    frames[8:11] = 0
    whole = one.track(frames, backwards=False)
    for _ in range(2):
        steps = [one.step(frame, time) for frame, time in zip(frames, whole.seconds, strict=True)]
        for name in ("joints", "world", "presence", "seconds"):
            expected = getattr(whole, name)
            np.testing.assert_array_equal(
                np.concatenate([getattr(s, name) for s in steps]), expected
            )
        one.reset()


def test_a_followed_hand_is_not_looked_for() -> None:
    palm = PalmStandIn()
    one = HandTracker(networks=(palm, landmarks))
    one.track(crossing(), backwards=False)
    assert palm.calls == 1  # both hands were there at once
    palm.calls = 0
    one.track(np.stack([paint((60, 60, RED))] * 20), backwards=False)
    assert palm.calls == 4  # a second hand, every fifth frame


def test_a_hand_is_followed_back_to_where_it_came_in() -> None:
    """The second hand is looked for in every fifth frame only, but seen in all."""
    frames = np.stack(
        [paint((60, 90, RED), *([(60, 30, GREEN)] if t >= 2 else [])) for t in range(12)]
    )
    forward = tracker().track(frames, backwards=False)
    both = tracker().track(frames)
    assert forward.seen[:, LEFT].tolist() == [False] * 5 + [True] * 7
    assert both.seen[:, LEFT].tolist() == [False] * 2 + [True] * 10
    assert both.seen[:, RIGHT].all()


def test_a_hand_that_was_out_of_sight_is_the_same_one() -> None:
    """It turns while it is away, and looks like the other one for a while."""
    frames = np.stack([paint((40 + 2 * t, 60, GREEN if 12 <= t < 17 else RED)) for t in range(20)])
    frames[8:11] = 0
    for track in (tracker().track(frames), tracker().track(frames, backwards=False)):
        assert not track.seen[:, LEFT].any()
        assert track.seen[:, RIGHT].sum() == 17


def test_mirrored_frames_give_the_mirrored_track() -> None:
    frames = crossing()
    frames[3:6] = 0
    flipped = np.ascontiguousarray(frames[:, :, ::-1, [1, 0, 2]])  # a right hand looks left there
    expected = tracker().track(frames).mirrored()
    found = tracker().track(flipped)
    np.testing.assert_array_equal(found.seen, expected.seen)
    for side in (LEFT, RIGHT):
        np.testing.assert_allclose(middles(found, side), middles(expected, side), atol=0.5)
    performers = tracker(mirrored=True).track(flipped)
    np.testing.assert_array_equal(performers.joints, found.joints[:, ::-1])


def test_the_whole_clip_decides_which_hand_it_is() -> None:
    """Two frames look wrong at its beginning."""
    frames = np.stack([paint((60, 60, GREEN if t < 2 else RED)) for t in range(10)])
    assert tracker().track(frames).seen[:, RIGHT].all()
    assert tracker().track(frames, backwards=False).seen[:2, LEFT].all()


def test_hands_that_meet_are_united_once_and_never_with_one_beside_them() -> None:
    same: dict[int, int] = {}
    hand = object()
    seen = [{1: hand}, {2: hand}, {1: hand}, {1: hand, 3: hand}]
    _unite(2, 1, same, seen)
    _unite(1, 2, same, seen)  # again, from the other side
    assert same == {2: 1}
    _unite(3, 2, same, seen)
    assert same == {2: 1}  # 3 is seen beside 1


def test_clips_without_hands_and_of_one_frame() -> None:
    nothing = tracker().track(np.zeros((5, 60, 80, 3), np.uint8), fps=10)
    assert not nothing.seen.any()
    assert np.isnan(nothing.joints).all()
    assert tracker().track(crossing()[:1]).seen.all()
    with pytest.raises(Gesture3dError, match="without frames"):
        tracker().track(np.zeros((0, 60, 80, 3), np.uint8))
    for frame in (np.zeros((60, 80), np.uint8), np.zeros((60, 80, 3), np.float32)):
        with pytest.raises(Gesture3dError, match="expected uint8"):
            tracker().step(frame, 0)


@pytest.mark.parametrize(("height", "width"), [(100, 176), (480, 640), (1, 1), (720, 90)])
def test_tiles_cover_the_frame(height, width) -> None:
    covered = np.zeros((height, width), bool)
    for left, top, tile_width, tile_height in tiles(height, width):
        assert 0 <= left <= width - tile_width
        assert 0 <= top <= height - tile_height
        covered[top : top + tile_height, left : left + tile_width] = True
    assert covered.all()
