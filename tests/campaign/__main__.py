"""Cases again: python -m tests.campaign KIND [NUMBER] (KIND in quotes; --help lists them).

With NUMBER: that case. Without: all cases of the kind, a line for each fault.
"""

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from .children import Cases, run_cases
from .judge import FAULTS
from .kinds import KINDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=" · ".join(KINDS))
    parser.add_argument("number", type=int, nargs="?", metavar="NUMBER")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the damaged file")
    parser.add_argument("--trace", action="store_true", help="read it right here, uncaught")
    parser.add_argument("--cases", type=int, help="how many of a kind (default: all)")
    parser.add_argument("--all", action="store_true", help="a line for each case, not for faults")
    args = parser.parse_args()
    kind = KINDS[args.kind]
    if args.keep or args.trace:
        with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
            cases = Cases(kind, Path(folder))
            path, damage = cases.damage(args.number)
            print(f"{path.name}: {damage}; good: {cases.good[args.number % len(cases.good)]}")
            if args.keep:
                shutil.copy(path, args.keep)
            if args.trace:
                print(kind.read(cases.folder, path))
        return
    numbers = range(args.cases or kind.cases) if args.number is None else [args.number]
    counts = Counter()
    for case in run_cases([(kind.name, number) for number in numbers], workers=1):
        counts[case.verdict] += 1
        if args.all or args.number is not None or case.verdict in FAULTS:
            print(f"{case.kind} {case.number}: {case.verdict}: {case.detail}", flush=True)
    print(args.kind, dict(counts))


if __name__ == "__main__":
    main()
