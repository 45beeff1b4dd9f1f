"""Damage: mutation ``number`` of a kind of files is always the same."""

from collections.abc import Callable

import numpy as np

from gesture3d.rng import generator

Mutator = Callable[[bytes, bytes, np.random.Generator], bytes]


def mutate(
    content: bytes, other: bytes, kind: str, number: int, odd: Mutator | None = None
) -> tuple[bytes, str]:
    """The damaged content and the name of the damage.

    Args:
        other: another good file of the kind, for splices.
        odd: a mutator that knows the format, for every second number.
    """
    rng = generator("campaign", kind, number)
    if odd is not None and number % 2:
        return odd(content, other, rng), "odd value"
    chosen = MUTATORS[int(rng.integers(len(MUTATORS)))]
    damaged = content
    for _ in range(8):  # a mutation may change nothing, as zeros over zeros
        damaged = chosen(content, other, rng)
        if damaged != content:
            break
    return damaged, chosen.__name__.replace("_", " ")


def flip_bits(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        damaged[_place(len(content), rng)] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def flip_bytes(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(content)
    for _ in range(int(rng.integers(1, 33))):
        damaged[_place(len(content), rng)] = int(rng.integers(256))
    return bytes(damaged)


def overwrite(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    start, length = _block(len(content), rng)
    length = min(length, len(content) - start)
    return content[:start] + _filling(length, rng) + content[start + length :]


def insert(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    start, length = _block(len(content), rng)
    return content[:start] + _filling(length, rng) + content[start:]


def delete(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    start, length = _block(len(content), rng)
    return content[:start] + content[start + length :]


def cut_the_end(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content)))]


def cut_the_start(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    return content[_block(len(content), rng)[1] :]


def duplicate(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    start, length = _block(len(content), rng)
    block = content[start : start + length]
    return content[: start + length] + block + content[start + length :]


def swap(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    (one, length), (two, _) = _block(len(content), rng), _block(len(content), rng)
    one, two = sorted((one, two))
    length = min(length, two - one, len(content) - two)
    blocks = content[one : one + length], content[two : two + length]
    damaged = bytearray(content)
    damaged[one : one + length], damaged[two : two + length] = blocks[1], blocks[0]
    return bytes(damaged)


def splice(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content)))] + other[int(rng.integers(len(other))) :]


MUTATORS: list[Mutator] = [
    flip_bits,
    flip_bytes,
    overwrite,
    insert,
    delete,
    cut_the_end,
    cut_the_start,
    duplicate,
    swap,
    splice,
]


def _place(size: int, rng: np.random.Generator) -> int:
    """Anywhere, or near the start or the end, where most of a file's structure is."""
    region = int(rng.integers(4))
    near = min(size, 512)
    if region == 0:
        return int(rng.integers(near))
    if region == 1:
        return size - 1 - int(rng.integers(near))
    return int(rng.integers(size))


def _block(size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Start and length: from a byte to a quarter of the file, short ones as often as long ones."""
    length = round(np.exp(rng.uniform(0, np.log(max(size / 4, 2)))))
    return _place(size, rng), length


def _filling(length: int, rng: np.random.Generator) -> bytes:
    kind = int(rng.integers(3))
    return rng.bytes(length) if kind == 0 else bytes([0x00 if kind == 1 else 0xFF]) * length
