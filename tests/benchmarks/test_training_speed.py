"""The benchmark of what surrounds the network: that it measures, not what."""

from gesture3d.benchmarks.training import _measure, loop_overhead


def test_the_loop_is_set_against_bare_steps():
    row = loop_overhead(num_steps=1, seconds=0)
    assert row["the loop / bare steps"] > 0.5
    assert row["an epoch of steps"] == 1


def test_processes_and_threads_are_measured():
    speed, latencies = _measure(processes=1, threads=1, waiting="PASSIVE", seconds=0.1)
    assert speed > 0
    assert all(seconds > 0 for seconds in latencies)
    speed, latencies = _measure(processes=2, threads=1, waiting="PASSIVE", seconds=0.1)
    assert speed > 0
    assert latencies == []
