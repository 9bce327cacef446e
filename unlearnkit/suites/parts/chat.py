"""Chat templates of suites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnkit.data.tokens.arguments import asked, check_chat

if TYPE_CHECKING:
    from unlearnkit.data.tokens.codec import Codec
    from unlearnkit.data.tokens.turns import Turns


class Chat(NamedTuple):
    """The choice of a chat template, values for it, and a system turn."""

    template: str | None
    arguments: Mapping[str, Any]
    system: str | None = None

    @classmethod
    def chosen(
        cls,
        chat: bool,
        template: str | None,
        arguments: Mapping[str, Any] | None,
        system: str | None = None,
    ) -> Chat | None:
        """A suite's fields, checked; None if nothing goes through a chat template.

        Raises:
            RecipeError: If a template is chosen where none is used.

        Example:
            >>> Chat.chosen(True, None, {"enable_thinking": False})
            Chat(template=None, arguments={'enable_thinking': False}, system=None)
        """
        check_chat(chat, template, arguments, system)
        return cls(template, arguments or {}, system) if chat else None

    def asked(self, question: str) -> list[dict[str, str]]:
        """The turns of a question."""
        return asked(question, self.system)

    def turns(self, codec: Codec) -> Turns:
        """Prompts and answers by that template; see `Codec.turns`."""
        return codec.turns(self.template, self.arguments)
