"""Results of a collection that are read back: damaged ones are refused in one line."""

import json
from functools import partial
from pathlib import Path

import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.work.blocks import Work
from gesture3d.work.classify import header, table_rows
from gesture3d.work.manifest import open_manifest
from gesture3d.work.merge import only_work, status, write_table
from gesture3d.work.places import Store


@pytest.fixture
def work(tmp_path) -> Work:
    """Of two clips, finished."""
    for name in ("a", "b"):
        (tmp_path / "clips" / "x").mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / "x" / f"{name}.mp4").write_bytes(b"clip")
    return finished(tmp_path / "clips", tmp_path / "out")


def finished(source: Path, out: Path) -> Work:
    """The work of a folder, all of whose clips are of class x."""
    store = Store(str(out))
    manifest = open_manifest(store, str(source), [".mp4"])
    work = Work(store, manifest, {"top": 1})
    work.begin()
    for block in range(manifest.num_blocks):
        paths = [entry.path for entry in manifest.entries(store, block)]
        rows = [{"path": p, "error": None, "segments": [[None, None, [["x", 0.5]]]]} for p in paths]
        work.write(block, rows, 0.0, 1.0)
    return work


def merge(work: Work, path: Path) -> int:
    return write_table(path, work, header(1), partial(table_rows, top=1))


def changed(work: Work, line: int, change: dict) -> None:
    """The first block, with another value in one of its lines; None: without it."""
    path = Path(work.store.path(work.name(0)))
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines[line] = {n: v for n, v in (lines[line] | change).items() if v != "left out"}
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))


@pytest.mark.parametrize(
    "change",
    [
        *({"segments": value} for value in (5, [[0]], [[0, 1, "a"]], [[0, 1, 7]], "left out")),
        *({"segments": [[0, 1, [["x", value]]]]} for value in (None, "much", [1])),
        {"error": "left out"},
    ],
    ids=str,
)
def test_a_damaged_row_is_named(work, tmp_path, change) -> None:
    assert merge(work, tmp_path / "t.csv") == 2
    (tmp_path / "t.csv").unlink()
    changed(work, 1, change)
    with pytest.raises(Gesture3dError, match=r"the result of .*\.mp4 is damaged: remove its block"):
        merge(work, tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize(
    "change", [{"ended": "left out"}, {"clips": "2"}, {"failed": None}, {"started": [0]}], ids=str
)
def test_a_damaged_block_has_no_status(work, change) -> None:
    assert status(work).clips_done == 2
    changed(work, 0, change)
    with pytest.raises(Gesture3dError, match="damaged, or not what its name says"):
        status(work)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "{}", "{"])
def test_a_damaged_work_is_named(work, text) -> None:
    assert only_work(work.store) == work
    Path(work.store.path(f"work-{work.hash}.json")).write_text(text)
    with pytest.raises(Gesture3dError, match="damaged, or of another manifest"):
        only_work(work.store)


def test_a_manifest_of_other_blocks_than_it_says_is_damaged(work) -> None:
    path = Path(work.store.path("manifest.json"))
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"starts": [0, *said["starts"]]}))
    with pytest.raises(Gesture3dError, match=r"manifest\.json: damaged"):
        only_work(work.store)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "path\na.mp4\nb\0.mp4\n", "l.csv:3: a NUL in the path"),
        ("l.txt", "a.mp4\nb\0.mp4\n", "l.txt:2: a NUL in the path"),
        ("l.csv", "label\rpath\na.mp4\n", r"l.csv: no column 'path'"),
    ],
)
def test_an_unusable_line_of_a_list_is_named(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_bytes(content.encode())
    with pytest.raises(Gesture3dError, match=message):
        open_manifest(Store(str(tmp_path / "out")), str(tmp_path / name), [".mp4"])


def test_a_name_that_no_file_can_have_is_a_clip_that_is_not_there(tmp_path) -> None:
    names = ["a.mp4", "\u2028", "x" * 300 + ".mp4"]
    (tmp_path / "l.txt").write_text("\n".join(names) + "\n")
    store = Store(str(tmp_path / "out"))
    manifest = open_manifest(store, str(tmp_path / "l.txt"), [".mp4"])
    found = {entry.path: entry.size for entry in manifest.entries(store, 0)}
    assert found == dict.fromkeys(names, -1)
