"""``gesture3d explain``, see gesture3d/cli/explain.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("explain")
