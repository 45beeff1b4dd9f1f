"""The simulation of many GPUs where its answer is known without it."""

from dataclasses import replace

import pytest

from gesture3d.benchmarks.scale import RECIPES, Rates, all_reduce_seconds, estimate, report

JESTER = RECIPES[0]


def test_one_gpu_with_a_fast_loader_computes_all_the_time() -> None:
    found = estimate(JESTER, 1, Rates(decoded=1e9))
    steps = 7411 * 30  # 118,562 clips in batches of 16
    seconds = 0.03 + 6 * 77.1e9 * 16 / 50e12
    assert found.hours == pytest.approx(steps * seconds / 3600, rel=1e-6)
    assert found.waiting == pytest.approx(0.0, abs=1e-9)
    assert found.efficiency == pytest.approx(1.0)


def test_a_slow_loader_sets_the_pace() -> None:
    found = estimate(JESTER, 1, Rates(decoded=2.0, cores=4))
    assert found.hours == pytest.approx(118_562 * 30 / 8 / 3600, rel=0.05)
    assert found.waiting > 0.9


def test_the_slowest_of_many_loaders_sets_the_pace() -> None:
    """Nothing is faster for more GPUs than their number; uneven clips cost more than even ones."""
    rates = Rates(decoded=90.0, cores=1, spread=2.0)
    hours = [estimate(replace(JESTER, batch=16 * n), n, rates).hours for n in (1, 8, 64)]
    assert hours[0] / 8 < hours[1]
    assert hours[1] / 8 < hours[2]
    even = estimate(replace(JESTER, batch=128), 8, replace(rates, spread=1e-6)).hours
    assert even < hours[1]


def test_the_network_between_machines_is_paid_where_there_is_one() -> None:
    rates = Rates(latency=0.0)
    assert all_reduce_seconds(1, 1e9, rates) == 0.0
    assert all_reduce_seconds(8, 1e9, rates) == pytest.approx(2 * 7 / 8 / 150)
    assert all_reduce_seconds(16, 1e9, rates) == pytest.approx(2 * 15 / 16 / 10)


def test_the_page_is_what_the_command_writes() -> None:
    from gesture3d.benchmarks import scale

    page = scale.Path(scale.__file__).with_name("SCALE.md").read_text(encoding="utf-8")
    assert page == "\n".join(report(Rates())).rstrip() + "\n"
