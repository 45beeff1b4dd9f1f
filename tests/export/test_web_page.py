"""The page in Chromium: the same events as in Python, and a camera (rendered) that it watches.

Needs node's package onnxruntime-web: $ONNXRUNTIME_WEB names the .tgz of `npm pack onnxruntime-web`.
"""

import base64
import functools
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.cli import export as tool
from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.export import web
from gesture3d.export.described import Exported, Proof
from gesture3d.export.write import Source
from gesture3d.inference.classifier import Classifier
from gesture3d.inference.stream import Stream
from tests.export.test_export import CAUSAL, VIDEO, run
from tests.inference.networks import untrained
from tests.live.camera import write_y4m

for name in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(name, reason=f"{name}, of the extra export, is not installed")

RUNTIME = os.environ.get("ONNXRUNTIME_WEB", "node_modules/onnxruntime-web")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
NAMES = ("drink", "wave")
IN_PAGE = """async ({said, frames, times}) => {
  const ort = await import("./ort.wasm.min.mjs");
  const { Network, Stream } = await import("./stream.js");
  const stream = new Stream(await Network.load(ort, "network.onnx", said));
  const decided = [];
  for (const [n, text] of frames.entries()) {
    const bytes = Uint8ClampedArray.from(atob(text), (c) => c.charCodeAt(0));
    decided.push(...(await stream.push(bytes, 24, 24, times[n])));
  }
  return { decided, ended: stream.close() };
}"""


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A bright bar that goes to and fro before noise: (T, H, W, 3)."""
    rng = np.random.default_rng(0)
    found = rng.integers(0, 60, (150, 24, 24, 3)).astype(np.uint8)
    for number, frame in enumerate(found):
        place = int(10 + 9 * np.sin(number / 7) * np.sin(number / 31))
        frame[:, place : place + 4] = 220
    return found


@pytest.fixture(scope="module")
def causal(frames, tmp_path_factory) -> Classifier:
    """Untrained, with thresholds that its classes pass now and then."""
    folder = tmp_path_factory.mktemp("causal")
    settings = [
        *VIDEO,
        *CAUSAL,
        "data.cache_size=24",
        "data.pre_roll=0",
        "model.local_contrast=true",
    ]
    weights = untrained(folder, "variant_a", "stream_folder", None, *settings).weights
    model, description = checkpoint.load_model(weights)
    clip = torch.from_numpy(frames).movedim(-1, 1)[None]
    with torch.no_grad():
        scores = model.step_scores(clip)[0]
        by = (scores[:, 0] - scores[:, 1]).std()  # so that its classes take turns
        model.classifier.weight.div_(by)
        model.classifier.bias.copy_((model.classifier.bias - scores.mean(0)) / by)
        shares = model.step_scores(clip).softmax(2)[0]
    checkpoint.save(weights, model.state_dict(), description)
    levels = {name: float(shares[:, k].quantile(0.6)) for k, name in enumerate(NAMES)}
    checkpoint.add_online_decision(weights, OnlineDecision(levels, smoothing=0.2, lag=0.1))
    return Classifier(weights, "cpu")


def test_what_cannot_become_a_page_is_said(causal, tmp_path, capsys) -> None:
    words = ("--weights", causal.weights, "--to", "web", "--out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(Gesture3dError, match="full: there already; name a new or empty folder"):
        run(*words, tmp_path / "full")
    (tmp_path / "x.tgz").write_bytes(b"no archive")
    for wrong, said in (
        (tmp_path / "x.tgz", r"x\.tgz: no onnxruntime-web"),
        (tmp_path, "which has"),
    ):
        with pytest.raises(Gesture3dError, match=said):
            run(*words, tmp_path / "new", "--runtime", wrong)
    other = tmp_path / "other"
    other.mkdir()
    offline = untrained(other, "variant_a", "folder", None, *VIDEO).weights
    with pytest.raises(Gesture3dError, match="looks at whole samples, so it has no steps"):
        run("--weights", offline, "--to", "web", "--out", tmp_path / "new")
    undecided = untrained(
        other, "variant_a", "stream_folder", None, *VIDEO, *CAUSAL, "data.pre_roll=0"
    )
    with pytest.raises(Gesture3dError, match=r"how events are decided; .* --calibrate"):
        run("--weights", undecided.weights, "--to", "web", "--out", tmp_path / "new")
    joints = untrained(other, "gru", "sfinge3d_stream", 6, "model.causal=true")
    with pytest.raises(Gesture3dError, match="this one reads sequences"):
        run("--weights", joints.weights, "--to", "web", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    for wrong in (
        ("--to", "web"),
        ("--to", "web", "--clip", "--out", "x"),
        ("--to", "onnx", "--runtime", "x"),
    ):
        with pytest.raises(SystemExit):
            tool.parse_args(["--weights", "w", *wrong])
    capsys.readouterr()


def test_without_the_runtime_it_says_how_to_get_it(causal, tmp_path, monkeypatch, capsys) -> None:
    def write(source: Source, kind: str, path: Path, samples: Sequence[torch.Tensor]) -> Exported:
        path.write_bytes(b"as test_export.py proves it")  # 10 s
        return replace(source.exported, proof=Proof(0.0, "none", []))

    monkeypatch.setattr(web, "export", write)
    monkeypatch.chdir(tmp_path)
    run("--weights", causal.weights, "--to", "web", "--out", "page")
    printed = capsys.readouterr().out
    assert "npm pack onnxruntime-web" in printed
    assert "http.server 8000 --directory page" in printed
    assert printed.count("npm pack") == Path("page/README.txt").read_text().count("npm pack") == 1
    names = {"network.onnx", "network.json", "README.txt", "index.html", "page.js"}
    assert names | {"stream.js", "frames.js", "decisions.js"} == {
        p.name for p in Path("page").iterdir()
    }
    said = json.loads(Path("page/network.json").read_text())
    assert said["kind"] == "step"
    assert said["online"]["smoothing"] == 0.2


@pytest.fixture(scope="module")
def page(causal, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """Its address and its folder."""
    if not Path(RUNTIME).exists():
        pytest.skip("onnxruntime-web is not here ($ONNXRUNTIME_WEB)")
    folder = tmp_path_factory.mktemp("page") / "page"
    run("--weights", causal.weights, "--to", "web", "--out", folder, "--runtime", RUNTIME)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words) -> None:
        pass


@pytest.fixture(scope="module")
def browser(frames, tmp_path_factory) -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("there is no Chromium here")
    film = tmp_path_factory.mktemp("camera") / "film.y4m"
    write_y4m(film, frames)
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    camera += [f"--use-file-for-fake-video-capture={film}", "--no-sandbox"]
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=camera)
        yield opened
        opened.close()


def test_the_same_frames_have_the_same_events_in_the_page(page, browser, causal, frames) -> None:
    address, folder = page
    said = json.loads((folder / "network.json").read_text())
    rng = np.random.default_rng(1)
    times = (5 + np.cumsum(rng.uniform(0.02, 0.15, len(frames)))).tolist()
    times[90:] = [time + 3 for time in times[90:]]  # a gap, behind which the stream begins anew
    stream, expected = Stream(causal), []
    for frame, time in zip(frames, times, strict=True):
        expected += stream.push(frame, time)
    ended = stream.close()
    rgba = np.concatenate([frames, np.full((*frames.shape[:3], 1), 255, np.uint8)], 3)
    given = [base64.b64encode(frame.tobytes()).decode() for frame in rgba]
    tab = browser.new_page()
    tab.goto(address)
    found = tab.evaluate(IN_PAGE, {"said": said, "frames": given, "times": times})
    tab.close()
    assert len(expected) >= 4
    assert {event.label for event in expected} == {"drink", "wave"}
    for ours, theirs in ((found["decided"], expected), (found["ended"], ended)):
        assert [event["label"] for event in ours] == [event.label for event in theirs]
        rows = [[e["start"], e["end"], e["decided"], e["score"]] for e in ours]
        wanted = [[e.start, e.end, e.decided, e.score] for e in theirs]
        np.testing.assert_allclose(rows, wanted, atol=1e-4)


def test_the_page_watches_the_camera(page, browser) -> None:
    address, folder = page
    place = folder / "network.json"
    said = json.loads(place.read_text())
    said["online"]["thresholds"] = {"drink": 0.01, "wave": 0.01}  # the first step decides
    place.write_text(json.dumps(said))
    tab, problems = browser.new_page(), []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(address)
    tab.click("#camera:not([disabled])", timeout=60_000)
    tab.wait_for_function(
        "gesture3d.counts.events > 0 && gesture3d.stream().stepMilliseconds.length > 3"
    )
    assert tab.locator("#events li").first.inner_text().split()[-3] in ("drink", "wave")
    assert tab.locator("#bars div").count() == 2
    assert "a step takes" in tab.locator("#figures").inner_text()
    assert tab.locator("#message").inner_text() == ""
    if shown := os.environ.get("SCREENSHOT"):
        tab.screenshot(path=shown)
    tab.close()
    assert not problems


def test_a_page_without_the_runtime_says_so(page, browser) -> None:
    address, folder = page
    (folder / "ort.wasm.min.mjs").rename(folder / "away")
    tab = browser.new_page()
    tab.goto(address)
    tab.wait_for_function("document.getElementById('message').textContent.includes('README.txt')")
    tab.close()
    (folder / "away").rename(folder / "ort.wasm.min.mjs")
