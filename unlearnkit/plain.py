"""Small operations on plain values: spaced rows, nested keys, printed numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MOST_YAML, MOST_NODES, DEEPEST = 4 * 2**20, 100_000, 100
"""Characters, values with aliases written out, and levels of a YAML text that is read."""


def spaced(rows: Sequence[T], limit: int | None) -> list[T]:
    """At most ``limit`` rows, evenly spaced; all of them without a limit.

    Example:
        >>> spaced(range(10), 3), spaced("ab", None)
        ([0, 3, 6], ['a', 'b'])
    """
    count = len(rows) if limit is None else min(limit, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a nested mapping, such as a recipe.

    Entries of lists of mappings are numbered, and ``init_args`` is left out of keys.

    Example:
        >>> list(leaves({"a": {"init_args": {"b": [1, 2]}}, "c": [{"d": None}]}))
        [('a.b', [1, 2]), ('c.0.d', None)]
    """
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, each in value.items():
        step = "" if name == "init_args" else str(name)
        yield from leaves(each, ".".join(part for part in (key, step) if part))


def number(value: float | None, none: str = "-") -> str:
    """Three decimals, or three digits of a large number.

    Args:
        value: The number.
        none: What stands for None and nan.

    Example:
        >>> number(0.12345), number(123456.0), number(None)
        ('0.123', '1.23e+05', '-')
    """
    if value is None or math.isnan(value):
        return none
    return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.3g}"


def told(value: object) -> str:
    """A value of a recipe in a message, as YAML has it.

    Example:
        >>> told(None), told(True), told("true"), told({"a": [None, 1]})
        ('null', 'true', "'true'", "{'a': [null, 1]}")
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{told(key)}: {told(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(told, value))}]"
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else repr(value)


def refuse_yaml_bomb(text: str) -> None:
    r"""Refuses YAML that is small and stands for much, or for something without end.

    A text that is no YAML is let pass: it is told where it is read.

    Args:
        text: The text.

    Raises:
        ValueError: If it is too long, nested too deeply, or its aliases stand for too much or for
            what they stand in.

    Example:
        >>> refuse_yaml_bomb("a: &a [1, 2]\nb: [*a, *a]")
        >>> refuse_yaml_bomb("a: &a [*a]")
        Traceback (most recent call last):
        ValueError: the alias '*a' inside of what it stands for
    """
    if len(text) > MOST_YAML:
        raise ValueError(f"{len(text):,} characters, and at most {MOST_YAML:,} are read")
    deepest = f"lists and mappings in more than {DEEPEST} levels"
    sizes: dict[str, int] = {}
    whole, names = [0], [""]
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.AliasEvent):
                if event.anchor in names:
                    raise ValueError(f"the alias '*{event.anchor}' inside of what it stands for")
                whole[-1] += sizes.get(event.anchor, 1)
            elif isinstance(event, yaml.CollectionStartEvent):
                whole.append(1)
                names.append(event.anchor or "")
                if len(whole) > DEEPEST:
                    raise ValueError(deepest)
            elif isinstance(event, yaml.CollectionEndEvent):
                size, name = whole.pop(), names.pop()
                whole[-1] += size
                if name:
                    sizes[name] = size
            elif isinstance(event, yaml.ScalarEvent):
                whole[-1] += 1
            if whole[-1] > MOST_NODES:
                raise ValueError(f"more than {MOST_NODES:,} values, with aliases written out")
    except yaml.YAMLError as error:
        # The parser in C has a bound of its own, which it looks ahead for.
        if "nesting depth" in str(error):
            raise ValueError(deepest) from None
    except RecursionError:
        raise ValueError(deepest) from None


def load_yaml(text: str) -> Any:
    r"""What a text of plain YAML holds, by the parser in C if PyYAML has it: ten times as fast.

    Raises:
        ValueError: If it stands for far more than it is.
        yaml.YAMLError: If it is no YAML.

    Example:
        >>> load_yaml("seed: 7\nnames: [a, b]")
        {'seed': 7, 'names': ['a', 'b']}
    """
    refuse_yaml_bomb(text)
    try:
        return yaml.load(text, Loader=_LOADER)
    except (KeyError, AttributeError, ValueError) as error:
        raise yaml.YAMLError(f"a value is not of its type: {error}") from error
