"""Measure speed, count cost: tools/benchmark.py data | network | training | …"""

import argparse
from pathlib import Path

from gesture3d import paper
from gesture3d.command_line import add_settings, run_command_line, whole
from gesture3d.errors import Gesture3dError

DATA_PARTS = ["decoding", "memory", "long", "waiting", "lists"]
NETWORK_PARTS = ["limits", "recurrent", "network", "throughput"]
# Those that the targets are for: default, meaning.
NETWORK_SIZES = {
    "clips": (1, "batch of the whole network"),
    "size": (112, "pixels of its clips"),
    "batch": (2, "of recurrent layers"),
    "channels": (256, "of recurrent layers"),
    "steps": (8, "of recurrent layers"),
    "map_size": (28, "of recurrent layers"),
}
PRECISIONS = ["fp32", "bf16"]
# The paper's own have a naive form to be compared with (`naive_convlstm.STEPS`).
VARIANTS = [name for name, variant in paper.VARIANTS.items() if variant.printed]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_parts(commands)
    _add_files_and_streams(commands)
    _add_studies(commands)
    return parser.parse_args(argv)


def _add_parts(commands: argparse._SubParsersAction) -> None:
    """What measures a part of the library by itself."""
    data = commands.add_parser(
        "data", help="decoding against ffmpeg and decord; memory; waiting; lists; cache"
    )
    data.add_argument("--clips", type=int, help="clips of each kind (24), of the cache (118562)")
    data.add_argument("--rounds", type=int, default=7, help="measurements of each method (7)")
    data.add_argument("--loads", type=int, help="of the memory test (5000), of the cache (100000)")
    data.add_argument("--folder", type=Path, default=Path("data/benchmark"), help="for the clips")
    data.add_argument("--part", choices=["all", *DATA_PARTS, "cache"], default="all")
    network = commands.add_parser("network", help="the video network against the machine's limits")
    network.add_argument("--part", nargs="+", choices=NETWORK_PARTS, default=NETWORK_PARTS[:3])
    about = "fp32 bf16; on a processor without bf16, where that takes ten times as long: fp32"
    network.add_argument("--precision", nargs="+", choices=PRECISIONS, help=about)
    network.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    for name, (default, meaning) in NETWORK_SIZES.items():
        help = f"{meaning} ({default})"
        network.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=help)
    network.add_argument(
        "--clips-a-step", type=int, nargs="+", default=[16, 32, 64], help="throughput (16 32 64)"
    )
    network.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    network.add_argument(
        "--threads", type=int, default=1, help="1, which other work disturbs least"
    )
    network.add_argument("--seconds", type=float, default=3, help="of each measurement (3)")
    network.add_argument("--out", type=Path, default=Path("runs/benchmark_network.json"))
    training = commands.add_parser("training", help="start, the loop's own cost, shared cores")
    training.add_argument("--part", choices=["all", "start", "loop", "shared"], default="all")
    training.add_argument("--steps", type=int, default=25, help="of an epoch (25)")
    training.add_argument("--seconds", type=float, default=60, help="for the loop (60)")
    deepgru = commands.add_parser("deepgru", help="DeepGRU against the official form")
    deepgru.add_argument("--batches", type=int, default=4, help="of 64 sequences, a pass (4)")
    residual_lstm = commands.add_parser("residual_lstm", help="its cells against nn.LSTMs in turn")
    residual_lstm.add_argument("--repetitions", type=int, default=20, help="of every pair (20)")
    hands = commands.add_parser("hands", help="finding hands, by every engine in turn")
    hands.add_argument("--seconds", type=float, default=2, help="of each measurement (2)")


def _add_files_and_streams(commands: argparse._SubParsersAction) -> None:
    """What measures trained networks in use."""
    inference = commands.add_parser("inference", help="from file to label, by every runtime")
    parts = ["all", "table", "products", "overlap", "workers"]
    inference.add_argument("--part", choices=parts, default="all", help="all: but for workers")
    inference.add_argument("--weights", type=Path, help="a network for clips (the shipped one)")
    inference.add_argument("--seconds", type=float, default=5, help="of each measurement (5)")
    inference.add_argument("--clips", type=int, default=2000, help="of overlap, workers (2000)")
    inference.add_argument("--folder", type=Path, default=Path("data/benchmark"), help="for clips")
    export = commands.add_parser("export", help="exported files: differences, sizes, speeds")
    export.add_argument("--networks", nargs="+", default=[], help="by name in configs/ (all)")
    export.add_argument("--seconds", type=float, default=2, help="of each measurement (2)")
    export.add_argument(
        "--out", type=Path, default=Path("runs/export.csv"), help="rows replaced (runs/export.csv)"
    )
    online = commands.add_parser("online", help="a causal network's steps against sliding windows")
    online.add_argument("--cfg", default="variant_a", help="the offline network (variant_a)")
    online.add_argument("--data", default="synthetic", help="a recipe (synthetic)")
    online.add_argument(
        "--windows", type=int, nargs="+", default=[16, 48], help="frames of a window (16 48)"
    )
    online.add_argument("--features", type=int, default=63, help="of a sequence's frame (63)")
    online.add_argument("--seconds", type=float, default=10, help="of the measurement (10)")
    add_settings(online, "change any setting")
    spotting = commands.add_parser("spotting", help="sliding classifiers on streams of joints")
    spotting.add_argument("--data", default="sfinge3d_stream", help="a recipe (sfinge3d_stream)")
    spotting.add_argument(
        "--measure", choices=["shrec22", "sfinge", "segment_f1", "levenshtein"], default="sfinge"
    )
    spotting.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the streams (0)")
    spotting.add_argument("--weights", type=Path, help="a network for clips, which slides as well")
    add_settings(spotting, "change a setting of the data, e.g. data.root=…")


def _add_studies(commands: argparse._SubParsersAction) -> None:
    """What counts, simulates and compares ways."""
    teaching = commands.add_parser("teaching", help="ways to teach gestures from a few clips")
    teaching.add_argument("--data", default="egogestar", help="a recipe of clips (egogestar)")
    teaching.add_argument("--ways", nargs="+", default=["hands", "means", "linear", "fine-tune"])
    teaching.add_argument(
        "--clips", type=int, nargs="+", default=[1, 2, 5, 10], help="of each class (1 2 5 10)"
    )
    teaching.add_argument("--draws", type=whole(100), default=3, help="of these clips (3)")
    teaching.add_argument("--init", type=Path, help="weights to begin with (the shipped ones)")
    add_settings(teaching, "change a setting, e.g. data.root=…")
    scale = commands.add_parser("scale", help="the paper's recipes on many GPUs, simulated")
    scale.add_argument("--out", type=Path, help="write the tables here (.md), not to the terminal")
    scale.add_argument("--tflops", type=float, default=50.0, help="of a GPU in training (50)")
    scale.add_argument("--decoded", type=float, default=180.0, help="clips/s of a core (180)")
    scale.add_argument("--cores", type=whole(256), default=8, help="that load, a GPU (8)")
    scale.add_argument("--network", type=float, default=10.0, help="GB/s between machines (10)")
    cost = commands.add_parser("cost", help="parameters and multiply-adds of a network's blocks")
    cost.add_argument("--cfg", required=True, help="a network: a file, or a name in configs/")
    cost.add_argument("--data", default="jester", help="a recipe: input size, width (jester)")
    cost.add_argument("--size", type=int, help="pixels of clips, height = width (the recipe's)")
    cost.add_argument("--frames", type=int, help="of a clip or sequence (the recipe's)")
    cost.add_argument("--features", type=int, help="of a sequence's frame (the data set's)")
    cost.add_argument("--classes", type=whole(100_000), help="(27 for clips, else the data set's)")
    add_settings(cost, "change any setting")


def main() -> int:
    args = parse_args()
    return COMMANDS[args.command](args)


def data(args: argparse.Namespace) -> int:
    from gesture3d.benchmarks import data as benchmarks
    from gesture3d.benchmarks.cache import benchmark_cache

    if args.part == "cache":  # takes minutes, and a gigabyte of the disk for as long
        found = benchmark_cache(args.folder, args.clips or 118_562, args.loads or 100_000)
        for name, value in found.items():
            print(f"{name}: {value:,.{0 if value >= 100 or value == int(value) else 2}f}")
        return 0
    args.clips, args.loads = args.clips or 24, args.loads or 5000

    def wanted(part: str) -> bool:
        return args.part in ("all", part)

    if wanted("waiting"):
        share, speed = benchmarks.benchmark_waiting(args.folder)
        print(f"training from the cache: computing {share:.1%} of the time, {speed:.0f} clips/s")
    if wanted("decoding"):
        for row in benchmarks.benchmark_decoding(args.folder, args.clips, args.rounds):
            speeds = ", ".join(f"{name} {s:.0f}" for name, s in row.clips_per_second.items())
            ratios = ", ".join(f"{name} {r:.2f}" for name, r in row.ratios.items())
            print(f"{row.kind}: clips/s: {speeds}; ratios: {ratios}")
    if wanted("memory"):
        clips = benchmarks.make_clips(args.folder, *benchmarks.KINDS[0], args.clips)
        found = benchmarks.benchmark_memory(clips, args.loads)
        print(f"memory over {args.loads} clips, MB: {', '.join(f'{mb:.0f}' for mb in found)}")
    if wanted("long"):
        for length, backend, seconds in benchmarks.crossover(args.folder):
            print(f"16 of {length} frames: {backend} {1000 * seconds:.0f} ms")
    if wanted("lists"):
        print(f"lists of Jester's length, 148,092 rows: {benchmarks.benchmark_lists():.2f} s")
    return 0


def network(args: argparse.Namespace) -> int:
    import json

    import torch

    from gesture3d.benchmarks.network import Benchmark
    from gesture3d.benchmarks.tables import format_table
    from gesture3d.benchmarks.targets import compare
    from gesture3d.benchmarks.throughput import throughput
    from gesture3d.files import check_writable, write_text
    from gesture3d.machine import has_bf16, instruction_set

    check_writable(args.out)
    is_native = args.device != "cpu" or has_bf16()
    args.precision = args.precision or (PRECISIONS if is_native else PRECISIONS[:1])
    torch.set_num_threads(args.threads)
    processor = instruction_set() if args.device == "cpu" else args.device
    print(f"processor: {processor}\n")
    found = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}
    found["instruction set"] = processor
    found |= {"arguments": {k: str(v) if k == "out" else v for k, v in vars(args).items()}}

    def show(title: str, rows: list) -> None:
        print(f"{title}\n{format_table(rows)}\n", flush=True)
        found[title] = rows

    for precision in args.precision:
        benchmark = Benchmark(args.device, precision, args.seconds)
        if "limits" in args.part or "network" in args.part:
            show(f"{precision}: the machine", benchmark.limits())
        for variant in args.variants if "recurrent" in args.part else ():
            layers = [variant] * (2 if variant == "a" else 1)
            sizes = (args.batch, args.channels, args.steps, args.map_size)
            tables = benchmark.recurrent(layers, *sizes)
            for name, rows in tables.items():
                show(f"{precision}: recurrent layers {' '.join(layers)}: {name}", rows)
        if "network" in args.part:
            tables = benchmark.network(["a", "a"], args.clips, frames=16, size=args.size)
            for name, rows in tables.items():
                show(f"{precision}: network: {name}", rows)
        if "throughput" in args.part:
            rows = throughput(benchmark, ["a", "a"], args.clips_a_step, frames=16, size=args.size)
            show(f"{precision}: training", rows)
    if all(getattr(args, name) == default for name, (default, _) in NETWORK_SIZES.items()):
        show("targets", compare(found, processor))
    write_text(args.out, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(f"written: {args.out}")
    return 0


def training(args: argparse.Namespace) -> int:
    import torch

    from gesture3d.benchmarks.tables import format_table
    from gesture3d.benchmarks.training import first_step, loop_overhead, shared_cores

    if args.part in ("all", "start"):
        print(format_table([first_step(Path(__file__).with_name("train.py"))]), flush=True)
    if args.part in ("all", "loop"):
        torch.set_num_threads(1)
        print(format_table([loop_overhead(args.steps, args.seconds)]), flush=True)
    if args.part in ("all", "shared"):
        print(format_table(shared_cores(args.seconds / 6)))
    return 0


def deepgru(args: argparse.Namespace) -> int:
    from gesture3d.benchmarks.deepgru import run

    run(args.batches)
    return 0


def residual_lstm(args: argparse.Namespace) -> int:
    from gesture3d.benchmarks.residual_lstm import run

    run(args.repetitions)
    return 0


def hands(args: argparse.Namespace) -> int:
    from gesture3d.benchmarks.hands import TARGETS, measure
    from gesture3d.benchmarks.tables import format_table
    from gesture3d.benchmarks.targets import PROCESSOR
    from gesture3d.machine import instruction_set

    print(f"processor: {instruction_set()}; milliseconds")
    print(format_table(measure(args.seconds)))
    wanted = ", ".join(f"{what} {limit:g}" for what, limit in TARGETS.items())
    print(f"wanted of lite in bf16 at most, on {PROCESSOR}: {wanted}")
    return 0


def inference(args: argparse.Namespace) -> int:
    import torch

    from gesture3d.benchmarks.inference import against_products, overlap, table
    from gesture3d.benchmarks.tables import format_table
    from gesture3d.benchmarks.workers import workers
    from gesture3d.machine import processor

    print(f"processor: {processor()}; torch {torch.__version__}", flush=True)
    torch.set_num_threads(1)
    if args.part in ("all", "table"):
        print(format_table(table(args.folder, args.seconds, args.weights)), flush=True)
    if args.part in ("all", "products"):
        print(format_table(against_products(args.weights, args.seconds)), flush=True)
    if args.part in ("all", "overlap"):
        print(format_table(overlap(args.folder, args.clips, args.weights)))
    if args.part == "workers":
        print(format_table(workers(args.folder, args.clips, 3, args.weights)))
    return 0


def export(args: argparse.Namespace) -> int:
    import torch

    from gesture3d.benchmarks.export import matrix, record
    from gesture3d.benchmarks.tables import format_table
    from gesture3d.files import check_writable
    from gesture3d.machine import processor

    check_writable(args.out)
    torch.set_num_threads(1)
    print(f"processor: {processor()}, one thread; torch {torch.__version__}", flush=True)
    rows = []
    for row in matrix(args.networks, args.seconds):
        rows.append(row)
        said = row.get("problem") or row["ONNX: difference"]
        print(f"{row['network']}, {row['kind']}: {said}", flush=True)
        record(args.out, [row])
    print(f"{format_table(rows)}\nwritten: {args.out}")
    return int(any(row.get("problem") for row in rows))


def online(args: argparse.Namespace) -> int:
    import torch

    from gesture3d.benchmarks.online import compare
    from gesture3d.benchmarks.tables import format_table
    from gesture3d.config import load_experiment

    torch.set_num_threads(1)
    experiment = load_experiment(args.cfg, args.data, args.set)
    print(format_table(compare(experiment, args.windows, args.features, args.seconds)))
    return 0


def spotting(args: argparse.Namespace) -> int:
    from gesture3d.benchmarks.spotting import baselines
    from gesture3d.benchmarks.tables import format_table
    from gesture3d.config import load_data
    from gesture3d.data import read_index

    rows = []
    for seed in args.seeds:
        data = load_data(args.data, [*args.set, f"data.seed={seed}"])
        for found in baselines(read_index(data), data, args.measure, seed, args.weights):
            for split in ("validation", "test"):
                values = getattr(found, split).scalars().items()
                row = {"slides": found.name, "seed": seed, "split": split}
                rows.append(row | {name: f"{value:.3f}" for name, value in values})
    print(format_table(rows))
    return 0


def teaching(args: argparse.Namespace) -> int:
    from gesture3d.benchmarks.tables import format_table
    from gesture3d.benchmarks.teaching import compare
    from gesture3d.files import resource

    init = args.init or resource("weights") / "variant_a-synthetic.safetensors"
    rows = []
    for row in compare(args.data, args.set, init, args.ways, args.clips, args.draws):
        rows.append(row)
        print(f"{row['way']}, {row['clips a class']} clips: {row['top-1, %']}", flush=True)
    print(format_table(rows))
    return 0


def cost(args: argparse.Namespace) -> int:
    from gesture3d.benchmarks.cost import network_cost, print_cost
    from gesture3d.config import load_experiment

    experiment = load_experiment(args.cfg, args.data, args.set)
    settings = {"num_frames": args.frames} if experiment.model.reads == "clips" else {}
    settings |= {"size": args.size}
    changes = [f"data.{name}={value}" for name, value in settings.items() if value is not None]
    experiment = load_experiment(args.cfg, args.data, [*args.set, *changes])
    print_cost(*network_cost(experiment, args.classes, args.frames, args.features))
    return 0


def scale(args: argparse.Namespace) -> int:
    from gesture3d.benchmarks.scale import Rates, report, write

    numbers = (args.tflops, args.decoded, args.network)
    if min(numbers) <= 0:
        raise Gesture3dError("--tflops, --decoded and --network must be above 0")
    flops, decoded, between = args.tflops * 1e12, args.decoded, args.network * 1e9
    rates = Rates(flops=flops, decoded=decoded, cores=args.cores, between=between)
    if args.out:
        write(args.out, rates)
    else:
        print(*report(rates), sep="\n")
    return 0


COMMANDS = {
    "scale": scale,
    "data": data,
    "network": network,
    "training": training,
    "deepgru": deepgru,
    "residual_lstm": residual_lstm,
    "hands": hands,
    "inference": inference,
    "export": export,
    "online": online,
    "spotting": spotting,
    "teaching": teaching,
    "cost": cost,
}

if __name__ == "__main__":
    run_command_line(main)
