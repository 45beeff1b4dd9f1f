"""A run's folder belongs to one process at a time; so does a core of runs side by side."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE
from gesture3d.studies.cores import Cores
from gesture3d.training.run import resumable
from gesture3d.training.run_folder import folder_to_resume, new_folder
from tests.clips import square_folder, tiny_settings
from tests.forked_runs import Forked

NEW = """
import pathlib, sys
from gesture3d.training.run_folder import new_folder
with new_folder(pathlib.Path(sys.argv[1]), "run", exactly=False) as folder:
    (folder / "experiment.yaml").touch()
    print(folder.name, flush=True)
    sys.stdin.read()
    (folder / "last.ckpt").touch()
"""
RESUME = """
import pathlib, sys
from gesture3d.training.run_folder import folder_to_resume
with folder_to_resume(pathlib.Path(sys.argv[1])):
    print("resumed", flush=True)
    sys.stdin.read()
"""
CORES = """
import os, sys, tempfile
from gesture3d.studies.cores import Cores
os.sched_getaffinity = lambda _: {0, 1, 2, 3}
tempfile.tempdir = sys.argv[1]
cores = Cores(4)
print(cores.take(0), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def other_process(program: str, argument: Path, said: str | None = None) -> Iterator:
    """A process that has printed its line and waits until its input ends."""
    command = [sys.executable, "-c", program, str(argument)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        if said:
            line = process.stdout.readline().strip()
            assert line == said, process.stderr.read()
        yield process
    finally:
        process.communicate()


def test_runs_of_one_name_that_start_together_have_a_folder_each(tmp_path) -> None:
    with contextlib.ExitStack() as stack:
        runs = tmp_path / "runs"
        others = [stack.enter_context(other_process(NEW, runs)) for _ in range(6)]
        names = {process.stdout.readline().strip() for process in others}
        assert names == {"run", *(f"run-{n}" for n in range(2, 7))}
    assert {path.name for path in runs.iterdir()} == names  # with what they wrote, and no lock
    assert {path.name for path in runs.glob("*/.*")} == set()


def test_a_name_that_is_taken_is_refused_before_anything_is_written(tmp_path) -> None:
    with other_process(NEW, tmp_path, "run"):
        with (
            pytest.raises(Gesture3dError, match="run exists; choose another --name, or --resume"),
            new_folder(tmp_path, "run", exactly=True),
        ):
            pass
        with new_folder(tmp_path, "run", exactly=False) as folder:
            assert folder == tmp_path / "run-2"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    (tmp_path / "other").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Gesture3dError), new_folder(tmp_path, "other", exactly=True):
        pass


def test_trainings_that_start_together_do_not_share_a_folder(tmp_path) -> None:
    """By the tool: one trains, the other is refused its name; without a name each has its own."""
    settings = [*tiny_settings(square_folder(tmp_path / "clips")), "train.epochs=1"]
    command = [sys.executable, PACKAGE / "cli" / "train.py", "--cfg", "variant_a"]
    command += ["--data", "folder", "--runs", tmp_path / "runs", "--set", *settings]
    named = [Forked([*command, "--name", "run"]) for _ in range(2)]
    unnamed = [Forked(command) for _ in range(2)]
    said = [process.communicate()[1] for process in (*named, *unnamed)]
    assert sorted(process.returncode for process in named) == [0, 2], said
    assert any("run exists; choose another --name, or --resume" in text for text in said[:2])
    assert [process.returncode for process in unnamed] == [0, 0], said
    results = list((tmp_path / "runs").glob("*/result.json"))
    assert len(results) == len(list((tmp_path / "runs").iterdir())) == 3


def test_a_run_that_fails_before_it_began_leaves_nothing(tmp_path) -> None:
    runs = tmp_path / "runs"
    with new_folder(runs, "run", exactly=True) as folder:
        assert folder.is_dir()
    assert not runs.exists()
    with other_process(NEW, runs, "run") as killed:
        killed.kill()
    with new_folder(runs, "run", exactly=True) as folder:  # nobody has the lock that it left
        (folder / "last.ckpt").touch()
    with pytest.raises(Gesture3dError, match="exists"), new_folder(runs, "run", exactly=True):
        pass


def test_the_folder_of_a_run_that_was_never_saved_is_taken_over_empty(tmp_path) -> None:
    with new_folder(tmp_path, "run", exactly=True) as folder:
        (folder / "experiment.yaml").touch()
        (folder / "tensorboard").mkdir()
        (folder / "tensorboard" / "events").touch()
        (folder / ".last-x.ckpt").touch()  # killed while it wrote
    with pytest.raises(Gesture3dError, match=r"no last\.ckpt there; start it anew, .*--name run"):
        resumable(folder)
    for file in ("best.safetensors", "metrics.jsonl", "notes.txt", "last.ckpt"):
        (folder / file).touch()
        with pytest.raises(Gesture3dError), new_folder(tmp_path, "run", exactly=True):
            pass
        (folder / file).unlink()
    with new_folder(tmp_path, "run", exactly=False) as folder:
        assert folder == tmp_path / "run"
        assert {path.name for path in folder.iterdir()} <= {".lock", ".last-x.ckpt"}
        (folder / "last.ckpt").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_one_process_resumes_a_run_whatever_link_leads_there(tmp_path) -> None:
    run, link = tmp_path / "run", tmp_path / "link"
    run.mkdir()
    link.symlink_to(run)
    with other_process(RESUME, run, "resumed") as holder:
        for path in (run, link):
            with (
                pytest.raises(Gesture3dError, match="another process is training this run"),
                folder_to_resume(path),
            ):
                pass
        holder.kill()  # the lock ends with it
        holder.wait()
        with folder_to_resume(link) as folder:
            assert folder == run
    assert list(run.iterdir()) == []


def test_a_run_that_trains_cannot_be_resumed(tmp_path) -> None:
    with (
        other_process(NEW, tmp_path, "run"),
        pytest.raises(Gesture3dError, match="another process is training this run"),
        folder_to_resume(tmp_path / "run"),
    ):
        pass


def test_runs_of_two_commands_are_on_different_cores(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert [Cores(5).take(0), Cores(4).share, Cores(1).take(0)] == [[], 1, [0, 1, 2, 3]]
    with other_process(CORES, tmp_path, "[0]"):
        cores = Cores(2)
        assert [cores.take(0), cores.take(1)] == [[1, 2], [0, 3]]  # 0 is shared: none is left
    cores.give_back(1)
    assert cores.take(1) == [0, 3]  # the other command has ended
    cores.give_back(0)
    with other_process(CORES, tmp_path, "[1]"):
        pass
