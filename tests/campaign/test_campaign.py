"""The campaign: ``pytest tests/campaign -m slow`` runs all cases and writes the README's table.

Without ``-m slow`` only the first case of each kind is run.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from gesture3d.machine import num_cores
from tests.forked_runs import Forked

from . import children, videos
from .children import Case, run_cases
from .judge import FAULTS, PASSES
from .kinds import KINDS

README = Path(__file__).with_name("README.md")
QUICK = 1  # case of each kind


HAS_FFMPEG = shutil.which("ffmpeg") and shutil.which("ffprobe")
needs_ffmpeg = pytest.mark.skipif(not HAS_FFMPEG, reason="ffmpeg, which makes the videos")


def faults(cases: list[Case]) -> str:
    """A line for each fault, with the command that repeats it."""
    return "\n".join(
        f'python -m tests.campaign "{c.kind}" {c.number} → {c.verdict}: {c.detail}'
        for c in cases
        if c.verdict in FAULTS
    )


VIDEOS = tuple(videos.CONTAINERS)
OTHERS = tuple(name for name in KINDS if name not in VIDEOS)


class Child(Forked):
    """A fork, spoken to through pipes."""

    def __init__(self, command: list[str], stderr, env: dict[str, str], **_) -> None:
        (theirs, ours), (answers, their_answers) = os.pipe(), os.pipe()

        def listen() -> None:
            os.close(ours), os.close(answers)
            sys.stdin = os.fdopen(theirs)
            os.dup2(stderr.fileno(), 2)

        stdout = os.fdopen(their_answers, "w")
        super().__init__([command[0], *command[3:]], stdout, env, preexec_fn=listen)
        os.close(theirs), stdout.close()
        self.stdin, self.stdout = os.fdopen(ours, "w"), os.fdopen(answers)

    def communicate(self, timeout: float) -> None:
        self.stdin.close()
        self.wait(timeout)
        self.stdout.close()


@pytest.mark.parametrize(
    "kinds", [pytest.param(VIDEOS, marks=needs_ffmpeg), OTHERS], ids=["videos", "others"]
)
def test_the_first_damaged_input_of_each_kind_is_read_or_refused(kinds, monkeypatch) -> None:
    forking = SimpleNamespace(**vars(subprocess) | {"Popen": Child})
    monkeypatch.setattr(children, "subprocess", forking)
    cases = list(run_cases(itertools.product(kinds, range(QUICK)), workers=1))
    assert len(cases) == QUICK * len(kinds)
    assert not faults(cases), faults(cases)


@pytest.mark.slow
@needs_ffmpeg
def test_no_damaged_input_crashes_hangs_or_loses_anything() -> None:
    wanted = [(kind.name, number) for kind in KINDS.values() for number in range(kind.cases)]
    cases = list(run_cases(wanted, num_cores()))
    counts = {name: Counter() for name in KINDS}
    for case in cases:
        counts[case.kind][case.verdict] += 1
    write_table(table(counts))
    assert not faults(cases), faults(cases)


def table(counts: dict[str, Counter]) -> str:
    """Markdown: a row a kind, a column a verdict; all faults in one column where there is none."""
    columns = [*PASSES, *FAULTS]
    lines = [" | ".join(["input", "cases", *columns])]
    lines.append("|".join(["---", *["---:"] * (len(columns) + 1)]))
    counts = counts | {"**all**": sum(counts.values(), Counter())}
    for name, found in counts.items():
        cells = [str(found[column]) for column in columns]
        lines.append(" | ".join([name, str(found.total()), *cells]))
    return "\n".join(f"| {line} |" for line in lines)


def write_table(text: str) -> None:
    """Into the README, between its two marks."""
    print(text)
    marks = r"(<!-- counts -->\n).*(<!-- end of counts -->)"
    old = README.read_text(encoding="utf-8")
    new = re.sub(marks, lambda m: f"{m[1]}{text}\n{m[2]}", old, flags=re.DOTALL)
    README.write_text(new, encoding="utf-8")
