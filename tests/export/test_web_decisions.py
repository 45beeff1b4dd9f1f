"""The page's decisions and frames, in node, are those of Python on the same streams."""

import base64
import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from gesture3d.data.video.crops import evaluation_crops
from gesture3d.data.video.pixels import prepare_frame
from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE
from gesture3d.inference.clock import Clock
from gesture3d.inference.online import EventFinder

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node, which runs JavaScript, is not here")
NAMES = ["a", "b", "c", "no gesture"]
SIZES = [(480, 640), (240, 320), (97, 130), (48, 48), (720, 1280), (60, 80), (30, 41)]


def said(folder: Path, **given: list) -> dict:
    """What node answers."""
    place = folder / "given.json"
    place.write_text(json.dumps({"clocks": [], "finders": [], "frames": []} | given))
    script = Path(__file__).with_name("web_check.mjs")
    words = [NODE, script, PACKAGE / "export" / "page", place]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_clock_gives_the_same_ticks(tmp_path) -> None:
    """Of jitter, gaps, pauses of the camera, times that run backwards, no times."""
    rng, cases = np.random.default_rng(0), []
    for rate, frames in ((12.0, 30), (12.0, 10), (25.0, 24.7), (6.0, 60), (12.0, 12)):
        times = 100 + np.cumsum(rng.exponential(1 / frames, 300))
        times[150:] += 0.7
        times[200:] += 1.5
        found = [*times.tolist(), None, times[-1] - 1, times[-1], times[-1] + 0.5]
        cases.append({"rate": rate, "gap": 1.0, "times": found})
    expected = []
    for case in cases:
        clock, ticks = Clock(case["rate"], case["gap"]), []
        for time in case["times"]:
            try:
                ticks.append(list(map(list, [clock.push(float("nan") if time is None else time)])))
            except Gesture3dError:
                ticks.append("refused")
        expected.append(ticks)
    found = said(tmp_path, clocks=cases)["clocks"]
    restarts = 0
    for ours, theirs in zip(found, expected, strict=True):
        for tick, ((seconds, anew),) in (
            (a, b) for a, b in zip(ours, theirs, strict=True) if b != "refused"
        ):
            assert tick == [list(seconds), anew]
            restarts += anew
        refused = [isinstance(tick, str) for tick in ours]
        assert refused == [tick == "refused" for tick in theirs]
        assert sum(refused) == 2
    assert restarts >= len(cases)


def streams() -> list[dict]:
    """Scores that wander, of several decisions and kinds of steps."""
    rng, other, cases = np.random.default_rng(1), np.random.default_rng(3), []
    for number in range(24):
        steps = 400
        scores = np.cumsum(rng.normal(size=(steps, len(NAMES))), 0) * 0.5
        scores -= scores.mean(0) + np.linspace(0, 1, steps)[:, None] * rng.normal(size=4)
        begin = float(rng.uniform(0, 50))
        seconds = begin + np.cumsum(rng.uniform(0.05, 0.5, steps))
        thresholds = {
            name: float(rng.uniform(0.3, 0.9)) for name in ("c", "a", "b")[: 1 + number % 3]
        }
        decision = OnlineDecision(
            thresholds, smoothing=[0.0, 0.3, 2.0][number % 3], lag=[0.0, 0.4][number % 2]
        )
        scores = scores.astype(np.float32)
        cases.append(
            {
                "decision": asdict(decision),
                "names": NAMES,
                "begin": begin,
                "scores": scores.tolist(),
                "seconds": seconds.tolist(),
                "known": (seconds + other.uniform(-0.3, 0.3, steps)).tolist(),
            }
        )
    return cases


def test_the_same_streams_have_the_same_events(tmp_path) -> None:
    cases = streams()
    found = said(tmp_path, finders=cases)["finders"]
    count = 0
    for case, ours in zip(cases, found, strict=True):
        finder = EventFinder(OnlineDecision(**case["decision"]), NAMES, case["begin"])
        scores = np.array(case["scores"], np.float32)
        steps = zip(scores, case["seconds"], case["known"], strict=True)
        decided = [event for step in steps for event in finder.push(*step)]
        finder.close()
        same(list(filter(None, ours["decided"])), decided)
        same(ours["ended"], finder.take_ended())
        count += len(decided)
    assert count > 100


def same(ours: list[dict], theirs: list) -> None:
    assert [event["label"] for event in ours] == [event.label for event in theirs]
    times = [[[e["start"], e["end"], e["decided"], e["score"]] for e in ours]]
    expected = [[[e.start, e.end, e.decided, e.score] for e in theirs]]
    np.testing.assert_allclose(times, expected, rtol=1e-12, atol=1e-12)


def test_frames_are_prepared_as_in_python(tmp_path) -> None:
    """Within two levels of 255, as OpenCV rounds in between, and grey before it scales."""
    rng, cases, expected = np.random.default_rng(2), [], []
    for number, (height, width) in enumerate(SIZES):
        coarse = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
        frame = np.kron(coarse, np.ones((height // 9 + 1, width // 12 + 1, 1), np.uint8))
        frame = frame[:height, :width] // 2 + rng.integers(0, 128, (height, width, 3)).astype("u1")
        for cache_size, size, pixels in ((60, 48, "rgb"), (None, 112, "rgb"), (60, 48, "grey")):
            preparation = {
                "cache_size": cache_size,
                "size": size,
                "pixels": pixels,
                "mirrored_camera": number % 2 == 1,
            }
            small = prepare_frame(frame, cache_size, pixels)
            square = evaluation_crops(*small.shape[:2], 1)[0].cut(small, size)
            square = square[:, ::-1] if preparation["mirrored_camera"] else square
            expected.append(np.moveaxis(square, 2, 0))
            rgba = np.dstack([frame, np.full((height, width), 255, np.uint8)]).tobytes()
            cases.append(
                {
                    "rgba": base64.b64encode(rgba).decode(),
                    "width": width,
                    "height": height,
                    "preparation": preparation,
                }
            )
    found = said(tmp_path, frames=cases)["frames"]
    for text, square, case in zip(found, expected, cases, strict=True):
        ours = np.frombuffer(base64.b64decode(text), np.uint8).reshape(square.shape)
        off = np.abs(ours.astype(int) - square)
        where = case["width"], case["height"], case["preparation"]
        assert off.max() <= 2, where
        assert off.mean() < 0.4, where
