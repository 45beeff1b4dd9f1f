"""What the READMEs say is so: commands parse, links lead somewhere, every yaml is in the zoo."""

import csv
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from gesture3d.cli import TOOLS
from gesture3d.config import load_experiment
from gesture3d.files import PACKAGE
from gesture3d.studies.zoo import with_tables, zoo_tables

ROOT = PACKAGE.parent
READMES = sorted(
    path
    for folder in (".", "configs", "gesture3d", "tests", "tools", "weights")
    for path in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
)


def commands() -> Iterator[tuple[str, str, list[str]]]:
    """(README, tool, arguments) of every command in a block of shell or between back-ticks."""
    for path in READMES:
        text = path.read_text(encoding="utf-8")
        blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
        text = re.sub(r"```.*?```", "", text, flags=re.S)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        lines += [" ".join(quoted.split()) for quoted in re.findall(r"`([^`]+)`", text)]
        for line in lines:
            found = re.search(r"(?:tools/(\w+)\.py|gesture3d (\w+)) (\S.*)", line.split(" #")[0])
            if found and (found[1] or found[2]) in TOOLS and "|" not in found[3]:
                where = path.relative_to(ROOT).as_posix()
                yield where, found[1] or found[2], shlex.split(found[3])


COMMANDS = list(commands())


def test_there_are_commands_of_every_tool() -> None:
    assert {tool for _, tool, _ in COMMANDS} == set(TOOLS)


@pytest.mark.parametrize(
    ("where", "tool", "arguments"), COMMANDS, ids=lambda value: str(value)[:60]
)
def test_a_command_parses(where, tool, arguments) -> None:
    arguments = [a for a in arguments if a not in ("…", "...")]
    args = importlib.import_module(f"gesture3d.cli.{tool}").parse_args(arguments)
    cfg, data = getattr(args, "cfg", None), getattr(args, "data", None)
    if cfg and isinstance(data, str) and not {cfg, data} & {"CFG", "DATA"}:
        load_experiment(cfg, data, [o for o in args.set if "…" not in o])


def places_of(path: Path) -> set[str]:
    """What links into a page may name: its headings as GitHub writes them, and its anchors."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
    return slugs | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_and_pictures_exist(path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("http") or (path.parent / target).exists(), target
    for target, place in re.findall(r"\]\(((?!http)[^)#]*)#([^)]+)\)", text):
        assert place in places_of(path.parent / target if target else path), f"{target}#{place}"


def test_every_config_is_in_the_zoo() -> None:
    for folder in (ROOT / "configs", ROOT / "configs" / "data"):
        text = (folder / "README.md").read_text(encoding="utf-8")
        rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
        named = set(re.findall(r"`(\w+)`", " ".join(rows)))
        assert {path.stem for path in folder.glob("*.yaml")} <= named


def test_the_zoos_tables_are_those_of_its_data() -> None:
    readme = ROOT / "configs" / "README.md"
    text = readme.read_text(encoding="utf-8")
    assert with_tables(text, zoo_tables(readme.with_name("results.csv"))) == text


def test_the_first_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 170


def test_the_first_readme_says_what_spread_to_expect() -> None:
    """Of its first training: the zoo's own figures with their interval, and where seeds stand."""
    readme, zoo = ((ROOT / path).read_text("utf-8") for path in ("README.md", "configs/README.md"))
    with (ROOT / "configs" / "results.csv").open(encoding="utf-8", newline="") as file:
        runs = [
            row
            for row in csv.DictReader(file)
            if (row["network"], row["data"]) == ("variant_a", "synthetic")
            and row["settings"] in ("", "train.seed=2")
        ]
    training = readme.split("## Train")[1].split("## ")[0]
    validation, test = training.split("in validation")
    assert len(runs) == 2
    for run in runs:
        assert run["validation"] in validation
        assert f"{run['top1']} %" in test
        assert run["top1"] in readme.split("## Results")[1]
        assert run["interval"] in readme.split("## Results")[1]
    assert "configs/README.md#what-spread-to-expect" in training
    spread = zoo.split("## What spread to expect")[1]
    assert len(re.findall(r"^\| \d \|", spread, re.MULTILINE)) >= 3  # seeds
    assert "kinds of processor" in spread
