"""``gesture3d watch``, see gesture3d/cli/classify.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("watch")
