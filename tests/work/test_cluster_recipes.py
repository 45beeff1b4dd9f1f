"""The recipes of tools/README.md as far as one machine goes: what stands in for the scheduler sets
its variables, and the tasks are processes.

Slow: `pytest -n0 -m slow tests/work/test_cluster_recipes.py`."""

import csv
import re
import sys
from pathlib import Path

import pytest
import yaml

from gesture3d.files import PACKAGE
from tests.clips import square_folder
from tests.forked_runs import run_forked
from tests.work.test_classified_collections import CLASSIFY, weights  # noqa: F401

README = PACKAGE.parent / "tools" / "README.md"


def slurm(task: int) -> tuple[list[str], dict[str, str]]:
    """What a task of an array of two runs, and with which variables."""
    array = r"```sh\n(#!/bin/bash\n#SBATCH --array=0-\d+ .*?)```"
    script = re.search(array, README.read_text(), re.DOTALL)
    line = script[1].splitlines()[-1]
    assert line.startswith("uv run tools/classify.py ")
    return line.split()[3:], {
        "SLURM_ARRAY_TASK_ID": str(task),
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_COUNT": "2",
    }


def kubernetes(task: int) -> tuple[list[str], dict[str, str]]:
    job = yaml.safe_load(re.search(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)[1])["spec"]
    (container,) = job["template"]["spec"]["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert variables == {"JOB_COMPLETIONS": str(job["completions"])}
    assert job["completionMode"] == "Indexed"
    assert container["command"][:2] == ["gesture3d", "classify"]
    words = [word.replace("/data/", "") for word in container["command"][2:]]
    return words, {"JOB_COMPLETION_INDEX": str(task), "JOB_COMPLETIONS": "2"}


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", [slurm, kubernetes])
def test_two_tasks_do_a_collection(scheduler, weights, tmp_path) -> None:  # noqa: F811
    """The table has gaps before the second has done its part."""
    clips = sorted(square_folder(tmp_path / "clips", clips_per_class=1).rglob("*.mp4"))
    (tmp_path / "clips.csv").write_text("path\n" + "".join(f"{path}\n" for path in clips))

    def classify(*words: str | Path, env: dict[str, str] | None = None) -> str:
        return run_forked([sys.executable, str(CLASSIFY), *words], env=env, cwd=tmp_path).stderr

    own = ("--weights", weights, "--device", "cpu", "--jobs", "1", "--block", "2")
    merge = ("--out", "results", "--merge", "all.csv")
    for task in (1, 0):
        if task == 0:
            assert "1 of 2 blocks are not done" in classify(*merge)
        words, variables = scheduler(task)
        assert "error: " not in classify(*words, *own, env=variables)
    assert "error: " not in classify(*merge)
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    assert [row["path"] for row in rows] == [str(path) for path in clips]
    assert not any(row["error"] for row in rows)
