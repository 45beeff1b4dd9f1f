"""``gesture3d serve``, see gesture3d/cli/serve.py."""

from gesture3d.cli import run

if __name__ == "__main__":
    run("serve")
