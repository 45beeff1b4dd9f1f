"""Blocks on a Ray cluster of two nodes (processes of this machine), one of which is lost."""

import os
import subprocess
import sys

import pytest

from gesture3d.files import PACKAGE
from gesture3d.work import spread
from gesture3d.work.merge import status
from tests.clips import square_folder, tiny_settings
from tests.work.test_collections import begin, clips, do, fake, merged  # noqa: F401

ray = pytest.importorskip("ray", reason="Ray is an extra: pip install gesture3d[cluster]")


@pytest.fixture
def two_nodes():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()


def test_a_lost_node_costs_the_block_it_was_at(clips, tmp_path, two_nodes) -> None:  # noqa: F811
    cluster, second = two_nodes
    calm = begin(tmp_path / "calm", clips, block=4)
    do(calm)
    work, done = begin(tmp_path / "out", clips, block=4), []
    job = fake(work, seconds=0.05)
    for one in spread.on_ray(job, work.todo((0, 1), False), cluster.address):
        done.append(one)
        if len(done) == 6:
            cluster.remove_node(second)
    assert status(work).blocks_done == 25
    assert sum(one.clips for one in done) == 100
    assert not [one.lost for one in done if one.lost]
    assert merged(work, tmp_path / "a.csv") == merged(calm, tmp_path / "b.csv")


def test_why_no_worker_can_work_is_said_once(clips, tmp_path, two_nodes) -> None:  # noqa: F811
    work = begin(tmp_path / "out", clips)
    with pytest.raises(spread.Gesture3dError, match=r"^no such weights$"):
        list(spread.on_ray(fake(work, refuse=True), work.todo((0, 1), False), two_nodes[0].address))


def test_a_cluster_that_is_not_there_is_one_line(clips, tmp_path) -> None:  # noqa: F811
    work = begin(tmp_path / "out", clips)
    with pytest.raises(spread.Gesture3dError, match="no such cluster"):
        list(spread.on_ray(fake(work), [], "127.0.0.1:1"))


def run(tool: str, *words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, str(PACKAGE / "cli" / tool), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


def test_an_ablation_on_a_cluster_is_the_ablation(tmp_path) -> None:
    """Two runs, each a task; the table is that of runs side by side."""
    root = square_folder(tmp_path / "clips")
    tiny = [*tiny_settings(root), "train.epochs=1"]
    words = ["--data", "folder", "--networks", "variant_a", "no_recurrence", "--seeds", "0"]
    run("ablate.py", *words, "--ray", "--out", str(tmp_path / "out"), "--set", *tiny)
    table = (tmp_path / "out" / "ablation.csv").read_text()
    assert "variant_a" in table
    assert "no_recurrence" in table


def test_folds_on_a_cluster_are_the_folds(tmp_path) -> None:
    """Three runs, each a task; the report is that of runs side by side, to the byte."""
    from tests.training.test_skeleton_runs import moves, settings  # slow to import

    chosen = settings(moves(tmp_path / "moves", each=6), "train.epochs=2")
    reports = []
    for name, ray in (("calm", []), ("cluster", ["--ray"])):
        words = ["--cfg", "deepgru_small", "--data", "skeleton_folder", "--folds", "--name", "cv"]
        run("train.py", *words, *ray, "--runs", str(tmp_path / name), "--set", *chosen)
        reports.append((tmp_path / name / "cv" / "report.md").read_bytes())
    assert reports[0] == reports[1]
