"""The package as a whole: what it costs to import and what it leaves alone."""

import subprocess
import sys

import gesture3d


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, gesture3d, gesture3d.data; "
        "print([m for m in ('torch', 'matplotlib', 'torchmetrics') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    for name in gesture3d.__all__:
        assert getattr(gesture3d, name).__doc__, name
