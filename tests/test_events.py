"""Events and their files."""

import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE, Event, check_within, read_annotations, write_events


def test_what_is_written_is_read_back_exactly(tmp_path) -> None:
    path = tmp_path / "events.csv"
    streams = {
        "b.mp4": [Event("wave, left", 0.1 + 0.2, 1 / 3 + 1, 1.25, 0.75), Event('"x"', 2.0, 3.0)],
        "a.mp4": [],
        "c;d": [Event("é", 0.0, 1e5)],
    }
    write_events(path, streams)
    assert read_annotations(path) == streams
    assert list(read_annotations(path)) == list(streams)
    assert path.read_text(encoding="utf-8").startswith("path,label,start,end,decided,score\n")


def test_only_columns_with_something_in_them_are_written(tmp_path) -> None:
    path = tmp_path / "events.csv"
    write_events(path, {"a": [Event("wave", 0.0, 1.0)]})
    assert path.read_text() == "path,label,start,end\na,wave,0.0,1.0\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_files_as_people_write_them(tmp_path, separator) -> None:
    """Another separator, order of columns and rows, spaces, empty lines, more columns."""
    path = tmp_path / "labels.csv"
    rows = ["Label,end, start,note,path", "wave,2.5,1,,a.mp4", "", "nod, 0.5,0,x,a.mp4"]
    text = "\r\n".join(row.replace(",", separator) for row in rows)
    path.write_text("\ufeff" + text, encoding="utf-8", newline="")
    assert read_annotations(path) == {"a.mp4": [Event("nod", 0.0, 0.5), Event("wave", 1.0, 2.5)]}


def test_what_is_marked_as_no_gesture_is_no_event(tmp_path) -> None:
    path = tmp_path / "labels.csv"
    rows = ["path,label,start,end", f"a,{NO_GESTURE},0,9", "a,wave,1,2", f"b,{NO_GESTURE},0,9"]
    path.write_text("\n".join(rows))
    assert read_annotations(path, labels=("wave",)) == {"a": [Event("wave", 1.0, 2.0)], "b": []}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,wave,1,0.5", "line 2: 'wave' ends at 0.5 s, not behind its start 1 s"),
        ("a,wave,1,1", "line 2: 'wave' ends at 1 s, not behind its start 1 s"),
        ("a,wave,nan,2", "line 2: start 'nan'; expected a finite number"),
        ("a,wave,0,inf", "line 2: end 'inf'; expected a finite number"),
        ("a,wave,-1,2", "line 2: start -1 s; the stream begins at 0"),
        ("a,wave,soon,2", "line 2: start 'soon' is no number"),
        ("a,wave,1,", "line 2: 'wave' needs a start and an end"),
        ("a,,1,2", "line 2: times, but no label"),
        (",wave,1,2", "line 2: no path"),
        ("a,wave,1", "line 2: 3 cells, 4 columns"),
        ('a,"wave,1,2', "line 2: not a CSV: unexpected end of data"),
        ("a,nod,2,3\nb,nod,0,9\na,wave,1,2.5", "lines 4 and 2: in 'a', 'wave' (1 to 2.5 s) and"),
        ("", "no annotations in it"),
        ("a,clap,1,2", "line 2: label 'clap'; expected one of wave, nod"),
    ],
)
def test_a_wrong_row_is_one_line(tmp_path, rows, said) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"path,label,start,end\n{rows}\n")
    with pytest.raises(Gesture3dError) as found:
        read_annotations(path, labels=("wave", "nod"))
    assert str(found.value).startswith(str(path))
    assert said in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file of annotations"),
        (b"", "nothing in it"),
        (b"path,label,start\n", "line 1: end must be there once"),
        (b"\xff\xfe\x00", "not a text file in UTF-8"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, content, said) -> None:
    path = tmp_path / "labels.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Gesture3dError, match=said):
        read_annotations(path)


def test_events_that_were_found_may_overlap(tmp_path) -> None:
    path = tmp_path / "found.csv"
    streams = {"a": [Event("nod", 0.0, 2.0), Event("wave", 1.0, 3.0)]}
    write_events(path, streams)
    assert read_annotations(path, may_overlap=True) == streams


def test_annotations_lie_within_their_stream() -> None:
    events = [Event("nod", 0.0, 2.0), Event("wave", 9.0, 10.05)]
    with pytest.raises(Gesture3dError, match=r"a: wave from 9 to 10.05 s; .* ends at 10 s"):
        check_within(events, 10.0, "a")
    assert check_within(events, 10.0, "a.mp4", clip=0.05) == [events[0], Event("wave", 9.0, 10.0)]
    with pytest.raises(Gesture3dError, match="the stream ends"):
        check_within([Event("wave", 10.0, 10.05)], 10.0, "a.mp4", clip=0.05)
