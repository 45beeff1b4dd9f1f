"""``gesture3d teach``, see gesture3d/cli/teach.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("teach")
