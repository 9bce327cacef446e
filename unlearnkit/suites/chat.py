"""Chat templates of suites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnkit.data.tokens.arguments import check_chat

if TYPE_CHECKING:
    from unlearnkit.data.tokens.codec import Codec
    from unlearnkit.data.tokens.turns import Turns


class Chat(NamedTuple):
    """The choice of a chat template, and values for it."""

    template: str | None
    arguments: Mapping[str, Any]

    @classmethod
    def chosen(
        cls, chat: bool, template: str | None, arguments: Mapping[str, Any] | None
    ) -> Chat | None:
        """A suite's fields, checked; None if nothing goes through a chat template.

        Raises:
            RecipeError: If a template is chosen where none is used.

        Example:
            >>> Chat.chosen(True, None, {"enable_thinking": False})
            Chat(template=None, arguments={'enable_thinking': False})
        """
        check_chat(chat, template, arguments)
        return cls(template, arguments or {}) if chat else None

    def turns(self, codec: Codec) -> Turns:
        """Prompts and answers by that template; see `Codec.turns`."""
        return codec.turns(self.template, self.arguments)
