"""What the tool leaves behind: one format for every stream, also after Ctrl-C; checks before."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gesture3d.checkpoint import Calibration, add_calibration
from gesture3d.cli import classify
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.errors import Gesture3dError
from gesture3d.inference.classifier import Classifier
from gesture3d.inference.segments import NONE
from tests.clips import square_clip, square_folder, tiny_settings, write_clip
from tests.inference.networks import untrained


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Classifier:
    folder = square_folder(tmp_path_factory.mktemp("squares"), clips_per_class=1)
    return untrained(folder, "variant_a", "folder", None, *tiny_settings(folder))


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory) -> Classifier:
    return untrained(tmp_path_factory.mktemp("joints"), "gru", "skeleton_folder", 24)


@pytest.fixture(scope="module")
def inertial(tmp_path_factory) -> Classifier:
    settings = ("data.window=16", "data.step=8", "data.rate_hz=10")
    folder = tmp_path_factory.mktemp("recordings")
    return untrained(folder, "cnn1d", "inertial_folder", 2, *settings)


def write_joints(path: Path, seed: int) -> None:
    np.save(path, np.random.default_rng(seed).normal(size=(5 + seed, 4, 3)))


def write_recording(path: Path, seed: int) -> None:
    """6 s and more of two channels."""
    values = np.random.default_rng(seed).normal(size=(60 + 7 * seed, 2)).cumsum(0)
    np.savetxt(path, values, delimiter=",", header="x,y", comments="")


STREAMS: dict[str, tuple[str, Callable[[Path, int], object]]] = {
    "video": (".mp4", lambda path, seed: write_clip(path, square_clip("left", seed))),
    "skeleton": (".npy", write_joints),
    "inertial": (".csv", write_recording),
}


def files_of(stream: str, folder: Path) -> tuple[list[Path], Path]:
    """Four files in order, the third of them broken."""
    suffix, make = STREAMS[stream]
    paths = [folder / f"{name}{suffix}" for name in "abcd"]
    for seed, path in enumerate(paths):
        make(path, seed)
    paths[2].write_bytes(b"broken")
    return paths, paths[2]


@pytest.fixture
def run(monkeypatch) -> Callable[..., int]:
    def run(classifier: Classifier, *arguments: object) -> int:
        command = ["classify", "--weights", classifier.weights, "--device", "cpu", *arguments]
        monkeypatch.setattr("sys.argv", [str(argument) for argument in command])
        return classify.main()

    return run


@pytest.mark.parametrize("stream", STREAMS)
def test_csv_and_json_are_the_same_table_for_every_stream(
    stream, tmp_path, request, run, capsys
) -> None:
    classifier = request.getfixturevalue(stream)
    (tmp_path / "in").mkdir()
    paths, broken = files_of(stream, tmp_path / "in")
    table, objects = tmp_path / "out.csv", tmp_path / "out.json"
    assert run(classifier, tmp_path / "in", "--out", table, "--top", 3, "--batch-size", 3) == 1
    printed = capsys.readouterr().out.splitlines()
    assert run(classifier, *paths, "--out", objects, "--top", 3) == 1
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    ranks = [f"{name}_{rank}" for rank in (1, 2, 3) for name in ("class", "probability")]
    assert list(rows[0]) == ["path", "start", "stop", *ranks, "seconds", "error"]
    written = json.loads(objects.read_text())
    assert list(written[0]) == ["path", "start", "stop", "classes", "seconds", "error"]
    assert list(dict.fromkeys(row["path"] for row in rows)) == [str(path) for path in paths]
    assert len(printed) == len(rows) - 1  # but the broken one
    for row, one in zip(rows, written, strict=True):
        assert row["path"] == one["path"]
        assert row["error"] == (one["error"] or "")
        assert float(row["seconds"]) >= 0
        assert one["seconds"] >= 0
        times = [None if row[key] == "" else float(row[key]) for key in ("start", "stop")]
        assert times == [one["start"], one["stop"]]
        assert (None in times) == (stream != "inertial" or bool(row["error"]))
        ranked = [(row[f"class_{rank}"], row[f"probability_{rank}"]) for rank in (1, 2)]
        assert row["class_3"] == row["probability_3"] == ""  # there are two classes
        if row["path"] == str(broken):
            assert row["error"].startswith(str(broken))
            assert (ranked, one["classes"]) == ([("", "")] * 2, [])
            continue
        assert sorted(name for name, _ in ranked) == ["drink", "wave"]
        for (name, probability), found in zip(ranked, one["classes"], strict=True):
            assert name == found["name"]
            assert float(probability) == pytest.approx(found["probability"], abs=2e-6)
        assert sum(found["probability"] for found in one["classes"]) == pytest.approx(1)


@pytest.mark.parametrize("stream", STREAMS)
def test_what_is_no_known_class_is_called_so(stream, tmp_path, request, run, capsys) -> None:
    """Off by default, by a threshold of the checkpoint, and none of the numbers changes."""
    plain = request.getfixturevalue(stream)
    paths, broken = files_of(stream, tmp_path)
    paths.remove(broken)
    with pytest.raises(
        Gesture3dError, match=r"w\.safetensors: not calibrated.*--calibrate adds it"
    ):
        run(plain, *paths, "--reject")
    highest = sorted(
        float(plain.scores(plain.experiment.data.cut(path, plain.spec).inputs).max(1)[0].mean())
        for path in paths
    )
    lowest, middle = highest[0] - 20, (highest[0] + highest[1]) / 2
    calibrated = tmp_path / "calibrated.safetensors"
    levels = Calibration(2.0, [lowest / 2, middle / 2, middle / 2, 1e9], 9, "x")
    add_calibration(plain.weights, levels, calibrated)
    answers = {}
    for kept in (None, 0.99, 0.5, 0.01):
        chosen = Classifier(calibrated, "cpu", reject=kept)
        answers[kept] = list(chosen.classify(paths))
    names = {
        kept: [[s.classes[0].name for s in r.segments] for r in found]
        for kept, found in answers.items()
    }
    assert (
        names[None]
        == names[0.99]
        == [[s.classes[0].name for s in r.segments] for r in plain.classify(paths)]
    )
    assert all(segments == [NONE] for segments in names[0.01])
    if stream != "inertial":
        assert sum(one == [NONE] for one in names[0.5]) == 1
        rejected = names[0.5].index([NONE])
        assert Classifier(calibrated, "cpu", reject=0.5)(paths[rejected])[0].name == NONE
        for one, other in zip(answers[None], answers[0.5], strict=True):
            ours, theirs = one.segments[0].classes, other.segments[0].classes
            assert [c.probability for c in ours] == [c.probability for c in theirs]
            assert ours[1:] == theirs[1:]
    table, objects = tmp_path / "out.csv", tmp_path / "out.json"
    command = ("--weights", calibrated, *paths, "--reject", "0.01", "--out")
    assert [run(plain, *command, out) for out in (table, objects)] == [0, 0]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class_1"] for row in rows] == [NONE] * len(paths)
    assert all(0.5 <= float(row["probability_1"]) <= 1 for row in rows)
    assert all(row["class_2"] in ("drink", "wave") for row in rows)
    assert [o["classes"][0]["name"] for o in json.loads(objects.read_text())] == [NONE] * len(paths)
    assert f"{NONE} (the best " in capsys.readouterr().out


def test_a_share_is_one(video, run, capsys) -> None:
    for text, why in (("1.5", "between 0 and 1"), ("clip.mp4", "not a share such as 0.95")):
        with pytest.raises(SystemExit):
            run(video, "x", "--reject", text)
        assert why in capsys.readouterr().err
    with pytest.raises(Gesture3dError, match=r"reject 1\.0: a share"):
        Classifier(video.weights, "cpu", reject=1.0)


def test_recordings_of_one_batch_are_what_each_is_alone(tmp_path, inertial) -> None:
    """Broken ones in between and batches that end within a recording change nothing."""
    paths, broken = files_of("inertial", tmp_path)
    paths = [broken, *paths, tmp_path / "none.csv"]
    together = list(inertial.classify(paths))
    assert [result.path for result in together] == paths
    assert [bool(result.error) for result in together] == [True, False, False, True, False, True]
    for result in together:
        (alone,) = inertial.classify([result.path])
        assert alone.error == result.error
        assert len(alone.segments) == len(result.segments)
        for one, other in zip(alone.segments, result.segments, strict=True):
            assert (one.start, one.stop) == (other.start, other.stop)
            for a, b in zip(one.classes, other.classes, strict=True):
                assert a.name == b.name
                assert a.probability == pytest.approx(b.probability, abs=1e-6)
        if not result.error:
            edges = [segment.stop for segment in result.segments]
            assert [0.0, *edges[:-1]] == [segment.start for segment in result.segments]
            assert edges[-1] == len(result.signal) / result.rate_hz


def test_windows_beyond_a_batch_go_through_the_network_in_parts(
    tmp_path, inertial, monkeypatch
) -> None:
    paths, _ = files_of("inertial", tmp_path)
    whole = list(inertial.classify(paths))
    monkeypatch.setattr("gesture3d.inference.classifier.MOST_WINDOWS", 5)
    sizes, scores = [], inertial.scores
    monkeypatch.setattr(
        inertial, "scores", lambda inputs: (sizes.append(len(inputs)), scores(inputs))[1]
    )
    parts = list(inertial.classify(paths, batch_size=4))
    assert set(sizes[:-1]) == {5}
    assert 0 < sizes[-1] <= 5
    for one, other in zip(whole, parts, strict=True):
        assert [s.start for s in one.segments] == [s.start for s in other.segments]
        for a, b in zip(one.segments, other.segments, strict=True):
            assert a.classes[0].probability == pytest.approx(b.classes[0].probability, abs=1e-6)


def test_ctrl_c_leaves_what_was_found_until_then(tmp_path, skeleton, run, monkeypatch) -> None:
    paths, _ = files_of("skeleton", tmp_path)
    load = SkeletonData.load

    def interrupted(data: SkeletonData, path: Path):
        if path == paths[3]:
            raise KeyboardInterrupt
        return load(data, path)

    monkeypatch.setattr(SkeletonData, "load", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(skeleton, *paths, "--out", tmp_path / "out.csv", "--batch-size", 1)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(path) for path in paths[:3]]
    assert [bool(row["error"]) for row in rows] == [False, False, True]


@pytest.mark.parametrize("stream", STREAMS)
def test_outputs_are_checked_before_the_work(stream, tmp_path, request, run, monkeypatch) -> None:
    classifier = request.getfixturevalue(stream)
    paths, _ = files_of(stream, tmp_path)
    (tmp_path / "a.json").symlink_to(paths[0])
    monkeypatch.setattr(Classifier, "classify", None)
    with pytest.raises(Gesture3dError, match=r"a\.json: would be written over an input"):
        run(classifier, *paths, "--out", tmp_path / "a.json")
    if stream == "skeleton":
        with pytest.raises(Gesture3dError, match=r"--picture draws videos and rec.* joints"):
            run(classifier, *paths, "--picture", tmp_path / "p.png")
    with pytest.raises(SystemExit):
        run(classifier, *paths, "--out", tmp_path / "out.txt")


@pytest.mark.parametrize("stream", ["video", "inertial"])
def test_pictures_of_clips_and_recordings(stream, tmp_path, request, run) -> None:
    paths, broken = files_of(stream, tmp_path)
    picture = tmp_path / "p.png"
    classifier = request.getfixturevalue(stream)
    assert run(classifier, broken, "--picture", picture) == 1
    assert not picture.exists()
    assert run(classifier, *paths, "--picture", picture) == 1
    assert picture.read_bytes().startswith(b"\x89PNG")
