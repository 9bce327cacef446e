"""Prompts without responses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

from unlearnkit.data.rows.memory import RowSource
from unlearnkit.data.rows.packed import Mapped
from unlearnkit.data.rows.reader import Row, Table
from unlearnkit.data.rows.values import check_fields
from unlearnkit.data.streams.base import FileStream, Tokens
from unlearnkit.data.tokens.arguments import asked, check_chat
from unlearnkit.data.tokens.codec import Codec, DoesNotFit
from unlearnkit.data.tokens.frame import Frame
from unlearnkit.errors import Place, Problem, RecipeError


class Prompt(NamedTuple):
    """A prompt, as text."""

    place: Place
    text: str


class PromptStream(FileStream[Prompt], name="prompts"):
    r"""Prompts alone, such as published lists of harmful requests.

    No loss can read them, since they have no response token. Streams that answer the prompts of
    another (``idk``, ``mismatch``, ``sampled``) can, and so can the suite ``harmful``.

    Args:
        path: A file (JSON lines, JSON, CSV, TSV, Parquet; of plain text each line is a prompt),
            or the id of a data set on the Hugging Face Hub.
        prompt_field: The file's column that holds the prompt.
        template: Text around the prompt, such as ``"Question: {prompt}\nAnswer:"``.
        chat: Put prompts through the model's chat template, as turns of the user.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.
        system: System turn in front of each prompt; with ``chat``.
        **file: Which rows of the file, and how they are read; see `FileStream`.

    Raises:
        RecipeError: If the template does not hold ``{prompt}``, or the chat template is chosen
            without ``chat``.
    """

    answered: ClassVar[bool] = False
    lines: ClassVar[bool] = True

    def __init__(
        self,
        path: RowSource,
        prompt_field: str = "prompt",
        template: str = "{prompt}",
        chat: bool = False,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
        system: str | None = None,
        **file: Any,
    ) -> None:
        super().__init__(path, **file)
        if "{prompt}" not in template:
            raise RecipeError(f"template: expected {{prompt}} somewhere, found {template!r}")
        check_chat(chat, chat_template, template_arguments, system)
        self.prompt_field, self.template, self.chat = prompt_field, template, chat
        self.chat_template, self.template_arguments = chat_template, template_arguments or {}
        self.system = system

    def fields(self) -> tuple[str, ...]:
        """The prompt."""
        return (self.prompt_field,)

    @property
    def bare_field(self) -> str:
        """The prompt."""
        return self.prompt_field

    def parse(self, table: Table) -> tuple[Sequence[Prompt], list[Problem]]:
        """Prompts that are text."""
        rows, problems = check_fields(table, {"prompt_field": self.prompt_field})
        return Mapped(rows, self._prompt), problems

    def _prompt(self, row: Row) -> Prompt:
        return Prompt(row.place, row.fields[self.prompt_field])

    def tokenise(self, samples: Sequence[Prompt], codec: Codec) -> Iterable[list[list[Tokens]]]:
        """One row per prompt, with an empty response."""
        if self.chat:
            turns = codec.turns(self.chat_template, self.template_arguments)
            texts = (self.template.replace("{prompt}", sample.text) for sample in samples)
            prompts = [turns.prompt(asked(text, self.system)) for text in texts]
        else:
            prompts = [codec.framed(self.template, sample.text) for sample in samples]
        return ([[(ids, [])]] for ids in codec.prompts(prompts))

    def fit(self, codec: Codec, tokens: Tokens) -> Tokens:
        """The whole prompt.

        Raises:
            DoesNotFit: If no token of an answer would fit behind it.
        """
        prompt, response = tokens
        if len(prompt) >= codec.max_length:
            found = f"a prompt of {len(prompt)} tokens"
            raise DoesNotFit(found, f"fewer than max_length, {codec.max_length}")
        return prompt, response

    def frame(self, codec: Codec) -> Frame:
        """What the chat template writes around an answer, if prompts go through one."""
        if not self.chat:
            return Frame()
        return codec.turns(self.chat_template, self.template_arguments).frame()

    def text_of(self, sample: Prompt) -> str:
        """The prompt."""
        return sample.text


def without_responses(name: str) -> str:
    """Why a loss cannot read a stream of prompts."""
    return (
        f"the stream '{name}' has prompts alone, and no response to learn or to forget; "
        "read a stream that answers them, such as `idk`"
    )
