"""The loader that names what was left out."""

import sys
from collections.abc import Iterator

from torch.utils.data import DataLoader

from gesture3d.data.batch import Batch


class ClipLoader(DataLoader):
    """A `DataLoader` of `Batch`es that names each broken sample once, when it is met.

    Attributes:
        broken: key → reason of every sample that was left out so far.
    """

    broken: dict[str, str]

    def __iter__(self) -> Iterator[Batch]:
        self.__dict__.setdefault("broken", {})
        for batch in super().__iter__():
            for sample in batch.broken:
                if sample.key not in self.broken:
                    self.broken[sample.key] = sample.reason
                    count = len(self.broken)
                    print(f"left out ({count} so far): {sample.reason}", file=sys.stderr)
            yield batch
