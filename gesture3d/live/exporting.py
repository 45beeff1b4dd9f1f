"""Networks for other programs, made in a process of its own and taken home as one zip: of a network
that follows streams a page that watches a camera, of one that reads whole clips an ONNX file.

The process: python -m gesture3d.live.exporting WEIGHTS KIND ZIP.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE, atomic_path, child_environment, write_text
from gesture3d.live.disk import check_room, disk_words
from gesture3d.live.networks import Choice, Networks

NEEDED = ("onnx", "onnxruntime", "onnxscript")
KINDS = {"stream": "page", "video": "onnx"}  # of networks → what is made of them
MOST_SECONDS = 900
README = """A network that names gestures: {names}.

    pip install onnxruntime numpy opencv-python-headless
    python run_onnx.py network.onnx clip.mp4

run_onnx.py shows all that a program of your own has to do. network.onnx runs wherever onnxruntime
does: in Python, JavaScript, C++, C#, Java, on telephones. Checked: {proof}.
"""


class Exporting:
    """The one export of a server.

    Args:
        folder: where it is kept, under names of our own, until the next one.

    Attributes:
        status: what the page shows: ``state`` is none, running, done or failed.
    """

    def __init__(self, folder: Path, networks: Networks) -> None:
        self.folder, self.networks = folder, networks
        self.status: dict[str, Any] = {"state": "none"}
        self._one_at_a_time = threading.Lock()
        shutil.rmtree(folder, ignore_errors=True)  # of a server before

    def start(self, key: object) -> dict[str, Any]:
        """Begin with this network. Raises Gesture3dError where that cannot be, and says why."""
        choice = self.networks.find(key)
        if choice.kind not in KINDS:
            raise Gesture3dError(
                "this network reads hands, which programs without gesture3d cannot find; train “by "
                "the whole picture” to take a network along"
            )
        if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
            raise Gesture3dError(
                f"{', '.join(missing)} is not installed: end the program and start it with uv run "
                "--extra live --extra export tools/serve.py, or pip install 'gesture3d[export]'"
            )
        check_room(self.folder, "press Export again")
        with self._one_at_a_time:
            if self.status["state"] == "running":
                raise Gesture3dError("a network is being exported already; wait for it")
            self.status = {"state": "running", "network": choice.key, "kind": KINDS[choice.kind]}
        threading.Thread(target=self._export, args=(choice,), daemon=True).start()
        return self.status

    def file(self) -> Path:
        """The finished zip. Raises Gesture3dError where there is none."""
        if self.status["state"] != "done":
            raise Gesture3dError("there is no exported network (any more); press Export")
        return self._zip(self.status["kind"])

    def _zip(self, kind: str) -> Path:
        return self.folder / f"gestures-{kind}.zip"

    def _export(self, choice: Choice) -> None:
        kind = self.status["kind"]
        try:
            said = {"state": "done", "proof": self._run(choice.path, kind)}
            said["bytes"] = self._zip(kind).stat().st_size
        except Gesture3dError as error:
            said = {"state": "failed", "error": str(error)}
        except OSError as error:
            said = {"state": "failed", "error": disk_words(error)}
        self.status = self.status | said

    def _run(self, weights: Path, kind: str) -> str:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        words = [sys.executable, "-m", __name__, weights, kind, self._zip(kind)]
        try:
            done = subprocess.run(
                [str(word) for word in words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=child_environment(),
                timeout=MOST_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise Gesture3dError(f"exporting took more than {MOST_SECONDS // 60} minutes") from None
        if done.returncode == 0:
            return done.stdout.splitlines()[-1]
        check_room(self.folder, "press Export again")  # of whatever it died
        lines = done.stderr.splitlines() or ["it ended without a word (out of memory?)"]
        raise Gesture3dError(f"it could not be exported: {lines[-1][:500]}")


def main(weights: str, kind: str, target: str) -> int:
    """The process: write, check, pack; prints what was proven."""
    path = Path(target)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.stem
        try:
            proof = write(Path(weights), kind, made)
            pack(made, path)
        except (Gesture3dError, OSError) as error:
            print(str(error).replace(f"{made}/", ""), file=sys.stderr)
            return 1
    print(proof)
    return 0


def write(weights: Path, kind: str, folder: Path) -> str:
    """What is taken home, into a new folder; in words how it was compared with the network."""
    from gesture3d.export.samples import of_split
    from gesture3d.export.write import export, in_words, open_source

    source = open_source(weights, step=kind == "page")
    samples, _ = of_split(weights, "validation", 16)
    if kind == "page":
        from gesture3d.export.web import write_web

        return in_words(write_web(source, folder, samples)[0])
    folder.mkdir()
    proof = in_words(export(source, "onnx", folder / "network.onnx", samples))
    shutil.copyfile(PACKAGE / "export" / "run_onnx.py", folder / "run_onnx.py")
    names = ", ".join(source.exported.class_names)
    write_text(folder / "README.txt", README.format(names=names, proof=proof))
    return proof


def pack(folder: Path, path: Path) -> None:
    """The files of a folder as a zip, below the folder's name."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as z:
        for file in sorted(folder.iterdir()):
            z.write(file, f"{folder.name}/{file.name}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
