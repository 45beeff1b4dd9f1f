"""Fixtures for all tests."""

import gc
import os
from dataclasses import replace
from pathlib import Path

import jaxtyping
import pytest

# One thread in every process of the tests: networks are tiny here, and threads that wait for each
# other on busy cores cost far more than they bring. Set before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"
# Looking for cycles among all that is imported, as often as Python does, takes a twentieth of the
# tests' time.
gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, which are not part of the project: skip without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GESTURE3D_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder} (set GESTURE3D_DATA)")
    return folder


@pytest.fixture(scope="session")
def generated(tmp_path_factory) -> Path:
    """A generated set, a clip a class and split, rendered once for all processes of the tests:
    to be copied (`tests.clips.copied`) by what writes beside it."""
    from gesture3d.synthetic.generate import generate

    root = for_all_processes(tmp_path_factory) / "generated"
    counts = dict.fromkeys(("train", "validation", "test"), 1)
    generate(root, clips_per_class=counts, num_workers=1, progress=False)
    return root


@pytest.fixture(scope="session")
def generated_flow(generated, tmp_path_factory) -> Path:
    """The same, with the optical flow of the first, the middle and the last clip of each split;
    the others have that of the very first."""
    from gesture3d.data.video.prepared.flow import kept_flow
    from gesture3d.data.video.sets.jester import read_jester
    from gesture3d.files import locked
    from tests.clips import copied

    root = for_all_processes(tmp_path_factory) / "generated_flow"
    with locked(root.with_suffix(".lock")):
        if not root.exists():
            copied(generated, root)
            index, flow = read_jester(root, "rgb"), kept_flow(root / "flow")
            splits = [index.of(split) for split in ("train", "validation", "test")]
            some = [clips[row] for clips in splits for row in (0, 13, 26)]
            flow.complete(replace(index, items=some), num_workers=1, progress=False)
            for clip in index.items:
                if clip not in some:
                    os.link(flow.path(some[0]), flow.path(clip))
    return root


def for_all_processes(tmp_path_factory) -> Path:
    """A folder that all processes of these tests share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def short_ends():
    """Of runs, see there."""
    from tests import run_ends

    with run_ends.short_ends():
        yield


@pytest.fixture(scope="module", autouse=True)
def shapes(request):
    """Annotated ones are checked in the tests of the networks. Elsewhere these are as small, and a
    quarter of their time would go into it; export runs them on sizes that are symbols."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", request.path.parent.name != "models")
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Whatever a training asks for: later forks would wait for ever for threads begun before."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "set_num_threads", lambda _: None)
        yield


# Runs as forks of the test's own process, see there.
from tests.forked_runs import forked_runs  # noqa: E402, F401
