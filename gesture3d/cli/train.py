"""Train a network: tools/train.py --cfg variant_a.yaml [--data synthetic] [--set key=value …]."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gesture3d.command_line import (
    LONGEST_MESSAGE,
    add_record,
    add_settings,
    as_typed,
    how_to_start,
    run_command_line,
)
from gesture3d.machine import is_main_process
from gesture3d.text import one_line

if TYPE_CHECKING:
    from gesture3d.config import Experiment

TORCHRUN = ("TORCHELASTIC_RESTART_COUNT", "GROUP_WORLD_SIZE")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cfg", help="model: a file, or a name in configs/ (variant_a.yaml)")
    parser.add_argument(
        "--data", help="data set and recipe: a file, or a name in configs/data/ (synthetic)"
    )
    add_settings(parser, "change any setting, e.g. optim.lr=0.01 train.epochs=3")
    parser.add_argument("--name", help="the run's name (default: model-data)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where runs are kept")
    parser.add_argument(
        "--folds",
        nargs="?",
        const="",
        metavar="official|leave_one_group_out|K",
        help="cross-validate: a run a fold, each tested on its held-out part; which folds, if not "
        "as the recipe has it",
    )
    parser.add_argument("--seeds", type=int, nargs="+", help="with --folds: these seeds (0)")
    about = "with --folds: on a Ray cluster whose machines share --runs, or a local one"
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help=about)
    about = "fine-tune from these weights; with --folds: ones that have not learnt from the set"
    parser.add_argument("--init", type=Path, metavar="WEIGHTS", help=about)
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="continue runs/NAME; --set then takes how it computes, e.g. train.processes=1",
    )
    add_record(parser)
    args = parser.parse_args(argv)
    if args.seeds and args.folds is None:
        parser.error("--seeds belongs to --folds; for one run, --set train.seed=1")
    if args.ray is not None and args.folds is None:
        parser.error("--ray belongs to --folds; for one run on several machines, see torchrun")
    if args.record and args.folds is None:
        parser.error("--record belongs to --folds; of one run, give it to tools/evaluate.py")
    others = args.cfg or args.data or args.name or args.init
    if args.resume and (others or args.folds is not None):
        parser.error("--resume takes everything from the run; beside it only --set is allowed")
    if not args.resume and not args.cfg:
        parser.error("give --cfg (a model, e.g. --cfg variant_a.yaml) or --resume RUN")
    return args


def main() -> int:
    args = parse_args()
    from gesture3d.config import load_experiment
    from gesture3d.training.run_folder import folder_to_resume, latest_folder, new_folder

    if args.folds is not None:
        return cross_validation(args)
    if args.resume:
        from gesture3d.training.run import resumable

        with folder_to_resume(args.resume) as folder:
            return train_one(resumable(folder, args.set), folder, args)
    data = args.data or "synthetic"
    experiment = load_experiment(args.cfg, data, args.set)
    name = args.name or f"{Path(args.cfg).stem}-{Path(data).stem}"
    # torchrun starts anew what broke off, and a machine that was lost is given its command again,
    # whose processes are like those of the first time.
    restarts, machines = (int(os.environ.get(key, "0")) for key in TORCHRUN)
    if is_main_process() and (restarts or machines > 1):
        from gesture3d.training.run import is_of

        begun = latest_folder(args.runs, name, exactly=bool(args.name))
        if begun and is_of(experiment, begun, args.init):
            args.resume = begun  # the other processes follow
            with folder_to_resume(begun) as folder:
                return train_one(experiment, folder, args)
    with new_folder(args.runs, name, exactly=bool(args.name)) as folder:
        return train_one(experiment, folder, args)


def train_one(experiment: "Experiment", folder: Path, args: argparse.Namespace) -> int:
    from gesture3d.distributed import choose_num_processes, companions
    from gesture3d.files import check_writable
    from gesture3d.training.run import train
    from gesture3d.training.stopping import Interrupted

    config = experiment.train
    if is_main_process():
        check_writable(folder, is_folder=True)
    count = choose_num_processes(config.device, config.batch_size, config.processes)
    try:
        with companions(count):
            train(experiment, folder, init=args.init, resume=bool(args.resume))
    except Interrupted:
        if is_main_process():
            command = how_to_start("train", "--resume", folder)
            print(f"stopped and saved; continue: {command}")
        return 130
    return 0


def cross_validation(args: argparse.Namespace) -> int:
    from gesture3d.files import check_writable
    from gesture3d.studies.folds import plan_folds, report_folds
    from gesture3d.studies.runner import Runner, Stopped, check_folder, choose_jobs
    from gesture3d.studies.zoo import check_results, record

    if args.record:
        check_results(args.record)
    data = args.data or "synthetic_joints"
    folder = args.runs / (args.name or f"{Path(args.cfg).stem}-{Path(data).stem}-folds")
    check_writable(folder, is_folder=True)
    jobs, gpus = (1, []) if args.ray is not None else choose_jobs(None, args.set)
    alone = [] if gpus else ["train.processes=1"]
    runs = plan_folds(args.cfg, data, args.folds, args.seeds or [0], [*alone, *args.set], args.init)
    for run in runs:
        check_folder(run, folder, "--name")
    try:
        if args.ray is not None:
            from gesture3d.studies.cluster import run_on_ray

            cpu = "train.device=cpu" in args.set
            errors = run_on_ray(
                runs, folder, Path(__file__).parent, args.ray, False if cpu else None
            )
        else:
            errors = Runner(folder, Path(__file__).parent, jobs, gpus).run(runs)
    except Stopped:
        print("stopped and saved; the same command continues", file=sys.stderr)
        return 130
    for name, error in errors.items():
        print(one_line(f"error: {name}: {error}", LONGEST_MESSAGE), file=sys.stderr)
    if errors:
        return 1
    report, summary = report_folds(runs, folder)
    print(f"test top-1 {summary}; report: {report}")
    if args.record:
        from gesture3d.studies.record import row_of_folds
        from gesture3d.studies.runs import gather

        row = row_of_folds(gather(runs, folder, errors), as_typed("train"))
        print(*record(args.record, [row]), sep="\n")
    return 0


if __name__ == "__main__":
    run_command_line(main)
