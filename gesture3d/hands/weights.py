"""Where the weights of the hands' networks are, and how to get them. They are MediaPipe's
(Apache-2.0) and no part of this project."""

import gzip
import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from gesture3d.errors import Gesture3dError, naming
from gesture3d.files import atomic_path
from gesture3d.hands.tflite import read_graph
from gesture3d.zips import ZipReader

Size = Literal["lite", "full"]
FOLDER = Path("data/hands")
PUBLISHED = {  # SHA-256, as third_party/external_files.bzl of MediaPipe states them
    "palm_detection_lite": "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
    "palm_detection_full": "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    "hand_landmark_lite": "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
    "hand_landmark_full": "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
}
_OF_NPM = (  # the same networks in another wrapping
    "2f25e740121983f68ffc05f99991d524dc0ea812134f6316a26125816941ee85",
    "d7fde8ac11f8ce03f8663775bfc323f4fc9f2a38062b4f4efa142874ef5b2a48",
    "8c026882c9ec059ce0f8e75266bee5a9a23c341a40e0000df755374d3d1b9b68",
)
NAMES = tuple(PUBLISHED)
HOW = "get them with: tools/prepare.py fetch hands (with --from FILE where there is no network)"
_OTHER_NAMES = {
    "hand_detector": "palm_detection_full",
    "hand_landmarks_detector": "hand_landmark_full",
}  # in .task bundles
_MAX_BYTES, _MAX_UNPACKED = 1 << 26, 1 << 28
# In the npm package the palm detectors lie in one file, and a script says where.
_PACKED, _PLACES = "hands_solution_packed_assets.data", "hands_solution_packed_assets_loader.js"


def weights_folder() -> Path:
    """``data/hands``, or what the environment variable ``GESTURE3D_HANDS`` says."""
    return Path(os.environ.get("GESTURE3D_HANDS") or FOLDER)


def is_published(content: bytes) -> bool:
    """Whether it is one of MediaPipe's own files, whole."""
    return hashlib.sha256(content).hexdigest() in (*PUBLISHED.values(), *_OF_NPM)


def find_weights(name: str) -> Path:
    """The file of one of `NAMES`. Raises Gesture3dError where it is not there."""
    path = weights_folder() / f"{name}.tflite"
    if not path.is_file():
        raise Gesture3dError(f"{path}: the weights that find hands are not there; {HOW}")
    return path


def unpack_weights(source: Path, folder: Path) -> list[Path]:
    """Put the networks that ``source`` has into ``folder``, each checked.

    Args:
        source: a ``.tflite`` file of one of `NAMES`; a ``.task`` bundle; a wheel of MediaPipe; the
            npm package @mediapipe/hands (``.tgz``); or a folder with any of their contents.

    Raises:
        Gesture3dError: none of these, damaged, or without networks of hands.
    """
    found: dict[str, bytes] = {}
    try:
        for name, content in _networks(_files(source)):
            read_graph(content, f"{source}: {name}")
            found.setdefault(name, content)
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise Gesture3dError(f"{source}: cannot be read ({reason})") from None
    if not found:
        raise Gesture3dError(
            f"{source}: no networks of hands in it; expected the npm package @mediapipe/hands, a "
            f"wheel of MediaPipe, a .task bundle, or {NAMES[0]}.tflite, …"
        )
    paths = []
    for name, content in sorted(found.items()):
        path = folder / f"{name}.tflite"
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
        paths.append(path)
    return paths


def _networks(files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The networks of `NAMES` among files."""
    packed = {}
    for name, content in files:
        stem = name.rpartition("/")[2].removesuffix(".tflite")
        stem = _OTHER_NAMES.get(stem, stem)
        if stem in NAMES:
            yield stem, content
        elif stem in (_PACKED, _PLACES):
            packed[stem] = content
    if len(packed) == 2:
        places = packed[_PLACES].decode("utf-8", "replace")
        pattern = r'(\w+)\.tflite", "start": (\d{1,9}), "end": (\d{1,9})'
        for name, start, end in re.findall(pattern, places):
            if name in NAMES:
                yield name, packed[_PACKED][int(start) : int(end)]


def _is_wanted(name: str) -> bool:
    return name.endswith((".tflite", _PACKED, _PLACES))


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of what may be of use in a file, an archive or a folder."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_file() and _is_wanted(path.name):
                yield from _files(path)
        return
    with source.open("rb") as file:
        head = file.read(4)
    if head == b"PK\3\4":
        with naming(source), ZipReader(source) as archive:
            for name in filter(_is_wanted, archive.names):
                yield name, archive.read(name)
    elif head[:2] == b"\x1f\x8b":
        with gzip.open(source) as file:  # to its end, where the checksum is
            content = file.read(_MAX_UNPACKED + 1)
        if len(content) > _MAX_UNPACKED:
            raise ValueError(f"it unpacks to more than {_MAX_UNPACKED:,} bytes")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                if member.isfile() and _is_wanted(member.name):
                    yield member.name, archive.extractfile(member).read()
    elif _is_wanted(source.name) and source.stat().st_size <= _MAX_BYTES:
        yield source.name, source.read_bytes()
