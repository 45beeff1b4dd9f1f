"""``gesture3d fuse``, see gesture3d/cli/fuse.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("fuse")
