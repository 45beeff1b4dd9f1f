"""The file of predictions: one row a sample, so that models can be compared and fused.

CSV in UTF-8 with the columns ``key``, ``label``, ``prediction``, ``data``, ``split``, then one
column a class, headed by its name, in the order of the classes. Labels and predictions are names
of classes; a label is empty where it is unknown. Scores are those of the network before the
softmax, written with as many digits as float32 needs to be read back exactly. With pandas:
``pandas.read_csv(path, dtype={"key": str}, keep_default_na=False)``.
"""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.evaluation.predict import Predictions
from gesture3d.files import write_text
from gesture3d.text import csv_text

COLUMNS = ("key", "label", "prediction", "data", "split")


@dataclass(frozen=True)
class SplitPredictions(Predictions):
    """Predictions of one split of a data set, with the names of the classes.

    Attributes:
        data: the data set and, of clips, the modality, e.g. ``synthetic_depth``.
        split: train, validation, test or all.
    """

    class_names: tuple[str, ...]
    data: str
    split: str

    def take(self, keys: list[str]) -> "SplitPredictions":
        """The samples of these keys, in this order."""
        place = {key: row for row, key in enumerate(self.keys)}
        rows = [place[key] for key in keys]
        return SplitPredictions(
            keys, self.scores[rows], self.labels[rows], self.class_names, self.data, self.split
        )


def check_finite(predictions: Predictions, source: Path | str) -> None:
    """Raise Gesture3dError where a score is NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(predictions.scores).all(axis=1))
    if len(bad):
        raise Gesture3dError(
            f"{source}: scores of {len(bad)} samples are not finite; the first: "
            f"{predictions.keys[bad[0]]!r}"
        )


def write_predictions(path: Path, predictions: SplitPredictions) -> None:
    """Write the file, atomically."""
    names = predictions.class_names
    table: list[list] = [[*COLUMNS, *names]]
    scores = predictions.scores.astype(np.float32, copy=False)
    rows = zip(predictions.keys, predictions.labels, predictions.classes, scores, strict=True)
    for key, label, predicted, row in rows:
        known = names[label] if label >= 0 else ""
        fixed = (key, known, names[predicted], predictions.data, predictions.split)
        table.append([*fixed, *map(str, row)])  # str of float32: the fewest exact digits
    write_text(path, csv_text(table))


def read_predictions(path: Path | str) -> SplitPredictions:
    """Read the file; sorted by key. The column ``prediction`` is not read: the scores say it.

    Raises:
        Gesture3dError: no such file, not one of this kind, double keys, unknown labels, several
            splits, scores that are no finite numbers.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except FileNotFoundError:
        raise Gesture3dError(f"{path}: no such file of predictions") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise Gesture3dError(f"{path}: not a readable CSV file ({error})") from None
    names = tuple(header[len(COLUMNS) :])
    if tuple(header[: len(COLUMNS)]) != COLUMNS or not names:
        raise Gesture3dError(
            f"{path}: not a file of predictions: its first line must be {','.join(COLUMNS)} and "
            "the names of the classes, as tools/evaluate.py writes it"
        )
    if not rows:
        raise Gesture3dError(f"{path}: no samples in it")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise Gesture3dError(
                f"{path}: line {number} has {len(row)} columns, the first has {len(header)}; is "
                "the file whole?"
            )
    doubles = [key for key, count in Counter(row[0] for row in rows).items() if count > 1]
    if doubles:
        raise Gesture3dError(f"{path}: {_named(len(doubles), 'double key', doubles)}")
    rows.sort(key=lambda row: row[0])
    places = {name: number for number, name in enumerate(names)}
    if len(places) < len(names):
        double = [name for name, count in Counter(names).items() if count > 1]
        raise Gesture3dError(f"{path}: {_named(len(double), 'doubled class name', double)}")
    predictions = SplitPredictions(
        keys=[row[0] for row in rows],
        scores=_scores(rows, path),
        labels=np.array([_label(row, places, path) for row in rows], dtype=np.int64),
        class_names=names,
        data="+".join(sorted({row[3] for row in rows})),
        split=_only_split(rows, path),
    )
    check_finite(predictions, path)
    return predictions


def _scores(rows: list[list[str]], path: Path) -> np.ndarray:
    scores = np.empty((len(rows), len(rows[0]) - len(COLUMNS)), np.float32)
    for number, row in enumerate(rows):
        try:
            with np.errstate(over="ignore"):  # too large becomes infinite, which is refused
                scores[number] = [float(text) for text in row[len(COLUMNS) :]]
        except ValueError as error:
            raise Gesture3dError(f"{path}: sample {row[0]!r}: {error}") from None
    return scores


def _label(row: list[str], places: dict[str, int], path: Path) -> int:
    if row[1] == "":
        return -1
    if row[1] not in places:
        hint = did_you_mean(row[1], places)
        raise Gesture3dError(
            f"{path}: sample {row[0]!r} has the label {row[1]!r}, which is no class of it.{hint}"
        )
    return places[row[1]]


def _only_split(rows: list[list[str]], path: Path) -> str:
    splits = sorted({row[4] for row in rows})
    if len(splits) > 1:
        raise Gesture3dError(f"{path}: samples of several splits: {', '.join(splits)}")
    return splits[0]


def _named(count: int, what: str, keys: list[str], limit: int = 3) -> str:
    """``5 double keys: a, b, c, …``."""
    shown = ", ".join(sorted(keys)[:limit]) + (", …" if count > limit else "")
    return f"{count} {what}{'s' if count > 1 else ''}: {shown}"
