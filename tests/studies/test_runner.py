"""Many runs as subprocesses: reused, resumed, and independent of each other's failures.

Most tests use stand-ins for the tools that leave a run's files in no time; one trains for real.
"""

import json
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from gesture3d.config import dump_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.predictions import read_predictions
from gesture3d.files import PACKAGE, locked
from gesture3d.studies.runner import Runner, Stopped, _left, check_folder, choose_jobs
from gesture3d.studies.runs import plan_runs
from tests.clips import square_folder, tiny_settings

TRAIN = """
import json, os, pathlib, sys, time
args = sys.argv[1:]
resumed = args[0] == "--resume"
given = dict(zip(args[::2], args[1::2]))
folder = pathlib.Path(args[1]) if resumed else pathlib.Path(given["--runs"]) / given["--name"]
folder.mkdir(parents=True, exist_ok=resumed)
with (folder / "starts").open("a") as file:
    file.write(f"{args[0]} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
if "seed7" in folder.name:
    print("some text")
    sys.exit("error: the loss became nan")
(folder / "last.ckpt").write_text("")
if "seed8" in folder.name and not resumed:
    time.sleep(60)
tested = {"test": 2} if "seed9" in folder.name else {}
result = {"epochs": 1, "kept_epoch": 1, "order_top1": {}, "num_samples": {"train": 2, **tested}}
result |= {"cost": [["total", 1, 1]], "device": "cpu", "num_processes": 1}
speeds = "train_seconds", "train_clips_per_second", "inference_clips_per_second"
result |= dict.fromkeys(speeds, 1.0) | dict.fromkeys(("peak_memory", "peak_gpu_memory"))
(folder / "result.json").write_text(json.dumps(result | {"versions": {"gesture3d": "x"}}))
"""
EVALUATE = """
import pathlib, sys
folder = pathlib.Path(sys.argv[2]).parent / f"evaluation-{sys.argv[4]}"
folder.mkdir()
(folder / "predictions.csv").write_text("")
"""


@pytest.fixture
def tools(tmp_path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "evaluate.py").write_text(EVALUATE)
    return folder


def planned(*seeds: int):
    return plan_runs(["variant_a"], ["synthetic"], seeds, [])[0]


def starts(folder: Path, seed: int) -> list[str]:
    return (folder / f"variant_a-synthetic-seed{seed}" / "starts").read_text().splitlines()


def test_finished_runs_are_not_started_again(tools, tmp_path):
    runs, out = planned(1, 9), tmp_path / "out"
    assert Runner(out, tools).run(runs) == {}
    assert (out / runs[1].name / "evaluation-test" / "predictions.csv").is_file()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert Runner(out, tools).run(runs) == {}
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    # Trained, but stopped before the test: only the test is made up for.
    (out / runs[1].name / "evaluation-test" / "predictions.csv").unlink()
    (out / runs[1].name / "evaluation-test").rmdir()
    Runner(out, tools).run(runs)
    assert (out / runs[1].name / "evaluation-test" / "predictions.csv").is_file()
    assert len(starts(out, 9)) == 1


def test_a_failure_is_reported_and_the_others_go_on(tools, tmp_path):
    runs, out = planned(7, 1), tmp_path / "out"
    errors = Runner(out, tools).run(runs)
    assert list(errors) == [runs[0].name]
    assert errors[runs[0].name].startswith("the loss became nan (exit code 1; all of it: ")
    assert (out / runs[1].name / "result.json").is_file()
    # What was never saved begins anew, by the same command.
    Runner(out, tools).run(runs)
    assert starts(out, 7) == ["--cfg None"]


def test_a_broken_result_costs_one_run(tools, tmp_path):
    runs, out = planned(1, 2), tmp_path / "out"
    (out / runs[0].name).mkdir(parents=True)
    (out / runs[0].name / "result.json").write_text("{")
    errors = Runner(out, tools).run(runs)
    assert list(errors) == [runs[0].name]
    assert "broken" in errors[runs[0].name]
    assert (out / runs[1].name / "result.json").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_the_runs_and_the_same_call_resumes_them(tools, tmp_path, number):
    runs, out = planned(8, 1), tmp_path / "out"

    def stop_when_it_trains() -> None:
        while not (out / runs[0].name / "last.ckpt").is_file():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop_when_it_trains, daemon=True).start()
    before = signal.getsignal(number)
    with pytest.raises(Stopped):
        Runner(out, tools).run(runs)
    assert signal.getsignal(number) is before
    assert not (out / runs[1].name).exists()
    assert Runner(out, tools).run(runs) == {}
    assert [line.split()[0] for line in starts(out, 8)] == ["--cfg", "--resume"]
    assert [line.split()[0] for line in starts(out, 1)] == ["--cfg"]


def test_so_many_runs_go_side_by_side_as_there_is_room_for(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("gesture3d.studies.runner.num_cores", lambda: 8)
    monkeypatch.setattr("gesture3d.studies.runner.total_memory", lambda: 13 << 30)
    assert choose_jobs(None, []) == (3, [])
    assert choose_jobs(8, []) == (8, [])
    monkeypatch.setattr("gesture3d.studies.runner.total_memory", lambda: 1 << 30)
    assert choose_jobs(None, []) == (1, [])
    with pytest.raises(Gesture3dError, match="--jobs 0"):
        choose_jobs(0, [])

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert choose_jobs(None, []) == (2, ["3", "5"])
    assert choose_jobs(1, []) == (1, ["3"])
    assert choose_jobs(None, ["train.device=cpu"]) == (1, [])
    with pytest.raises(Gesture3dError, match="--jobs 4: one run a GPU, and there are 2"):
        choose_jobs(4, [])


def test_what_is_left_is_counted_in_words():
    assert _left(0, 12, 5.0) == "12 epochs left"
    assert _left(3, 1, 540.0) == "1 epoch left, about 3 min"


def test_each_job_has_its_gpu(tools, tmp_path):
    runs, out = planned(1, 2), tmp_path / "out"
    Runner(out, tools, jobs=2, gpus=["3", "5"]).run(runs)
    assert (starts(out, 1), starts(out, 2)) == (["--cfg 3"], ["--cfg 5"])


def test_a_folder_of_another_experiment_is_refused(tmp_path):
    (run,) = planned(1)
    other = plan_runs(["variant_a"], ["synthetic"], [1], ["optim.lr=0.5"])[0][0]
    path = tmp_path / run.name / "experiment.yaml"
    path.parent.mkdir()
    path.write_text(dump_experiment(run.experiment))
    check_folder(run, tmp_path)
    older = yaml.safe_load(path.read_text())
    del older["train"]["gradient_checkpointing"]  # a setting that came later, at its default
    path.write_text(yaml.safe_dump(older))
    check_folder(run, tmp_path)
    with pytest.raises(Gesture3dError, match=r"another experiment \(optim.lr: 0.012 there, 0.5 he"):
        check_folder(other, tmp_path)
    path.write_text(yaml.safe_dump(older | {"speed": 3}))
    with pytest.raises(Gesture3dError, match=r"unknown key 'speed'.*another --out"):
        check_folder(run, tmp_path)
    path.write_text("nothing")
    with pytest.raises(Gesture3dError, match="not readable; remove"):
        check_folder(run, tmp_path)
    path.rename(path.with_name("notes.txt"))
    with pytest.raises(Gesture3dError, match="is no run's folder"):
        check_folder(run, tmp_path)


def test_an_ablation_from_one_command(tmp_path, monkeypatch, capsys, forked_runs):
    """Two networks, two seeds, one epoch; the second call trains nothing."""
    clips = square_folder(tmp_path / "clips", clips_per_class=5, classes=2)
    settings = [*tiny_settings(clips), "train.epochs=1", "data.num_frames=4", "data.size=16"]
    out = tmp_path / "out"
    tool = str(PACKAGE / "cli" / "ablate.py")
    main = runpy.run_path(tool, run_name="ablate")["main"]

    def ablate(*seeds: str, more: tuple[str, ...] = ()) -> int:
        arguments = ["--networks", "convlstm", "variant_a", "--data", "folder", "--out", str(out)]
        arguments += ["--seeds", *seeds, "--set", *settings, "data.test_share=0.2", *more]
        monkeypatch.setattr(sys, "argv", [tool, *arguments])
        return main()

    assert ablate("0", "1") == 0, "".join(p.read_text() for p in out.glob("logs/*seed0*"))
    text = (out / "ablation.md").read_text()
    for network in ("convlstm", "variant_a"):
        for split in ("validation", "test"):
            top1 = []
            for seed in (0, 1):
                run = out / f"{network}-folder-seed{seed}"
                found = read_predictions(run / f"evaluation-{split}" / "predictions.csv")
                top1.append(100 * np.mean(found.scores.argmax(1) == found.labels))
            assert f"({top1[0]:.1f}, {top1[1]:.1f})" in text
        result = json.loads((run / "result.json").read_text())
        kept = json.loads((run / "metrics.jsonl").read_text())["validation_top1"]
        assert result["order_top1"]["real order"] == pytest.approx(kept)
        assert result["peak_memory"] > 10**8
        assert result["cost"][-1][1] in (38_738, 30_834)
    weights = list(out.rglob("*.safetensors"))
    before = {path: path.stat().st_mtime_ns for path in weights}
    assert len(before) == 4
    capsys.readouterr()
    assert ablate("0", "1") == 0
    assert "4 of 4 runs are finished already" in capsys.readouterr().out
    assert ablate("0", more=("--corruptions", "unfinished")) == 0  # of what is trained already
    assert {path: path.stat().st_mtime_ns for path in weights} == before
    run = out / "variant_a-folder-seed0" / "evaluation-validation"
    measured = json.loads((run / "corruptions.json").read_text())["corruptions"]["unfinished"]
    line = f"{100 * measured['top1'][4]:.1f} |\n"  # the last column
    assert "| unfinished 1.0 |" in (text := (out / "ablation.md").read_text())
    assert text.partition("| unfinished 1.0 |")[2].partition("\n")[0].endswith(line.strip())
    assert (out / "ablation-corruptions.png").stat().st_size > 10_000
    with pytest.raises(Gesture3dError, match="--seeds: given twice: 0"):
        ablate("0", "0")
    settings[-1] = "data.size=20"
    with pytest.raises(Gesture3dError, match=r"data.size: 16 there, 20 here.*another --out"):
        ablate("0", "1")


def test_of_two_commands_in_one_folder_the_second_waits(tmp_path):
    order, held = [], threading.Event()

    def other_command():
        with locked(tmp_path / ".lock"):
            held.set()
            time.sleep(0.5)
            order.append("first")

    thread = threading.Thread(target=other_command)
    thread.start()
    held.wait()
    assert Runner(tmp_path, tmp_path).run([]) == {}
    order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_without_ray_nothing_is_begun(tmp_path, monkeypatch) -> None:
    from gesture3d.studies.cluster import run_on_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    runs, _ = plan_runs(["variant_a"], ["folder"], [0], tiny_settings(tmp_path))
    with pytest.raises(Gesture3dError, match=r"--ray needs Ray: pip install"):
        run_on_ray(runs, tmp_path / "out", PACKAGE / "cli", "")
    assert not (tmp_path / "out").exists()
