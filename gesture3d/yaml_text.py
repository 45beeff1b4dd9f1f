"""YAML as people write it, from files that may be anyone's: dict, list and text, all bounded.

What an unquoted word means is decided by the field that it is for (`as_field`): 010 is a number
where one is wanted, and stays 010 as the name of a class or a folder.
"""

import math
import os
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import yaml

MAX_CHARACTERS = 1 << 18
MAX_DEPTH = 20

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_WORDS |= {"": None, "~": None, "null": None}
_WORDS |= {".nan": math.nan, ".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf}


class Plain(str):
    """Text without quotes, which has no type yet."""


class Typed(Plain):
    """The value of a ``--set``: as it is where text is wanted, else the YAML in it."""

    def tree(self) -> Any:
        """Raises ValueError: not valid YAML."""
        return read_yaml(self)


def typed(text: str) -> str:
    """The value of a ``--set``, without YAML's quotes where it stands in them as a whole."""
    try:
        inner = read_yaml(text) if text[:1] in ("'", '"') else None
    except ValueError:
        inner = None
    is_quoted = isinstance(inner, str) and not isinstance(inner, Plain)
    return inner if is_quoted else Typed(text.strip())


class _Composer(yaml.BaseLoader):
    """Nodes one by one, so that what is too deep or refers to itself is met before it grows."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self._refuse("anchors and aliases (& and *) are not allowed: write the value out")
        if event.tag is not None:
            self._refuse(f"tags ({event.tag[:40]}) are not allowed: write the value alone")
        if self.depth == MAX_DEPTH:
            self._refuse(f"nested more than {MAX_DEPTH} deep")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def _refuse(self, why: str) -> None:
        raise yaml.MarkedYAMLError(problem=why, problem_mark=self.peek_event().start_mark)


def read_yaml(text: str) -> Any:
    """Nested dicts and lists of text: `Plain` where it stood without quotes.

    Raises:
        ValueError: not valid YAML, too long or deep, a key twice, anchors, aliases, tags.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{len(text)} characters; at most {MAX_CHARACTERS} are read")
    try:
        node = yaml.compose(str(text), _Composer)
        return Plain() if node is None else _build(node)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from None


def _build(node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return Plain(node.value) if node.style is None else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_build(item) for item in node.value]
    tree: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key.start_mark)
        if key.value in tree:
            problem = f"the key {key.value[:40]!r} is there twice"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        tree[key.value] = _build(value)
    return tree


def as_field(value: Any, annotation: Any) -> Any:
    """What text without quotes means to a field of this type; anything else stays as it is.

    Raises:
        ValueError: no value of any field (broken YAML, a path that cannot exist).
    """
    kinds = set(_leaves(annotation))
    is_text = any(isinstance(kind, str) or kind in (str, Path) for kind in kinds)
    if isinstance(value, Typed):
        is_list = any(get_origin(part) is tuple for part in (annotation, *get_args(annotation)))
        value = value if is_text and not is_list else value.tree()
    if not is_text:
        return _resolved(value)
    if isinstance(value, Plain) and (
        not value or (NoneType in kinds and _WORDS.get(value.lower(), 0) is None)
    ):
        return None
    value = (
        [str(v) if isinstance(v, Plain) else v for v in value] if isinstance(value, list) else value
    )
    if Path in kinds and isinstance(value, str):
        return _path(value)
    return str(value) if isinstance(value, Plain) else value


def _leaves(annotation: Any) -> list[Any]:
    """The types that an annotation is made of, and the values of a Literal."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal or not arguments:
        return list(arguments) or [annotation]
    return [leaf for a in arguments if isinstance(a, type) or get_args(a) for leaf in _leaves(a)]


def _resolved(value: Any) -> Any:
    """Unquoted words as numbers (decimal, but for 0x, 0o and 0b), true, false and null."""
    if isinstance(value, list):
        return [_resolved(item) for item in value]
    if not isinstance(value, Plain):
        return value
    word = value.lower()
    if word in _WORDS:
        return _WORDS[word]
    for kind in (int, float, lambda text: int(text, 0)) if len(value) <= 60 else ():
        try:
            return kind(str(value))
        except ValueError:
            continue
    return str(value)


def _path(text: str) -> Path:
    """``~`` is the home folder, as in a shell."""
    try:
        if "\0" in text:
            raise ValueError
        os.fsencode(text)
    except ValueError:
        raise ValueError(f"{text[:80]!a} can be no path") from None
    try:
        return Path(text).expanduser()
    except RuntimeError:  # nobody's home
        return Path(text)
