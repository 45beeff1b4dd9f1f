"""Hands in ordinary video: where they are, and their joints. It imports nothing of `data`."""
