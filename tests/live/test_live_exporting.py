"""Networks that are taken home from the page."""

import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from gesture3d.events import NO_GESTURE
from tests.clips import square_clip, write_clip
from tests.forked_runs import run_forked
from tests.inference.networks import few_blocks
from tests.live.running import running, untrained_run

exporting = pytest.importorskip("gesture3d.live.exporting")
for needed in exporting.NEEDED:
    pytest.importorskip(needed, reason="the extra 'export' is not installed")

HANDS = "weights/deepgru_hands-synthetic"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    few = ("data.num_frames=4", "data.size=32", "model.stem_stride=[2,4,4]", "model.variants=[]")
    with pytest.MonkeyPatch.context() as patch:
        few_blocks(patch)
        untrained_run(folder / "runs" / "clip", "folder", 1.0, *few, "model.width=0.03125")
    untrained_run(folder / "runs" / "causal", "stream_folder", 1.0)
    with running(folder / "clips", folder / "runs") as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_yet(server) -> None:
    server.live.exporting.status = {"state": "none"}


def taken_home(server, network: str, **more: object) -> zipfile.ZipFile:
    """Export, wait, download."""
    said = server.json("POST", "/api/export", {"network": network, **more})
    assert (said["state"], said["network"]) == ("running", network)
    until = time.monotonic() + exporting.MOST_SECONDS
    while (status := server.json("GET", "/api/state")["export"])["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.2)
    assert status["state"] == "done", status
    assert "largest difference of a score" in status["proof"]
    _, content, headers = server.ask("GET", "/api/export/file")
    assert headers["content-type"] == "application/zip"
    name = f"gestures-{status['kind']}"
    assert headers["content-disposition"] == f'attachment; filename="{name}.zip"'
    found = zipfile.ZipFile(io.BytesIO(content))
    assert {Path(file).parent.name for file in found.namelist()} == {name}
    return found


def test_a_network_of_clips_is_a_file_and_a_program_that_uses_it(
    server, tmp_path, monkeypatch
) -> None:
    few_blocks(monkeypatch)
    forking = SimpleNamespace(**vars(subprocess) | {"run": run_forked})
    monkeypatch.setattr(exporting, "subprocess", forking)
    before = set(server.live.clips.root.parent.rglob("*"))
    found = taken_home(server, "runs/clip", path=str(tmp_path / "evil"), name="../evil")
    new = set(server.live.clips.root.parent.rglob("*")) - before
    kept = server.live.clips.root / ".live" / "export"
    assert new - {kept, kept.parent, kept.parent.parent} == {kept / "gestures-onnx.zip"}
    found.extractall(tmp_path)
    folder = tmp_path / "gestures-onnx"
    assert "wave, nod" in (folder / "README.txt").read_text()
    clip = write_clip(tmp_path / "clip.mp4", square_clip("left", 3, frames=19))
    words = [sys.executable, "run_onnx.py", "network.onnx", str(clip)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder)
    assert {line.rsplit(" ", 1)[0] for line in done.stdout.splitlines()} == {
        "wave",
        "nod",
        NO_GESTURE,
    }, done.stderr


@pytest.mark.slow
def test_a_network_of_streams_is_a_page(server) -> None:
    found = taken_home(server, "runs/causal")
    said = json.loads(found.read("gestures-page/network.json"))
    assert (said["kind"], said["class_names"][0]) == ("step", "wave")
    assert {"gestures-page/index.html", "gestures-page/network.onnx"} <= set(found.namelist())
    readme = found.read("gestures-page/README.txt").decode()
    assert str(server.live.clips.root.parent) not in readme
    assert "In\nthis folder" in readme


@pytest.mark.parametrize("key", ["runs/none", "../runs/clip", "/etc/passwd", "runs/../x", None, 7])
def test_a_path_is_no_network(server, key) -> None:
    status, said, _ = server.ask("POST", "/api/export", {"network": key})
    assert (status, b"no such network" in said) == (400, True)
    assert server.live.exporting.status == {"state": "none"}


@pytest.mark.parametrize("query", ["", "?path=/etc/passwd", "?network=runs/clip", "/../../x"])
def test_there_is_no_file_before_one_was_made(server, query) -> None:
    status, said, _ = server.ask("GET", f"/api/export/file{query}")
    assert status in (400, 404)
    assert b"root:" not in said


def test_hands_stay_here(server) -> None:
    status, said, _ = server.ask("POST", "/api/export", {"network": HANDS})
    assert (status, b"by the whole picture" in said) == (400, True)


def test_one_at_a_time(server) -> None:
    server.live.exporting.status = {"state": "running", "network": "runs/clip"}
    status, said, _ = server.ask("POST", "/api/export", {"network": "runs/clip"})
    assert (status, b"is being exported already" in said) == (400, True)


def test_without_the_extra_it_says_what_to_install(server, monkeypatch) -> None:
    monkeypatch.setattr(exporting, "NEEDED", ("onnx", "onnx_that_is_not_there"))
    status, said, _ = server.ask("POST", "/api/export", {"network": "runs/clip"})
    assert status == 400
    assert b"onnx_that_is_not_there is not installed" in said
    assert b"--extra live --extra export" in said


def test_what_cannot_be_written_is_said_and_nothing_is_left(server) -> None:
    """A checkpoint that was cut off meanwhile."""
    path = server.live.networks.find("runs/clip").path
    content = path.read_bytes()
    try:
        path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 4))
        choice = exporting.Choice("runs/clip", path, "video", ())
        server.live.exporting.status = {"state": "running", "kind": "onnx"}
        server.live.exporting._export(choice)
    finally:
        path.write_bytes(content)
    status = server.live.exporting.status
    assert status["state"] == "failed"
    assert "best.safetensors" in status["error"]
    assert str(server.live.exporting.folder) not in status["error"]
    assert "Traceback" not in status["error"]
    assert list(server.live.exporting.folder.iterdir()) == []
    assert server.ask("GET", "/api/export/file")[0] == 400
