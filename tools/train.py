"""``gesture3d train``, see gesture3d/cli/train.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("train")
