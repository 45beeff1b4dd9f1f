"""The package as a whole: what it costs to import, how its parts lean on each other."""

import ast
import graphlib
import importlib.util
import operator
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gesture3d
from gesture3d.files import PACKAGE


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, gesture3d, gesture3d.data; from gesture3d.config import load_experiment; "
        "load_experiment('variant_a', 'folder'); "
        "print([m for m in ('torch', 'cv2', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    for name in gesture3d.__all__:
        assert getattr(gesture3d, name).__doc__, name


def test_imports_point_one_way() -> None:
    """Folders and single modules import each other without a circle; models import no
    settings and no data, data no models."""
    imports: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gesture3d"):
                inner = node.module.split(".")[1:2]
                names = inner or [alias.name for alias in node.names]
                imports.setdefault(part, set()).update(set(names) - {part, "__version__"})
    imports.pop("__init__", None)
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError
    assert imports["models"] <= {"errors", "machine"}
    assert "paper" not in imports  # which imports nothing, so that all may lean on it
    assert "models" not in imports["data"]


def test_files_are_short() -> None:
    project = Path(__file__).parents[1]
    paths = [
        p for folder in ("gesture3d", "tools", "tests") for p in project.glob(f"{folder}/**/*.py")
    ]
    lengths = {str(p): len(p.read_text(encoding="utf-8").splitlines()) for p in paths}
    assert {path: length for path, length in lengths.items() if length > 400} == {}
    assert statistics.median(lengths.values()) <= 150


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports in functions count, those for type checkers alone do not."""
    paths = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    imports: dict[str, set[str]] = {}
    for name, path in paths.items():
        for node in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                imports.setdefault(name, set()).add(inner if inner in paths else node.module)
    for name, others in imports.items():
        others.discard(name)
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError


def imports_of(tree: ast.AST) -> Iterator[ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gesture3d"):
            yield node
        yield from imports_of(node)


def test_names_of_torch_exist() -> None:
    """Also in the branches for a GPU, which no test runs where there is none."""
    import torch

    for path in [*PACKAGE.rglob("*.py"), *PACKAGE.parent.glob("tests/test_gpu.py")]:
        for name in set(re.findall(r"torch\.(cuda\.[\w.]+)", path.read_text(encoding="utf-8"))):
            operator.attrgetter(name)(torch)


@pytest.mark.parametrize("importing", [True, False])
def test_ctrl_c_is_one_line_also_while_torch_is_imported(importing):
    program = f"""if True:
        import os, signal, sys, time, types
        from gesture3d.command_line import run_command_line
        signal.signal(signal.SIGINT, signal.default_int_handler)  # also in the background

        def main():
            sys.modules["torch"] = torch = types.ModuleType("torch")
            torch.__spec__ = types.SimpleNamespace(_initializing={importing})
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(10)
            finally:
                print("an exception")

        run_command_line(main)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert bool(done.stdout) != importing


@pytest.mark.parametrize("value", ["0", "-1", "1000000000", "1e9", "x", "9" * 5000])
@pytest.mark.parametrize(
    "command",
    [
        ("classify.py", "clip.mp4", "--top"),
        ("classify.py", "clip.mp4", "--batch-size"),
        *(("classify.py", "--list", "l.csv", name) for name in ("--limit", "--long", "--window")),
        ("benchmark.py", "cost", "--classes"),
        ("explain.py", "clip.mp4", "--top"),
        ("prepare.py", "check", "--data", "jester", "--workers"),
        ("ablate.py", "--jobs"),
    ],
    ids=" ".join,
)
def test_numbers_of_options_have_bounds(command, value, capsys) -> None:
    path = PACKAGE / "cli" / command[0]
    spec = importlib.util.spec_from_file_location("tool", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    with pytest.raises(SystemExit) as ending:
        tool.parse_args([*command[1:], value])
    assert ending.value.code == 2
    assert command[-1] in capsys.readouterr().err
