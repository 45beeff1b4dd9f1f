"""See what a video network looks at: tools/explain.py CLIP [--weights W], or --measure."""

import argparse
from pathlib import Path

from gesture3d.command_line import add_settings, run_command_line, whole
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.text import one_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, help="a video file or a folder of frames")
    parser.add_argument("--weights", type=Path, help="a checkpoint (default: the shipped one)")
    parser.add_argument(
        "--out", type=Path, help="folder for the pictures (default: runs/explain/<clip>)"
    )
    parser.add_argument(
        "--class", dest="class_name", metavar="NAME", help="explain this class (the predicted one)"
    )
    parser.add_argument("--top", type=whole(100_000), default=5, help="classes shown (5)")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="instead: how much of the heat lies on the hand, over generated validation clips",
    )
    parser.add_argument(
        "--data", default="synthetic", help="generated set of --measure (synthetic)"
    )
    add_settings(parser, "of --measure: change a setting of that set, e.g. data.root=…")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    args = parser.parse_args(argv)
    if args.measure == bool(args.clip):
        parser.error("give a CLIP, or --measure")
    if args.measure and (args.out or args.class_name):
        parser.error("--out and --class go with a CLIP, not with --measure")
    if args.set and not args.measure:
        parser.error("--set goes with --measure; a CLIP is seen as the network was trained")
    return args


def main() -> None:
    args = parse_args()
    from gesture3d.inference.classifier import Classifier

    classifier = Classifier(args.weights, args.device)
    if not classifier.model.explainable:
        kind = classifier.experiment.model.name
        raise Gesture3dError(
            f"{classifier.weights}: a {kind} for {classifier.experiment.data.name}; only networks "
            "that read video (gesture_net) can be explained"
        )
    if args.measure:
        print_shares(args, classifier)
    else:
        draw(args, classifier)


def draw(args: argparse.Namespace, classifier) -> None:
    """Print the classes of one clip, and write its pictures."""
    from gesture3d.files import atomic_path, check_writable
    from gesture3d.viz.explain import central_view, explain
    from gesture3d.viz.heat_maps import plot_gates, plot_strip, write_animation

    names = classifier.class_names
    if args.class_name and args.class_name not in names:
        hint = did_you_mean(args.class_name, names) or f" Its classes: {', '.join(names)}."
        raise Gesture3dError(f"{classifier.weights}: no class {args.class_name!r}.{hint}")
    folder = args.out or Path("runs/explain") / args.clip.resolve().stem
    check_writable(folder, [args.clip], is_folder=True)
    loaded = classifier.load(args.clip)
    ranked = classifier(args.clip)
    shown = [f"{c.name} {c.probability:.1%}" for c in ranked[: args.top]]
    print(one_line(f"{args.clip}  {', '.join(shown)}"))
    clip = central_view(loaded, classifier.experiment.data)
    label = names.index(args.class_name or ranked[0].name)
    explanation = explain(classifier.model, clip, label)
    frames = [int(frame) + 1 for frame in explanation.step_frames]
    print(
        f"{len(frames)} recurrent steps, centred on frames {frames} of the {len(clip)} that the "
        f"network sees; gradients of {names[label]!r}"
    )
    title, clip = f"{args.clip.name}: {names[label]}", clip.numpy()
    figures = {"strip.png": plot_strip(explanation, clip, title)}
    if explanation.gates:  # there are recurrent layers
        figures["gates.png"] = plot_gates(explanation, title)
    for name, figure in figures.items():
        with atomic_path(folder / name) as temporary:
            figure.savefig(temporary, dpi=85)
    write_animation(folder / "animation.gif", explanation, clip, title)
    print(f"written: {', '.join(str(folder / n) for n in [*figures, 'animation.gif'])}")


def print_shares(args: argparse.Namespace, classifier) -> None:
    """Print how much of each heat map lies on the hand."""
    import numpy as np
    from tqdm import tqdm

    from gesture3d.config import load_data
    from gesture3d.data import read_index
    from gesture3d.viz.explain import central_view, explain
    from gesture3d.viz.hand_share import kept_predictions, measure

    source, data = load_data(args.data, args.set), classifier.experiment.data
    if source.name != "synthetic":
        raise Gesture3dError(
            f"--data {args.data}: only generated sets say where the hand is; try --data synthetic"
        )
    source = source.model_copy(update={"modality": data.modality})
    clips = read_index(source).of("validation")

    inputs = [
        (clip.key, central_view(classifier.load(clip.path), data))
        for clip in tqdm(clips, desc="decoding", unit="clip", leave=False, disable=None)
    ]
    bar = tqdm(inputs, desc="explaining", unit="clip", leave=False, disable=None)
    explained = ((key, clip, explain(classifier.model, clip)) for key, clip in bar)
    shares = measure(explained, source.root, data)
    print(f"{classifier.weights}, {len(clips)} validation clips of {source.root}")
    print(f"{'share of the heat':29}{'on the hand at that frame':36}on its path over the clip")
    heads = ("share", "chance", "ratio", "other*")
    print(f"{'':29}" + 2 * "{:>14}{:>8}{:>7}{:>8}".format(*heads))
    for title, regions in shares.items():
        cells = [
            f"{s.share:7.1%} ± {s.standard_error:4.1%}{s.chance:8.1%}"
            f"{s.share / s.chance:7.2f}{s.other_clip:8.1%}"
            for s in regions.values()
        ]
        print(f"{title.replace(chr(10), ', '):29}{''.join(cells)}")
    number = min(s.num_clips for regions in shares.values() for s in regions.values())
    print(f"± standard error over the {number} clips with a hand in sight; * heat of another clip")

    def predict(batch) -> np.ndarray:
        parts = [classifier.scores(batch[i : i + 32]) for i in range(0, len(batch), 32)]
        return np.concatenate([part.argmax(1).numpy() for part in parts])

    print("predicted class unchanged when hidden in every frame (as if nothing moved there):")
    for hidden, share in kept_predictions(inputs, predict, source.root, data).items():
        print(f"  {hidden:29}{share:6.1%}")


if __name__ == "__main__":
    run_command_line(main)
