"""Where what is prepared from a data set is kept: caches, manifests, optical flow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gesture3d.data.index import fingerprint
from gesture3d.data.listing import ListedSet

if TYPE_CHECKING:
    from gesture3d.data.video.stream import VideoData


def prepared_folder(config: VideoData) -> Path:
    """The set's own folder, or ``data/cache/<name>-<hash>`` where that is not ours to write in.

    A folder of anyone's clips never is: a new sub-folder would be taken for a class.
    """
    writable = not config.root.exists() or os.access(config.root, os.W_OK)
    if writable and not isinstance(config, ListedSet):
        return config.root
    root = config.root.resolve()
    return Path("data/cache") / f"{root.name}-{fingerprint([(root,)])[:8]}"


def manifest_path(config: VideoData) -> Path:
    """What ``tools/prepare.py check`` found out about every clip of a modality."""
    return prepared_folder(config) / f"manifest-{config.modality}.jsonl"


def joints_folder(config: VideoData) -> Path:
    """``<key>.npz`` of every clip, as ``tools/prepare.py joints`` finds the hands in it."""
    return prepared_folder(config) / "hands"


def flow_folder(config: VideoData) -> Path:
    """``<key>.avi`` of every clip, as ``tools/prepare.py flow`` computes it."""
    return prepared_folder(config) / "flow"
