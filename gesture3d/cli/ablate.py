"""Ablation tables from one command: tools/ablate.py [--networks …] [--data …] [--seeds 0 1 2].

Trains every network on every data recipe with every seed and writes ablation.md, .csv and .html.
Finished runs are not run again and interrupted ones go on: after an interruption, give the same
command. A pair NETWORK:DATA trains that network on that recipe only:

  tools/ablate.py --data synthetic synthetic_depth synthetic_flow \\
      --networks variant_a convlstm r3d_18 deepgru_small:synthetic_joints
"""

import argparse
import sys
from pathlib import Path

from gesture3d.command_line import (
    LONGEST_MESSAGE,
    add_record,
    add_settings,
    as_typed,
    run_command_line,
    whole,
)
from gesture3d.text import one_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--networks",
        nargs="+",
        metavar="NETWORK[:DATA]",
        help="models: files, or names in configs/ (convlstm variant_a variant_b variant_c "
        "variant_d; the paper's table 1)",
    )
    parser.add_argument(
        "--data", nargs="+", default=["synthetic"], help="data recipes, one column each (synthetic)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(0 1 2)")
    add_settings(parser, "change a setting of all runs that have it")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where runs and tables go (runs/ablation-DATA)"
    )
    parser.add_argument(
        "--jobs",
        type=whole(256),
        help="runs side by side (one a GPU; on a CPU one a core, if memory allows)",
    )
    about = "on a Ray cluster whose machines share --out, or a local one: one run a GPU, or a CPU"
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help=about)
    parser.add_argument(
        "--corruptions",
        nargs="*",
        metavar="NAME",
        help="of clips: measure the trained networks on validation clips corrupted in these ways, "
        "too (without names in all), and draw it",
    )
    add_record(parser)
    args = parser.parse_args(argv)
    if args.out is None:
        args.out = Path("runs") / "-".join(["ablation", *(Path(name).stem for name in args.data)])
    return args


def main() -> int:
    args = parse_args()
    from gesture3d.files import check_writable
    from gesture3d.studies.record import rows_of_ablation
    from gesture3d.studies.report import write_report
    from gesture3d.studies.runner import Runner, Stopped, check_folder, choose_jobs
    from gesture3d.studies.runs import NETWORKS, gather, plan_runs
    from gesture3d.studies.zoo import check_results, record

    check_writable(args.out, is_folder=True)
    if args.record:
        check_results(args.record)
    jobs, gpus = (1, []) if args.ray is not None else choose_jobs(args.jobs, args.set)
    alone = [] if gpus else ["train.processes=1"]  # the same runs, however many go side by side
    runs, left_out = plan_runs(
        args.networks or NETWORKS, args.data, args.seeds, [*alone, *args.set], args.corruptions
    )
    for run in runs:
        check_folder(run, args.out)
    for line in left_out:
        print(line)
    errors, stopped, tools = {}, False, Path(__file__).parent
    if args.ray is not None:
        from gesture3d.studies.cluster import run_on_ray

        cpu = "train.device=cpu" in args.set
        errors = run_on_ray(runs, args.out, tools, args.ray, False if cpu else None)
    else:
        runner = Runner(args.out, tools, jobs, gpus)
        try:
            errors = runner.run(runs)
        except Stopped:
            errors, stopped = runner.errors, True
    outcomes = gather(runs, args.out, errors)
    if any(not outcome.error for outcome in outcomes):
        print(f"tables: {write_report(outcomes, args.out, left_out)} and ablation.html, .csv")
    if args.record:
        rows, missing = rows_of_ablation(outcomes, as_typed("ablate"))
        print(*record(args.record, rows), *missing, sep="\n")
    if stopped:
        print("stopped and saved; the same command continues", file=sys.stderr)
        return 130
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        message = f"error: {outcome.run.name}: {outcome.error}"
        print(one_line(message, LONGEST_MESSAGE), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    run_command_line(main)
