"""What the video network's speed is to reach on one thread of a CPU, and whether it does.

Ratios to naive forms are how many times faster ours is; bf16 is set against fp32 where the name
says so. The whole network is set against the sum of its own convolutions and matrix products.

They were set on a processor with AVX-512 and bf16, without AMX; others are measured without a
verdict.
"""

from typing import NamedTuple

from gesture3d.benchmarks.tables import Row


class Target(NamedTuple):
    table: str
    row: str  # a pass
    column: str
    number: float
    is_limit: bool = False  # at most, rather than at least


def _recurrent(variants: str, name: str, fp32: float, bf16: float, forward: float | None = None):
    """Training at least so many times faster than what ``name`` says, in fp32 in both cases."""
    tables = [f"{precision}: recurrent layers {variants}: speed" for precision in ("fp32", "bf16")]
    targets = [Target(tables[0], "forward+backward", f"{name} / ours", fp32)]
    targets += [Target(tables[1], "forward+backward", f"{name} fp32 / ours", bf16)]
    if forward:
        targets += [Target(tables[0], "forward", f"{name} / ours", forward)]
    return targets


TARGETS = (
    *_recurrent("a a", "naive", 2.0, 2.8, forward=2.2),
    *_recurrent("b", "naive", 1.5, 1.5),
    *_recurrent("c", "naive", 1.5, 1.5),
    *_recurrent("d", "naive", 1.5, 1.5),
    *_recurrent("convlstm", "common form", 1.0, 1.9),
    Target("fp32: network: whole", "forward", "ratio", 1.2, is_limit=True),
    Target("fp32: network: whole", "forward+backward", "ratio", 1.2, is_limit=True),
    Target("bf16: network: whole", "forward", "ratio", 1.3, is_limit=True),
    Target("bf16: network: whole", "forward+backward", "ratio", 1.3, is_limit=True),
    Target("bf16: network: other networks", "forward", "naive fp32 / ours", 2.0),
    Target("bf16: network: other networks", "forward+backward", "naive fp32 / ours", 2.0),
)


PROCESSOR = "AVX512_CORE_BF16"  # that the targets are for: `machine.instruction_set`


def compare(found: dict[str, list[Row]], processor: str) -> list[Row]:
    """A row for each target whose table has been measured, with a verdict on its own processor."""
    rows = []
    for target in TARGETS:
        for row in found.get(target.table, ()):
            if row["pass"] != target.row:
                continue
            value, number = row[target.column], target.number
            met = value <= number if target.is_limit else value >= number
            verdict = "met" if met else f"{abs(value / number - 1):.0%} off"
            rows.append(
                {
                    "table": target.table,
                    "pass": target.row,
                    "ratio": target.column,
                    "wanted": f"{'at most' if target.is_limit else 'at least'} {number:g}",
                    "found": value,
                    "": verdict if processor == PROCESSOR else f"set for {PROCESSOR}",
                }
            )
    return rows
