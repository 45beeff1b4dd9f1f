"""The loader that names what was left out."""

import sys
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from gesture3d.data.batch import Batch


class ClipLoader(DataLoader):
    """A `DataLoader` of `Batch`es that names each broken sample once, when it is met.

    Attributes:
        broken: key → reason of every sample that was left out so far.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.broken: dict[str, str] = {}

    def __iter__(self) -> Iterator[Batch]:
        for batch in super().__iter__():
            for sample in batch.broken:
                if sample.key not in self.broken:
                    self.broken[sample.key] = sample.reason
                    count = len(self.broken)
                    print(f"left out ({count} so far): {sample.reason}", file=sys.stderr)
            yield batch
