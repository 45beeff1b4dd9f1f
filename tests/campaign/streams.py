"""Streams with events in them: anyone's, and the sets that people know."""

from pathlib import Path

import cv2
import numpy as np

from gesture3d.config import load_data
from gesture3d.data import read_index
from gesture3d.data.inertial.sets.opportunity import GESTURES, NUM_COLUMNS, TEST, TRAIN
from gesture3d.events import read_annotations

from .arrays import archived, hapt_files, rows_of, walk
from .judge import Kind, Outcome, outcome
from .texts import count_lines, count_rows, odd_table

NAMES = ("a", "b", "c")


def _write_annotations(folder: Path, suffix: str, seconds: float) -> list[Path]:
    """Of three streams, eight events each; columns as `gesture3d.events` has them."""
    rows, length = ["path,label,start,end"], seconds / 8
    for name in NAMES:
        for number in range(8):
            label = ("swipe left", "push")[number % 2]
            start = number * length
            rows.append(f"{name}{suffix},{label},{start:.3f},{start + 0.6 * length:.3f}")
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")
    return [folder / "annotations.csv"]


def _make_joint_streams(folder: Path) -> list[Path]:
    for number, name in enumerate(NAMES):
        np.save(folder / f"{name}.npy", walk(160, 5, 3, seed=number).astype(np.float32))
    return _write_annotations(folder, ".npy", 8.0)


def _make_recorded_streams(folder: Path) -> list[Path]:
    header = "ax,ay,az,gx,gy,gz"
    for number, name in enumerate(NAMES):
        (folder / f"{name}.csv").write_bytes(rows_of(walk(200, 6, seed=number), ",", header))
    return _write_annotations(folder, ".csv", 4.0)


def _make_video_streams(folder: Path) -> list[Path]:
    """Folders of frames, 12 a second by the recipe."""
    picture = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    for name in NAMES:
        (folder / name).mkdir()
        for number in range(48):
            (folder / name / f"{number:03d}.png").write_bytes(picture)
    return _write_annotations(folder, "", 4.0)


def _read_streams(recipe: str, *settings: str):
    """The file of events as the set takes it, and as what a program found may be read."""

    def read(folder: Path, path: Path) -> Outcome:
        found = read_annotations(path, may_overlap=True)
        index = read_index(load_data(recipe, [f"data.root={folder}", *settings]), progress=False)
        events = [(item.key, item.events) for item in index.items]
        times = np.array([t for _, own in events for e in own for t in (e.start, e.end)])
        return outcome((sum(map(len, found.values())),), index.class_names, events, times)

    return read


def _rows_with_events(path: Path) -> int:
    """Rows, less those that name a stream and nothing else, as documented."""
    lines = path.read_text("utf-8", "replace").splitlines()
    alone = sum(bool(x.strip(",; \t")) and not x.partition(",")[2].strip(", \t") for x in lines)
    return count_rows(path) - alone


# --- sets ----------------------------------------------------------------------------------------


def _make_sequences(folder: Path) -> list[Path]:
    """SFINGE3D: the dictionary, a recording in a folder, and what is in it."""
    for label in range(1, 14):
        (folder / "Dictionary" / str(label)).mkdir(parents=True)
        content = rows_of(walk(8, 140, seed=label), ";")
        (folder / "Dictionary" / str(label) / "1.txt").write_bytes(content)
    recordings = folder / "Sequences"
    recordings.mkdir()
    for number in (1, 2, 3):
        (recordings / f"{number}.txt").write_bytes(rows_of(walk(60, 140, seed=number), ","))
    truth = "".join(f"{n},2,{n},5,20,{n + 4},30,48\n" for n in (1, 2, 3))
    (recordings / "sequencesGT.csv").write_text(truth)
    return sorted(recordings.iterdir())


def _make_sequences_zip(folder: Path) -> list[Path]:
    members = {f"Sequences/{path.name}": path.read_bytes() for path in _make_sequences(folder)}
    for name in members:
        (folder / name).unlink()
    (folder / "Sequences").rmdir()
    return [archived(folder / "Sequences_1-3.zip", members)]


def _read_sequences(folder: Path, path: Path) -> Outcome:
    settings = [f"data.root={folder}", "data.num_train=1", "data.stream_seconds=4"]
    index = read_index(load_data("sfinge3d_stream", settings), progress=False)
    found = [item for item in index.items if item.split != "train"]
    events = [(item.key, item.split, item.events) for item in found]
    frames = sum(len(item.content) for item in found)
    sizes = (frames,) if path.name[0].isdigit() else (len(found), frames)
    return outcome(sizes, events, *(item.content for item in found))


def _recorded_frames(path: Path) -> int | None:
    """Lines with something in them of all recordings: one that lost whole lines is a recording."""
    if path.suffix != ".txt":
        return None
    texts = [p.read_bytes().split(b"\n") for p in path.parent.glob("*.txt")]
    return sum(bool(line.strip()) for lines in texts for line in lines)


def _make_hapt_streams(folder: Path) -> list[Path]:
    for name, content in hapt_files().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return [folder / "RawData/labels.txt", folder / "Test/subject_id_test.txt"]


def _read_hapt_streams(folder: Path, _: Path) -> Outcome:
    settings = [f"data.root={folder}", "data.postural_transitions=false"]
    settings += ["data.validation_groups=[]", "data.validation_share=0"]
    index = read_index(load_data("hapt_stream", settings), progress=False)
    rows = [(item.key, item.group, item.split, item.events) for item in index.items]
    return outcome(
        (sum(len(i.events) for i in index.items),), rows, *(i.content for i in index.items)
    )


def _hapt_stretches(path: Path) -> int | None:
    """Lines of the labels: a list that lost whole lines is a list."""
    return count_lines(path) if path.name == "labels.txt" else None


def _make_opportunity(folder: Path) -> list[Path]:
    codes = list(GESTURES)
    for number, run in enumerate(TRAIN + TEST):
        table = np.round(walk(8, NUM_COLUMNS, seed=number) * 100)
        table[:, -1] = codes[number % len(codes)]
        lines = [" ".join(f"{value:.0f}" for value in row) for row in table]
        (folder / f"{run}.dat").write_text("\n".join(lines) + "\n")
    return sorted(folder.glob("*.dat"))


def _read_opportunity(folder: Path, _: Path) -> Outcome:
    settings = [f"data.root={folder}", "data.window=4", "data.step=2"]
    index = read_index(load_data("opportunity", settings), progress=False)
    rows = [(i.key, i.label, i.group, i.split) for i in index.items]
    return outcome((len(rows),), rows, np.stack([i.content for i in index.items]))


def _opportunity_windows(path: Path) -> int:
    """Windows of 4 rows, 2 apart, of all files by their lines."""
    count = 0
    for file in path.parent.glob("*.dat"):
        rows = sum(bool(line.strip()) for line in file.read_bytes().split(b"\n"))
        count += max((rows - 4) // 2 + 1, 0)
    return count


def _make_signs(folder: Path) -> list[Path]:
    rows, arrays = ["key,label,person,frames"], {}
    for number in range(12):
        arrays[f"s{number}"] = walk(6, 42, 3, seed=number).astype(np.float32)
        rows.append(f"s{number},{('hello', 'thanks')[number % 2]},p{number // 4},6")
    np.savez_compressed(folder / "hands.npz", **arrays)
    (folder / "sequences.csv").write_text("\n".join(rows) + "\n")
    return sorted(folder.iterdir())


def _read_signs(folder: Path, _: Path) -> Outcome:
    index = read_index(
        load_data("webcam_signs", [f"data.root={folder}", "data.folds=none"]), progress=False
    )
    rows = [(i.key, i.label, i.group) for i in index.items]
    return outcome((len(rows),), index.class_names, rows, *(i.content for i in index.items))


def _listed_signs(path: Path) -> int | None:
    return count_rows(path) if path.suffix == ".csv" else None


def kinds() -> list[Kind]:
    def events(name: str, make, recipe: str, *settings: str) -> Kind:
        return Kind(name, make, _read_streams(recipe, *settings), _rows_with_events, odd_table)

    sequences = (_read_sequences, _recorded_frames)
    opportunity = (_make_opportunity, _read_opportunity, _opportunity_windows)
    return [
        events("events of joints", _make_joint_streams, "skeleton_stream_folder"),
        events("events of recordings", _make_recorded_streams, "inertial_stream_folder"),
        events("events of videos", _make_video_streams, "stream_folder"),
        Kind("Sequences (SFINGE3D)", _make_sequences, *sequences, odd_table),
        Kind("Sequences.zip (SFINGE3D)", _make_sequences_zip, *sequences),
        Kind("HAPT streams", _make_hapt_streams, _read_hapt_streams, _hapt_stretches, odd_table),
        Kind("Opportunity .dat", *opportunity, odd_table),
        Kind("webcam signs", _make_signs, _read_signs, _listed_signs, odd_table),
    ]
