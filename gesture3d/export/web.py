"""A network in a page: static files that recognise gestures on the visitor's machine.

`page/` holds the page itself; what is written beside it: the step model, what it says of itself as
JSON, and onnxruntime-web's files, copied from its npm package.
"""

import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from gesture3d.errors import Gesture3dError
from gesture3d.export.described import Exported
from gesture3d.export.write import Source, export
from gesture3d.files import PACKAGE, write_text
from gesture3d.text import one_line

RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
INSTALLED = Path("node_modules/onnxruntime-web")
README = """A page that watches the camera and names gestures. Nothing leaves your computer.

Any host of static files serves it; browsers give the camera to https:// and localhost alone. In
this folder:

    python3 -m http.server 8000       then open http://localhost:8000
{missing}"""
MISSING = """
onnxruntime-web is not in this folder yet. Get it with npm, and copy three of its files here:

    npm pack onnxruntime-web
    tar xzf onnxruntime-web-*.tgz
    cp {files} {folder}
"""


def write_web(
    source: Source, folder: Path, samples: Sequence[Tensor] = (), runtime: Path | None = None
) -> tuple[Exported, bool]:
    """Write the page; the model is proven equal first, as any exported file.

    Args:
        source: a step model of a causal network that sees pixels.
        runtime: onnxruntime-web: the ``.tgz`` of ``npm pack``, or the unpacked package; None: of
            `INSTALLED`, where it is there.

    Returns:
        What was exported, and whether the runtime is with it.

    Raises:
        Gesture3dError: a network that the page cannot use, no runtime in ``runtime``, a folder
            that is not empty; nothing is written then.
    """
    said = source.exported
    if said.reads != "clips" or said.preparation["pixels"] not in ("rgb", "grey"):
        raise Gesture3dError(
            f"--to web: the page shows a camera's pictures to the network, and this one reads "
            f"{said.preparation.get('pixels', said.reads)}"
        )
    if said.online is None or said.rate_hz is None:
        raise Gesture3dError(
            "--to web: the weights do not say how events are decided; tools/evaluate.py "
            "--weights … --calibrate chooses it on the validation streams"
        )
    check_empty(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".web-") as temporary:
        made = Path(temporary) / "page"
        shutil.copytree(PACKAGE / "export" / "page", made)
        has_runtime = copy_runtime(runtime, made)
        exported = export(source, "onnx", made / "network.onnx", samples)
        write_text(made / "network.json", exported.to_json())
        missing = "" if has_runtime else instructions(Path())
        write_text(made / "README.txt", README.format(missing=missing))
        if folder.is_dir():
            folder.rmdir()  # empty
        made.rename(folder)
    return exported, has_runtime


def check_empty(folder: Path) -> None:
    """Raise Gesture3dError where something is there already."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise Gesture3dError(f"{folder}: there already; name a new or empty folder with --out")


def instructions(folder: Path) -> str:
    files = " ".join(f"package/dist/{name}" for name in RUNTIME)
    return MISSING.format(files=files, folder=folder)


def copy_runtime(runtime: Path | None, folder: Path) -> bool:
    """Whether it was there. Raises Gesture3dError where it is not in what was named."""
    place = INSTALLED if runtime is None else runtime
    if place.is_file():
        _unpack(place, folder)
        return True
    beside = place / "dist" if (place / "dist").is_dir() else place
    lacking = [name for name in RUNTIME if not (beside / name).is_file()]
    if lacking and runtime is None:
        return False
    if lacking:
        raise Gesture3dError(
            f"{runtime}: no onnxruntime-web, which has {lacking[0]}; npm pack onnxruntime-web "
            "gets it as a .tgz"
        )
    for name in RUNTIME:
        shutil.copyfile(beside / name, folder / name)
    return True


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as package:
            for name in RUNTIME:
                file = package.extractfile(f"package/dist/{name}")
                with file, (folder / name).open("wb") as copy:
                    shutil.copyfileobj(file, copy)
    except (OSError, tarfile.TarError, KeyError, EOFError, AttributeError) as error:
        raise Gesture3dError(
            f"{archive}: no onnxruntime-web of npm pack ({one_line(error, 100)})"
        ) from None
