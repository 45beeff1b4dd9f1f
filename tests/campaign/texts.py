"""Texts: configurations, settings, lists, predictions, manifests and results."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gesture3d.config import load_data, load_experiment, read_settings
from gesture3d.data import read_index
from gesture3d.data.subset import excluded_keys
from gesture3d.data.video.prepared.manifest import read_manifest, to_line
from gesture3d.data.video.sets.isogd import read_isogd
from gesture3d.data.video.sets.jester import read_jester
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.fuse import Stream, align, fuse
from gesture3d.evaluation.predictions import read_predictions
from gesture3d.files import resource
from gesture3d.models import MODELS

from .judge import Kind, Outcome, outcome

# What people, editors and attackers write where a value should be.
ODD_VALUES = (
    "",
    "~",
    "null",
    "true",
    "no",
    "-1",
    "0",
    "1e9",
    "1e400",
    "-.inf",
    ".nan",
    "NaN",
    "9" * 25,
    "9" * 5000,
    "0x1F",
    "010",
    "1:30",
    "2024-13-45",
    "2024-05-01",
    "[]",
    "{}",
    "[" * 2000,
    "{a: " * 500,
    "[1, [2, [3]]]",
    "{a: {b: c}}",
    "&a [*a]",
    "*unknown",
    "!!int abc",
    "!!python/object/apply:os.system [id]",
    "!!binary abc",
    "!!timestamp x",
    "? a",
    "- a",
    "'",
    '"',
    '"\\x"',
    "|\n  text",
    "\t",
    "\u2028",
    "é" * 40,
    "../../../etc/passwd",
    "~/x",
    "$HOME",
    "a\x00b",
    "#",
    "x" * 10000,
)
ODD_JSON = (
    None,
    True,
    -1,
    -5,
    0,
    1.5,
    2**31,
    2**63,
    10**30,
    float("nan"),
    float("inf"),
    1e308,
    "",
    "x",
    "a\nb",
    "\x1b[31m",
    "é" * 40,
    "x" * 10000,
    [],
    [None],
    [[[]]],
    {},
    {"a": 1},
    {"": None},
)


def odd_yaml(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    """Another value behind one of the keys, or a line that is there twice."""
    lines = content.decode().split("\n")
    values = [number for number, line in enumerate(lines) if ":" in line]
    number = int(rng.choice(values))
    key, _, _ = lines[number].partition(":")
    lines[number] = f"{key}: {ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]}"
    return "\n".join(lines).encode()


def odd_json(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    """One of the values is another one, or missing; a line of JSON lines, or the whole text."""
    text = content.decode()
    lines = text.split("\n") if text.startswith("{") and "\n{" in text else [text]
    number = int(rng.integers(len([line for line in lines if line])))
    lines[number] = json.dumps(change_a_value(json.loads(lines[number]), rng))
    return "\n".join(lines).encode()


def change_a_value(tree: object, rng: np.random.Generator) -> object:
    """The tree with an odd value (or nothing) at a random place of it."""
    places = list(_places(tree))
    if not places:
        return ODD_JSON[int(rng.integers(len(ODD_JSON)))]
    holder, key = places[int(rng.integers(len(places)))]
    if rng.integers(6) == 0:
        del holder[key]
    else:
        holder[key] = ODD_JSON[int(rng.integers(len(ODD_JSON)))]
    return tree


def _places(tree: object):
    if isinstance(tree, dict | list):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


def odd_table(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    """One of the cells of a text table is another text."""
    cells = re.split(rb"([,;\t\n ])", content)
    place = 2 * int(rng.integers((len(cells) + 1) // 2))
    cells[place] = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))].encode()
    return b"".join(cells)


def count_rows(path: Path) -> int | None:
    """Lines with something in them, less the header: a list that lost whole lines is a list."""
    return _lines(path, 1)


def count_lines(path: Path) -> int | None:
    """Lines with something in them."""
    return _lines(path, 0)


def _lines(path: Path, header: int) -> int:
    lines = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return sum(bool(line.strip()) for line in lines) - header


# --- configurations ------------------------------------------------------------------------------


def _make_configs(folder: Path, source: Path) -> list[Path]:
    for path in sorted(source.glob("*.yaml")):
        (folder / path.name).write_bytes(path.read_bytes())
    return sorted(folder.glob("*.yaml"))


def _read_model(_: Path, path: Path) -> Outcome:
    name = read_settings(resource("configs") / path.name)["name"]  # of the good file
    is_for_clips = MODELS[name].reads == "clips"
    recipe = "synthetic" if is_for_clips else "skeleton_folder"
    return _experiment(load_experiment(str(path), recipe))


def _read_recipe(_: Path, path: Path) -> Outcome:
    found = load_data(str(resource("configs") / "data" / path.name))  # of the good file
    return _experiment(load_experiment("variant_a" if found.kind == "clips" else "gru", str(path)))


def _experiment(experiment: object) -> Outcome:
    tree = experiment.model_dump(mode="json")
    numbers = np.array([v for h, k in _places(tree) if isinstance(v := h[k], float)])
    return outcome((1,), tree, numbers)


SETTINGS = """\
optim.lr=1e-2
data.root=take 2
data.classes=[yes, no, swipe left]
model.width=0.25
model.channel_means=[114, 109, 104]
train.epochs=12
data.augmentation.crop_scale=[0.8, 1.0]
data.exclude=[a/b.mp4, c]
data.augmentation={shift: 0.1, aspect: 0.05}
train.seed=3
data.clips_per_class={train: 3, validation: 2}
optim.clip_norm=null
"""


def _make_settings(folder: Path) -> list[Path]:
    for number, line in enumerate(SETTINGS.splitlines()):
        (folder / f"{number:02d}.txt").write_text(line)
    return sorted(folder.iterdir())


def _read_setting(_: Path, path: Path) -> Outcome:
    given = path.read_bytes().replace(b"\0", b"").decode(errors="surrogateescape")  # as argv is
    return _experiment(load_experiment("variant_a", "synthetic", [given]))


def odd_setting(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    key, _, _ = content.partition(b"=")
    return key + b"=" + ODD_VALUES[int(rng.integers(len(ODD_VALUES)))].encode()


# --- lists ---------------------------------------------------------------------------------------


def _make_folder_list(folder: Path) -> list[Path]:
    rows = ["path,label,split,group,frames"]
    for number in range(24):
        name, label = f"clips/{number:03d}.mp4", ("left", "right", "up")[number % 3]
        (folder / "clips").mkdir(exist_ok=True)
        (folder / name).touch()
        rows.append(f"{name},{label},{('train', 'train', 'validation')[number // 8]},p{number},30")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    return [folder / "clips.csv"]


def _read_folder_list(folder: Path, path: Path) -> Outcome:
    config = load_data("folder", [f"data.root={folder}", f"data.csv={path.name}"])
    return _index(read_index(config, progress=False))


def _index(index: object) -> Outcome:
    clips = index.items
    rows = [(c.key, c.path.name, c.label, c.group, c.num_frames) for c in clips]
    return outcome(
        (len(rows),), index.class_names, rows, {k: len(v) for k, v in index.splits.items()}
    )


def _make_jester(folder: Path) -> list[Path]:
    classes, rows = ["Swiping Left", "Swiping Right", "No gesture"], {}
    (folder / "jester-v1-labels.csv").write_text("\n".join(classes) + "\n")
    for number in range(24):
        (folder / "20bn-jester-v1" / str(number)).mkdir(parents=True)
        split = ("train", "validation", "test")[number // 8]
        label = f";{classes[number % 3]}" if split != "test" else ""
        rows.setdefault(split, []).append(f"{number}{label}")
    for split, lines in rows.items():
        (folder / f"jester-v1-{split}.csv").write_text("\n".join(lines) + "\n")
    return sorted(folder.glob("*.csv"))


def _read_jester(folder: Path, path: Path) -> Outcome:
    if path.name == "jester-v1-labels.csv":
        index = read_jester(folder)
        return outcome((len(index.class_names),), index.class_names, _index(index))
    return _one_split(read_jester(folder), path)


def _one_split(index: object, path: Path) -> Outcome:
    names = {"valid_list.txt": "validation", "train_list.txt": "train", "test_list.txt": "test"}
    split = names.get(path.name) or path.stem.rpartition("-")[2]
    return outcome((len(index.splits[split]),), _index(index))


def _make_isogd(folder: Path) -> list[Path]:
    for split in ("train", "valid", "test"):
        rows = []
        for number in range(1, 9):
            (folder / split / "001").mkdir(parents=True, exist_ok=True)
            names = [f"{split}/001/{kind}_{number:05d}.avi" for kind in "MK"]
            for name in names:
                (folder / name).touch()
            rows.append(f"{names[0]} {names[1]} {number}")
        (folder / f"{split}_list.txt").write_text("\n".join(rows) + "\n")
    return sorted(folder.glob("*.txt"))


def _read_isogd(folder: Path, path: Path) -> Outcome:
    return _one_split(read_isogd(folder), path)


def _make_exclude_list(folder: Path) -> list[Path]:
    (folder / "bad.txt").write_text(
        "".join(f"a/{n}.mp4\t/x/a/{n}.mp4: cut off\n" for n in range(9))
    )
    return [folder / "bad.txt"]


def _count_excluded(path: Path) -> int:
    """Different keys (what is before a tab) of lines with something in them that are no comment."""
    lines = path.read_text("utf-8", "replace").splitlines()
    kept = [x for x in lines if x.strip() and ("\t" in x or not x.startswith("#"))]
    return len({line.split("\t")[0].strip() for line in kept})


def _read_exclude_list(_: Path, path: Path) -> Outcome:
    keys = excluded_keys(load_data("folder", [f"data.exclude_list={path}"]))
    return outcome((len(keys),), sorted(keys))


# --- what runs and checks leave ------------------------------------------------------------------


def write_good_predictions(path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ("left", "right", "up, up")
    rows = [["key", "label", "prediction", "data", "split", *names]]
    for number in range(20):
        scores = [str(s) for s in rng.normal(0, 3, 3).astype(np.float32)]
        rows.append(
            [f"a/{number:03d}.mp4", names[number % 3], "left", "folder", "validation", *scores]
        )
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _make_predictions(folder: Path) -> list[Path]:
    for name in ("predictions.csv", "other.csv"):
        write_good_predictions(folder / name)
    return [folder / "predictions.csv"]


def _read_predictions(folder: Path, path: Path) -> Outcome:
    found = read_predictions(path)
    try:  # with others: refused in most cases, and never a traceback
        streams = [Stream(str(p), read_predictions(p)) for p in (path, folder / "other.csv")]
        fuse(align(streams), "mean", None)
    except Gesture3dError:
        pass
    return outcome((len(found.keys),), found.keys, found.scores, found.labels, found.class_names)


def _make_manifest(folder: Path) -> list[Path]:
    from gesture3d.data.video.prepared.manifest import Record

    records = [
        Record(f"a/{n}", "train", f"/x/{n}.mp4", "ab12", "ok", "", 30, 48, 64, 25.0, 1.2, "ff")
        for n in range(9)
    ]
    (folder / "manifest-rgb.jsonl").write_text("".join(map(to_line, records)))
    return [folder / "manifest-rgb.jsonl"]


def _read_manifest(_: Path, path: Path) -> Outcome:
    records = read_manifest(path)
    numbers = [
        n for r in records.values() for n in (r.fps, r.seconds, r.num_frames) if n is not None
    ]
    return outcome((len(records),), records, np.array(numbers, np.float64))


def kinds() -> list[Kind]:
    def configs(below: str) -> Callable[[Path], list[Path]]:
        return lambda folder: _make_configs(folder, resource("configs") / below)

    def text(name: str, make, read, holds=count_rows, odd=odd_table, **more) -> Kind:
        return Kind(name, make, read, holds, odd, **more)

    return [
        text("model config", configs("."), _read_model, odd=odd_yaml, names_file=False),
        text("data recipe", configs("data"), _read_recipe, odd=odd_yaml, names_file=False),
        text("--set", _make_settings, _read_setting, odd=odd_setting, names_file=False),
        text("list of a folder", _make_folder_list, _read_folder_list),
        text("Jester lists", _make_jester, _read_jester, count_lines),
        text("IsoGD lists", _make_isogd, _read_isogd, count_lines),
        text("exclude list", _make_exclude_list, _read_exclude_list, _count_excluded),
        text("predictions.csv", _make_predictions, _read_predictions),
        text("manifest", _make_manifest, _read_manifest, count_lines, odd_json),
    ]
