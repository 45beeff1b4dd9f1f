"""Collections through the tool: decoded in processes with a time limit, long videos in windows."""

import csv
import itertools
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.data.video.evaluated import clip_from_frames, load_windows
from gesture3d.data.video.reading import open_video, read_frames
from gesture3d.files import PACKAGE
from gesture3d.helpers import Helper, in_threads
from gesture3d.inference import readers
from gesture3d.inference.classifier import Classifier
from gesture3d.models import build_model
from gesture3d.work import spread
from gesture3d.work.classify import How, Worker
from gesture3d.work.manifest import open_manifest
from gesture3d.work.places import Store
from tests.clips import square_clip, square_folder, tiny_settings, write_clip
from tests.forked_runs import run_forked

CLASSIFY = PACKAGE / "cli" / "classify.py"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """An untrained network; its scores differ from clip to clip."""
    folder = tmp_path_factory.mktemp("weights")
    experiment = load_experiment("variant_a", "folder", tiny_settings(folder))
    torch.manual_seed(0)
    model = build_model(experiment.model, 4)
    names = ["down", "left", "right", "up"]
    description = checkpoint.Description(experiment.model_dump(mode="json"), names, {})
    checkpoint.save(folder / "w.safetensors", model.state_dict(), description)
    return folder / "w.safetensors"


def classify(*arguments: object):
    return run_forked([sys.executable, str(CLASSIFY), *map(str, arguments)])


def test_the_tool_names_every_clip_of_a_collection_once(weights, tmp_path) -> None:
    """Good, broken and long clips, some in a tar; then the same rows as one by one."""
    root = square_folder(tmp_path / "in", clips_per_class=5)
    (root / "left" / "text.mp4").write_text("no video")
    long = np.concatenate([square_clip("left", n, frames=24) for n in range(5)])
    write_clip(root / "long.mp4", long)  # 10 s
    with tarfile.open(root / "a.tar", "w") as tar:
        tar.add(root / "right" / "0.mp4", "x/0.mp4")
        tar.add(root / "left" / "text.mp4", "bad.mp4")
    out = tmp_path / "out"
    command = ("--list", root, "--out", out, "--weights", weights, "--top", "2", "--device", "cpu")
    command += ("--jobs", "1", "--long", "5")
    first = classify(*command, "--shard", "0/2")
    assert first.returncode in (0, 1), first.stderr
    early = classify("--out", out, "--merge", tmp_path / "all.csv")
    assert early.returncode == 2
    assert "1 of 2 blocks are not done" in early.stderr
    second = classify(*command)
    assert max(first.returncode, second.returncode) == 1, second.stderr
    assert "24 of 24 clips in 2 of 2 blocks, 2 of them failed" in second.stdout
    done = classify("--out", out, "--merge", tmp_path / "all.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    assert len({row["path"] for row in rows}) == 24
    errors = {row["path"]: row["error"] for row in rows if row["error"]}
    assert set(errors) == {"left/text.mp4", "a.tar/bad.mp4"}
    assert all(error.startswith(f"{path}: ") for path, error in errors.items())
    classifier = Classifier(weights, "cpu")
    for row in rows:
        if row["path"] in ("left/0.mp4", "a.tar/x/0.mp4"):
            name = row["path"] if row["path"][0] == "l" else "right/0.mp4"
            best = classifier(root / name)[0]
            assert (row["class_1"], row["start"]) == (best.name, "")
            assert float(row["probability_1"]) == pytest.approx(best.probability, abs=2e-6)
    times = [(float(r["start"]), float(r["stop"])) for r in rows if r["path"] == "long.mp4"]
    assert (times[0][0], times[-1][1]) == (0.0, 10.0)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(times))
    again = classify(*command)
    assert "0 clips classified now" in again.stdout


def test_windows_of_a_long_video_are_what_its_parts_would_be(weights, tmp_path) -> None:
    data = Classifier(weights, "cpu").experiment.data
    clip = np.concatenate([square_clip("up", n, frames=20) for n in range(4)])
    path = write_clip(tmp_path / "long.mp4", clip, fps=10)
    frames = read_frames(path)
    found = list(load_windows(path, open_video(path), data, 3.0))
    assert [span for span, _ in found] == [(0, 3), (1.5, 4.5), (3, 6), (4.5, 7.5), (5, 8)]
    for (start, stop), inputs in found:
        part = frames[round(10 * start) : round(10 * stop)]
        assert np.array_equal(inputs, clip_from_frames(part, data))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_windows_of_a_varying_rate_go_by_the_clock_of_the_file(weights, tmp_path) -> None:
    """The first half at 20 frames a second, the second at 5."""
    data = Classifier(weights, "cpu").experiment.data
    clip = np.concatenate([square_clip("up", n, frames=20) for n in range(4)])
    path = write_clip(tmp_path / "long.mp4", clip, fps=20)
    slower = "setpts='if(lt(N,40),N,4*N-120)/20/TB'"
    command = ["ffmpeg", "-v", "error", "-i", path, "-vf", slower, "-fps_mode", "vfr"]
    subprocess.run([*command, tmp_path / "vary.mp4"], check=True)
    reader = open_video(tmp_path / "vary.mp4")
    spans = [span for span, _ in load_windows(reader.path, reader, data, 2.5)]
    assert len(spans) == 7  # of 20 frames, 8 a second in the mean
    expected = [(0, 1), (0.5, 1.5), (1, 2), (1.5, 4), (2, 6), (4, 8), (6, 10)]
    np.testing.assert_allclose(spans, expected, atol=0.3)  # two frames


def test_processes_that_decode_load_no_torch(weights, tmp_path) -> None:
    path = write_clip(tmp_path / "a.mp4", square_clip("left", 0))
    classifier = Classifier(weights, "cpu")
    experiment = classifier.experiment.model_dump(mode="json")
    said = json.dumps({"experiment": experiment, "spec": [None, None], "long": [30, 4]})
    program = "import sys; sys.modules['torch'] = None\nfrom gesture3d.inference.reader_process "
    program += "import answer; answer(sys.argv[1])"
    question = json.dumps(str(path)).encode() + b"\n"
    command = [sys.executable, "-c", program, said]
    answered = subprocess.run(command, input=question, capture_output=True, check=True).stdout
    expected = classifier.load(path).numpy().tobytes()
    assert answered.count(b"\n", 0, -len(expected)) == 2  # "ready", and what the array is
    assert answered.endswith(b"\n" + expected)


def test_without_a_gpu_torch_is_not_asked_for_one(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(spread, "may_have_gpu", lambda: False)
    assert spread.devices("auto", 3) == ["cpu"] * 3


def test_hanging_and_crashing_decoders_cost_their_clip(weights, tmp_path, monkeypatch) -> None:
    root = tmp_path / "in"
    for name in ("a", "crash", "hang", "z"):
        write_clip(root / f"{name}.mp4", square_clip("left", 0))
    module = "tests.work.hanging"
    monkeypatch.setattr(readers, "Helper", lambda _, *rest: Helper(module, *rest))
    manifest = open_manifest(Store(str(tmp_path / "out")), str(root), {".mp4"})
    how = How(
        str(root), str(weights), "cpu", 1, None, None, 4, False, 2, limit=1.0, long=30, window=4
    )
    worker = Worker(how)
    worker._readers._most_seconds = 60.0  # to start
    entries = manifest.entries(Store(str(tmp_path / "out")), 0)
    fields = [[e.path, e.size, e.changed, e.archive, e.offset] for e in entries]
    worker([fields[0], fields[3]])
    worker._readers._most_seconds = 1.0
    rows = worker(fields)
    worker.close()
    assert [row["path"] for row in rows] == ["a.mp4", "crash.mp4", "hang.mp4", "z.mp4"]
    assert [bool(row["segments"]) for row in rows] == [True, False, False, True]
    assert rows[1]["error"] == "crash.mp4: the process that decoded it died (exit code -11)"
    assert rows[2]["error"] == "hang.mp4: decoding it took more than 1 s and was stopped"
    assert rows[0]["segments"] == rows[3]["segments"]


def test_a_vanished_folder_of_clips_stops_instead_of_failing_all(weights, tmp_path) -> None:
    root = square_folder(tmp_path / "in", clips_per_class=2)
    command = ("--list", root, "--out", tmp_path / "out", "--weights", weights, "--device", "cpu")
    assert classify(*command, "--jobs", "1", "--shard", "1/2").returncode == 0  # nothing in it
    shutil.move(root, tmp_path / "moved")
    done = classify(*command, "--jobs", "1")
    assert done.returncode == 2
    assert "the folder it was in has vanished" in done.stderr
    assert not (tmp_path / "out" / "blocks").exists()


def test_a_hanging_file_is_left_behind_in_this_process(tmp_path) -> None:
    import time

    def work(number: int) -> int:
        time.sleep(1000 if number % 4 == 1 else 0.01)
        return number

    found = list(in_threads(range(8), work, lambda number: -number, 2, most_seconds=0.2))
    assert found == [0, -1, 2, 3, 4, -5, 6, 7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--list", "x"), "--list, --status and --merge take --out FOLDER"),
        (("--list", "x", "--out", "y", "clip.mp4"), "no PATH"),
        ((), "give files or directories, or --list"),
        (("--merge", "a.txt", "--out", "x"), "must end in .csv or .parquet"),
        (("--status", "--out", "nowhere"), "nowhere: no  work in it"),
        (("--list", "nowhere", "--out", "{out}"), "neither a .csv, a .txt, a .tar nor a folder"),
        (("--list", "s3x://a/b", "--out", "{out}"), "s3x"),
        (("--list", ".", "--out", "{out}", "--shard", "4/4"), "--shard 4/4: expected I/N"),
        (("--list", ".", "--out", "{out}", "--weights", "none"), "none: cannot be read|readable"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments, message, tmp_path) -> None:
    out = str(tmp_path / "out")
    done = classify(*(argument.format(out=out) for argument in arguments))
    assert done.returncode == 2
    assert message.split("|")[0] in done.stderr or message.split("|")[-1] in done.stderr
    assert "Traceback" not in done.stderr
