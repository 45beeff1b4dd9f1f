"""Speed measurements, run by ``tools/benchmark.py``."""
