"""Fragments of mp4 (``moof``): their tables must account for the bytes that lie beside them."""

import itertools
from collections.abc import Iterator

from gesture3d.data.video.containers.contents import Damaged
from gesture3d.data.video.containers.mp4_boxes import all_boxes, boxes, first_box, number

_OPTIONAL = (0x1, 0x4)  # fields before the rows of a run: where its data is, the first one's flags
_COLUMNS = (0x100, 0x200, 0x400, 0x800)  # of a run: durations, sizes, flags, composition offsets
_SIZES = 0x200


def samples_in_fragments(
    index: bytes, fragments: list[bytes], track: int, indexed: int, media: int
) -> int:
    """How many samples of a track there are in all fragments.

    Args:
        indexed: bytes of the samples of all tracks that lie in no fragment.
        media: bytes in all ``mdat``.

    Raises:
        Damaged: boxes that do not fill what they are in, a fragment left out, and bytes that no
            sample is made of: more than padding, the table of some of them is not found.
    """
    numbers = [number(first_box(fragment, b"mfhd"), 4) for fragment in fragments]
    if any(b - a > 1 for a, b in itertools.pairwise(numbers)):
        raise Damaged("damaged: a fragment of it is missing")
    defaults = {number(b, 4): number(b, 16) for b in boxes(first_box(index, b"mvex"), b"trex")}
    total, used = 0, indexed
    for fragment in fragments:
        for found, count, size in _runs(fragment, defaults):
            total += count if found == track else 0
            used += size
    if (media - used) * 16 * len(fragments) > media:
        raise Damaged("damaged: frames of it are in no table of its fragments")
    return total


def _runs(fragment: bytes, defaults: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    """Track, number of samples and their bytes, of each run of samples."""
    for name, part in all_boxes(fragment, "moof"):
        if name != b"traf":
            continue
        inside = list(all_boxes(part, "traf"))
        header = next((content for found, content in inside if found == b"tfhd"), b"")
        flags, track = number(header, 0), number(header, 4)
        at = 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0) + (4 if flags & 8 else 0)
        size = number(header, at) if flags & 0x10 else defaults.get(track, 0)
        for found, run in inside:
            if found == b"trun":
                yield track, *_run(run, size)


def _run(run: bytes, size: int) -> tuple[int, int]:
    """Number of samples and their bytes, where the run does not say of ``size`` each."""
    flags, count = number(run, 0), number(run, 4)
    begin = 8 + 4 * sum(flags & field > 0 for field in _OPTIONAL)
    row = 4 * sum(flags & column > 0 for column in _COLUMNS)
    if len(run) != begin + count * row:
        raise Damaged("damaged: a table of its fragments is not as long as it says")
    if not flags & _SIZES:
        return count, count * size
    begin += 4 if flags & 0x100 else 0
    return count, sum(number(run, begin + n * row) for n in range(count))
