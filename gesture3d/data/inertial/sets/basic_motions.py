"""BasicMotions of the UEA archive: four activities, a smart watch's accelerometer and gyroscope.

40 training and 40 test windows of 10 s at 10 Hz (Bagnall et al., "The UEA multivariate time series
classification archive, 2018"), as they come:

    root/BasicMotions_TRAIN.ts, BasicMotions_TEST.ts      (or .arff)
"""

from collections.abc import Container
from pathlib import Path
from typing import Literal

import numpy as np

from gesture3d.data.index import Index
from gesture3d.data.inertial.stream import InertialData, windows_index
from gesture3d.data.numeric import read_named
from gesture3d.data.series import interpolate_missing, read_arff, read_ts
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Place


class BasicMotionsData(InertialData):
    """BasicMotions (UEA): the official ``.ts`` or ``.arff`` files; windows as given.

    Who made them is not said, so that there are no groups.
    """

    name: Literal["basic_motions"]
    root: Place = Path("data/basic_motions")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        windows, keys, labels, splits = [], [], [], []
        for split in ("train", "test"):
            path = self.root / f"BasicMotions_{split.upper()}.ts"
            parse = read_ts
            if not path.exists():
                path, parse = path.with_suffix(".arff"), read_arff
            found = parse(read_named(path), str(path))
            names = tuple(sorted(found.class_names))
            for label, x, line in zip(found.labels, found.sequences, found.lines, strict=True):
                where = f"{path}, line {line}"
                if x.shape != (self.window, 6):
                    raise Gesture3dError(
                        f"{where}: {x.shape[0]} steps of {x.shape[1]} channels, expected "
                        f"{self.window} of 6"
                    )
                windows.append(interpolate_missing(x, None, where).astype(np.float32))
                keys.append(f"{split}_{line}")
                labels.append(names.index(found.class_names[label]))
            splits += [split] * len(found.labels)
        return windows_index(names, windows, keys, labels, [None] * len(keys), splits)
