"""What recipes give, in few numbers: `pin` makes them, ``pins.json`` keeps them.

``python -m tests.net.pin`` writes ``pins.json`` anew, which is right only where a change of what
samples are was meant. Names, order, splits and shapes are pinned exactly; samples by the means of
their frames, which hold on any processor and catch every change of what is drawn.
"""

import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.config.experiment import Experiment
from gesture3d.data import build_datasets, count_folds
from gesture3d.files import resource
from tests.net import layouts

PINS = Path(__file__).with_name("pins.json")
SAMPLES = 3  # of each split, spread over it

SPLITS = ("train", "validation", "test")

# name → (model, recipe, layout, overrides): recipes of every kind, and what cuts data in parts.
VIDEO, SKELETON, INERTIAL = "variant_a", "deepgru_small", "residual_bilstm"
CASES: dict[str, tuple[str, str, str, list[str]]] = {
    "jester": (VIDEO, "jester", "jester", []),
    "jester few": (VIDEO, "jester", "jester", ["data.few_shot=2", "data.size=48"]),
    "jester flip": (
        VIDEO,
        "jester",
        "jester",
        ["data.augmentation.horizontal_flip=true", "data.augmentation.time_reversal=false"],
    ),
    "jester dense": (VIDEO, "jester", "jester", ["data.sampling=dense", "data.num_frames=6"]),
    "jester views": (VIDEO, "jester", "jester", ["data.eval_clips=2", "data.eval_crops=3"]),
    "isogd_rgb": (VIDEO, "isogd_rgb", "isogd", []),
    "isogd_depth": (VIDEO, "isogd_depth", "isogd", []),
    "folder": (VIDEO, "folder", "folder", []),
    "folder test": (VIDEO, "folder", "folder", ["data.test_share=0.3", "data.seed=3"]),
    "folder classes": (
        VIDEO,
        "folder",
        "folder",
        ["data.classes=[Swiping Right, Swiping Left]", "data.exclude=[Swiping Left/clip1]"],
    ),
    "egogestar": (VIDEO, "egogestar", "egogestar", ["data.classes=[carret, del, tick]"]),
    "utd_mhad_depth": (VIDEO, "utd_mhad_depth", "utd_mhad_depth", []),
    "utd_mhad_skeleton": (SKELETON, "utd_mhad_skeleton", "utd_mhad_skeleton", []),
    "utd_mhad_skeleton folds": (
        SKELETON,
        "utd_mhad_skeleton",
        "utd_mhad_skeleton",
        ["data.folds=leave_one_group_out", "data.fold=1"],
    ),
    "utd_mhad_skeleton held out": (
        SKELETON,
        "utd_mhad_skeleton",
        "utd_mhad_skeleton",
        ["data.validation_groups=[7]"],
    ),
    "utd_mhad_skeleton_paper": (SKELETON, "utd_mhad_skeleton_paper", "utd_mhad_skeleton", []),
    "sfinge3d": (SKELETON, "sfinge3d", "sfinge3d", ["data.fold=2"]),
    "shrec17": (SKELETON, "shrec17", "shrec17", ["data.num_classes=28"]),
    "sbu_kinect": (SKELETON, "sbu_kinect", "sbu_kinect", ["data.fold=1"]),
    "synthetic_joints": (
        SKELETON,
        "synthetic_joints",
        "synthetic_joints",
        ["data.clips_per_class={train: 2, validation: 1, test: 1}"],
    ),
    **{
        name: (VIDEO, name, "generated", [f"data.clips_per_class.{split}=1" for split in SPLITS])
        for name in ("synthetic", "synthetic_depth", "synthetic_flow")
    },
    "skeleton_folder": (SKELETON, "skeleton_folder", "skeleton_folder", ["data.test_share=0.34"]),
    "sequence_folder": (SKELETON, "sequence_folder", "sequence_folder", ["data.test_share=0.34"]),
    "sequence_folder archive": (
        "cnn1d",
        "sequence_folder",
        "sequence_archive",
        ["data.num_frames=12", "data.validation_share=0.25"],
    ),
    "hapt": (INERTIAL, "hapt", "hapt", ["data.validation_subjects=[]"]),
    "hapt_original": (INERTIAL, "hapt_original", "hapt", ["data.validation_subjects=[]"]),
    "uci_har": (INERTIAL, "uci_har", "uci_har", ["data.validation_subjects=[]"]),
    "opportunity": (INERTIAL, "opportunity", "opportunity", []),
    "basic_motions": (INERTIAL, "basic_motions", "basic_motions", []),
    "webcam_signs": (SKELETON, "webcam_signs", "webcam_signs", []),
    "synthetic_hands": (
        SKELETON,
        "synthetic_hands",
        "generated",
        [f"data.clips_per_class.{split}=1" for split in SPLITS],
    ),
    "stream_folder": (
        VIDEO,
        "stream_folder",
        "stream_folder",
        ["data.size=24", "data.cache_size=24", "data.num_frames=24", "data.pre_roll=8"],
    ),
    "skeleton_stream_folder": (
        "gru",
        "skeleton_stream_folder",
        "skeleton_stream_folder",
        ["data.test_share=0.25"],
    ),
    "inertial_stream_folder": (
        "residual_lstm",
        "inertial_stream_folder",
        "inertial_stream_folder",
        ["data.label_delay=0.2"],
    ),
    "hapt_stream": ("residual_lstm", "hapt_stream", "hapt_stream", ["data.validation_groups=[3]"]),
    "utd_mhad_inertial": (INERTIAL, "utd_mhad_inertial", "utd_mhad_inertial", []),
    "inertial_folder": (
        INERTIAL,
        "inertial_folder",
        "inertial_folder",
        ["data.validation_subjects=[ben]", "data.test_subjects=[carl]"],
    ),
}

# The real sets where they are: recipe, folder below the shared data, overrides.
REAL: dict[str, tuple[str, str, str, list[str]]] = {
    "real egogestar": (VIDEO, "egogestar", "egogestar_video", ["data.cache_size=null"]),
    "real utd_mhad_depth": (VIDEO, "utd_mhad_depth", "utd_mhad", ["data.cache_size=null"]),
    "real utd_mhad_skeleton": (SKELETON, "utd_mhad_skeleton", "utd_mhad", []),
    "real utd_mhad_inertial": (INERTIAL, "utd_mhad_inertial", "utd_mhad", []),
    "real sfinge3d": (SKELETON, "sfinge3d", "sfinge3d", ["data.fold=1"]),
    "real hapt": (INERTIAL, "hapt", "uci_hapt", []),
}


def experiment_of(case: tuple[str, str, str, list[str]], root: Path) -> Experiment:
    model, recipe, _, overrides = case
    fixed = [f"data.root={root}"]
    if model == VIDEO:
        fixed.append("data.augmentation.corruption=0")  # what is drawn behind the rest
    return load_experiment(model, recipe, [*fixed, *overrides])


def make(case: tuple[str, str, str, list[str]], folder: Path) -> Path:
    """The case's layout, written into ``folder`` unless it is there."""
    root = folder / case[2]
    if not root.exists():
        root.mkdir(parents=True)
        getattr(layouts, case[2], lambda _: None)(root)  # the generated sets write themselves
    return root


def pin(experiment: Experiment) -> dict[str, Any]:
    """What a recipe gives, in few numbers."""
    datasets = build_datasets(experiment.data, seed=7, progress=False)
    found: dict[str, Any] = {
        "classes": digest(datasets.class_names),
        "fingerprint": datasets.fingerprint,
        "num_features": datasets.spec.num_features,
        "channel_names": digest(datasets.spec.channel_names or ()),
    }
    if experiment.data.stream == "skeleton":
        found["folds"] = count_folds(experiment.data)
    for split in SPLITS:
        dataset = getattr(datasets, split)
        if dataset is None:
            continue
        epochs = (0, 1) if split == "train" else (0,)
        rows = np.linspace(0, len(dataset) - 1, SAMPLES).round().astype(int).tolist()
        found[split] = {
            "count": len(dataset),
            "keys": digest(dataset.keys),
            "labels": digest(np.asarray(dataset.labels).tolist()),
            "samples": [sample_pin(dataset[epoch, row]) for epoch in epochs for row in rows],
        }
    return found


def sample_pin(sample: Any) -> dict[str, Any]:
    inputs = sample.inputs.double()
    time = 1 if inputs.ndim == 5 else 0  # views come first
    means = inputs.mean(dim=[d for d in range(inputs.ndim) if d != time])
    return {
        "key": sample.key,
        "label": digest(sample.label) if np.ndim(sample.label) else int(sample.label),
        "shape": list(inputs.shape),
        "dtype": str(sample.inputs.dtype),
        "means": [round(value, 4) for value in means[:8].tolist()],
        "std": round(float(inputs.std()), 4),
    }


def digest(values: Iterable[object]) -> str:
    return hashlib.blake2b("\n".join(map(str, values)).encode(), digest_size=8).hexdigest()


def weights_pin(path: Path) -> dict[str, Any]:
    """Names, settings and scores of shipped weights on inputs that are always the same."""
    model, description = checkpoint.load_model(path)
    experiment = description.validated_experiment(path)
    rng = np.random.default_rng(5)
    if description.num_features is None:
        data = experiment.data
        shape = (2, data.num_frames, data.num_channels, data.size, data.size)
        inputs = torch.from_numpy(rng.integers(0, 256, shape, np.uint8))
        lengths = None
    else:
        inputs = torch.from_numpy(rng.normal(size=(2, 40, description.num_features)))
        inputs, lengths = inputs.float(), torch.tensor([40, 31])
        if experiment.model.name not in ("deepgru", "gru"):
            lengths = None
    with torch.inference_mode():
        scores = model(inputs, lengths)
    return {
        "classes": digest(description.class_names),
        "fingerprint": description.data_fingerprint,
        "parameters": sum(p.numel() for p in model.parameters()),
        "scores": [[round(v, 4) for v in row] for row in scores[:, :6].tolist()],
    }


def shipped_weights() -> list[Path]:
    return sorted(resource("weights").glob("*.safetensors"))


def main(shared: Path | None) -> None:
    torch.set_num_threads(1)
    pins = {path.name: weights_pin(path) for path in shipped_weights()}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, case in CASES.items():
            pins[name] = pin(experiment_of(case, make(case, Path(folder))))
            print(name)
    old = json.loads(PINS.read_text()) if PINS.is_file() else {}
    for name, case in REAL.items():
        if shared is not None:
            pins[name] = pin(experiment_of(case, shared / case[2]))
            print(name)
        elif name in old:
            pins[name] = old[name]
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(pins[name])}" for name in pins)
    PINS.write_text(f"{{\n{rows}\n}}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
