"""A function as a verb: its parameters are the options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from unlearnkit.cli.recipe.overrides import with_values
from unlearnkit.cli.recipe.signature import in_words
from unlearnkit.errors import UserError


class VerbParser(ArgumentParser):
    """Raises what argparse would print and exit for."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises a `UserError`.

        Raises:
            UserError: Always.
        """
        raise UserError(in_words(message), title="usage", hint=f"See {self.prog} --help.") from ex


def call(
    function: Callable[..., None],
    argv: Sequence[str],
    verb: str,
    positional: bool = True,
    **given: Any,
) -> None:
    """Calls a function with what a command line gives its parameters.

    Args:
        function: Its docstring is the help.
        argv: The words after the verb.
        verb: What they are the arguments of.
        positional: Whether what has no default is given by its place rather than by ``--name``.
        **given: Arguments that are no options.
    """
    about = (inspect.getdoc(function) or "").partition("\n\nArgs:")[0]
    parser = VerbParser(prog=f"unlearnkit {verb}", description=about)
    parser.add_function_arguments(function, as_group=False, as_positional=positional, skip={*given})
    parameters = inspect.signature(function).parameters.values()
    switches = {f"--{each.name}" for each in parameters if each.default is False}
    arguments: dict[str, Any] = parser.parse_args(with_values(argv, switches)).as_dict()
    function(**arguments, **given)
