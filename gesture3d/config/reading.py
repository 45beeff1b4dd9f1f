"""Reading an experiment: model file + data recipe + overrides → `Experiment`, or one clear line.

Two short flat YAML files describe a run. The model file (``--cfg``) holds the fields of a model
config; the data recipe (``--data``) holds a section ``data`` and the recipe that this data set
needs: sections ``optim``, ``train`` and ``model`` (width, input handling). Precedence, lowest
first: defaults, data recipe, model file, ``--set`` overrides.
"""

import contextlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from gesture3d.config.experiment import DataConfig, Experiment, kind_name, union_members
from gesture3d.config.models import ModelConfig
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.files import resource
from gesture3d.settings import Section
from gesture3d.text import one_line
from gesture3d.yaml_text import MAX_CHARACTERS, MAX_DEPTH, Typed, as_field, read_yaml, typed

# Old names of settings, in files and overrides.
RENAMED = {
    "data.validation_subjects": "data.validation_groups",
    "data.test_subjects": "data.test_groups",
}


class _DataAlone(Section):
    data: DataConfig


def load_experiment(
    cfg: str, data: str = "synthetic", overrides: list[str] | None = None
) -> Experiment:
    """The experiment of ``--cfg cfg --data data --set overrides``.

    Args:
        cfg: a model file, looked up in ``configs/`` when it is no path.
        data: a data recipe, looked up in ``configs/data/`` when it is no path.
        overrides: ``section.key=value`` with the value in YAML, e.g. ``optim.lr=0.01``.

    Raises:
        Gesture3dError: names the key, the file, the value, what is allowed and the closest key.
    """
    cfg_path = find_config(cfg, resource("configs"))
    data_path = find_config(data, resource("configs") / "data")
    model, recipe = read_settings(cfg_path), _read_recipe(data_path)
    if "data" in model:
        raise Gesture3dError(f"{cfg_path} is a data set and its recipe: give it to --data")
    tree = _merge(_fitting(recipe, str(model.get("name", "gesture_net"))), {"model": model})
    sources = _sources(recipe, data_path) | _sources({"model": model}, cfg_path)
    for override in overrides or []:
        tree, sources = _override(tree, override, sources)
    return validate_experiment(tree, sources)


def load_data(data: str, overrides: list[str] | None = None) -> DataConfig:
    """The data section of ``--data data --set overrides``, whatever the model.

    Raises:
        Gesture3dError: as `load_experiment`.
    """
    path = find_config(data, resource("configs") / "data")
    recipe = _read_recipe(path)
    sources = _sources(recipe, path)
    for override in overrides or []:
        recipe, sources = _override(recipe, override, sources)
    tree = {"data": recipe.get("data")}
    try:
        return _DataAlone.model_validate(tree).data
    except ValidationError as error:
        raise Gesture3dError(_explain(error.errors()[0], tree, sources)) from None


def _fitting(recipe: dict[str, Any], model_name: str) -> dict[str, Any]:
    """A recipe without those model settings that other models have and this one has not."""
    kinds = _models()
    others = {field for fields in kinds.values() for field in fields}
    others -= set(kinds.get(model_name, others))
    if not isinstance(recipe.get("model"), dict):
        return recipe
    return {**recipe, "model": {k: v for k, v in recipe["model"].items() if k not in others}}


def validate_experiment(tree: dict[str, Any], sources: dict[str, Any] | str) -> Experiment:
    """A plain tree of settings as an `Experiment`; ``sources`` says where each key was read."""
    tree = _renamed(tree)
    if isinstance(tree.get("model"), dict):
        tree = {**tree, "model": {"name": "gesture_net"} | tree["model"]}
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        raise Gesture3dError(_explain(error.errors()[0], tree, sources)) from None


def with_overrides(experiment: Experiment, overrides: list[str]) -> Experiment:
    """The experiment with changed settings, ``section.key=value`` each."""
    tree, sources = experiment.model_dump(mode="json"), {}
    for override in overrides:
        tree, sources = _override(tree, override, sources)
    return validate_experiment(tree, sources)


def dump_experiment(experiment: Experiment) -> str:
    """The resolved experiment as YAML text, every field written out."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False)


def find_config(name: str, folder: Path) -> Path:
    """``name`` as a path, or as a file of ``folder`` with or without ``.yaml``."""
    for candidate in (Path(name), folder / name, folder / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    models = resource("configs")
    others = {models: models / "data", models / "data": models}.get(folder, folder)
    if any((others / end).is_file() for end in (name, f"{name}.yaml")):
        this, option = ("a model", "--cfg") if others == models else ("a data set", "--data")
        raise Gesture3dError(f"{name} is {this}: give it to {option}")
    known = sorted(p.stem for p in folder.glob("*.yaml"))
    hint = did_you_mean(Path(name).stem, known)
    raise Gesture3dError(f"no config {_short(name)!r}: not a file, and configs/ has {known}.{hint}")


def read_settings(path: Path) -> dict[str, Any]:
    """A YAML file of settings, whose unquoted text gets its types in `validate_experiment`.

    Raises:
        Gesture3dError: it cannot be read, or is no valid YAML (see `read_yaml`).
    """
    try:
        with path.open(encoding="utf-8") as file:
            tree = read_yaml(file.read(MAX_CHARACTERS + 1))
    except UnicodeDecodeError as error:
        raise Gesture3dError(f"{path}: not valid YAML: {error}") from None
    except ValueError as error:
        raise Gesture3dError(f"{path}: {one_line(error, 400)}") from None
    if not isinstance(tree, dict):
        raise Gesture3dError(f"{path}: expected 'key: value' lines, found {_short(tree)!r}")
    return tree


def _read_recipe(path: Path) -> dict[str, Any]:
    recipe = _renamed(read_settings(path))
    if "data" not in recipe and recipe.get("name", "gesture_net") in _models():
        raise Gesture3dError(f"{path} is a model: give it to --cfg")
    _check_known(recipe, Experiment, "", path)
    return recipe


def _models() -> dict[str, Any]:
    """The fields of every model, by its name."""
    return {kind_name(kind): kind.model_fields for kind in union_members(ModelConfig)}


def _override(
    tree: dict[str, Any], text: str, sources: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tree with one ``section.key=value`` set, and where its keys were read."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise Gesture3dError(f"--set {_short(text)!r}: expected key=value, e.g. optim.lr=0.01")
    key = RENAMED.get(key.strip(), key.strip())
    keys = key.split(".")
    if len(keys) > MAX_DEPTH:
        raise Gesture3dError(f"--set {_short(text)!r}: no setting lies so deep")
    source = f"--set {_short(text)}"
    return _merge(tree, _nest(keys, typed(value.strip()))), sources | {".".join(keys): source}


def _renamed(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with today's names of its settings."""
    for old, new in RENAMED.items():
        section, _, name = old.partition(".")
        below = tree.get(section)
        if isinstance(below, dict) and name in below:
            now = {new.partition(".")[2] if k == name else k: v for k, v in below.items()}
            tree = {**tree, section: now}
    return tree


def _nest(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return value


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, Typed):
        with contextlib.suppress(ValueError):  # said where the value is used
            above = above.tree() or above
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {k: _merge(below[k], v) if k in below else v for k, v in above.items()}


def _sources(tree: dict[str, Any], source: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found[f"{prefix}{key}"] = source
        if isinstance(value, dict):
            found |= _sources(value, source, f"{prefix}{key}.")
    return found


def _check_known(tree: dict[str, Any], section: type[Section], prefix: str, source: Any) -> None:
    unknown = [key for key in tree if key not in section.model_fields]
    if unknown:
        raise Gesture3dError(_unknown(prefix + str(unknown[0]), section, source))


def _unknown(key: str, section: type[BaseModel], source: Any) -> str:
    allowed = list(section.model_fields)
    hint = did_you_mean(key.rsplit(".", 1)[-1], allowed)
    return f"{source}: unknown key {_short(key)!r}.{hint} Allowed here: {', '.join(allowed)}"


def _explain(error: dict[str, Any], tree: dict[str, Any], sources: dict[str, Any] | str) -> str:
    """One pydantic error as one line: file, key, value, what is allowed, the closest known key."""
    path, section = _locate(error["loc"], tree)
    key = _short(".".join(path))
    source = sources if isinstance(sources, str) else _source_of(path, sources)
    if error["type"] == "extra_forbidden" and section is not None:
        return _unknown(key, section, source)
    message = one_line(error["msg"].removeprefix("Value error, "), 600)
    if error["type"] == "missing":
        return f"{source}: {key!r} is missing"
    if error["type"] == "union_tag_invalid":
        key, expected = f"{key}.name", error["ctx"]["expected_tags"].replace("'", "").split(", ")
        hint = did_you_mean(error["ctx"]["tag"], expected)
        return f"{source}: {key} = {_shown(error['ctx']['tag'])}: must be one of {expected}.{hint}"
    if error["type"] == "value_error":
        place = f"{source}: " if key or (isinstance(sources, str) and sources) else ""
        return f"{place}{key}: {message}" if key else f"{place}{message}"
    hint = ""
    if error["type"] == "literal_error":
        options = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        hint = did_you_mean(error["input"], options)
    shown = _shown(error["input"])
    return f"{source}: {key} = {shown}: {message[0].lower()}{message[1:]}.{hint}"


def _short(text: Any) -> str:
    return one_line(text, 200)


def _shown(value: Any) -> str:
    with contextlib.suppress(ValueError):
        value = as_field(value, object)
    return _short(repr(value))


def _source_of(path: list[str], sources: dict[str, Any]) -> Any:
    """Where the key was read: an override of it or below it first, else the nearest file."""
    key = ".".join(path)
    overrides = (
        s for k, s in sources.items() if f"{k}.".startswith(f"{key}.") and "--set" in str(s)
    )
    above = (sources.get(".".join(path[:n])) for n in range(len(path), 0, -1))
    return next(overrides, None) or next(filter(None, above), "the configuration")


def _locate(loc: tuple, tree: dict[str, Any]) -> tuple[list[str], type[BaseModel] | None]:
    """The dotted path of an error without pydantic's union tags, and the section it is in."""
    path: list[str] = []
    node: Any = tree
    section: Any = Experiment
    for part in loc:
        if isinstance(node, dict) and part not in node and node.get("name") == part:
            section = next(
                (m for m in union_members(section) if kind_name(m) == part),
                section,
            )
            continue  # the tag of a discriminated union, not a key
        path.append(str(part))
        owner = section
        node = node.get(part) if isinstance(node, dict) else None
        if isinstance(owner, type) and part in owner.model_fields and isinstance(node, dict):
            section = owner.model_fields[part].annotation
    return path, section if isinstance(section, type) else None
