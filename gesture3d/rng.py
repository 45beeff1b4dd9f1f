"""Addressed randomness: every random choice is a pure function of the address it is made at.

A choice about a sample is drawn from ``generator(seed, epoch, key)``, a shuffle from
``generator(seed, epoch, "shuffle")``. So results depend neither on the number of workers nor on
what was drawn before, and a resumed run continues exactly.
"""

import hashlib

import numpy as np


def generator(*address: int | str) -> np.random.Generator:
    """A NumPy generator that depends on ``address`` alone, the same on every machine."""
    text = "\x1f".join(str(part) for part in address)
    digest = hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
