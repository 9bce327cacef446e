"""Derives the keys of a recipe section from a class's signature."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import math
import os
import re
import sys
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from unlearnkit.errors import RecipeError
from unlearnkit.families import KeyPath, constructors
from unlearnkit.own_code import is_own_file
from unlearnkit.plain import told
from unlearnkit.registry import PACKAGE, did_you_mean

Finding = tuple[KeyPath, str]
_SCALARS = (bool, int, float, str)
_NULL = type(None)
_OF_A_CHOICE = re.compile(
    r"(\S+): (?:Does not validate|Expected).*?typing\.Literal\[([^]]*)\]"
    r".*(?:Got|Given) value: ([^\n]*)",
    re.S,
)
"""What the parser says of a word that is none of a few."""

QUOTE = """ Quote it if it is meant as text (at the shell '"..."')."""
SYNONYMS = {
    "learning_rate": "model.optimizer.lr",
    "seed": "seed_everything",
    "epochs": "trainer.max_epochs",
    "num_train_epochs": "trainer.max_epochs",
    "gradient_accumulation_steps": "trainer.accumulate_grad_batches",
}
"""Words of other tools, and the keys that mean the same here."""


own_files: dict[str, str] = {}
"""Modules that recipes named and that are no installed packages, with their files."""


@cache
def accepted(cls: type) -> tuple[str, ...]:
    """Names of the arguments that a class takes, those of its parents' ``**kwargs`` included."""
    parser = ArgumentParser(exit_on_error=False)
    added = parser.add_class_arguments(cls, "_", fail_untyped=False)
    return tuple(dict.fromkeys(each.split(".")[1] for each in added))


def required(cls: type) -> list[str]:
    """Names of the arguments that have no default."""
    return [
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


def find_own_modules() -> None:
    """Has modules looked for in the working directory too, where an own loss lies.

    A console script does not do so. At the end of the path they cannot shadow an installed module.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())


def own_class(class_path: str, bound: type) -> type:
    """As `import_class`, of a class that may lie in a file of the working directory."""
    find_own_modules()
    return import_class(class_path, bound)


def import_class(class_path: str, bound: type) -> type:
    """The class at a dotted path.

    Raises:
        RecipeError: If it cannot be imported, or is no concrete subclass of ``bound``.
    """
    module, _, name = class_path.rpartition(".")
    if module.partition(".")[0] in sys.stdlib_module_names:
        # Not even imported: some modules of Python do things when they are.
        raise RecipeError(f"'{class_path}' is not a subclass of {bound.__name__} and is refused.")
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if not module.startswith(str(error.name)):
            raise RecipeError(f"importing '{module}' failed: {error}.") from error
        hint = (
            "Give the name of a class that belongs here, as `unlearnkit list` shows them."
            if class_path.startswith(PACKAGE)
            else "An own file is looked for in the working directory and among the installed "
            "packages."
        )
        raise RecipeError(
            f"there is no module '{module}' to take '{name}' from.", hint=hint
        ) from error
    except AttributeError as error:
        known = [key for key in vars(importlib.import_module(module)) if not key.startswith("_")]
        raise RecipeError(
            f"the module '{module}' has no '{name}'.{did_you_mean(name, known)}"
        ) from error
    except Exception as error:  # an own file may fail in any way
        raise RecipeError(
            f"importing '{module}' failed: {type(error).__name__}: {error}."
        ) from error
    # Checked before anything is called: a recipe must not run os.system.
    if not (inspect.isclass(found) and issubclass(found, bound)):
        raise RecipeError(f"'{class_path}' is not a subclass of {bound.__name__} and is refused.")
    file = getattr(sys.modules[module], "__file__", None)
    if file is not None and is_own_file(file):
        own_files[module] = file
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))  # pyright: ignore
        raise RecipeError(f"'{class_path}' is abstract; it does not define {missing}.")
    return found


def check_arguments(
    cls: type,
    arguments: Any,
    path: KeyPath,
    *,
    skip: Collection[str] = (),
    given_elsewhere: Collection[str] = (),
) -> Iterator[Finding]:
    """Yields what does not fit the class's signature: unknown, ill-typed and missing arguments.

    Args:
        cls: The class.
        arguments: Its section of a recipe.
        path: The section's place, to say where a finding is.
        skip: Arguments that a recipe cannot give.
        given_elsewhere: Arguments that are checked by other means.
    """
    if not isinstance(arguments, Mapping):
        yield path, f"expected a mapping of arguments, found {told(arguments)}"
        return
    known = [name for name in accepted(cls) if name not in skip]
    hints = _hints(cls)
    for key, value in arguments.items():
        if key not in known:
            yield (*path, key), unknown(str(key), known, cls.__name__)
        elif unusable := list(_not_finite(value, (*path, key))):
            yield from unusable
        elif key not in given_elsewhere:
            yield from _check_value(cls, key, value, hints.get(key), (*path, key))
    for name in required(cls):
        if name in known and name not in arguments and name not in given_elsewhere:
            yield path, f"'{name}' is missing; {cls.__name__} has no default for it"


def unknown(key: str, known: Collection[str], of: str) -> str:
    """The message for a key that does not exist."""
    message = f"{of} has no argument '{key}'."
    near = did_you_mean(key, [*known, *SYNONYMS])
    for word, ours in SYNONYMS.items():
        if f"'{word}'" in near:
            name = ours.rpartition(".")[2]
            return f"{message} Did you mean '{word}'? It is '{name if name in known else ours}'."
    return message + (near or f" It has: {_list(known)}.")


def describe(hint: Any) -> str:
    """A type as a reader of a recipe would say it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(each) for each in arguments))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if inspect.isclass(origin) and issubclass(origin, Iterable):
        return "a mapping" if issubclass(origin, Mapping) else "a list"
    words = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        type(None): "null",
    }
    name = getattr(hint, "__name__", str(hint))
    return words.get(hint, f"{'an' if name[:1] in 'AEIO' else 'a'} {name}")


def in_words(message: str) -> str:
    """A parser's message with the key first and without what only its programmers need."""
    message = re.sub(r'Parser key "([^"]+)":\s*', r"\1: ", message)
    message = re.sub(r"<class '([^']+)'>", r"\1", message)
    if choice := _OF_A_CHOICE.match(message):
        key, names, given = choice.groups()
        return f"{key}: expected one of {names.replace(chr(39), '')}, found '{given}'"
    lines = [line.rstrip() for line in message.splitlines()]
    return "\n".join(line for line in lines if line)


def _not_finite(value: Any, path: KeyPath) -> Iterator[Finding]:
    """Yields what is not a number, and of what trains what is not finite."""
    if isinstance(value, float):
        # An infinite ceiling of a callback, or order of a norm, means something.
        if math.isnan(value) or (math.isinf(value) and path[0] in ("model", "data")):
            yield path, f"expected a finite number, found {value}"
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _not_finite(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _not_finite(each, (*path, index))


def _check_value(cls: type, key: str, value: Any, hint: Any, path: KeyPath) -> Iterator[Finding]:
    members = typing.get_args(hint) or (hint,)
    if value is None and not {None, type(None), Any, object} & {*members}:
        # The parser takes null for "not given", and the class would get it all the same.
        yield path, f"expected {describe(hint)}, found null. Leave the key out for the default."
        return
    nested = next((each for each in members if dataclasses.is_dataclass(each)), None)
    if nested is not None and isinstance(value, Mapping) and "class_path" not in value:
        yield from check_arguments(typing.cast(type, nested), value, path)
        return
    listed = next((typing.get_args(each)[0] for each in members if _is_list(each)), None)
    if dataclasses.is_dataclass(listed) and isinstance(value, list):
        for index, each in enumerate(value):
            yield from check_arguments(typing.cast(type, listed), each, (*path, index))
        return
    if (type(value) in _SCALARS and type(value) in members) or (value is None and _NULL in members):
        return
    try:
        # The parser puts the classes that it finds into the value itself.
        _parser(cls, key).parse_object({"_": {key: copy.deepcopy(value)}})
    except ArgumentError as error:
        if hint is None:
            yield path, f"found {told(value)}: {str(error).splitlines()[-1].strip()}"
            return
        choices = [str(each) for each in members if isinstance(each, str)]
        near = did_you_mean(str(value), choices) if choices else ""
        if str in members and isinstance(value, bool | int | float):
            near = QUOTE
        yield path, f"expected {describe(hint)}, found {told(value)}.{near}"


@cache
def _parser(cls: type, key: str) -> ArgumentParser:
    """A parser of one argument; it takes longer to make than to use."""
    parser = ArgumentParser(exit_on_error=False)
    others: set[str | int] = {each for each in accepted(cls) if each != key}
    parser.add_class_arguments(cls, "_", fail_untyped=False, skip=others)
    return parser


def _is_list(hint: Any) -> bool:
    return typing.get_origin(hint) is list


def _hints(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in [cls] if dataclasses.is_dataclass(cls) else constructors(cls):
        with suppress(NameError, TypeError):  # names that exist for the type checker only
            # A data class's constructor is generated and knows no names of its module.
            named = each if dataclasses.is_dataclass(each) else each.__init__
            found |= typing.get_type_hints(named)
    return found


def _list(known: Collection[str]) -> str:
    names = list(known)
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
