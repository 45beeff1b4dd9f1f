"""Programs as forks of the test's own process: what they do, without the imports that they begin
with, which take far longer than work of this size. `Forked` is Popen's face on one."""

import functools
import gc
import importlib
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn, TextIO

import cv2
import pytest

IMPORTED = ("gesture3d.training.closing", "gesture3d.evaluation.evaluate", "gesture3d.viz.plots")
IMPORTED += ("gesture3d.training.run", "gesture3d.inference.classifier", "scipy.optimize")
IMPORTED += ("torch.utils.tensorboard", "torch._dynamo", "matplotlib.pyplot", "PIL.PngImagePlugin")
IMPORTED += ("gesture3d.data", "gesture3d.models", "einops._torch_specific")
TORCHRUN_STARTS = "torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler"


class Forked:
    """A Python program that has been started: ``[python, FILE, …]`` or ``[python, -m, MODULE, …]``.

    Its output goes to ``stdout`` where that is given, else to `communicate`.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        stdout: TextIO | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        start_new_session: bool = False,
        preexec_fn: Callable[[], None] | None = None,
        **_,
    ) -> None:
        _import()
        cv2.setNumThreads(1)  # a fork would wait for ever for the threads that are there before it
        self.returncode = None
        self.outputs = (stdout, stdout) if stdout else self.new_outputs()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            return
        gc.freeze()  # what has threads would wait for them for ever when freed: they are not here
        if start_new_session:
            os.setsid()
        _become([str(word) for word in command], self.outputs, env or {}, cwd, preexec_fn)

    @staticmethod
    def new_outputs() -> tuple[TextIO, TextIO]:
        return _unnamed(), _unnamed()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = 120) -> int:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"process {self.pid}: more than {timeout} s")
            time.sleep(0.005)
        return self.returncode

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """What it wrote to stdout and stderr, when it has ended."""
        self.wait(timeout)
        texts = []
        for file in self.outputs:
            file.seek(0)
            texts.append(file.read())
            file.close()
        return texts[0], texts[1]


class Companion(Forked):
    """One of the processes that such a program starts to share its work: with its output."""

    @staticmethod
    def new_outputs() -> tuple[TextIO, TextIO]:
        return sys.stdout, sys.stderr


class Worker(Companion):
    """One of the processes that torchrun starts."""

    def __init__(self, args: Sequence[str], **options) -> None:
        options |= {"stdout": None, "start_new_session": True}
        super().__init__([word for word in args if word != "-u"], **options)


def run_forked(command: Sequence[str | Path], **options) -> subprocess.CompletedProcess:
    """`subprocess.run` of a Python program, its output as text."""
    process = Forked(command, **options)
    out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@functools.cache
def _import() -> None:
    for module in IMPORTED:  # else every forked process would
        importlib.import_module(module)


def _unnamed() -> TextIO:
    return tempfile.TemporaryFile("w+", encoding="utf-8")


def _become(
    command: list[str],
    outputs: tuple[TextIO, TextIO],
    env: Mapping[str, str],
    cwd: Path | None,
    preexec_fn: Callable[[], None] | None,
) -> NoReturn:
    """In the new process: run the program as if it had been started, and end."""
    code = 1
    try:
        sys.modules["gesture3d.distributed"].subprocess = SimpleNamespace(Popen=Companion)
        for number, file in enumerate(outputs, start=1):
            os.dup2(file.fileno(), number)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if preexec_fn:
            preexec_fn()
        os.environ.update(env)
        os.chdir(cwd or ".")
        sys.orig_argv = command
        if command[1:3] == ["-m", "torch.distributed.run"]:
            importlib.import_module(TORCHRUN_STARTS).Popen = Worker
        if command[1] == "-m":
            sys.argv = command[2:]
            runpy.run_module(command[2], run_name="__main__", alter_sys=True)
        else:
            sys.argv = command[1:]
            runpy.run_path(command[1], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@pytest.fixture
def forked_runs(monkeypatch) -> None:
    """Runs that `Runner` starts are forks, too."""
    forking = SimpleNamespace(Popen=Forked, STDOUT=None)
    monkeypatch.setattr("gesture3d.studies.runner.subprocess", forking)
