"""A conversation with one model, whose answers come piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unlearnkit.data.tokens.chat_template import TurnError
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.control import Rendered
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.sampling import on_device
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.load import load_model

PIECE = 4
"""Tokens that come at once."""


class Conversation:
    """Turns so far, and the model that answers the next one greedily.

    Args:
        base: The model; its chat template is used where it has one.
        system: Text of a system turn.
        max_new_tokens: Longest answer, in tokens.
        template: Name of the template, of several.
        arguments: Values for the template.
    """

    def __init__(
        self,
        base: str | BaseModel,
        system: str | None = None,
        max_new_tokens: int = 256,
        template: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self._tokenizer = load_tokenizer(base)
        self.templated = bool(self._tokenizer.chat_template)
        self._codec = Codec(self._tokenizer, max_length=2**20)
        self._turns = self._codec.turns(template, arguments) if self.templated else None
        self._said: list[dict[str, Any]] = []
        if system is not None:
            self._said.append({"role": "system", "content": system})
        self._model = on_device(load_model(base))
        self._longest = max_new_tokens
        # A gate would take the beginning of the answer for a part of the prompt.
        self._piece = max_new_tokens if getattr(self._model, "reads_prompts", False) else PIECE

    def answer(self, question: str) -> Iterator[str]:
        """The answer so far, ever longer; it is remembered once it is whole.

        Raises:
            UserError: If the template refuses the turns, or there is no room for an answer.
        """
        ids = self._ids([*self._said, {"role": "user", "content": question}])
        said, text = [], ""
        while len(said) < self._longest:
            some = min(self._piece, self._longest - len(said))
            new = generate(self._model, self._tokenizer, [[*ids, *said]], max_new_tokens=some)[0]
            said += new.ids
            text = str(self._tokenizer.decode(said, skip_special_tokens=True)).strip()
            yield text
            if not new.hit_limit or not new.ids:
                break
        self._said += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": text},
        ]

    def _ids(self, turns: list[dict[str, Any]]) -> list[int]:
        if self._turns is None:
            return self._codec.prompt(Rendered(turns[-1]["content"]))
        try:
            return self._codec.prompt(self._turns.prompt(turns))
        except TurnError as error:
            raise UserError(str(error)) from error
