"""``unlearnkit chat``: talks with one or two models side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from unlearnkit.arguments import refuse_idle
from unlearnkit.cli import console
from unlearnkit.cli.models import side_by_side
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import UserError

HELP = "Talk with a run's model, and with the one it came from beside it."
_END = ("/exit", "/quit")


def command(argv: list[str]) -> None:
    """Talks with the models that the words name."""
    call(chat, argv, "chat")


def chat(
    run: str,
    against: str | None = None,
    system: str | None = None,
    max_new_tokens: int = 256,
    template: str | None = None,
    template_arguments: dict[str, Any] | None = None,
) -> None:
    """Talk with a run's model, and with another one that is asked the same.

    Each model remembers its own answers. A model without a chat template is given the last line
    alone. Where the input is no terminal, each of its lines is a question. /exit ends.

    Args:
        run: Run folder, or any model that a recipe's model.base can name.
        against: ``base`` for the model that the run started from; or another run or model.
        system: Text of a system turn before the conversation.
        max_new_tokens: Longest answer, in tokens.
        template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as '{enable_thinking: false}'.
    """
    if max_new_tokens < 1:
        raise UserError(f"--max_new_tokens: expected at least 1, found {max_new_tokens}")
    with heavy_imports():
        from unlearnkit.cli.conversation import Conversation
        from unlearnkit.models.base import load_tokenizer

    models = side_by_side(run, against)
    bare = [name for name, base in models if not load_tokenizer(base).chat_template]
    if bare and system is not None:
        raise UserError(f"--system: {bare[0]} has no chat template to put it into.")
    if len(bare) == len(models):
        asked = {"template": template, "template_arguments": template_arguments}
        refuse_idle({name: "without a chat template" for name, each in asked.items() if each})
    talks = [
        (name, Conversation(base, system, max_new_tokens, template, template_arguments))
        for name, base in models
    ]
    for name in bare:
        console.warn(f"{name} has no chat template: it is given each line by itself.")
    for question in _questions():
        console.show_answers([(name, talk.answer(question)) for name, talk in talks])


def _questions() -> Iterator[str]:
    """What is typed, or the lines of the input, until the end of either."""
    typed = sys.stdin.isatty()
    while True:
        try:
            line = console.out().input("you: ") if typed else sys.stdin.readline()
        except EOFError:
            return
        if (not typed and not line) or line.strip() in _END:
            return
        if line.strip():
            if not typed:
                console.out().print(f"you: {line.strip()}")
            yield line.strip()
