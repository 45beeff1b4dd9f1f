"""The sliding baselines: dynamic time warping as defined, and streams whose gestures are plain."""

import numpy as np
import pytest

from gesture3d.benchmarks.spotting import baselines, dtw
from gesture3d.data.index import Index, Item
from gesture3d.data.skeleton.sets.sfinge3d_stream import SFINGE3DStreamData
from gesture3d.data.skeleton.splice import splice_stream
from gesture3d.data.streams import stream_classes
from gesture3d.errors import Gesture3dError
from gesture3d.rng import generator
from tests.inference.networks import untrained


def test_time_warping_is_the_cheapest_path() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 5, 2)), rng.normal(size=(4, 5, 2))

    def cheapest(x: np.ndarray, y: np.ndarray, i: int, j: int) -> float:
        if abs(i - j) > 1:
            return np.inf
        here = np.linalg.norm(x[i] - y[j])
        ways = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        ways = [(p, q) for p, q in ways if p >= 0 and q >= 0]
        return here + min((cheapest(x, y, *way) for way in ways), default=0.0)

    expected = [[cheapest(x, y, 4, 4) / 5 for y in b] for x in a]
    np.testing.assert_allclose(dtw(a, b), expected, rtol=1e-5)
    np.testing.assert_allclose(np.diag(dtw(b, b)), 0.0, atol=1e-3)


def wheel(angles: np.ndarray) -> np.ndarray:
    """Joints (T, 3, 3): a palm at rest, and two that turn about it."""
    x, y = np.cos(angles), np.sin(angles)
    zero = np.zeros_like(angles)
    return np.stack([np.stack(p, 1) for p in ((zero, zero, zero), (x, y, zero), (-y, x, zero))], 1)


@pytest.fixture(scope="module")
def index() -> Index:
    clips = {
        "drink": [wheel(np.linspace(a, a + 4, 40)) for a in (0.0, 0.1)],
        "wave": [wheel(np.linspace(a, a - 4, 40)) for a in (0.0, 0.1)],
    }
    items = []
    for split, count in (("train", 5), ("validation", 2), ("test", 2)):
        for n in range(count):
            joints, events = splice_stream(clips, 15, 20, 1.0, generator(split, n))
            items.append(Item(f"{split}{n}", -1, joints, split=split, events=tuple(events)))
    return Index(stream_classes(clips), items)


def test_plain_gestures_are_found(index, tmp_path) -> None:
    """The network is not trained, so that it only has to run."""
    data = SFINGE3DStreamData(name="sfinge3d_stream", scale_joints=(0, 1))
    network = untrained(tmp_path, "gru", "skeleton_folder", 18)
    found = baselines(index, data, "sfinge", seed=0, weights=network.weights)
    sliding = ["logistic regression", "nearest neighbour, DTW", "the network for clips"]
    assert [one.name for one in found] == sliding
    for one in found[:2]:
        assert one.test.num_events == sum(len(item.events) for item in index.of("test"))
        assert one.test.sfinge.detection_rate > 0.5, one.name


def test_all_splits_are_needed(index) -> None:
    data = SFINGE3DStreamData(name="sfinge3d_stream")
    without = Index(index.class_names, index.of("train"))
    with pytest.raises(Gesture3dError, match="no validation streams"):
        baselines(without, data, "sfinge", seed=0)
