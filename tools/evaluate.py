"""``gesture3d evaluate``, see gesture3d/cli/evaluate.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("evaluate")
