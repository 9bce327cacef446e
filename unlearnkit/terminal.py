"""A console on which text stays text."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from unlearnkit.redact import one_line, printable


class TextConsole(Console):
    r"""Shows names and texts as they are: no markup, no emoji codes, no control characters.

    Args:
        stderr: Print to standard error.

    Example:
        >>> TextConsole().print("[b]a\x1b[2J :warning:")
        [b]a\x1b[2J :warning:
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Segments whose text is printable; those that move the cursor are rich's own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))

    def on_broken_pipe(self) -> None:
        """Says nothing more, where rich ends the program: a run outlives its reader."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())  # for what is still in the buffer, and other consoles
        os.close(nowhere)

    def show_line(self, text: object, style: str | None = None) -> None:
        """Prints one line, such as the name of a file; line breaks in it are written out."""
        self.print(one_line(str(text)), soft_wrap=True, style=style)
