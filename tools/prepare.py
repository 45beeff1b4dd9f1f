"""``gesture3d prepare``, see gesture3d/cli/prepare.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("prepare")
