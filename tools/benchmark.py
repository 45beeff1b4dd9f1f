"""``gesture3d benchmark``, see gesture3d/cli/benchmark.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("benchmark")
