"""Arguments and message keys that a chat template reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from unlearnkit.errors import RecipeError
from unlearnkit.registry import did_you_mean

_OWN = ("messages", "tools", "documents", "add_generation_prompt", "date_string")
"""Arguments that are given otherwise."""
_FUNCTIONS = ("raise_exception", "strftime_now")
"""What transformers lends to templates."""
_GENERATION = re.compile(r"\{%[-+]?\s*(end)?generation\s*[-+]?%\}")


class ReadByTemplate:
    """Names that a chat template looks up.

    Args:
        template: The template, in Jinja.

    Example:
        >>> read = ReadByTemplate("{% for m in messages %}{{ m.content }}{% endfor %}{{ shout }}")
        >>> sorted(read.arguments), "content" in read.keys, "name" in read.keys
        (['messages', 'shout'], True, False)
    """

    def __init__(self, template: str) -> None:
        self._template = template

    @cached_property
    def _tree(self) -> Any:
        import jinja2
        from jinja2.ext import loopcontrols

        environment = jinja2.Environment(extensions=[loopcontrols], autoescape=True)
        try:
            # The tag is transformers' own, and marks text without changing it.
            return environment.parse(_GENERATION.sub("", self._template))
        except jinja2.TemplateError as error:
            raise RecipeError(f"the chat template is broken ({error})") from None

    @cached_property
    def arguments(self) -> frozenset[str]:
        """Values that it takes from outside."""
        from jinja2.meta import find_undeclared_variables

        return frozenset(find_undeclared_variables(self._tree))

    @cached_property
    def keys(self) -> frozenset[str]:
        """Attributes, items and texts in it, among which are all keys that it reads."""
        from jinja2 import nodes

        attributes = {node.attr for node in self._tree.find_all(nodes.Getattr)}
        texts = {node.value for node in self._tree.find_all(nodes.Const)}
        return frozenset(each for each in attributes | texts if isinstance(each, str))


def check_arguments(arguments: Mapping[str, Any], read: Sequence[ReadByTemplate]) -> None:
    """Refuses arguments that no template reads.

    Raises:
        RecipeError: With the first of them, and those that are read.
    """
    if not arguments:
        return
    known = sorted(set().union(*(each.arguments for each in read)).difference(_OWN, _FUNCTIONS))
    for name in arguments:
        if name in _OWN:
            raise RecipeError(f"template_arguments: '{name}' cannot be given, it is set otherwise")
        if name not in known:
            raise RecipeError(
                f"template_arguments: the chat template does not read '{name}'."
                f"{did_you_mean(name, known)}",
                hint=f"It reads: {', '.join(known) or 'none'}.",
            )


def check_chat(
    chat: bool, name: str | None, arguments: Mapping[str, Any] | None, system: str | None = None
) -> None:
    """Refuses the choice of a chat template, or a system turn, where prompts go through none.

    Raises:
        RecipeError: With the key.
    """
    chosen = {"chat_template": name, "template_arguments": arguments, "system": system}
    for key, given in chosen.items():
        if given and not chat:
            raise RecipeError(f"{key}: without `chat: true` nothing goes through a chat template")


def asked(question: str, system: str | None = None) -> list[dict[str, str]]:
    """The turns of a question.

    Example:
        >>> [turn["role"] for turn in asked("Who?", system="Be brief.")]
        ['system', 'user']
    """
    first = [] if system is None else [{"role": "system", "content": system}]
    return [*first, {"role": "user", "content": question}]
