"""Reports of control tokens in the text of rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from unlearnkit.data.rows.values import quoted
from unlearnkit.errors import Place, Problem

if TYPE_CHECKING:
    from unlearnkit.data.tokens.codec import Codec

logger = logging.getLogger(__name__)

_SHOWN = 5


class SpelledOut:
    """Notes the rows of a file whose text holds control tokens.

    Args:
        source: The file.
        codec: Says what becomes of them.
    """

    def __init__(self, source: str, codec: Codec) -> None:
        self._source, self._codec = source, codec
        self._places: list[Place] = []
        self._names: dict[str, None] = {}

    def see(self, text: str, place: Place) -> Problem | None:
        """The problem of a row, where it is to be refused."""
        found = self._codec.spelled_out(text)
        if not found:
            return None
        if self._codec.control_tokens == "refuse":
            return Problem(
                self._source,
                place,
                None,
                f"text with {_tokens(found)}",
                "none (or `data.control_tokens: text`)",
            )
        self._places.append(place)
        self._names.update(dict.fromkeys(found))
        return None

    def tell(self) -> None:
        """Logs how many rows there were, and how they were read."""
        if not self._places:
            return
        shown = ", ".join(map(str, self._places[:_SHOWN]))
        more = ", ..." if len(self._places) > _SHOWN else ""
        logger.warning(
            "%s: %d %s out %s, read as text and not as control (line %s%s); "
            "`data.control_tokens: keep` takes them for the tokens, `refuse` refuses the rows",
            self._source,
            len(self._places),
            "row spells" if len(self._places) == 1 else "rows spell",
            _tokens(list(self._names)),
            shown,
            more,
        )


def _tokens(names: list[str]) -> str:
    return f"the control token{'s' if len(names) > 1 else ''} {quoted(names)}"
