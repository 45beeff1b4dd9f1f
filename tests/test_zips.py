"""Zip files that are damaged or hostile: one line each, bounded time and memory."""

import io
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from gesture3d import zips
from gesture3d.config import load_data
from gesture3d.data import build_datasets, read_index
from gesture3d.data.archive import Archive
from gesture3d.errors import Gesture3dError
from gesture3d.zips import ZipReader


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def patched(content: bytes, local: int, central: int, value: bytes) -> bytes:
    """Bytes changed at an offset of the only member's local and central header."""
    changed = bytearray(content)
    for start, offset in ((0, local), (content.index(b"PK\x01\x02"), central)):
        changed[start + offset : start + offset + len(value)] = value
    return bytes(changed)


def swallowed(content: bytes) -> bytes:
    """The first of two members' comment as long as the second one's entry in the list."""
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 1)
    changed = bytearray(content)
    changed[first + 32 : first + 34] = struct.pack("<H", content.index(b"PK\x05\x06") - second)
    return bytes(changed)


DATA = np.random.default_rng(0).bytes(2000) + b"text " * 500
GOOD = zipped({"a.txt": DATA})
BODY = 30 + len("a.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD[: len(GOOD) // 2], "not a readable zip"),
        (b"", "not a readable zip"),
        (GOOD[:BODY] + b"\xff" * 9 + GOOD[BODY + 9 :], "damaged in the archive"),
        (GOOD[: BODY + 500] + b"\0" + GOOD[BODY + 501 :], "damaged in the archive"),
        (patched(GOOD, 6, 8, b"\1\0"), "encrypted; unpack"),
        (patched(GOOD, 8, 10, struct.pack("<H", 9)), "packed by deflate64, not deflate"),
        (patched(GOOD, 8, 10, struct.pack("<H", 77)), "packed by 77, not deflate"),
        (zipped({"a.txt": DATA}, zipfile.ZIP_LZMA), "packed by lzma"),
        (patched(GOOD, 4, 6, struct.pack("<H", 99)), "damaged|not a readable zip"),
        (patched(GOOD, 22, 24, struct.pack("<I", 99999)), "damaged in the archive"),
        (patched(GOOD, 30, 46, b"/.txt"), r"member's name is '/\.txt'"),
        (patched(GOOD, 30, 46, b"../xt"), r"member's name is '\.\./xt'"),
        (patched(GOOD, 30, 46, b"a\n\x1bxt"), r"member's name is 'a\\n\\x1bxt'"),
        (GOOD.replace(b"a.txt", b"b.txt", 1), "damaged at the member 'a.txt'"),
        (swallowed(zipped({"a.txt": DATA, "b.txt": DATA})), "a list of 1 members, where 2 are"),
    ],
)
def test_a_zip_that_cannot_be_read_says_why(content, message) -> None:
    with pytest.raises(Gesture3dError, match=message) as caught:
        ZipReader(io.BytesIO(content)).read("a.txt")
    assert "\n" not in str(caught.value)


def test_good_members_are_read_each_once() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in ("d/", "d/é.txt", "d/x"):
            archive.writestr(name, name if name[-1] != "/" else "")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("d/x", "again")
    reader = ZipReader(content)
    assert reader.names == ("d/é.txt", "d/x")
    assert reader.read("d/é.txt").decode() == "d/é.txt"


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch) -> None:
    monkeypatch.setattr(zips, "FREE_BYTES", 1 << 20)
    with pytest.raises(Gesture3dError, match=r"unpacks from [\d,]+ to 20,971,520 bytes"):
        ZipReader(io.BytesIO(zipped({"a.txt": bytes(20 << 20)})))
    monkeypatch.setattr(zips, "MAX_MEMBERS", 3)
    with pytest.raises(Gesture3dError, match="4 members; at most 3"):
        ZipReader(io.BytesIO(zipped({str(n): b"" for n in range(4)})))


def test_a_member_larger_than_it_says_is_not_unpacked() -> None:
    """64 MiB of zeros that the archive calls 100 bytes."""
    content = patched(zipped({"a.txt": bytes(64 << 20)}), 22, 24, struct.pack("<I", 100))
    tracemalloc.start()
    with pytest.raises(Gesture3dError, match="damaged in the archive"):
        ZipReader(io.BytesIO(content)).read("a.txt")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_zips_in_zips_end(tmp_path) -> None:
    deep = zipped({"readme.txt": b"nothing"})
    for _ in range(6):
        deep = zipped({"a.zip": deep, "b.zip": deep})  # 64 ways down
    (tmp_path / "deep.zip").write_bytes(deep)
    (tmp_path / "wide.zip").write_bytes(zipped({f"{n}.zip": zipped({"x": b""}) for n in range(30)}))
    for name in ("deep.zip", "wide.zip"):
        with pytest.raises(Gesture3dError, match=r"too many zips inside .*; unpack the right one"):
            Archive(tmp_path / name, "RawData/labels.txt", "HAPT")
    inner = zipped({"Set/labels.txt": b"1 2\n"})
    (tmp_path / "good.zip").write_bytes(zipped({"1.zip": zipped({"2.zip": inner})}))
    assert Archive(tmp_path / "good.zip", "labels.txt", "x").numbers("labels.txt").shape == (1, 2)
    broken = zipped({"1.zip": inner[:60], "2.zip": inner})
    (tmp_path / "broken.zip").write_bytes(broken)
    with pytest.raises(Gesture3dError, match=r"broken\.zip/1\.zip: not a readable zip"):
        Archive(tmp_path / "broken.zip", "labels.txt", "x")


def mat(name: str, values: np.ndarray) -> bytes:
    content = io.BytesIO()
    savemat(content, {name: values})
    return content.getvalue()


def test_a_member_by_an_absolute_path_is_not_read_from_disk(tmp_path) -> None:
    secret = tmp_path / "elsewhere" / "a1_s1_t1_depth.mat"
    secret.parent.mkdir()
    secret.write_bytes(mat("d_depth", np.ones((4, 4, 3), np.uint16)))
    (tmp_path / "Depth.zip").write_bytes(zipped({str(secret): b"x"}))
    with pytest.raises(Gesture3dError, match="member's name is"):
        read_index(load_data("utd_mhad_depth", [f"data.root={tmp_path}"]))


def test_mutated_zips_give_what_was_in_them_or_one_line(tmp_path) -> None:
    members = {f"Skeleton/a{a}_s1_t1_skeleton.mat": mat("d_skel", SKELETON + a) for a in (1, 2)}
    data = load_data("utd_mhad_skeleton", [f"data.root={tmp_path}"])
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        content = mutated(zipped(members), rng)
        found = outcome(lambda content=content: read_all(content))
        if isinstance(found, str):
            (tmp_path / "Skeleton.zip").write_bytes(content)
            with pytest.raises(Gesture3dError, match=re.escape(str(tmp_path / "Skeleton.zip"))):
                build_datasets(data, 0, progress=False)
            refused += 1
        else:
            assert found == members
    assert refused > 200


def read_all(content: bytes) -> dict[str, bytes]:
    reader = ZipReader(io.BytesIO(content))
    return {name: reader.read(name) for name in reader.names}


def outcome(read: Callable):
    """What a reader returns, or the one line of its error."""
    try:
        return read()
    except Gesture3dError as error:
        message = str(error)
    assert "\n" not in message
    return message


SKELETON = np.random.default_rng(1).normal(size=(20, 3, 5))


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one of a few kinds of damage."""
    values = bytearray(content)
    kind, start = rng.integers(4), int(rng.integers(len(values)))
    if kind == 0:
        return bytes(values[:start])
    if kind == 1:
        del values[start : start + int(rng.integers(1, 30))]
    elif kind == 2:
        values[start:start] = rng.bytes(int(rng.integers(1, 30)))
    else:
        for place in rng.integers(len(values), size=3):
            values[place] = rng.integers(256)
    return bytes(values)


@pytest.mark.parametrize(
    ("recipe", "archive", "name"),
    [
        ("utd_mhad_skeleton", "Skeleton.zip", f"Skeleton/a1_s{'1' * 5000}_t1_skeleton.mat"),
        ("utd_mhad_skeleton", "Skeleton.zip", f"Skeleton/a{'0' * 5000}_s1_t1_skeleton.mat"),
        ("sfinge3d", "Dictionary.zip", "Dictionary/²/1.txt"),
        ("sfinge3d", "Dictionary.zip", f"Dictionary/1/{'1' * 5000}.txt"),
    ],
)
def test_a_name_with_a_number_that_is_none_is_named(tmp_path, recipe, archive, name) -> None:
    (tmp_path / archive).write_bytes(zipped({name: mat("d_skel", SKELETON)}))
    with pytest.raises(Gesture3dError, match=r"zip/.*: expected"):
        build_datasets(load_data(recipe, [f"data.root={tmp_path}"]), 0, progress=False)


def test_the_zip_that_was_looked_into_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.zip").write_bytes(GOOD)
    with pytest.raises(Gesture3dError, match=r"nor in other\.zip; point data\.root"):
        Archive(tmp_path, "RawData/labels.txt", "HAPT")
