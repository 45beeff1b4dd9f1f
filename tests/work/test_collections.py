"""Blocks of a collection: listed once, done once, merged without gaps, however they were spread."""

import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE
from gesture3d.work import spread
from gesture3d.work.blocks import Work
from gesture3d.work.classify import header, table_rows
from gesture3d.work.manifest import open_manifest
from gesture3d.work.merge import only_work, status, write_table
from gesture3d.work.places import Entry, Store, as_place, filesystem, joined, local
from tests.forked_runs import Forked

ROOT = PACKAGE.parent
SUFFIXES = {".mp4", ".avi"}


@pytest.fixture
def clips(tmp_path) -> Path:
    folder = tmp_path / "clips"
    for number in range(100):
        path = folder / f"{number % 3}" / f"{number:03}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"clip %d" % number)
    return folder


def begin(out: object, listed: object, block: int = 16, **said) -> Work:
    store = Store(str(out))
    manifest = open_manifest(store, str(listed), SUFFIXES, block=block)
    work = Work(store, manifest, {"top": 1, **said})
    work.begin()
    return work


def entries_of(work: Work) -> list[Entry]:
    blocks = range(work.manifest.num_blocks)
    return [entry for block in blocks for entry in work.manifest.entries(work.store, block)]


def fake(work: Work, **how) -> spread.Job:
    return spread.Job("tests.work.fake", "open_worker", {"base": work.manifest.base} | how)


def do(work: Work, shard: tuple[int, int] = (0, 1), retry: bool = False, **how) -> list:
    return list(spread.in_this_process(fake(work, **how), work.todo(shard, retry)))


def merged(work: Work, path: Path) -> bytes:
    write_table(path, work, header(1), partial(table_rows, top=1))
    return path.read_bytes()


# --- lists ---------------------------------------------------------------------------------------


def test_all_forms_of_a_list_give_the_same_clips(clips, tmp_path, monkeypatch) -> None:
    paths = sorted(p.relative_to(tmp_path).as_posix() for p in clips.rglob("*.mp4"))
    (tmp_path / "list.csv").write_text("label,path\n" + "".join(f"x,{p}\n" for p in paths[::-1]))
    (tmp_path / "list.txt").write_text("\r\n".join(paths[::-1]) + "\r\n\r\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "here.txt").write_text("\n".join(paths))
    monkeypatch.chdir(tmp_path)  # what the paths of here.txt are relative to
    found = {}
    for number, name in enumerate(["list.csv", "list.txt", "elsewhere/here.txt", "clips"]):
        work = begin(tmp_path / f"o{number}", tmp_path / name)
        entries = [
            e for b in range(work.manifest.num_blocks) for e in work.manifest.entries(work.store, b)
        ]
        found[name] = [Path(joined(work.manifest.base, e.path)) for e in entries]
        assert [e.size for e in entries] == [p.stat().st_size for p in found[name]]
        assert [e.changed for e in entries] == [str(p.stat().st_mtime_ns) for p in found[name]]
    assert len({tuple(value) for value in found.values()}) == 1
    assert len(found["clips"]) == 100


def test_names_of_any_kind_survive(tmp_path) -> None:
    names = ["a,b.mp4", 'q"uote.mp4', "line\nbreak.mp4", "r\return.mp4", "挥.mp4", "\udce9.mp4"]
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).write_bytes(b"x")
    work = begin(tmp_path / "out", tmp_path / "in", block=2)
    assert [entry.path for entry in entries_of(work)] == sorted(names)
    do(work)
    assert [row["path"] for b in range(3) for row in work.rows(b)] == sorted(names)
    merged(work, tmp_path / "all.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "path\na.mp4\na.mp4\n", "a.mp4 is there twice"),
        ("l.txt", "a.mp4\nb/../a.mp4\n", "a.mp4 is there twice"),
        ("l.csv", "file\na.mp4\n", "no column 'path'"),
        ("l.csv", "path,label\n,x\n", "l.csv:2: empty path"),
        ("l.txt", "\n\n", "no clips in it"),
        ("l.txt", "a.tar.gz\n", "a.tar.gz is compressed"),
        ("l.txt", "a.tar\n", "not a whole, uncompressed tar"),
        ("l.doc", "a.mp4\n", "neither a .csv, a .txt, a .tar nor a folder"),
    ],
)
def test_an_unusable_list_is_one_line(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_text(content)
    (tmp_path / "a.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(Gesture3dError, match=message) as caught:
        begin(tmp_path / "out", tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_of_results_belongs_to_one_list(clips, tmp_path) -> None:
    (tmp_path / "l.txt").write_text(str(clips / "0" / "000.mp4"))
    begin(tmp_path / "out", tmp_path / "l.txt")
    begin(tmp_path / "out", tmp_path / "l.txt")
    for listed in (clips, tmp_path / "l.txt"):
        (tmp_path / "l.txt").write_text(str(clips / "1" / "001.mp4"))
        with pytest.raises(Gesture3dError, match="is of another list"):
            begin(tmp_path / "out", listed)


def test_tars_are_read_as_they_are(clips, tmp_path) -> None:
    """WebDataset's layout: the clip, and what belongs to it under the same name."""
    shards, paths = tmp_path / "shards", sorted(clips.rglob("*.mp4"))
    shards.mkdir()
    for number in range(4):
        with tarfile.open(shards / f"{number}.tar", "w") as tar:
            for path in paths[number::4]:
                tar.add(path, f"./{path.name}")
                tar.add(path, f"./{path.stem}.json")
                tar.add(path, f"./._{path.name}")  # as macOS does
                tar.add(path, f"__MACOSX/{path.name}")
    work = begin(tmp_path / "out", shards)
    assert work.manifest.count == 100
    do(work)
    plain = begin(tmp_path / "plain", clips)
    do(plain)
    rows = [
        {r["path"].rpartition("/")[2]: r["segments"] for b in range(7) for r in w.rows(b)}
        for w in (work, plain)
    ]
    assert rows[0] == rows[1]
    whole = (shards / "0.tar").read_bytes()
    (shards / "0.tar").write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(Gesture3dError, match=r"0.tar: not a whole, uncompressed tar"):
        begin(tmp_path / "again", shards)


def test_object_stores(clips, tmp_path) -> None:
    """In and out through fsspec gives what files give."""
    fs, _ = filesystem("memory://bucket")
    fs.put(str(clips), "/bucket/clips", recursive=True)
    fs.put(str(clips / "0" / "000.mp4"), "/bucket/clips/__MACOSX/0/000.mp4")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(clips / "0" / "000.mp4", "in.tar/a.mp4")
    fs.put(str(tmp_path / "a.tar"), "/bucket/clips/2/a.tar")
    work = begin("memory://bucket/out", "memory://bucket/clips")
    assert work.manifest.count == 101
    do(work)
    assert status(work).blocks_done == 7
    (tmp_path / "t").mkdir()
    as_files = begin(as_place(f"file://{tmp_path}/out/"), as_place(f"file://{clips}"))
    do(as_files)
    assert (tmp_path / "out" / "manifest.csv").is_file()
    table = merged(only_work(Store("memory://bucket/out")), tmp_path / "m.csv")
    rows = [r for r in table.splitlines() if b"a.tar" not in r]
    assert rows == merged(as_files, tmp_path / "f.csv").splitlines()


def test_a_clip_that_has_changed_since_is_a_row_with_its_reason(clips, tmp_path) -> None:
    work = begin(tmp_path / "out", clips)
    (clips / "0" / "003.mp4").write_bytes(b"longer than before")
    (clips / "0" / "006.mp4").unlink()
    assert sum(done.failed for done in do(work)) == 2
    errors = {row["path"]: row["error"] for row in work.rows(0) if row["error"]}
    assert "has changed since it was listed" in errors["0/003.mp4"]
    assert "No such file" in errors["0/006.mp4"]
    (clips / "0" / "006.mp4").write_bytes(b"clip 6")
    assert do(work) == []
    os.utime(clips / "0" / "006.mp4", ns=(0, int(work.manifest.entries(work.store, 0)[2].changed)))
    assert [(d.clips, d.failed) for d in do(work, retry=True)] == [(2, 1)]
    assert [row["path"] for row in work.rows(0) if row["error"]] == ["0/003.mp4"]


# --- blocks --------------------------------------------------------------------------------------


def test_however_it_is_spread_the_table_is_the_same(clips, tmp_path) -> None:
    works = [begin(tmp_path / f"o{n}", clips) for n in range(3)]
    do(works[0], closed=str(tmp_path / "closed"))
    assert (tmp_path / "closed").exists()
    for index in (2, 0, 1):
        do(works[1], (index, 3))
    done = list(spread.in_processes(fake(works[2]), works[2].todo((0, 1), False), ["cpu"] * 2))
    assert sum(d.clips for d in done) == 100
    tables = [merged(work, tmp_path / f"{n}.csv") for n, work in enumerate(works)]
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0].splitlines()) == 101
    assert do(works[2]) == []


def test_what_does_not_belong_together_is_not_merged(clips, tmp_path) -> None:
    work = begin(tmp_path / "out", clips)
    do(work, (0, 2))
    with pytest.raises(Gesture3dError, match=r"3 of 7 blocks are not done \(1, 3, 5\)"):
        merged(work, tmp_path / "t.csv")
    do(work)
    good = merged(work, tmp_path / "t.csv")
    names = [Path(work.store.path(work.name(block))) for block in range(7)]
    first, second = names[0].read_bytes(), names[1].read_bytes()
    for name, content, message in (
        (names[0], second, "not what its name says"),  # twice
        (names[0], first.replace(b"000.mp4", b"001.mp4"), "not what its name says"),
        (names[0], first[: len(first) // 2], "damaged"),
        (names[0], b"", "damaged"),
        (names[0].with_name(f"{names[0].stem} (1).jsonl"), first, "no block of this list"),
        (names[0].with_name(f"{work.hash}-000099.jsonl"), first, "no block of this list"),
    ):
        before = name.read_bytes() if name.exists() else None
        name.write_bytes(content)
        with pytest.raises(Gesture3dError, match=message):
            merged(work, tmp_path / "t.csv")
        name.unlink() if before is None else name.write_bytes(before)
    assert (tmp_path / "t.csv").read_bytes() == good
    other = begin(tmp_path / "out", clips, weights="others")
    assert other.hash != work.hash
    assert len(list(other.todo((0, 1), False))) == 7
    with pytest.raises(Gesture3dError, match="results of 2 different weights or settings"):
        only_work(work.store)
    assert merged(only_work(work.store, work.hash[:6]), tmp_path / "t.csv") == good


def test_status_tells_how_far_it_is(clips, tmp_path) -> None:
    work = begin(tmp_path / "out", clips)
    assert status(work).lines() == ["0 of 100 clips in 0 of 7 blocks, 0 of them failed"]
    (clips / "0" / "000.mp4").unlink()
    do(work, (0, 3), seconds=0.001)
    found = status(work)
    assert (found.clips_done, found.blocks_done, found.failed) == (36, 3, 1)
    assert 10 < found.rate < 1000
    assert found.seconds_left == pytest.approx(64 / found.rate)
    assert "minutes left" in found.lines()[1]


def test_workers_that_are_killed_cost_only_their_block(clips, tmp_path) -> None:
    """Killed at random: the pool starts others, and the table is that of an undisturbed one."""
    calm = begin(tmp_path / "calm", clips, block=4)
    do(calm)
    work = begin(tmp_path / "out", clips, block=4)
    pool, over = [], threading.Event()
    helper = spread.Helper

    def kill() -> None:
        rng = random.Random(0)
        while not over.wait(rng.uniform(0.05, 0.3)):
            started = [h for h in pool if h._process is not None]
            if started:
                rng.choice(started)._process.kill()

    def remembered(*arguments: str):
        pool.append(helper(*arguments))
        return pool[-1]

    spread.Helper, killer = remembered, threading.Thread(target=kill)
    killer.start()
    try:
        for _ in range(20):
            list(
                spread.in_processes(
                    fake(work, seconds=0.005), work.todo((0, 1), False), ["cpu"] * 2
                )
            )
            if status(work).blocks_done == 25:
                break
    finally:
        over.set()
        killer.join()
        spread.Helper = helper
    assert merged(work, tmp_path / "a.csv") == merged(calm, tmp_path / "b.csv")


def test_nothing_is_lost_on_a_full_disk(clips, tmp_path) -> None:
    """A limit on the size of files is a disk that is full in the middle of a block."""
    work = begin(tmp_path / "out", clips)
    do(work, (0, 4))
    program = f"""if True:
        import resource
        from tests.work.test_collections import *
        work = only_work(Store({str(tmp_path / "out")!r}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        do(work)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert "File too large" in done.stderr.splitlines()[-1]
    assert [p.name for p in (tmp_path / "out" / "blocks").iterdir() if p.name[0] == "."] == []
    assert status(work).blocks_done == 2
    do(work)
    assert len(merged(work, tmp_path / "t.csv").splitlines()) == 101


def test_a_folder_that_vanishes_ends_the_work(clips, tmp_path) -> None:
    work = begin(tmp_path / "out", clips)
    (tmp_path / "out").rename(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"manifest\.csv"):
        do(work)
    with pytest.raises(Gesture3dError, match="out has vanished"):
        work.write(0, [], 0.0, 0.0)
    assert not (tmp_path / "out").exists()
    (tmp_path / "gone").rename(tmp_path / "out")
    assert len(do(work)) == 7


def test_workers_that_cannot_work_say_why_once(clips, tmp_path) -> None:
    work = begin(tmp_path / "out", clips)
    tasks = list(work.todo((0, 1), False))
    with pytest.raises(Gesture3dError, match=r"^no such weights$"):
        list(spread.in_processes(fake(work, refuse=True), tasks, ["cpu"] * 2))


# --- shards --------------------------------------------------------------------------------------

SLURM = {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4"}


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        (None, {}, (0, 1)),
        ("2/8", {"RANK": "1", "WORLD_SIZE": "2"}, (2, 8)),
        (None, {"RANK": "1", "WORLD_SIZE": "2"}, (1, 2)),
        (None, {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, (3, 4)),
        (
            None,
            {
                "SLURM_ARRAY_TASK_ID": "4",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_COUNT": "4",
            },
            (3, 4),
        ),
        (None, {"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "5"}, (0, 5)),
        (None, {"JOB_COMPLETION_INDEX": "0"}, None),
        ("8/8", {}, None),
        ("x", {}, None),
    ],
)
def test_shards_are_those_of_the_scheduler(text, environment, expected) -> None:
    if expected is None:
        with pytest.raises(Gesture3dError, match="expected I/N"):
            spread.shard_of(text, environment)
    else:
        assert spread.shard_of(text, environment) == expected


def test_several_processes_begin_together(clips, tmp_path) -> None:
    """Three shards at once, killed and started again: one manifest, no gap, the same table."""
    program = tmp_path / "program.py"
    program.write_text(
        "from tests.work.test_collections import *\n"
        f"work = begin({str(tmp_path / 'out')!r}, {str(clips)!r}, block=4)\n"
        "do(work, spread.shard_of(None), seconds=0.01)\n"
    )

    def start(index: int) -> Forked:
        shard = {"RANK": str(index), "WORLD_SIZE": "3"}
        return Forked([sys.executable, program], env=shard, cwd=ROOT)

    processes = [start(index) for index in range(3)]
    deadline, rng = time.monotonic() + 60, random.Random(1)
    blocks = tmp_path / "out" / "blocks"
    while not (blocks.is_dir() and any(blocks.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    victim = rng.randrange(3)
    processes[victim].send_signal(signal.SIGKILL)
    processes[victim].wait()
    processes[victim] = start(victim)
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    calm = begin(tmp_path / "calm", clips, block=4)
    do(calm)
    work = only_work(Store(str(tmp_path / "out")))
    assert merged(work, tmp_path / "a.csv") == merged(calm, tmp_path / "b.csv")


def test_an_entry_outside_of_its_tar_is_refused(tmp_path) -> None:
    (tmp_path / "a.tar").write_bytes(b"x" * 100)
    entry = Entry("a.tar/b.mp4", 200, str((tmp_path / "a.tar").stat().st_mtime_ns), "a.tar", 50)
    with pytest.raises(OSError, match="ends within"), local(str(tmp_path), entry):
        pass
