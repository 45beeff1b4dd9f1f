"""What a run leaves behind and shows: progress bar, metrics.jsonl, TensorBoard, report.md."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange
from tqdm import tqdm

from gesture3d.evaluation.metrics import Metrics
from gesture3d.files import write_text
from gesture3d.text import markdown, one_line


class Bar:
    """Progress over the steps of an epoch; its text changes about once a second."""

    def __init__(self, bar: tqdm, is_main: bool) -> None:
        self._bar, self._is_main = bar, is_main
        self._shown_at = time.monotonic()

    def update(self) -> bool:
        """Count one step; True when it is time to show new values (in the main process)."""
        self._bar.update(1)
        return self._is_main and time.monotonic() - self._shown_at >= 1.0

    def show(self, sums: list[float]) -> None:
        loss, top1, _, count = sums
        self._bar.set_postfix_str(f"loss {loss / count:.3f} top-1 {top1 / count:.1%}")
        self._shown_at = time.monotonic()


class RunLog:
    """The folder of one run. Only the main process writes."""

    def __init__(
        self, folder: Path, *, is_main: bool = True, num_epochs: int, progress: bool = True
    ):
        self.folder = Path(folder)
        self.is_main, self.num_epochs = is_main, num_epochs
        self.show_progress = progress and is_main
        self.last_path = self.folder / "last.ckpt"
        self.best_path = self.folder / "best.safetensors"
        self._writer = None

    @property
    def writer(self) -> Any:
        """The TensorBoard writer, made on first use (its import takes a second)."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(self.folder / "tensorboard", flush_secs=30)
        return self._writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    @contextlib.contextmanager
    def bar(self, epoch: int, first_step: int, num_steps: int) -> Iterator[Bar]:
        bar = tqdm(
            total=num_steps,
            initial=first_step,
            desc=f"epoch {epoch + 1}/{self.num_epochs}",
            unit="step",
            leave=False,
            disable=None if self.show_progress else True,  # None: only on a terminal
        )
        with bar:
            yield Bar(bar, self.is_main)

    def say(self, text: str) -> None:
        if self.is_main:
            tqdm.write(one_line(text))

    def inputs(self, clips: np.ndarray, titles: list[str]) -> None:
        """Log a grid of input clips: one row a clip, one column a frame (32 at most).

        Args:
            clips: uint8 ``(N, T, C, H, W)``.
        """
        if not self.is_main:
            return
        clips = clips[:, :: -(-clips.shape[1] // 32)]
        grid = rearrange(clips, "n t c h w -> (n h) (t w) c")
        grid = grid[..., :3] if grid.shape[-1] >= 3 else grid[..., :1]
        self.writer.add_image("inputs", grid, dataformats="HWC")
        self.writer.add_text("inputs", "\n\n".join(map(markdown, titles)))

    def epoch(self, history: list[dict[str, Any]]) -> None:
        """Log the newest row of the history."""
        if not self.is_main:
            return
        row = history[-1]
        lines = "".join(json.dumps(r, allow_nan=False) + "\n" for r in history)
        write_text(self.folder / "metrics.jsonl", lines)
        for name, value in row.items():
            if name != "epoch":
                self.writer.add_scalar(name.replace("_", "/", 1), value, row["epoch"] + 1)

    def say_epoch(self, row: dict[str, Any], metrics: Metrics | None) -> None:
        """Print an epoch's row in a line."""
        text = (
            f"epoch {row['epoch'] + 1:3d}/{self.num_epochs}"
            f"  train: loss {row['train_loss']:.3f}, top-1 {row['train_top1']:6.1%}"
        )
        if metrics:
            text += f"  validation: loss {metrics.loss:.3f}, top-1 {metrics.top1:6.1%}"
            text += f", top-5 {metrics.top5:6.1%}"
        self.say(f"{text}  {row['clips_per_second']:.0f} clips/s")
