"""Leaks of the forgotten in the thoughts of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from unlearnkit.data.tokens.chat_template import TurnError
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.control import Rendered
from unlearnkit.data.tokens.thoughts import CLOSING, OPENING, Said, taken_apart
from unlearnkit.engine.generation.generate import generate
from unlearnkit.errors import RecipeError
from unlearnkit.metrics import Closed, FieldExact, Hidden, Rouge, ThoughtRouge
from unlearnkit.suites.base import Probe, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.continuations import longest_generation
from unlearnkit.suites.parts.digest import digest
from unlearnkit.suites.parts.published import Item, Part, read_parts

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

_KINDS = ("forget", "retain", "neighbour")
Thinking: TypeAlias = Literal["open", "own", "none"]
"""Who opens the thought."""


class Thoughts(Suite, name="thoughts"):
    r"""Reasoning models: whether the thought tells what the answer keeps back.

    A question goes through the chat template, the thought is opened, and the model goes on
    greedily. What it says up to the closing mark is the thought, all else the answer. Where the
    mark does not come within ``max_new_tokens``, all of it is the thought.

    Metrics, as ``<stream>/<metric>``, streams ``forget``, ``retain``, ``neighbour``:

    * ``rougeL_recall_thought``, ``rougeL_recall``: of the true answer's words in the thought and in
      the answer.
    * ``exact_thought``, ``exact_answer``: share of rows in which it holds the value whole.
    * ``hidden``: share of rows whose thought holds the value and whose answer does not. An
      evaluation of answers alone misses these.
    * ``closed``: share of rows whose thought comes to its end. A model that never stops thinking
      answers nothing.

    Args:
        data: Folder of the files, or the id of a data set on the Hub.
        forget: Name of the file of questions about what is to be forgotten.
        retain: Name of that of questions that the retain term sees.
        neighbour: Name of that of questions near to what is forgotten.
        question_field: The column that holds the question.
        answer_field: The column that holds the true answer.
        value_field: The column that holds the words that tell it, such as a place; by default the
            answer.
        thinking: ``open`` opens the thought; ``own`` leaves it to the model and its template;
            ``none`` opens and closes it, so that the model answers at once.
        opening: What begins a thought, behind which comes a line break.
        closing: What ends it.
        max_new_tokens: Longest thought and answer together.
        limit: Rows of each file at most, evenly spaced; None for all.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template.
        system: System turn in front of each question.

    References:
        Yoon et al. 2025, "R-TOFU: Unlearning in large reasoning models", arXiv 2505.15214, for
        leaks in the thought, and for thoughts that are left out; rows of the published data have
        the columns ``question``, ``cot`` and ``answer``.
    """

    probes = {
        "forget": Probe("forget"),
        "retain": Probe("protected"),
        "neighbour": Probe("neighbour"),
    }
    metrics = {
        "exact_thought": FieldExact("thought"),
        "exact_answer": FieldExact("answer"),
        "hidden": Hidden(),
        "rougeL_recall_thought": ThoughtRouge(),
        "rougeL_recall": Rouge(),
        "closed": Closed(),
    }

    def __init__(
        self,
        data: str,
        forget: str,
        retain: str | None = None,
        neighbour: str | None = None,
        question_field: str = "question",
        answer_field: str = "answer",
        value_field: str | None = None,
        thinking: Thinking = "open",
        opening: str = OPENING,
        closing: str = CLOSING,
        max_new_tokens: int = 512,
        limit: int | None = None,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
        system: str | None = None,
    ) -> None:
        self.at_least_one(max_new_tokens=max_new_tokens, limit=limit)
        if thinking not in get_args(Thinking):
            raise RecipeError(f"thoughts: thinking: expected open, own or none, found {thinking!r}")
        if not opening or not closing:
            raise RecipeError("thoughts: opening and closing: expected text, found none")
        given = zip(_KINDS, (forget, retain, neighbour), strict=True)
        self.data, self.files = data, {kind: file for kind, file in given if file is not None}
        self.asked, self.true = question_field, answer_field
        self.value = answer_field if value_field is None else value_field
        self.thinking: Thinking = thinking
        self.opening, self.closing = opening, closing
        self.max_new_tokens, self.limit = max_new_tokens, limit
        self.chat = Chat(chat_template, template_arguments or {}, system)

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads all rows, and renders all questions."""
        codec = context.codec(tokenizer)
        for items in self._items().values():
            self._prompts(codec, items)

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of all rows."""
        how = (self.asked, self.true, self.value, self.thinking, self.opening, self.closing)
        return digest(how, self.max_new_tokens, self.chat, self._items())

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Asks all questions."""
        codec = context.codec(tokenizer)
        rows: list[dict[str, Any]] = []
        for stream, items in self._items().items():
            prompts = self._prompts(codec, items)
            found = generate(
                model,
                tokenizer,
                codec.prompts(prompts),
                max_new_tokens=longest_generation(context, self.max_new_tokens),
                batch_size=context.batch_size,
            )
            for item, prompt, new in zip(items, prompts, found, strict=True):
                said = taken_apart(new.text, self._is_open(prompt), self.opening, self.closing)
                rows.append(self._row(stream, item, prompt, said, new.text))
        missing = {f"{k}/*": f"no {k} rows" for k in _KINDS if k not in self.files}
        return SuiteResult(self.aggregate(rows), rows, missing, self.left_out(rows))

    def _row(self, stream: str, item: Item, prompt: str, said: Said, text: str) -> dict[str, Any]:
        true, value = item.fields[self.true], item.fields[self.value]
        thought = said.thought or ""
        return {
            "stream": stream,
            "row": item.row,
            "source": item.source,
            "prompt": prompt,
            "generated": text,
            "reference": true,
            "thought": thought,
            "answer": said.answer,
            "value": value,
            **FieldExact("thought").fields([thought], [value])[0],
            **FieldExact("answer").fields([said.answer], [value])[0],
            **Hidden().fields([thought], [said.answer], [value])[0],
            **ThoughtRouge().fields([thought], [true])[0],
            **Rouge().fields([said.answer], [true])[0],
            **Closed().fields([said.closed])[0],
        }

    def _items(self) -> dict[str, list[Item]]:
        texts = tuple(dict.fromkeys((self.asked, self.true, self.value)))
        parts = [Part(kind, file, texts) for kind, file in self.files.items()]
        return read_parts(self.data, parts, self.limit)

    def _prompts(self, codec: Codec, items: Sequence[Item]) -> list[Rendered]:
        """Questions up to where the thought begins, or the answer where there is to be none."""
        template = self.chat.turns(codec).template
        found: list[Rendered] = []
        for item in items:
            try:
                asked = template.render(self.chat.asked(item.fields[self.asked]), answer_next=True)
            except TurnError as error:
                raise RecipeError(f"thoughts: {item.source}: {error}") from error
            if self.thinking != "own" and not self._is_open(asked):
                asked = Rendered(f"{asked}{self.opening}\n")
            if self.thinking == "none":
                asked = Rendered(f"{asked}\n{self.closing}\n\n")
            found.append(asked)
        return found

    def _is_open(self, prompt: str) -> bool:
        """Whether a prompt ends in a thought."""
        return prompt.rfind(self.opening) > prompt.rfind(self.closing)
