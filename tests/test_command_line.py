"""How every tool ends and prints: foreign text, full outputs, readers that leave, no memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gesture3d.command_line import how_to_start
from gesture3d.files import PACKAGE
from gesture3d.text import csv_text, for_terminal, markdown, markdown_code, one_line
from tests.forked_runs import run_forked

FULL = Path("/dev/full")
START = "from gesture3d.command_line import run_command_line\n"


def program_of(body: str) -> str:
    """A tool whose ``main`` is these lines."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{START}def main():\n{lines}run_command_line(main)\n"


def run(body: str, *, stdout=subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess:
    """It, in a process of its own."""
    program = program_of(body)
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "", **environment}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
    )


@pytest.mark.parametrize(
    "setting",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_what_the_output_cannot_hold_has_numbers(setting) -> None:
    body = "print('\\u6325\\u624b ok')\nraise SystemExit(0)"
    done = run(body, **setting)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\u6325\\u624b ok\n", b"")


def test_names_give_the_terminal_no_commands() -> None:
    """Neither printed, nor in errors, nor through tqdm, whose own bars still work."""
    body = (
        "import sys, tqdm\n"
        "from gesture3d.errors import Gesture3dError\n"
        "name = 'a\\x1b[2Jb\\x07\\x9b\\u202e\\udce9'\n"
        "print(name, 'next')\n"
        "tqdm.tqdm.write(name)\n"
        "list(tqdm.tqdm(range(3), desc='bar', file=sys.stderr))\n"
        "raise Gesture3dError(f'{name}\\r\\nfaked')"
    )
    done = run(body)
    shown = "a\\x1b[2Jb\\x07\\x9b\\u202e\\udce9"
    assert done.stdout.decode().splitlines() == [f"{shown} next", shown]
    *bars, last = done.stderr.decode().removesuffix("\n").split("\n")
    assert last == f"error: {shown}\\r\\nfaked"
    assert "\rbar: 100%" in bars[0]
    assert "\x1b" not in bars[0]
    assert done.returncode == 2


@pytest.mark.parametrize(
    "statement",
    [
        "raise MemoryError",
        "import numpy; numpy.empty(1 << 50)",
        "import torch; torch.empty(1 << 50)",
        "import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')",
        "import cv2, numpy; cv2.resize(numpy.zeros((8, 8), numpy.uint8), (2**31 - 1, 2**31 - 1))",
        "raise RuntimeError('Caught RuntimeError in worker 0.\\nTraceback …\\nstd::bad_alloc')",
        "import errno; raise OSError(errno.ENOMEM, 'Cannot allocate memory')",
    ],
)
def test_no_memory_is_one_line_with_what_to_do(statement, tmp_path) -> None:
    program = tmp_path / "program.py"
    program.write_text(program_of(statement), encoding="utf-8")
    done = run_forked([sys.executable, program])
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: out of memory: take smaller batches (train.batch_size")


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    done = run("raise RuntimeError('shapes do not fit')")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == "RuntimeError: shapes do not fit"


def test_a_long_value_is_not_echoed_whole() -> None:
    body = (
        "from gesture3d.errors import Gesture3dError\nraise Gesture3dError('x' * 100_000 + 'end')"
    )
    line = run(body).stderr.decode()
    assert len(line) == 2001
    assert line.endswith("xend\n")


@pytest.mark.parametrize("count", [1, 100_000])
def test_a_reader_that_has_left_is_no_error(count) -> None:
    """Also where all of the output is flushed at the end only."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run(f"print('line\\n' * {count})", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_an_output_that_is_full_is_one_line() -> None:
    with FULL.open("wb") as full:
        done = run("print('line')", stdout=full)
    assert (done.returncode, done.stderr) == (2, b"error: No space left on device\n")


def test_a_closed_output_is_no_error() -> None:
    tool = f"{START}run_command_line(lambda: print(1))"
    done = subprocess.run(["sh", "-c", f'exec "{sys.executable}" -c "{tool}" >&- 2>&-'])
    assert done.returncode == 0


# ------------------------------------------------------------------------------------------- text


def test_one_line_keeps_letters_and_escapes_the_rest() -> None:
    assert (
        one_line("a\nb\tc\u2028d\x00 挥手 👩\u200d🚀") == "a\\nb\\tc\\u2028d\\x00 挥手 👩\u200d🚀"
    )
    assert one_line("0123456789" * 30, 40) == "01234567890123456789012345…7890123456789"
    assert for_terminal("\r50 %\x1b[A", with_bars=True) == "\r50 %\x1b[A"
    assert for_terminal("\r50 %\x1b[A\n") == "\\r50 %\\x1b[A\n"


def test_markdown_is_shown_as_it_is() -> None:
    assert markdown("swipe_left 1.5 < 2 & more") == "swipe_left 1.5 < 2 & more"
    assert markdown("a|b\nc") == "a\\|b\\\\nc"
    assert markdown("`x` $y$ *z* _w_ <b> &lt; [l](u)") == (
        "\\`x\\` \\$y\\$ \\*z\\* \\_w\\_ \\<b> \\&lt; \\[l\\](u)"
    )
    assert markdown_code("a: '````'", "yaml") == ["`````yaml", "a: '````'", "`````"]


def test_csv_gives_back_every_text(tmp_path) -> None:
    import csv

    rows = [["a\rb", "c\nd", 'e"f', "g,h", "i\u2028j", "", " k\t"], ["1"] * 7]
    path = tmp_path / "rows.csv"
    path.write_text(csv_text(rows), encoding="utf-8", newline="")
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file, strict=True)) == rows
    assert csv_text([["plain", 1.5]]) == "plain,1.5\n"


@pytest.mark.parametrize(
    ("started", "alone", "with_uv"),
    [
        ("python -u tools/train.py", "python tools/classify.py", "uv run tools/classify.py"),
        ("/v/python /v/bin/gesture3d train", "gesture3d classify", "uv run gesture3d classify"),
        ("python train_mine.py", "gesture3d classify", "uv run gesture3d classify"),
        ("python", "gesture3d classify", "uv run gesture3d classify"),
    ],
)
def test_commands_to_go_on_with_are_as_the_program_was_started(
    started, alone, with_uv, monkeypatch
) -> None:
    monkeypatch.chdir(PACKAGE.parent)
    monkeypatch.setattr(sys, "orig_argv", started.split())
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    assert how_to_start("classify", "a b.mp4") == f"{alone} 'a b.mp4'"
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert how_to_start("classify", "a b.mp4") == f"{with_uv} 'a b.mp4'"


def test_what_argparse_refuses_is_not_echoed_whole() -> None:
    command = [sys.executable, PACKAGE / "cli" / "evaluate.py", "--split", "x" * 10_000]
    done = run_forked(command)
    assert (done.returncode, "invalid choice: 'xxx" in done.stderr) == (2, True)
    assert len(done.stderr) < 4000
