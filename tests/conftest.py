"""Fixtures for all tests."""

import os
from functools import partial
from pathlib import Path

import pytest

# One thread in every process of the tests: networks are tiny here, and threads that wait for each
# other on busy cores cost far more than they bring. Set before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, which are not part of the project: skip without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GESTURE3D_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder} (set GESTURE3D_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def short_measurements():
    """What a run does when it ends: one batch tells its network's speed, not those of a second."""
    from gesture3d.training import result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result, "clips_per_second", partial(result.clips_per_second, seconds=0))
        yield


# Runs as forks of the test's own process, see there.
from tests.forked_runs import forked_runs  # noqa: E402, F401
