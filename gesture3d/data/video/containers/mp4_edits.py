"""The edit list of an mp4's track: which of its samples are shown (ISO/IEC 14496-12, 8.6.6)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gesture3d.data.video.containers.contents import REORDERED, Damaged, num_leading


@dataclass(frozen=True)
class Edits:
    """An edit list and what it is about.

    Attributes:
        table: content of ``elst``.
        steps: (N,) time from each sample to the next one; None where the table is not whole.
        offsets: (N,) from when a sample is decoded to when it is shown; None for 0.
        scales: units a second, of the edits and of the samples.
        durations: of the track, in units of the edits, and of its samples, in theirs.
    """

    table: bytes
    steps: np.ndarray | None
    offsets: np.ndarray | None
    scales: tuple[int, int]
    durations: tuple[int, int]

    @cached_property
    def rows(self) -> list[tuple[int, int]]:
        """(duration, first time) of every edit; the first time of a gap is below 0."""
        width = 8 if self.table[:1] == b"\1" else 4
        step = 2 * width + 4
        rows = [self.table[at : at + 2 * width] for at in range(8, len(self.table), step)][:1000]
        return [(int.from_bytes(r[:width]), int.from_bytes(r[width:], signed=True)) for r in rows]

    @cached_property
    def shown_rows(self) -> list[tuple[int, int]]:
        return [(duration, start) for duration, start in self.rows if start >= 0]

    @cached_property
    def _times(self) -> np.ndarray:
        """(N,) when each sample is shown, in its media's time."""
        times = np.concatenate([[0], np.cumsum(self.steps[:-1])])
        return times if self.offsets is None else times + self.offsets

    def leading(self) -> int:
        """`num_leading` of the samples."""
        return 0 if self.offsets is None or self.steps is None else num_leading(self._times[:100])

    def shown(self) -> int | None:
        """How many samples are shown; None where all are, or that cannot be read."""
        edit_scale, scale = self.scales
        if not self.shown_rows or not edit_scale or not scale or self.steps is None:
            return None
        if any(duration == 0 for duration, _ in self.shown_rows):
            return None
        shown = 0
        for duration, start in self.shown_rows:
            end = start + duration * scale / edit_scale
            shown += int(np.count_nonzero((self._times >= start) & (self._times < end - 0.5)))
        return min(shown, len(self.steps))

    def check(self) -> None:
        """Raise Damaged where edits that hide samples contradict the rest of the index.

        The durations of the edits sum up to the track's, those of the samples to the media's
        (8.3.2, 8.4.2), which FFmpeg counts from when the first one is shown. An edit that begins
        behind the first sample ends with the last one at the latest. What is hidden before all
        edits lies at the beginning of the file, what is hidden behind them at its end.
        """
        edit_scale, scale = self.scales
        in_track, in_media = self.durations
        times, rounding = self._times, len(self.rows) + 1
        begin = min(start for _, start in self.shown_rows)
        end = max(start + length * scale / edit_scale for length, start in self.shown_rows)
        last = times.max() + self.steps[-1]
        shown = np.cumsum((times >= begin) & (times < end))  # up to each sample
        late = shown[times < begin] > REORDERED
        early = shown[-1] - shown[times >= end] > REORDERED
        lengths = self.steps.sum(), last - times[0], last - times.min()
        if (
            abs(sum(length for length, _ in self.rows) - in_track) > rounding
            or min(abs(length - in_media) for length in lengths) > self.steps.max()
            or (begin > times.min() and (end - last) * edit_scale / scale > rounding)
            or late.any()
            or early.any()
        ):
            raise Damaged("damaged: its edit list contradicts the times of its frames")
