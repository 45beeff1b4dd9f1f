"""Streams frame by frame: the events of the whole stream, whatever the rate and the trouble."""

import contextlib
import itertools
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gesture3d.cli import classify
from gesture3d.data.inertial.signal import prepare
from gesture3d.data.skeleton.streams import SkeletonStreams
from gesture3d.data.skeleton.transforms import features
from gesture3d.data.spec import InputSpec
from gesture3d.data.video.streams import VideoStreams
from gesture3d.errors import Gesture3dError
from gesture3d.events import Event
from gesture3d.helpers import Helper
from gesture3d.inference import readers, stream_files
from gesture3d.inference.classifier import TOO_LONG, Classifier
from gesture3d.inference.online import StreamScores, find_events
from gesture3d.inference.stream import Stream
from gesture3d.rng import generator
from tests.inference.networks import (
    DECISION,
    NAMES,
    network,
    ninety_frames,
    small_video_network,
    untrained,
)


@pytest.fixture(scope="module")
def joints_network(tmp_path_factory) -> Classifier:
    return network(tmp_path_factory.mktemp("joints"), "gru", "sfinge3d_stream", 120)


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    """Half a minute of a hand that now and then goes to another place."""
    rng = generator("stream")
    places = rng.normal(size=(31, 20, 3))
    return np.repeat(places, 20, axis=0)[:600] + rng.normal(size=(600, 20, 3)) * 0.02


def test_streams_have_nothing_to_reject(joints_network):
    with pytest.raises(Gesture3dError, match=r"no event anyway: leave --reject out"):
        Classifier(joints_network.weights, "cpu", reject=0.9)


def ended(stream: Stream, frames, seconds) -> list[Event]:
    found = []
    for frame, now in zip(frames, seconds, strict=True):
        stream.push(frame, now)
        found += stream.take_ended()
    return sorted(found + stream.close(), key=lambda event: event.start)


def same(one: list[Event], other: list[Event]) -> bool:
    def rounded(events: list[Event]) -> list[tuple]:
        return [(e.label, *(round(t, 6) for t in (e.start, e.end, e.decided))) for e in events]

    return rounded(one) == rounded(other)


def test_frame_by_frame_gives_the_events_of_the_whole_stream(joints_network, joints) -> None:
    inputs = torch.from_numpy(features(joints, joints_network.experiment.data))[None]
    with torch.inference_mode():
        scores = joints_network.model.step_scores(inputs, None)[0].numpy()
    whole = find_events(StreamScores(np.arange(1, 601) / 20, scores), DECISION, NAMES)
    assert len(whole) > 8
    stream = Stream(joints_network)
    assert same(ended(stream, joints, np.arange(600) / 20), whole)
    assert stream.num_frames == 600


def test_samples_of_a_sensor_give_the_events_of_the_whole_recording(tmp_path, monkeypatch) -> None:
    """Of 50 a second every second one reaches the network, behind the filters; from a file, too."""
    classifier = network(tmp_path, "residual_lstm", "hapt_stream", 9)
    data, rng = classifier.experiment.data, generator("sensor")
    values = np.repeat(rng.normal(size=(10, 6)), 60, axis=0) + rng.normal(size=(600, 6)) * 0.05
    values[200:210, 1] = np.nan
    inputs = prepare(values, data.model_copy(update={"rate_hz": 50.0}))[1::2]
    with torch.inference_mode():
        scores = classifier.model.step_scores(torch.from_numpy(inputs)[None], None)[0].numpy()
    ends = (2 * np.arange(300) + 1) / 50 + 1 / 25
    whole = find_events(StreamScores(ends, scores), DECISION, NAMES)
    assert len(whole) > 2
    assert same(ended(Stream(classifier), values, np.arange(600) / 50), whole)
    names = ["acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"]
    rows = [names, *values.tolist()]
    text = "\n".join(",".join("" if v != v else str(v) for v in row) for row in rows)
    (tmp_path / "a.csv").write_text(text)
    bars = []

    def bar(frames, name, **how):
        bars.append((name, how["disable"]))
        return frames

    monkeypatch.setattr(stream_files, "tqdm", bar)
    (result,) = stream_files.classify_streams(classifier, [tmp_path / "a.csv"], progress=True)
    assert bars == [("a.csv", None)]
    assert result.error is None
    found = [(s.classes[0].name, s.start, s.stop) for s in result.segments]
    assert found == [(e.label, pytest.approx(e.start), pytest.approx(e.end)) for e in whole]


def test_the_rate_of_the_frames_does_not_matter(joints_network, joints) -> None:
    at_20 = ended(Stream(joints_network), joints, np.arange(600) / 20)
    at_60 = ended(Stream(joints_network), np.repeat(joints, 3, axis=0), np.arange(1800) / 60)
    assert same(at_20, at_60)


def test_events_are_returned_when_they_are_decided(joints_network, joints) -> None:
    stream, decided = Stream(joints_network), []
    for number, frame in enumerate(joints):
        for event in stream.push(frame, number / 20):
            assert event.decided == pytest.approx((number + 1) / 20)
            decided.append((event.label, event.start))
    over = [(event.label, event.start) for event in stream.close()]
    assert decided == over


def test_what_is_wrong_is_one_line_and_loses_nothing(joints_network, joints) -> None:
    whole = ended(Stream(joints_network), joints, np.arange(600) / 20)
    stream, found = Stream(joints_network), []
    for number, frame in enumerate(joints):
        if number == 300:
            with pytest.raises(Gesture3dError, match="must not run backwards"):
                stream.push(frame, 3.0)
            with pytest.raises(Gesture3dError, match=r"shape \(19, 3\) in a stream of \(20, 3\)"):
                stream.push(frame[1:], number / 20)
        stream.push(frame, number / 20)
        found += stream.take_ended()
    assert same(found + stream.close(), whole)
    assert stream.num_frames == 600


def test_scores_that_are_not_finite_cost_their_step_alone(joints_network, joints, monkeypatch):
    model, stream, steps = joints_network.model, Stream(joints_network), []
    step = type(model).step

    def now_and_then_wrong(chunk, state):
        scores, state = step(model, chunk, state)
        steps.append(state)
        wrong = torch.nan if len(steps) == 3 else 1.0
        return scores * wrong, tuple(tensor * wrong for tensor in state)

    monkeypatch.setattr(model, "step", now_and_then_wrong)
    for number, frame in enumerate(joints[:20]):
        if number == 2:
            with pytest.raises(
                Gesture3dError, match=r"at 0\.10 s: the network's scores are not fin"
            ):
                stream.push(frame, number / 20)
        else:
            stream.push(frame, number / 20)


def test_nothing_is_decided_before_its_frame_came(joints_network, joints) -> None:
    """A slow camera's frame stands for ticks that have passed."""
    stream, late = Stream(joints_network), 0
    for number in range(0, 600, 18):
        for event in stream.push(joints[number], number / 20):
            assert event.decided >= number / 20
            late += event.decided == number / 20
    assert late > 3
    assert all(event.end > event.start for event in stream.close())


def test_after_a_gap_the_stream_begins_anew(joints_network, joints) -> None:
    """As if the second part were a stream of its own."""
    alone = ended(Stream(joints_network), joints[300:], np.arange(300) / 20)
    stream = Stream(joints_network)
    seconds = np.concatenate([np.arange(300) / 20, 100 + np.arange(300) / 20])
    found = [event for event in ended(stream, joints, seconds) if event.start >= 100]
    assert alone
    shifted = [Event(e.label, e.start + 100, e.end + 100, e.decided + 100) for e in alone]
    assert same(found, shifted)


@pytest.mark.slow
def test_after_half_an_hour_events_and_memory_are_as_at_the_beginning(joints_network, joints):
    """The same half minute again and again."""
    stream, found, memory = Stream(joints_network), [], []
    for number in range(60):
        for place, frame in enumerate(joints):
            stream.push(frame, 30 * number + place / 20)
        found.append([(e.label, e.start - 30 * number, e.score) for e in stream.take_ended()])
        memory.append(int(Path("/proc/self/statm").read_text().split()[1]) / 256)  # MB
    assert len(found[1]) > 8
    for events in found[2:]:
        assert [e[0] for e in events] == [e[0] for e in found[1]]
        for one, other in zip(events, found[1], strict=True):
            assert one[1:] == pytest.approx(other[1:], abs=1e-3)
    assert memory[-1] - memory[5] < 2


def test_networks_for_clips_are_refused(tmp_path) -> None:
    clips = untrained(tmp_path, "gru", "skeleton_folder", 12)
    with pytest.raises(Gesture3dError, match=r"for whole clips.*--data stream_folder"):
        Stream(clips)


def test_a_network_without_a_decision_says_how_to_get_one(tmp_path) -> None:
    without = untrained(tmp_path, "gru", "sfinge3d_stream", 120)
    with pytest.raises(Gesture3dError, match=r"w\.safetensors --calibrate chooses it"):
        Stream(without)


# Videos


@pytest.fixture(scope="module")
def video_network(tmp_path_factory) -> Classifier:
    return small_video_network(tmp_path_factory.mktemp("video"))


@pytest.mark.parametrize("name", ["variant_a", "variant_b", "variant_c", "variant_d", "convlstm"])
def test_frames_of_a_video_give_the_events_of_the_whole_stream(name, tmp_path) -> None:
    """A spot that goes to another place twice a second."""
    small = ["model.width=0.0625", "data.size=24", "data.cache_size=24"]
    classifier = network(tmp_path, name, "stream_folder", None, *small)
    data, rng = classifier.experiment.data, generator("spot", name)
    frames = rng.integers(0, 60, (144, 24, 24, 3)).astype(np.uint8)
    for frame, (x, y) in zip(frames, np.repeat(rng.integers(4, 20, (24, 2)), 6, 0), strict=True):
        cv2.circle(frame, (int(x), int(y)), 4, (255, 255, 255), -1)
    inputs = torch.stack(list(map(data.preparation(frames.shape[1:]), frames)))[None]
    head = classifier.model.get_submodule(classifier.model.head)
    with torch.no_grad():
        first = classifier.model.step_scores(inputs, None)[0]
        head.weight.mul_(3 / first.std(0).mean())
        head.bias.copy_(-3 * first.mean(0) / first.std(0).mean())  # each class is likely at times
        scores = classifier.model.step_scores(inputs, None)[0].numpy()
    ends = np.arange(1, len(scores) + 1) * classifier.model.step_frames / data.rate_hz
    whole = find_events(StreamScores(ends, scores), DECISION, NAMES)
    assert len(whole) > 4
    assert same(ended(Stream(classifier), frames, np.arange(144) / data.rate_hz), whole)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (np.full((48, 64, 3), np.nan, np.float32), "a frame of float32; expected uint8, 0 to 255"),
        (np.zeros((48, 64, 3), int), "a frame of int64; expected uint8"),
        (np.zeros((48, 64, 4), np.uint8), r"expected \(height, width, 1 or 3\)"),
        (np.zeros((0, 64, 3), np.uint8), r"expected \(height, width, 1 or 3\)"),
    ],
)
def test_what_is_no_frame_of_a_video_is_one_line(video_network, frame, said) -> None:
    stream = Stream(video_network)
    with pytest.raises(Gesture3dError, match=said):
        stream.push(frame, 0.0)
    assert stream.push(np.zeros((48, 64, 3), np.uint8), 0.0) == []


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return ninety_frames(tmp_path_factory.mktemp("videos") / "long.mp4")


def test_a_long_video_is_classified_as_a_timeline(
    video_network, video, tmp_path, capsys, monkeypatch
) -> None:
    out, picture = tmp_path / "out.csv", tmp_path / "out.png"
    names = ["--weights", str(video_network.weights), "--out", str(out), "--picture", str(picture)]
    monkeypatch.setattr("sys.argv", ["classify.py", str(video), str(tmp_path), *names])
    assert classify.main() in (0, 1)
    said = capsys.readouterr().out.splitlines()
    assert all("long.mp4  " in line for line in said)
    assert said
    assert picture.stat().st_size > 1000


def test_what_was_found_before_a_file_breaks_off_is_printed_and_drawn(
    joints_network, joints, tmp_path, capsys, monkeypatch
) -> None:
    frames_of, path, picture = SkeletonStreams.frames_of, tmp_path / "a.npy", tmp_path / "a.png"
    np.save(path, joints)

    def torn(*arguments):
        yield from itertools.islice(frames_of(*arguments), 400)
        raise Gesture3dError("torn off")

    monkeypatch.setattr(SkeletonStreams, "frames_of", torn)
    command = ["--weights", str(joints_network.weights), "--picture", str(picture)]
    monkeypatch.setattr("sys.argv", ["classify.py", str(path), *command])
    assert classify.main() == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == len(ended(Stream(joints_network), *first(joints, 400))) > 2
    assert f"error: {path}: torn off" in said.err
    assert picture.stat().st_size > 1000


def first(joints: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """So many frames, and when they are."""
    return joints[:count], np.arange(count) / 20


@pytest.mark.parametrize("good", [0, 30])
def test_a_decoder_that_hangs_costs_its_file(video_network, video, monkeypatch, good) -> None:
    frames_of, ended = VideoStreams.frames_of, threading.Event()

    def hanging(data: VideoStreams, path: Path, spec: InputSpec):
        frames = frames_of(data, video, spec)
        if path.name == "hang.mp4":
            yield from itertools.islice(frames, good)
            ended.wait()
        yield from frames

    monkeypatch.setattr(VideoStreams, "frames_of", hanging)
    paths = [video, video.with_name("hang.mp4"), video]
    first, hung, last = stream_files.classify_streams(video_network, paths, most_seconds=1.0)
    ended.set()
    assert hung.error == f"{paths[1]}: reading it takes {TOO_LONG}"
    assert hung.length == pytest.approx(good / 45, abs=1e-3)  # what came before is not lost
    assert (first.error, first.length) == (None, pytest.approx(2.0, abs=0.1))
    assert (last.error, last.length, last.segments) == (None, first.length, first.segments)


def test_a_decoder_that_hangs_costs_its_file_of_a_collection(
    video_network, video, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(readers, "Helper", lambda _, *rest: Helper("tests.work.hanging", *rest))
    hang = shutil.copy(video, tmp_path / "hang.mp4")
    files = [(path.name, contextlib.nullcontext(path)) for path in (video, hang, video)]
    reading = readers.Readers(video_network, 1, 60.0, 30.0, 4.0)
    try:
        list(reading.streams(files[:1]))  # a minute to start
        reading._most_seconds = 1.0
        first, hung, last = reading.streams(files)
    finally:
        reading.close()
    assert hung.error == "hang.mp4: decoding it took more than 1 s and was stopped"
    assert first.segments == last.segments
    assert (first.error, last.error) == (None, None)
