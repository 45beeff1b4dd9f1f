"""How often a taught network takes nothing for a gesture, in minutes of nothing.

pytest -m slow tests/live/test_live_alarms.py -n0 -s
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.events import Event
from gesture3d.live.clips import Clips
from gesture3d.live.networks import Choice, follow
from gesture3d.synthetic.folder import FPS
from tests.live import camera
from tests.live.camera import GESTURES, PERSON

learn = pytest.importorskip("gesture3d.live.learn", reason="the extra 'live' is not installed")
visit = pytest.importorskip("gesture3d.live.visit")

OTHER = 2  # another person, who taught nothing
MOST_A_MINUTE = 1.0


def as_seen(frames: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """Frames as the page sends them, and when."""
    width = round(frames.shape[2] * visit.SHORT_SIDE / frames.shape[1])
    for number, frame in enumerate(frames):
        yield cv2.resize(frame, (width, visit.SHORT_SIDE)), number / FPS


def record(clips: Clips, name: str, label: str) -> None:
    """Ten clips, cut as in the page."""
    mode = visit.Record(clips, name, visit.WANTED_CLIPS)
    for frame, seconds in as_seen(camera.perform([label] * 11, PERSON, name)[0]):
        mode.frame(frame, seconds)
    assert len(clips.listed()[name]) == visit.WANTED_CLIPS


@pytest.fixture(scope="module", params=["hands", "video"])
def taught(request, tmp_path_factory) -> Choice:
    """A network that was taught three gestures and 20 seconds of nothing in that way."""
    folder = tmp_path_factory.mktemp(request.param)
    clips = Clips(folder / "clips")
    for name, label in GESTURES.items():
        record(clips, name, label)
    nothing = visit.RecordNothing(clips)
    for frame, seconds in as_seen(camera.perform([], PERSON, "nothing", 8)[0]):
        nothing.frame(frame, seconds)
    plan = learn.plan(clips)
    progress = learn.Progress(clips.root / ".live", plan)
    try:
        learn.learn(clips.root, folder / "runs", request.param, progress, plan)
    except Gesture3dError as error:
        if "prepare.py fetch hands" in str(error):
            pytest.skip(str(error))
        raise
    print("\n", request.param, progress.status["result"])
    path = folder / "runs" / Path(progress.status["network"]).name / "best.safetensors"
    return Choice("taught", path, request.param, (*GESTURES,))


def found_in(choice: Choice, frames: np.ndarray) -> list[Event]:
    stream, found = follow(choice), []
    for frame, seconds in as_seen(frames):
        found += stream.push(frame, seconds)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("person", [PERSON, OTHER])
def test_minutes_of_nothing_have_few_alarms(taught, person) -> None:
    """Rests, fidgeting, scratching, reaching past, hands waved about: none of it is a gesture."""
    frames, truth = camera.perform([], person, "minutes of nothing", 32)
    minutes = len(frames) / FPS / 60
    alarms = found_in(taught, frames)
    times = ", ".join(f"{event.label} at {event.decided:.1f} s" for event in alarms)
    print(
        f"\n{taught.kind}, person {person}: {60 * minutes:.0f} s of nothing, {len(alarms)} alarms"
    )
    print(times)
    assert truth == []
    assert minutes > 1
    if person == PERSON:
        assert len(alarms) <= MOST_A_MINUTE * minutes, times


@pytest.mark.slow
def test_between_them_gestures_are_found(taught) -> None:
    """A network that says nothing has no alarms, either."""
    frames, truth = camera.perform([*GESTURES.values()] * 2, PERSON, "gestures")
    found = found_in(taught, frames)
    print(f"\n{taught.kind}: made {[e.label for e in truth]}, found {[e.label for e in found]}")
    names = {label: name for name, label in GESTURES.items()}
    assert len({names[e.label] for e in truth} & {e.label for e in found}) == len(GESTURES)
