"""Suites from words of a command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml

from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.document import load_yaml
from unlearnkit.cli.recipe.names import expand
from unlearnkit.errors import RecipeError, UserError

if TYPE_CHECKING:
    from unlearnkit.suites import Suite

OF_FILES = "copyright"
"""The suite that reads files of any rows."""


def chosen_suites(
    suite: Sequence[str] | None, forget: str | None, normal: str | None
) -> list[Suite]:
    """The suites that are named, or the one of the files that are given; none of neither.

    Raises:
        UserError: If both are given, or ``normal`` alone.
        RecipeError: If one of them is no suite, or has arguments that it does not take.
    """
    if suite and (forget or normal):
        raise UserError(
            "--suite says where its rows are, and so do --forget and --normal.",
            title="usage",
            hint="Give the suite its files: --suite '{name: copyright, forget: F, normal: N}'.",
        )
    if normal and not forget:
        raise UserError("--normal: no rows to forget are given.", title="usage", hint="--forget F")
    if suite:
        return suites_of(suite)
    if not forget:
        return []
    sources = {"forget": forget, **({"normal": normal} if normal else {})}
    given = {key: _read(f"--{key}", text) for key, text in sources.items()}
    return _made([{"name": OF_FILES, **given}])


def suites_of(texts: Sequence[str]) -> list[Suite]:
    """Suites from what a recipe's ``evaluate`` could hold: names, or mappings as YAML.

    Raises:
        RecipeError: If one of them is no suite, or has arguments that it does not take.
    """
    given: list[Any] = []
    for text in texts:
        value = _read("--suite", text)
        given += value if isinstance(value, list) else [value]
    return _made(given)


def _read(option: str, text: str) -> Any:
    try:
        return load_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{option}: {text!r} is not YAML ({error})") from error
    except ValueError as error:
        raise RecipeError(f"{option}: found {error}") from error


def _made(given: list[Any]) -> list[Suite]:
    with heavy_imports():
        from unlearnkit.cli.recipe.build import MODE, RecipeParser
        from unlearnkit.suites import Suite

    parser = RecipeParser(prog="unlearnkit", parser_mode=MODE)
    parser.add_argument("--evaluate", type=list[Suite])
    parsed = parser.parse_object(expand({"evaluate": given}))
    try:
        return parser.instantiate_classes(parsed)["evaluate"]
    except (TypeError, ValueError) as error:
        raise RecipeError(f"--suite: {error}") from error
