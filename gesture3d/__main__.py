"""``python -m gesture3d TOOL …``."""

from gesture3d.cli import main

main()
