"""Writes what a user of the command line can rely on as JSON, for a test that compares it.

Verbs with their options, the keys of a recipe, every registered name with the arguments of its
class, and exit codes of common mistakes. Wording and the place of code are left out:

    python tests/cli/surface.py            # shows what differs from surface.json
    python tests/cli/surface.py --renew    # writes surface.json anew, after a change on purpose
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import inspect
import io
import json
import os
import pkgutil
import sys
import tempfile
import types
import typing
from argparse import SUPPRESS
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from jsonargparse import ArgumentParser, Namespace

import unlearnkit
from unlearnkit.attacks import Attack
from unlearnkit.cli import verbs
from unlearnkit.cli.main import main as run_command
from unlearnkit.cli.recipe.build import TRAINER_DEFAULTS
from unlearnkit.cli.recipe.signature import accepted
from unlearnkit.edits import Edit
from unlearnkit.engine.training.salun import Saliency
from unlearnkit.families import constructors
from unlearnkit.models.adapter import Importance, LoraConfig
from unlearnkit.models.base import BaseModel, Offset
from unlearnkit.registry import PACKAGE, Registered

STORED = Path(__file__).with_name("surface.json")
RENEW = "python tests/cli/surface.py --renew"
_NOT_OURS = ("trainer.", "config", "help", "print_shtab")
_WITH_MORE = ("fit", "validate", "edit", "attack")
"""Verbs that take a recipe's keys, or those of one of a family."""
_OUR_DEFAULTS = {f"trainer.{name}" for name in TRAINER_DEFAULTS}
_SECTIONS = (BaseModel, Offset, LoraConfig, Importance, Saliency)
"""Classes that a recipe's keys are mappings of."""

_ROWS = '{"prompt": "a", "response": "b"}\n'
_RECIPE = """\
model: {{objectives: {{forget: {{{objective}}}}}{model}}}
data: {{streams: {{forget: {{name: qa, path: {file}}}}}}}
trainer: {{max_steps: 1, accelerator: cpu}}
{more}
"""
_FILES = {
    "rows.jsonl": _ROWS,
    "bad.jsonl": '{"prompt": "a"}\n',
    "no.yaml": "model: [",
    "list.yaml": "- 1\n",
    "taken.yaml": "",
    "taken.py": "",
}
_RECIPES = {
    "good.yaml": {},
    "name.yaml": {"objective": "name: nope"},
    "key.yaml": {"objective": "name: npo, wieght: 1"},
    "type.yaml": {"objective": "name: npo, beta: much"},
    "value.yaml": {"objective": "name: npo, weight: -1"},
    "stream.yaml": {"objective": "name: npo, stream: other"},
    "file.yaml": {"file": "gone.jsonl"},
    "rows.yaml": {"file": "bad.jsonl"},
    "base.yaml": {"model": ", base: ./nowhere"},
    "section.yaml": {"more": "modle: {}"},
    "twice.yaml": {"more": "trainer: {max_steps: 2}"},
}
_TRIALS = """
--help | --version | nope | --recipe copyright fit
list | list nope | list objectives | list streams | list suites | list callbacks | list metrics
list recipes
cp copyright mine.yaml | cp copyright taken.yaml | cp nope other.yaml | cp copyright
new objective fresh_losses.py | new objective taken.py | new nope other.py
fit | fit --recipe | fit --recipe nope | fit -r no.yaml | fit -r list.yaml | fit copyright
fit -r name.yaml | fit -r key.yaml | fit -r type.yaml | fit -r value.yaml | fit -r stream.yaml
fit -r file.yaml | fit -r rows.yaml | fit -r base.yaml | fit -r section.yaml | fit -r twice.yaml
fit -r good.yaml --model.nope 1 | fit -r good.yaml --model.objectives.other.weight 1
fit -r good.yaml --model.objectives.forget null | fit -r good.yaml --model.reference nope
fit -r good.yaml --ckpt_path gone.ckpt | fit -r good.yaml --ckpt_path last
fit -r good.yaml --phases.0.model.base tiny | fit --config good.yaml --print_recipe
validate -c good.yaml | validate -r rows.yaml
generate . ab | generate good.yaml | generate tiny '' | generate nowhere/at/all ab
export . out | evaluate tiny | evaluate tiny --suite nope
evaluate tiny --suite privacy --batch_size 0 | evaluate nowhere/at/all --suite privacy
attack . relearn | attack . nope | attack . relearn --limit 0 | report . | compare | compare .
compare . --format nope | sample | sample --temperature 0 | sample -r rows.yaml
edit | edit nope | edit negate | edit negate --base ./nowhere --tuned tiny --out out
"""


class _Stop(BaseException):
    """Ends a command whose parser is known."""


def surface() -> dict[str, Any]:
    """All of it, as JSON types."""
    for info in pkgutil.walk_packages(unlearnkit.__path__, PACKAGE):
        if not info.name.endswith(("__main__", "tiny.make", "tiny.texts")):
            importlib.import_module(info.name)
    plain = [verb for verb in verbs.names() if verb not in _WITH_MORE]
    edits = [f"edit {name}" for name in Edit.registered()]
    attacks = [f"attack . {name}" for name in Attack.registered()]
    commands = [*plain, *edits, *attacks]
    return {
        "verbs": verbs.names(),
        "options": {each: _options(each.split()) for each in commands},
        "recipe": _options(["fit", "--help_all"]),
        "sections": {cls.__name__: _fields(cls) for cls in _SECTIONS},
        "families": {
            root.__name__: _members(root)
            for root in sorted(Registered.__subclasses__(), key=lambda each: each.__name__)
            if root.__module__.startswith(PACKAGE)
        },
        "exit codes": dict(_exit_codes()),
    }


def text() -> str:
    """The surface as it is stored."""
    return _json(surface()) + "\n"


def differences(found: str) -> str:
    """How a surface differs from the stored one, line by line; empty if it does not."""
    lines = (STORED.read_text(encoding="utf-8").splitlines(), found.splitlines())
    return "\n".join(difflib.unified_diff(*lines, "surface.json", "now", lineterm="", n=4))


def _json(value: Any, depth: int = 0) -> str:
    """JSON with an option or argument a line, so that a difference is easily read."""
    if not isinstance(value, dict) or depth == 4 or not value:
        return json.dumps(value, ensure_ascii=False)
    inside = " " * (depth + 1)
    lines = (f"{inside}{json.dumps(key)}: {_json(each, depth + 1)}" for key, each in value.items())
    return "{\n" + ",\n".join(lines) + "\n" + " " * depth + "}"


def shown(hint: Any) -> str:
    """A type without the modules of its parts."""
    if hint is Ellipsis:
        return "..."
    if isinstance(hint, str):
        return hint
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(shown, members))
    if origin is typing.Literal:
        return f"Literal{list(members)}"
    if isinstance(hint, list):
        return f"[{', '.join(map(shown, hint))}]"
    if hint is type(None):
        return "None"
    name = getattr(origin or hint, "__name__", str(hint))
    return f"{name}[{', '.join(map(shown, members))}]" if members else name


def _value(value: Any) -> Any:
    """A default as JSON; of a class its name alone."""
    if isinstance(value, Namespace):
        return _value(value.as_dict())
    if isinstance(value, dict):
        return {str(key): _value(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [_value(each) for each in items]
    if isinstance(value, str):
        return value.rpartition(".")[2] if value.startswith(PACKAGE) else value
    if value is None or isinstance(value, bool | int | float):
        return value if value not in (float("inf"), -float("inf")) else str(value)
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__name__
    if dataclasses.is_dataclass(value):
        return {type(value).__name__: _value(dataclasses.asdict(value))}  # pyright: ignore
    return type(value).__name__


def _options(words: list[str]) -> dict[str, Any]:
    """Options of a command by the names that they are given by, in the order of its parser."""
    found: list[ArgumentParser] = []

    def stop(parser: ArgumentParser, *args: Any, **kwargs: Any) -> None:
        found.append(parser)
        raise _Stop

    with (
        mock.patch.object(ArgumentParser, "parse_args", stop),
        mock.patch.object(ArgumentParser, "print_help", stop),
        contextlib.suppress(_Stop),
    ):
        run_command(words)
    (parser,) = found
    listed: dict[str, Any] = {}
    for action in parser._actions:
        ours = not action.dest.startswith(_NOT_OURS) or action.dest in _OUR_DEFAULTS
        if not ours or action.dest.endswith(".help"):
            continue
        hint = getattr(action, "_typehint", None) or action.type
        about = {
            "type": shown(hint) if hint is not None else None,
            "default": None if action.default is SUPPRESS else _value(action.default),
            "required": action.required or None,
            "nargs": action.nargs,
            "choices": _value(action.choices),
        }
        key = " ".join(action.option_strings) or action.dest
        listed[key] = {name: each for name, each in about.items() if each is not None}
    return listed


def _members(root: Any) -> dict[str, Any]:
    """Names of a family with aliases and arguments of the constructor."""
    aliases: dict[str, list[str]] = {}
    for alias, cls in sorted(root._by_alias.items()):
        aliases.setdefault(cls.registered_name, []).append(alias)
    return {
        name: {
            **({"aliases": aliases[name]} if name in aliases else {}),
            **_parameters(cls, cls.__init__),
        }
        for name, cls in root.registered().items()
        if cls.__module__.startswith(PACKAGE)
    }


def _parameters(cls: type, function: Callable[..., Any]) -> dict[str, Any]:
    hints, own = _type_hints(function), dict(inspect.signature(cls).parameters)
    if function is cls.__init__ and (own.pop("file", None) or own.pop("options", None)):
        # What is passed on to the constructor of a base counts as the class's own.
        for each in reversed(constructors(cls)):
            hints = {**_type_hints(each.__init__), **hints}
            own = {**inspect.signature(each.__init__).parameters, **own}
        own = {name: own[name] for name in accepted(cls)}
    found: dict[str, Any] = {}
    for name, each in own.items():
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        found[stars + name] = [shown(hints.get(name, each.annotation))]
        if each.default is not each.empty:
            found[stars + name].append(_value(each.default))
    return found


def _type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):  # names that exist for the type checker only
        return {}


def _fields(cls: Any) -> dict[str, Any]:
    """Fields of a data class that its own body gives; of PEFT's we say nothing."""
    hints = typing.get_type_hints(cls)
    found: dict[str, Any] = {}
    for each in dataclasses.fields(cls):
        if each.name in cls.__annotations__:
            found[each.name] = [shown(hints[each.name])]
            if each.default is not dataclasses.MISSING:
                found[each.name].append(_value(each.default))
            elif each.default_factory is not dataclasses.MISSING:
                found[each.name].append(_value(each.default_factory()))
    return found


def _exit_codes() -> Iterator[tuple[str, int]]:
    """Every command line of the trials, and each verb with ``--help`` and with nonsense."""
    trials = [each.strip() for line in _TRIALS.splitlines() for each in line.split("|")]
    trials += [f"{verb} {words}" for verb in verbs.names() for words in ("--help", "--nope 1")]
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for name, content in _FILES.items():
                Path(name).write_text(content, encoding="utf-8")
            for name, over in _RECIPES.items():
                given = {"objective": "name: npo", "model": "", "file": "rows.jsonl", "more": ""}
                Path(name).write_text(_RECIPE.format(**given | over), encoding="utf-8")
            for trial in dict.fromkeys(filter(None, trials)):
                words = ["" if word == "''" else word for word in trial.split()]
                quiet = io.StringIO()
                with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                    code = run_command(words)
                yield trial, code
        finally:
            os.chdir(before)


def main() -> int:
    """Compares or renews."""
    found = text()
    if "--renew" in sys.argv:
        STORED.write_text(found, encoding="utf-8")
        return 0
    told = differences(found)
    print(told or "as stored")
    return bool(told)


if __name__ == "__main__":
    sys.exit(main())
