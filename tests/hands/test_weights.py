"""Where weights come from: archives and folders of several kinds, and what is said without them."""

import io
import json
import tarfile
import zipfile

import pytest

from gesture3d.cli.prepare import main
from gesture3d.errors import Gesture3dError
from gesture3d.hands.engines import TorchNetwork, load_network
from gesture3d.hands.tracker import HandTracker
from gesture3d.hands.weights import NAMES, find_weights, unpack_weights
from tests.hands.tiny_networks import Model


def network(width: int) -> bytes:
    model = Model(1, 2, 2, width)
    return model.content(model.add("ADD", [0, 0], (1, 2, 2, width), {0: ("b", 0)}))


CONTENTS = {name: network(2 + number) for number, name in enumerate(NAMES)}


def npm_files() -> dict[str, bytes]:
    """As in the package: the palm detectors in one file, and a script that says where."""
    files = {f"hand_landmark_{k}.tflite": CONTENTS[f"hand_landmark_{k}"] for k in ("lite", "full")}
    packed, places = b"Left\nRight\n", []
    for name in ("palm_detection_full", "palm_detection_lite"):
        end = len(packed) + len(CONTENTS[name])
        places.append({"filename": f"/x/{name}.tflite", "start": len(packed), "end": end})
        packed += CONTENTS[name]
    files["hands_solution_packed_assets.data"] = packed
    script = f"var f = {json.dumps({'files': places})};"
    return files | {"hands_solution_packed_assets_loader.js": script.encode(), "hands.js": b"1"}


def test_every_source_gives_the_same_networks(tmp_path) -> None:
    tarball, wheel, folder = tmp_path / "hands.tgz", tmp_path / "m.whl", tmp_path / "package"
    folder.mkdir()
    with tarfile.open(tarball, "w:gz") as archive:
        for name, content in npm_files().items():
            (folder / name).write_bytes(content)
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in CONTENTS.items():
            archive.writestr(f"mediapipe/modules/{name[:14]}/{name}.tflite", content)
    for source in (tarball, wheel, folder):
        target = tmp_path / f"from {source.name}"
        paths = unpack_weights(source, target)
        assert {path.stem: path.read_bytes() for path in paths} == CONTENTS
    bundle = tmp_path / "hand_landmarker.task"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("hand_detector.tflite", CONTENTS["palm_detection_full"])
        archive.writestr("hand_landmarks_detector.tflite", CONTENTS["hand_landmark_full"])
    paths = unpack_weights(bundle, tmp_path / "bundle")
    assert [path.stem for path in paths] == ["hand_landmark_full", "palm_detection_full"]
    (single,) = unpack_weights(paths[0], tmp_path / "single")
    assert single.read_bytes() == CONTENTS["hand_landmark_full"]


def test_the_tool_takes_them_from_a_file(tmp_path, monkeypatch, capsys) -> None:
    source = tmp_path / "palm_detection_lite.tflite"
    source.write_bytes(CONTENTS["palm_detection_lite"])
    monkeypatch.setenv("GESTURE3D_HANDS", str(tmp_path / "weights"))
    monkeypatch.setattr("sys.argv", ["prepare", "fetch", "hands", "--from", str(source)])
    assert main() == 0
    path = tmp_path / "weights" / source.name
    assert capsys.readouterr().out == f"{path}\n"
    assert find_weights("palm_detection_lite") == path
    monkeypatch.setattr("sys.argv", ["prepare", "fetch", "utd_mhad", "--from", str(source)])
    with pytest.raises(Gesture3dError, match="only hands are taken from a file"):
        main()


@pytest.mark.parametrize(
    "kind",
    [
        *("empty zip", "locked", "odd zip", "cut tarball", "flipped tarball"),
        *("text", "damaged", "missing"),
    ],
)
def test_other_files_are_refused_in_one_line(kind, tmp_path) -> None:
    source = tmp_path / "palm_detection_lite.tflite"
    if kind == "empty zip":
        zipfile.ZipFile(source, "w").close()
    elif kind in ("locked", "odd zip"):
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("hand_landmark_lite.tflite", CONTENTS["hand_landmark_lite"])
        content = bytearray(source.read_bytes())
        begin = content.rindex(b"PK\1\2")
        place = 8 if kind == "locked" else 10  # its flags, its method
        content[begin + place] = content[place - 2] = 1 if kind == "locked" else 77
        source.write_bytes(content)
    elif kind == "flipped tarball":  # its script says where two of four networks are
        with tarfile.open(source, "w:gz", compresslevel=0) as archive:
            for name, content in npm_files().items():
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        content = bytearray(source.read_bytes())
        content[content.rindex(b"palm_detection_lite")] ^= 1
        source.write_bytes(content)
    elif kind == "cut tarball":
        with tarfile.open(source, "w:gz") as archive:
            member = tarfile.TarInfo("package/hand_landmark_lite.tflite")
            member.size = 10_000
            archive.addfile(member, io.BytesIO(bytes(range(250)) * 40))
        source.write_bytes(source.read_bytes()[:200])
    elif kind == "text":
        source = tmp_path / "notes.txt"
        source.write_text("networks")
    elif kind == "damaged":
        source.write_bytes(CONTENTS["palm_detection_lite"][:-40])
    with pytest.raises(Gesture3dError) as refusal:
        unpack_weights(source, tmp_path / "out")
    assert str(refusal.value).startswith(f"{source}: ")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_without_weights_one_line_says_how_to_get_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GESTURE3D_HANDS", str(tmp_path))
    with pytest.raises(Gesture3dError, match=r"not there; .*tools/prepare\.py fetch hands"):
        HandTracker()
    (tmp_path / "palm_detection_lite.tflite").write_bytes(CONTENTS["palm_detection_lite"][:300])
    (tmp_path / "hand_landmark_lite.tflite").write_bytes(CONTENTS["hand_landmark_lite"])
    with pytest.raises(Gesture3dError, match=r"palm_detection_lite\.tflite: a damaged"):
        HandTracker()


def test_litert_is_given_published_files_only(tmp_path) -> None:
    """It crashes on damaged ones."""
    path = tmp_path / "palm_detection_full.tflite"
    path.write_bytes(CONTENTS["palm_detection_full"])
    with pytest.raises(Gesture3dError, match="LiteRT runs only whole files that MediaPipe"):
        load_network(path, "litert")
    assert isinstance(load_network(path), TorchNetwork)
