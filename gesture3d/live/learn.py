"""The process that learns from recorded clips: python -m gesture3d.live.learn CLIPS RUNS WAY.

Of every gesture the last fifth of its clips is held out, and the last two fifths of the recording
of nothing: what is said of the result comes from these. The trained run is an ordinary one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE
from gesture3d.files import resource, take_lock, write_text
from gesture3d.live.clips import Clips
from gesture3d.live.disk import disk_words
from gesture3d.live.measuring import measure
from gesture3d.live.teaching import LOCK, check_enough, write_status
from gesture3d.machine import keep_freed_memory
from gesture3d.text import csv_text
from gesture3d.training.stopping import Interrupted

HELD_OUT, NOTHING_HELD_OUT = 0.2, 0.4
GOOD = 0.9  # of held-out clips, from which on nothing else is tried
INIT = "variant_a-synthetic.safetensors"
EPOCHS = 40
PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class Plan:
    """Which clips are learnt from and which are held out: gesture → paths."""

    root: Path
    learnt: dict[str, list[Path]]
    held_out: dict[str, list[Path]]

    def write(self, path: Path) -> None:
        """As a list that every data set of folders reads (``data.csv``)."""
        rows = [
            [clip.relative_to(self.root).as_posix(), name, split]
            for split, part in (("train", self.learnt), ("validation", self.held_out))
            for name, clips in part.items()
            for clip in clips
        ]
        write_text(path, csv_text([["path", "label", "split"], *rows]))


def plan(clips: Clips) -> Plan:
    """Hold out the last clips of every class, one at least."""
    learnt, held_out = {}, {}
    for name, files in clips.listed().items():
        share = NOTHING_HELD_OUT if name == NO_GESTURE else HELD_OUT
        paths = [clips.path(name, file) for file in files]
        count = max(round(share * len(paths)), 1) if len(paths) > 1 else 0
        learnt[name], held_out[name] = paths[: len(paths) - count], paths[len(paths) - count :]
    return Plan(clips.root, learnt, held_out)


class Progress:
    """What is said of it meanwhile, in the status file."""

    def __init__(self, hidden: Path, plan: Plan) -> None:
        self.hidden = hidden
        counts = {name: len(clips) for name, clips in plan.learnt.items()}
        self.status: dict[str, Any] = {"since": time.time(), "process": os.getpid()}
        self.status |= {"learnt": counts, "held_out": sum(map(len, plan.held_out.values()))}

    def say(self, state: str = "running", **more: Any) -> None:
        self.status |= {"state": state, **more}
        write_status(self.hidden, self.status)


def teach_hands(plan: Plan, listing: Path, runs: Path, progress: Progress) -> Path:
    """Templates of the hands' joints: the checkpoint. Raises where hands cannot be read."""
    from gesture3d.config import load_data
    from gesture3d.data import read_index
    from gesture3d.training.run_folder import new_folder
    from gesture3d.training.teach import clips_of, save, teach

    progress.say(step="looking for hands in the clips", way="hands")
    names = [name for name in plan.learnt if name != NO_GESTURE]
    settings = [f"data.root={plan.root}", f"data.csv={listing}", "data.validation_share=0"]
    data = load_data("hand_folder", settings).model_copy(update={"classes": tuple(names)})
    index = read_index(data, progress=False)
    clips, shares = clips_of(index, data.num_frames)
    if np.median(list(shares.values())) < 0.5:
        raise Gesture3dError("hands are hardly seen in these clips")
    taught = teach(clips)
    with new_folder(runs, "taught-hands", exactly=False) as folder:
        path = folder / "best.safetensors"
        save(path, taught, clips, data, {"train": index.fingerprint("train")})
    return path


def train_video(plan: Plan, listing: Path, runs: Path, progress: Progress) -> Path:
    """The shipped video network, fine-tuned: the checkpoint of an ordinary run."""
    from gesture3d.config import load_experiment
    from gesture3d.training.run import train
    from gesture3d.training.run_folder import new_folder

    settings = [f"data.root={plan.root}", f"data.csv={listing}", f"train.epochs={EPOCHS}"]
    batch = min(16, sum(map(len, plan.learnt.values())))
    settings += ["train.keep=last", "train.processes=1", "data.balance=true"]
    settings += [f"train.batch_size={batch}"]
    experiment = load_experiment("variant_a", "folder", settings)
    with new_folder(runs, "taught-video", exactly=False) as folder:
        progress.say(
            step="training", way="video", run=folder.name, epochs=EPOCHS, epochs_since=time.time()
        )
        return train(experiment, folder, init=resource("weights") / INIT, progress=False)


def learn(root: Path, runs: Path, way: str, progress: Progress, plan: Plan) -> None:
    """By hands, by video, or (auto) by hands and, where these are not good, by video, too: what
    recognises the held-out clips and is silent at nothing."""
    listing = progress.hidden / "clips.csv"
    plan.write(listing)
    ways = {"hands": [teach_hands], "video": [train_video]}.get(way, [teach_hands, train_video])
    results: list[tuple[float, Path, dict[str, Any]]] = []
    problem = None
    for teach in ways:
        try:
            path = teach(plan, listing, runs, progress)
            progress.say(step="measuring on the clips that were held out")
            found = measure(path, plan) | {"way": progress.status["way"]}
        except Gesture3dError as error:
            if teach is ways[-1] and not results:
                raise
            problem = str(error)
            continue
        share = found["right"] / max(found["tested"], 1)
        in_stream = found.get("found", 0) / max(found.get("made", 0), 1)
        quality = share + in_stream - found["alarms"] / max(found["nothing_seconds"], 1.0)
        results.append((quality, path, found))
        if share >= GOOD and ("made" not in found or in_stream >= GOOD) and not found["alarms"]:
            break
    results.sort(key=lambda result: result[0], reverse=True)  # of equals the first, which is faster
    _, path, found = results[0]
    if len(results) > 1:
        found["note"] = in_words(results[1][2])
    elif problem and found["way"] == "video":
        found["note"] = f"By the whole picture, as the hands could not be read: {problem}"
    took = round(time.time() - progress.status["since"], 1)
    progress.say("done", network=f"runs/{path.parent.name}", result=found, seconds=took)


def in_words(found: dict[str, Any]) -> str:
    """What the page says of a way that was tried, and not taken."""
    parts = [f"recognised {found['right']} of {found['tested']}"]
    if "made" in found:
        parts.append(f"found {found['found']} of {found['made']} one after the other")
    parts.append(f"had {found['alarms']} false alarms")
    by = {"hands": "the hands", "video": "the whole picture"}
    return f"Tried as well: by {by[found['way']]} it {', '.join(parts)}. That is not better."


def main(clips: str, runs: str, way: str) -> int:
    """The process."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch, as for every tool
    keep_freed_memory()
    root = Path(clips)
    hidden = root / ".live"
    until = time.monotonic() + PATIENCE  # a server looks whether it is held by taking it
    while (lock := take_lock(hidden / LOCK)) is None and time.monotonic() < until:
        time.sleep(0.05)
    if lock is None:
        print("another training is running", file=sys.stderr)
        return 2

    progress = None

    def say_cancelled() -> None:
        write_status(hidden, (progress.status if progress else {}) | {"state": "cancelled"})

    def stop(number: int, frame: object) -> None:
        """An exception could meet C++ code that is being imported, and abort it, or be lost."""
        say_cancelled()
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)  # in steps of the training its own is there instead
    try:
        recorded = Clips(root)
        check_enough(recorded.listed())
        parts = plan(recorded)
        progress = Progress(hidden, parts)
        progress.say(step="reading the clips")
        learn(root, Path(runs), way, progress, parts)
    except Interrupted:
        say_cancelled()
    except (Gesture3dError, OSError, MemoryError) as error:
        why = disk_words(error) if isinstance(error, OSError) else str(error) or "out of memory"
        said = {"state": "failed", "error": why}
        with contextlib.suppress(OSError):  # a full disk: the server finds that out by itself
            write_status(hidden, (progress.status if progress else {}) | said)
        return 1
    finally:
        lock.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
