"""Sets of clips, a file each."""
