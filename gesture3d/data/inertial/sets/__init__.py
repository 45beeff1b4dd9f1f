"""Sets of recordings, a file each."""
