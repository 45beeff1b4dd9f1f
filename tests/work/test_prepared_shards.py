"""Data prepared part by part: the same manifest, caches and flow as in one go."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gesture3d.cli import prepare
from gesture3d.data import read_index
from gesture3d.data.video.prepared import open as opening
from gesture3d.data.video.prepared.cache import JoinedCache
from gesture3d.data.video.prepared.open import build_cache
from gesture3d.files import PACKAGE
from tests.clips import square_folder
from tests.forked_runs import run_forked

PREPARE = PACKAGE / "cli" / "prepare.py"


@pytest.fixture
def clips(tmp_path) -> Path:
    root = square_folder(tmp_path / "clips", clips_per_class=3)
    (root / "left" / "0.mp4").write_text("no video")
    return root


def run(command: str, root: Path, here: Path, *more: str):
    here.mkdir(exist_ok=True)
    settings = ["--data", "folder", "--set", f"data.root={root}", "data.on_bad_clip=exclude"]
    settings += ["data.cache_size=24"]
    words = [sys.executable, str(PREPARE), command, *settings, *more]
    return run_forked(words, cwd=here, env={"PYTHONPATH": str(PACKAGE.parent)})


def made(here: Path) -> dict[str, bytes]:
    files = (path for path in here.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(here).as_posix(): path.read_bytes() for path in files}


def test_a_check_of_shards_is_the_check(clips, tmp_path) -> None:
    for index in (1, 0):
        done = run("check", clips, tmp_path / "parts", "--shard", f"{index}/2")
        assert done.returncode in (0, 1), done.stderr
        assert f"part {index} of 2" in done.stdout
    assert not list((tmp_path / "parts").rglob("manifest*"))
    end = run("check", clips, tmp_path / "parts")
    assert "(11 clips unchanged since an earlier check)" in end.stdout
    whole = run("check", clips, tmp_path / "whole")
    assert (end.returncode, whole.returncode) == (1, 1)
    assert made(tmp_path / "parts") == made(tmp_path / "whole")


def test_flow_of_shards_is_the_flow(clips, tmp_path) -> None:
    (clips / "left" / "0.mp4").unlink()
    for index in range(3):
        done = run("flow", clips, tmp_path / "parts", "--shard", f"{index}/3", "--short-side", "24")
        assert done.returncode == 0, done.stderr
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "parts").rglob("*.avi")}
    assert len(before) == 11
    end = run("flow", clips, tmp_path / "parts", "--short-side", "24")
    assert "optical flow of 11 clips" in end.stdout
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "parts").rglob("*.avi")}


def test_a_cache_of_shards_is_the_cache(clips, tmp_path, monkeypatch) -> None:
    """Also where a shard is missing: it is decoded, and the others stay."""
    for index in (2, 0):
        done = run("cache", clips, tmp_path / "parts", "--shard", f"{index}/3")
        assert done.returncode == 0, done.stderr
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "parts").rglob("*.bin")}
    assert len(before) == 2
    end = run("cache", clips, tmp_path / "parts")
    assert end.returncode == 0, end.stderr
    assert "11 clips" in end.stdout
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "parts").rglob("*.bin")}
    assert len(after) == 3
    assert before.items() <= after.items()
    words = ["cache", "--data", "folder", "--set", f"data.root={clips}"]
    words += ["data.on_bad_clip=exclude", "data.cache_size=24"]
    config = prepare.data_config(prepare.parse_args(words))
    index = read_index(config, False)
    (folder,) = (tmp_path / "parts" / "data" / "cache").iterdir()
    caches = []
    for place in (folder, tmp_path / "whole"):
        monkeypatch.setattr(opening, "prepared_folder", lambda _, place=place: place)
        caches.append(build_cache(index, config, False))
    assert isinstance(caches[0], JoinedCache)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "parts").rglob("*.bin")} == after
    assert sorted(caches[0]) == sorted(caches[1])
    assert caches[0].broken == caches[1].broken
    assert all(np.array_equal(caches[0][key], caches[1][key]) for key in caches[1])


def test_parts_on_ray(clips, tmp_path) -> None:
    pytest.importorskip("ray", reason="Ray is an extra: pip install gesture3d[cluster]")
    (clips / "left" / "0.mp4").unlink()
    words = [sys.executable, str(PREPARE), "flow", "--data", "folder", "--short-side", "24"]
    words += ["--set", f"data.root={clips}", "--ray", "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "data").rglob("*.avi"))) == 11
