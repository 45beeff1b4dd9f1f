"""What is installed from a wheel works without the checkout: commands, configs, weights."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gesture3d.cli import TOOLS
from gesture3d.files import PACKAGE
from tests.clips import square_clip, write_clip


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A built wheel, unpacked as an installer would."""
    pytest.importorskip("hatchling", reason="builds the wheel: a development dependency")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PACKAGE.parent, check=True, capture_output=True)
    site = folder / "site"
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def run(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """``gesture3d …`` as the console script starts it, in a folder that has no checkout."""
    program = "import sys; from gesture3d.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *arguments]
    env = os.environ | {"PYTHONPATH": str(site)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_the_console_script_is_declared(installed) -> None:
    declared = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    assert "gesture3d = gesture3d.cli:main" in declared


def test_help_lists_the_tools_and_what_to_try_first(installed, tmp_path) -> None:
    done = run(installed, tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "Try first:  gesture3d classify clip.mp4"
    assert all(f"\n  {tool} " in done.stdout for tool in TOOLS)
    wrong = run(installed, tmp_path, "clasify")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "Did you mean 'classify'?" in wrong.stderr


def test_a_clip_is_classified_with_the_shipped_weights(installed, tmp_path) -> None:
    write_clip(tmp_path / "clip.mp4", square_clip("left", 0, frames=20, size=64))
    done = run(installed, tmp_path, "classify", "clip.mp4")
    assert done.returncode == 0, done.stderr
    assert "clip.mp4" in done.stdout
    assert "%" in done.stdout


@pytest.mark.slow
def test_an_environment_of_its_own_has_all_that_the_command_needs(tmp_path) -> None:
    """Nothing but what the wheel asks for, in an empty folder."""
    if shutil.which("uvx") is None:
        pytest.skip("uvx is not installed")
    write_clip(tmp_path / "clip.mp4", square_clip("left", 0, frames=20, size=64))
    command = ["uvx", "--from", str(PACKAGE.parent), "gesture3d", "classify", "clip.mp4"]
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("clip.mp4  ")


def test_configs_are_found(installed, tmp_path) -> None:
    done = run(installed, tmp_path, "train", "--cfg", "gru", "--data", "jester")
    assert "'gru' reads sequences, but data set 'jester' has clips" in done.stderr
