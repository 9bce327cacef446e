"""Joins rows to the text that a model reads before every prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Shown(Protocol):
    """A row that is read before prompts."""

    @property
    def prompt_ids(self) -> Sequence[int]:
        """Tokens of the prompt."""
        ...

    @property
    def response_ids(self) -> Sequence[int]:
        """Tokens of the response."""
        ...


def joined(rows: Sequence[Shown], tokenizer: Any, separator: str) -> tuple[list[int], int | None]:
    """Token ids of the rows one after the other, and the token that the text begins with.

    Args:
        rows: The rows; a token of the text's beginning stands once, in front of all of them.
        tokenizer: Names the tokens of beginning and end.
        separator: Text after each row, in place of the token that ends it; nothing if empty.
    """
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    between: list[int] = tokenizer(separator, add_special_tokens=False).input_ids
    ids: list[int] = []
    begins = False
    for each in rows:
        prompt, response = list(each.prompt_ids), list(each.response_ids)
        if begin is not None and prompt and prompt[0] == begin:
            begins = True
            prompt = prompt[1:]
        if separator and response and response[-1] == end:
            response = response[:-1]
        ids += prompt + response + between
    return ids, begin if begins else None
