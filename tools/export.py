"""``gesture3d export``, see gesture3d/cli/export.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("export")
