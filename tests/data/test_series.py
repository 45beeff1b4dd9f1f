""".ts and .arff files: what a writer of our own wrote, what aeon reads, and what is refused."""

import re
import time
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gesture3d.data import series
from gesture3d.data.series import Series, interpolate_missing, read_arff, read_ts
from gesture3d.errors import Gesture3dError
from tests.test_zips import mutated, outcome


def cell(value: float, missing: str) -> str:
    return missing if np.isnan(value) else repr(float(value))


def ts_text(cases, names, missing: str = "?", **header: object) -> str:
    """Cases (T, D) with their class, as .ts."""
    lines = ["#Written by a test", "", "@problemName Test", "@timeStamps false", "@missing true"]
    lines += [f"@{key} {value}" for key, value in header.items()]
    lines += [f"@classLabel true {' '.join(names)}", "@data"]
    for x, label in cases:
        channels = [",".join(cell(v, missing) for v in channel) for channel in x.T]
        lines.append(":".join([*channels, names[label]]))
    return "\n".join(lines) + "\n"


def arff_text(cases, names, quote: str = "'") -> str:
    """Cases (T, D) with their class, as .arff: shorter ones are filled up with missing values."""
    steps, channels = max(len(x) for x, _ in cases), cases[0][0].shape[1]
    numeric = [f"@attribute att{n} numeric" for n in range(steps)]
    if channels > 1:
        numeric = ["@attribute relationalAtt relational", *numeric, "@end relationalAtt"]
    quoted = [quote + re.sub(r"([\\\\'\"])", r"\\\1", name) + quote for name in names]
    lines = ["% Written by a test", "@relation 'a test'", "", *numeric]
    lines += [f"@attribute target {{{', '.join(quoted)}}}", "", "@data"]
    for x, label in cases:
        filled = np.concatenate([x, np.full((steps - len(x), channels), np.nan)])
        rows = [",".join(cell(v, "?") for v in channel) for channel in filled.T]
        inner = "\\n".join(rows)
        lines.append(
            f"{quote}{inner}{quote},{quoted[label]}" if channels > 1 else f"{inner},{quoted[label]}"
        )
    return "\n".join(lines) + "\n"


def random_cases(rng: np.random.Generator, channels: int, equal: bool) -> list:
    cases = []
    for _ in range(int(rng.integers(1, 12))):
        steps = 17 if equal else int(rng.integers(1, 30))
        x = rng.normal(size=(steps, channels)) * 10.0 ** rng.integers(-12, 12)
        x[rng.random(x.shape) < 0.1] = np.nan
        x[-1, 0] = 0.1  # what ends with steps without any value is cut there in .arff
        cases.append((x, int(rng.integers(3))))
    return cases


def check(found: Series, cases, names) -> None:
    assert found.class_names == tuple(names)
    assert found.labels == [label for _, label in cases]
    assert len(found.sequences) == len(cases)
    for x, (expected, _) in zip(found.sequences, cases, strict=True):
        assert x.dtype == np.float64
        np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("channels", [1, 2, 7])
def test_every_value_comes_back(channels: int, equal: bool, seed: int) -> None:
    cases = random_cases(np.random.default_rng([seed, channels, equal]), channels, equal)
    names = ["Walking", "10", "Élan"]
    header = {"dimensions": channels, "equalLength": str(equal).lower()}
    text = ts_text(cases, names, "NaN" if seed % 2 else "?", **header)
    if seed % 3 == 0:
        text = "\ufeff" + text.replace("\n", "\r\n")
    found = read_ts(text.encode(), "x.ts")
    check(found, cases, names)
    lines = text.replace("\r", "").split("\n")
    assert all(
        lines[n - 1].endswith(names[k]) for n, k in zip(found.lines, found.labels, strict=True)
    )
    names = ["a, b", 'it\'s {"5"}', "c\\d"]
    check(read_arff(arff_text(cases, names, "'\""[seed % 2]).encode(), "x.arff"), cases, names)


def test_a_case_as_the_archives_write_it() -> None:
    text = "%# c\n@problemName P\n@univariate false\n@classLabel true Run Rest\n@data\n"
    found = read_ts(f"{text}1,2.5,-3e-1:4,?,NaN:Rest\n\n# c\n7:8:Run\n".encode(), "x")
    assert (found.class_names, found.labels, found.lines) == (("Run", "Rest"), [1, 0], [6, 9])
    np.testing.assert_array_equal(found.sequences[0], [[1, 4], [2.5, np.nan], [-0.3, np.nan]])
    np.testing.assert_array_equal(found.sequences[1], [[7, 8]])
    text = (
        "@RELATION r\n@ATTRIBUTE 'a 0' REAL\n@attribute a1 Numeric\n@attribute c {x,'y z'}\n@DATA\n"
    )
    found = read_arff(f"{text}1, 2, x\n% c\n?,2,'y z'\n3,?,x\n".encode(), "x")
    assert found.labels == [0, 1, 0]
    for x, expected in zip(found.sequences, [[[1], [2]], [[np.nan], [2]], [[3]]], strict=True):
        np.testing.assert_array_equal(x, expected)


def test_what_aeon_ships_is_read_as_aeon_reads_it() -> None:
    loaders = pytest.importorskip("aeon.datasets", reason="aeon is not installed")
    folder = Path(loaders.__file__).parent / "data"
    paths = sorted(p for p in folder.glob("*/*") if p.suffix in (".ts", ".arff"))
    count = 0
    for path in paths:
        content, is_ts = path.read_bytes(), path.suffix == ".ts"
        if b"@targetlabel true" in content.lower() or b"@timestamps true" in content.lower():
            with pytest.raises(Gesture3dError, match=r"a regression|@timeStamps true"):
                read_ts(content, path.name)
            continue
        found = (read_ts if is_ts else read_arff)(content, path.name)
        load = loaders.load_from_ts_file if is_ts else loaders.load_from_arff_file
        sequences, labels = load(str(path))
        names = [found.class_names[label] for label in found.labels]
        assert [n.lower() for n in names] == [n.lower() for n in labels]
        for x, expected in zip(found.sequences, sequences, strict=True):
            np.testing.assert_array_equal(x.T, expected)
        count += 1
    assert count >= 20


# --- what is refused -----------------------------------------------------------------------------

HEAD = "@univariate false\n@classLabel true a b\n@data\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x: no line @data; truncated"),
        ("@classLabel true a b\n", "x: no line @data"),
        ("1,2:a\n@data\n", "line 1: '1,2:a' before @data; is this a .ts file?"),
        ("@data\n1,2:a\n", "x: no classes; expected a line @classLabel true NAME"),
        ("@classLabel false\n@data\n1,2\n", "x: no classes"),
        ("@classLabel true\n@data\n1,2\n", "x: no classes"),
        ("@targetLabel true\n@data\n1:2\n", "@targetLabel true: a regression"),
        ("@timeStamps true\n" + HEAD + "(0,1.5),(1,2.5):a\n", "@timeStamps true is not read"),
        ("@equalLength yes\n" + HEAD + "1:a\n", "@equalLength 'yes'; must be true or false"),
        ("@dimensions two\n" + HEAD + "1:a\n", "@dimensions 'two'; must be a number"),
        ("@dimensions 9e9\n" + HEAD + "1:a\n", "@dimensions '9e9'; must be a number"),
        ("@classLabel true a a\n@data\n1:a\n", "the class 'a' is there twice"),
        (HEAD, "x: no cases behind @data"),
        (HEAD + "1,2\n", "line 4: no ':' before a class; the file is truncated"),
        (HEAD + "1,2:A\n", "line 4: class 'A'; the header has a, b"),
        (HEAD + "1,2:\n", "line 4: class ''; the header has a, b"),
        (HEAD + "1,x:a\n", "line 4: channel 1: 'x' is no number"),
        (HEAD + "1,2:1,:a\n", "line 4: channel 2: '' is no number"),
        (HEAD + "1,2:1,2?:a\n", "line 4: channel 2: '2.' is no number"),
        (HEAD + "1,2:3:a\n", "line 4: channel 2 has 1 values, expected 2"),
        (HEAD + "1:2:a\n1:a\n", "line 5: 1 channels, expected 2"),
        ("@dimensions 3\n" + HEAD + "1:2:a\n", "line 5: 2 channels, expected 3"),
        ("@univariate true\n@classLabel true a\n@data\n1:2:a\n", "line 4: 2 channels, expected 1"),
        (
            "@equalLength true\n" + HEAD + "1,2:a\n1:b\n",
            "line 6: channel 1 has 1 values, expected 2",
        ),
        (HEAD + "1,-inf:a\n", "line 4: channel 1: '-inf' is beyond"),
        (HEAD + "1,?,2e15:a\n", "line 4: channel 1: '2e15' is beyond"),
    ],
)
def test_ts_files_that_cannot_be_used_say_why(text: str, message: str) -> None:
    with pytest.raises(Gesture3dError, match=message) as caught:
        read_ts(text.encode(), "x")
    assert "\n" not in str(caught.value)


TWO = "@relation r\n@attribute a numeric\n@attribute b numeric\n"
FLAT = TWO + "@attribute c {p,q}\n@data\n"
NESTED = (
    "@relation r\n@attribute rel relational\n@attribute a numeric\n@attribute b numeric\n"
    "@end rel\n@attribute c {p,q}\n@data\n"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x: no line @data; truncated"),
        ("hello\n@data\n", "line 1: 'hello' before @data; is this an .arff file?"),
        (TWO + "@data\n1,2\n", "x: no class .*maybe a regression"),
        (TWO + "@attribute d date\n@data\n", "line 4: an attribute of type 'date'"),
        (TWO + "@attribute c {p,q}\n@attribute d real\n@data\n", "line 5: .*behind the class"),
        (TWO + "@attribute c {p,q\n@data\n", "line 4: '{p,q'; expected classes"),
        (TWO + "@attribute c {p,,q}\n@data\n", "line 4: '{p,,q}'; expected classes"),
        (TWO + "@attribute c {}\n@data\n", "line 4: '{}'; expected classes"),
        (TWO + "@attribute c {'p}\n@data\n", "line 4: .*expected classes"),
        (TWO + "@attribute c {p,'p'}\n@data\n", "the class 'p' is there twice"),
        (FLAT, "x: no cases behind @data"),
        (FLAT + "1,2\n", "line 6: class '2'; the header has p, q"),
        (FLAT + "1 2 p\n", r"line 6: '1 2 p'; expected …,…,CLASS"),
        (FLAT + "1,2,?\n", r"line 6: class '\?'; the header has p, q"),
        (FLAT + "1,p\n", "line 6: channel 1 has 1 values, expected 2"),
        (FLAT + "{0 1, 1 2},p\n", "line 6: channel 1: '{0 1' is no number"),
        (FLAT + "?,?,p\n", "line 6: not a single value"),
        (NESTED + "1,2,p\n", "line 8: .*expected '…,….n…,…',CLASS"),
        (NESTED + "'1,2\\n3,4,p\n", "line 8: .*expected '…,….n…,…',CLASS"),
        (NESTED + "',p\n", "line 8"),
        (NESTED + "'1,2\\n3',p\n", "line 8: channel 2 has 1 values, expected 2"),
        (NESTED + "'1,2\\n3,4',p\n'1,2',p\n", "line 9: 1 channels, expected 2"),
        (NESTED + "'1,2\\t3,4',p\n", "line 8: channel 1 has 3 values, expected 2"),
    ],
)
def test_arff_files_that_cannot_be_used_say_why(text: str, message: str) -> None:
    with pytest.raises(Gesture3dError, match=message) as caught:
        read_arff(text.encode(), "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line", ["@", "@ data", "@attribute", "@attribute a", "@attribute '", "@relation", "{", "'"]
)
def test_headers_of_no_sense_are_refused(line: str) -> None:
    for read in (read_ts, read_arff):
        with pytest.raises(Gesture3dError, match="x"):
            read(f"{line}\n@data\n1,2,a".encode(), "x")


@pytest.mark.parametrize("read", [read_ts, read_arff])
def test_files_that_are_no_text_are_refused(read) -> None:
    with pytest.raises(Gesture3dError, match="x: not a text file in UTF-8"):
        read(b"\xff\xfe\x00", "x")


def test_what_is_too_large_is_refused(monkeypatch) -> None:
    for name, text, message in (
        ("MAX_LINE", HEAD + "1," * 99 + "1:a\n", "line 4: longer than 80 characters"),
        ("MAX_CASES", HEAD + "1:a\n" * 81, "line 84: more than 80 cases; split the file"),
        ("MAX_STEPS", HEAD + "1," * 80 + "1:a\n", "channel 1 has 81 values, expected at most 80"),
        ("MAX_CHANNELS", HEAD + "1:" * 81 + "a\n", "81 channels, expected at most 80"),
        ("MAX_CLASSES", HEAD.replace("a b", " ".join(map(str, range(81)))), "81 classes; at most"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(series, name, 80)
            with pytest.raises(Gesture3dError, match=message):
                read_ts(text.encode(), "x")


@pytest.mark.parametrize(
    "line",
    [
        part * 1_000_000
        for part in (",,", "::", "?,", ",'", "'\\n", ",'\\", "\\\\", '""', "{{", "'x',", "  ")
    ],
)
def test_hostile_lines_cost_seconds_and_megabytes_at_most(line: str) -> None:
    texts = [f"{FLAT},{line},p\n", f"{NESTED}{line}\n", f"{TWO}@attribute c {{{line}}}\n@data\n"]
    tracemalloc.start()
    started = time.process_time()
    for text in texts:
        with pytest.raises(Gesture3dError) as caught:
            read_arff(text.encode(), "x")
        assert len(str(caught.value)) < 500
    with pytest.raises(Gesture3dError):
        read_ts(f"{HEAD}{line}:a\n".encode(), "x")
    assert time.process_time() - started < 15
    assert tracemalloc.get_traced_memory()[1] < 400 << 20
    tracemalloc.stop()


def test_damaged_files_are_read_or_refused_in_one_line() -> None:
    rng = np.random.default_rng(0)
    cases = random_cases(rng, 3, False)
    for read, text in ((read_ts, ts_text(cases, "abc")), (read_arff, arff_text(cases, "abc"))):
        found = [outcome(partial(read, mutated(text.encode(), rng), "x")) for _ in range(300)]
        refused = [f for f in found if isinstance(f, str)]
        assert 100 < len(refused) < 300
        assert not any("\n" in message for message in refused)


# --- missing values ------------------------------------------------------------------------------


def test_missing_values_become_straight_lines_up_to_a_limit() -> None:
    x = np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, np.nan], [4.0, 4.0], [np.nan, 5.0]])
    expected = [[2, 1], [2, 2], [3, 3], [4, 4], [4, 5]]
    np.testing.assert_allclose(interpolate_missing(x, 2, "x"), expected)
    np.testing.assert_allclose(interpolate_missing(x, None, "x"), expected)
    with pytest.raises(Gesture3dError, match=r"x, step 2: channel 2 .* at most 1 .*data\.max_gap"):
        interpolate_missing(x, 1, "x")
    with pytest.raises(Gesture3dError, match="x: channel 2 has no values at all"):
        interpolate_missing(np.array([[1.0, np.nan]] * 3), None, "x")
    with pytest.raises(Gesture3dError, match="x, step 2: channel 1 is infinite"):
        interpolate_missing(np.array([[1.0], [np.inf]]), None, "x")
