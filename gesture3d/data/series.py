"""Series by the file: ``.ts`` and ``.arff`` of the UCR and UEA archives → sequences with classes.

A case is a series of T steps with D channels (the archives' "dimensions") and a class. Cases may
differ in T. What is missing (``?``, ``NaN``) is NaN here; see `interpolate_missing`.

``.ts`` (sktime, aeon): ``@key value`` lines, then behind ``@data`` a line a case, its channels
and at last its class between colons: ``1.0,2.0,?:0.5,0.6,0.7:walking``. ``#`` and ``%`` begin
comments. https://www.aeon-toolkit.org/en/stable/api_reference/data_format.html

``.arff`` (Weka): an attribute for every step, the last one is the class; several channels are one
quoted value of a relational attribute: ``'1.0,2.0,?\\n0.5,0.6,0.7',walking``. Such files have one
number of steps, so the archives fill shorter cases up with missing values: at the end they are cut
off. https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gesture3d.data.inertial.gaps import interpolate_gaps
from gesture3d.data.numeric import LARGEST, is_count, listed, shown, text_lines
from gesture3d.errors import Gesture3dError, did_you_mean

MAX_LINE = 1 << 24  # characters; the archives' largest cases have 3 million
MAX_CASES, MAX_STEPS, MAX_CHANNELS, MAX_CLASSES = 1_000_000, 1_000_000, 10_000, 10_000

# A value of a nominal attribute, in quotes of either kind or without, and the comma behind it.
_NOMINAL = re.compile(
    r"""\s*(?:'((?:[^'\\]|\\.)*+)'|"((?:[^"\\]|\\.)*+)"|([^\s,'"{}][^,'"{}]*+))\s*(,|\Z)"""
)
_CLASS = re.compile(r""",\s*+('(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|[^,'"]++)\Z""")  # the last cell
_ATTRIBUTE = re.compile(r"""@attribute\s+('[^']*+'|"[^"]*+"|\S+)\s+(\S.*)""", re.IGNORECASE)


@dataclass(frozen=True)
class Series:
    """The cases of one file.

    Attributes:
        class_names: in the file's order; some may have no case.
        labels: of each case, places in ``class_names``.
        sequences: float64 (T, D) each, NaN where a value is missing; all have the same D.
        lines: where each case stands in the file, for messages.
    """

    class_names: tuple[str, ...]
    labels: list[int]
    sequences: list[np.ndarray]
    lines: list[int]


def read_ts(content: bytes, where: str) -> Series:
    """The cases of a ``.ts`` file.

    Raises:
        Gesture3dError: of a regression, without classes, with time stamps, damaged, not as its
            header says, or too large; with the line.
    """
    lines = _lines(content, where, "#%")
    header = dict.fromkeys(("targetlabel", "timestamps", "univariate", "equallength"), "false")
    header |= {"classlabel": "false", "dimensions": ""}  # other keys are left
    for place, line in lines:
        if not line.startswith("@"):
            raise Gesture3dError(f"{place}: {shown(line)} before @data; is this a .ts file?")
        key, _, value = line[1:].replace("\t", " ").partition(" ")
        if key.lower() in header:
            header[key.lower()] = value.strip()
        elif key.lower() == "data":
            break
    else:
        raise Gesture3dError(f"{where}: no line @data; truncated, or not a .ts file")

    def is_true(key: str) -> bool:
        value = header[key.lower()].lower()
        if value not in ("true", "false"):
            raise Gesture3dError(f"{where}: @{key} {shown(value)}; must be true or false")
        return value == "true"

    if is_true("targetLabel"):
        raise Gesture3dError(f"{where}: @targetLabel true: a regression; expected classes")
    if is_true("timeStamps"):
        raise Gesture3dError(f"{where}: @timeStamps true is not read; write evenly spaced values")
    given, *names = header["classlabel"].split() or ["false"]
    if given.lower() != "true" or not names:
        raise Gesture3dError(f"{where}: no classes; expected a line @classLabel true NAME NAME …")
    cases = _Cases(where, names)
    cases.num_channels = 1 if is_true("univariate") else None
    if dimensions := header["dimensions"]:
        if not is_count(dimensions):
            raise Gesture3dError(f"{where}: @dimensions {shown(dimensions)}; must be a number")
        cases.num_channels = int(dimensions)
    equal = is_true("equalLength")
    for place, line in lines:
        values, separator, name = line.rpartition(":")
        if not separator:
            raise Gesture3dError(f"{place}: no ':' before a class; the file is truncated")
        cases.add(place, values, ":", name.strip())
        if equal:
            cases.num_steps = len(cases.found.sequences[0])
    return cases.series()


def read_arff(content: bytes, where: str) -> Series:
    """The cases of an ``.arff`` file. Steps at a case's end without any value are cut off.

    Raises:
        Gesture3dError: not numbers and at last a class, of a regression, damaged, or too large;
            with the line.
    """
    lines = _lines(content, where, "%")
    relational, num_steps, names = False, 0, None
    for place, line in lines:
        keyword = line.split(maxsplit=1)[0].lower()
        if keyword == "@data":
            break
        if keyword in ("@relation", "@end"):
            continue
        attribute = _ATTRIBUTE.match(line)
        if attribute is None:
            raise Gesture3dError(f"{place}: {shown(line)} before @data; is this an .arff file?")
        if names is not None:
            raise Gesture3dError(f"{place}: an attribute behind the class; it must be the last one")
        kind = attribute[2].strip()
        if kind.startswith("{"):
            names = _nominal(kind, place)
        elif kind.lower() == "relational" and not num_steps and not relational:
            relational = True
        elif kind.lower() in ("numeric", "real", "integer"):
            num_steps += 1
        else:
            raise Gesture3dError(f"{place}: an attribute of type {shown(kind)}; expected numeric")
    else:
        raise Gesture3dError(f"{where}: no line @data; truncated, or not an .arff file")
    if names is None:
        raise Gesture3dError(f"{where}: no class {{NAME, …}}, maybe a regression; expected classes")
    cases = _Cases(where, names)
    cases.num_steps, cases.num_channels = num_steps, None if relational else 1
    form = "'…,…\\n…,…',CLASS" if relational else "…,…,CLASS"
    for place, line in lines:
        name = _CLASS.search(line)
        values = line[: name.start()].rstrip() if name else ""
        in_quotes = values[:1] in ("'", '"') and values[-1] == values[0]
        if not name or in_quotes < relational:
            raise Gesture3dError(f"{place}: {shown(line)}; expected {form}")
        label, separator = _nominal(f"{{{name[1]}}}", place)[0], "\\n" if relational else None
        cases.add(place, values[1:-1] if relational else values, separator, label)
        x = cases.found.sequences[-1]
        steps = np.flatnonzero(~np.isnan(x).all(axis=1))
        if not len(steps):
            raise Gesture3dError(f"{place}: not a single value")
        cases.found.sequences[-1] = x[: steps[-1] + 1].copy()
    return cases.series()


def interpolate_missing(x: np.ndarray, limit: int | None, where: str) -> np.ndarray:
    """NaNs replaced by straight lines between their neighbours, at the ends by the nearest value.

    Args:
        x: (T, D).
        limit: steps that a gap may have at most (a sequence need not have a rate, so no seconds);
            None: any number.

    Raises:
        Gesture3dError: a longer gap, a channel without any value, or a value that is infinite or
            beyond `LARGEST`.
    """
    empty = np.isnan(x).all(axis=0)
    if empty.any():
        raise Gesture3dError(f"{where}: channel {empty.argmax() + 1} has no values at all")
    return interpolate_gaps(x, limit, where, unit="step", setting="data.max_gap")


# --- what both have in common --------------------------------------------------------------------


def _lines(content: bytes, where: str, comments: str) -> Iterator[tuple[str, str]]:
    """(file and line, for messages; text) of the lines that are neither empty nor comments."""
    for number, line in enumerate(text_lines(content, where, MAX_LINE), start=1):
        line = line.strip()
        if line and line[0] not in comments:
            yield f"{where}, line {number}", line


class _Cases:
    """The cases of a file as they are read, each checked against what is known by then."""

    def __init__(self, where: str, names: Sequence[str]) -> None:
        if len(names) > MAX_CLASSES:
            raise Gesture3dError(f"{where}: {len(names):,} classes; at most {MAX_CLASSES:,}")
        self.numbers = {name: number for number, name in enumerate(names)}
        if len(self.numbers) < len(names):
            double = next(n for i, n in enumerate(names) if self.numbers[n] != i)
            raise Gesture3dError(f"{where}: the class {shown(double)} is there twice")
        self.where, self.found = where, Series(tuple(names), [], [], [])
        self.num_channels: int | None = None
        self.num_steps: int | None = None

    def add(self, place: str, values: str, separator: str | None, name: str) -> None:
        """A case of channels behind each other; None separates nothing: it has one."""
        if len(self.found.labels) == MAX_CASES:
            raise Gesture3dError(f"{place}: more than {MAX_CASES:,} cases; split the file")
        if name not in self.numbers:
            names = self.found.class_names
            known = f"the header has {listed(names)}.{did_you_mean(name, names[:100])}"
            raise Gesture3dError(f"{place}: class {shown(name)}; {known}")
        count = values.count(separator) + 1 if separator else 1
        self.num_channels = self.num_channels or count
        _expect(count, self.num_channels, MAX_CHANNELS, f"{place}: {count:,} channels")
        channels, num_steps = values.split(separator) if separator else [values], self.num_steps
        for number, text in enumerate(channels):
            found, channel = text.count(",") + 1, f"{place}: channel {number + 1}"
            num_steps = num_steps or found
            _expect(found, num_steps, MAX_STEPS, f"{channel} has {found:,} values")
            channels[number] = _numbers(text, channel)
        self.found.labels.append(self.numbers[name])
        self.found.sequences.append(np.stack(channels, axis=1))
        self.found.lines.append(int(place.rpartition(" ")[2]))

    def series(self) -> Series:
        if not self.found.labels:
            raise Gesture3dError(f"{self.where}: no cases behind @data")
        return self.found


def _expect(found: int, expected: int, limit: int, what: str) -> None:
    if found != expected or found > limit:
        allowed = f"{expected:,}" if found != expected else f"at most {limit:,}"
        raise Gesture3dError(f"{what}, expected {allowed}")


def _numbers(text: str, place: str) -> np.ndarray:
    cells = text.split(",")
    try:
        values = np.array(list(map(float, cells)))
    except ValueError:
        cells = ["nan" if cell.strip() == "?" else cell for cell in cells]
        try:
            values = np.array([float(wrong := cell) for cell in cells])
        except ValueError:
            raise Gesture3dError(f"{place}: {shown(wrong.strip())} is no number") from None
    beyond = np.abs(values) > LARGEST
    if beyond.any():
        cell = cells[int(beyond.argmax())]
        raise Gesture3dError(f"{place}: {shown(cell)} is beyond the {LARGEST:g} that is taken")
    return values


def _nominal(text: str, place: str) -> list[str]:
    """The values of ``{one, 'two three', "four"}``."""
    names, start = [], 1
    while text.endswith("}") and (found := _NOMINAL.match(text, start, len(text) - 1)):
        single, double, bare, comma = found.groups()
        quoted = double if single is None else single
        names.append(bare.strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        if not comma or len(names) > MAX_CLASSES:
            return names
        start = found.end()
    raise Gesture3dError(f"{place}: {shown(text)}; expected classes {{NAME, 'NAME', …}}")
