"""Remembers the recipe of this command, for errors found later."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.document import Document

_read: ContextVar[Document | None] = ContextVar("_read", default=None)


def remember(document: Document | None) -> None:
    """Keeps the recipe for `with_places`; None forgets it."""
    _read.set(document)


def with_places(message: str) -> str:
    """A message with file and line of the keys that its lines begin with.

    Args:
        message: Lines such as ``trainer.max_steps: 0 trains nothing``.
    """
    document = _read.get()
    return message if document is None else document.located(message)
