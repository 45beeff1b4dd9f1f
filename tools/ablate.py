"""``gesture3d ablate``, see gesture3d/cli/ablate.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("ablate")
