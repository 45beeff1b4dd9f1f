"""Sets of skeleton sequences, a file each."""
