"""Runs that `Runner` starts, as forks of the test's own process."""

import importlib
import os
import runpy
import signal
import sys
import traceback
from types import SimpleNamespace

import pytest


class Forked:
    """Popen's face on a fork of this process, which spares the imports: they take far longer than
    trainings of this size."""

    def __init__(self, command, stdout, env, **_) -> None:
        self.returncode = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            sys.stdout = sys.stderr = stdout
            sys.argv = command[1:]
            os.environ.update(env)
            runpy.run_path(command[1], run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc(file=stdout)
        finally:
            stdout.flush()
            os._exit(code)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


@pytest.fixture
def forked_runs(monkeypatch) -> None:
    for module in ("training.run", "evaluation.evaluate", "viz.plots"):
        importlib.import_module(f"gesture3d.{module}")
    for module in ("torch.utils.tensorboard", "torchmetrics.functional.classification"):
        importlib.import_module(module)  # else every forked process would
    forking = SimpleNamespace(Popen=Forked, STDOUT=None)
    monkeypatch.setattr("gesture3d.studies.runner.subprocess", forking)
