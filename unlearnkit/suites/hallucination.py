"""Does the model still prefer invented answers to true ones?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.scoring import score
from unlearnkit.errors import RecipeError
from unlearnkit.functional.membership import loss
from unlearnkit.functional.text import rouge
from unlearnkit.suites.base import Better, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.chat import Chat
from unlearnkit.suites.continuations import continuation_rows, normal_figures, text_of
from unlearnkit.suites.digest import by_stream, digest
from unlearnkit.suites.probes import (
    KEPT,
    KEPT_NAMES,
    Source,
    chosen_sources,
    read_probes,
    stream_names,
)
from unlearnkit.suites.published import Part, Prompting, check_template, read_parts

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

Probes = dict[str, list[tuple[Example, Example]]]


class Hallucination(Suite, name="hallucination"):
    """Invented against true answers to questions seen and not seen, beside normal rows.

    Figures, as ``<stream>/<figure>``, streams ``trained`` and ``unseen``:

    * ``hallucination_rate``: share of answers nearer to the invented answer than to the true one,
      by ROUGE-L F1.
    * ``preference_rate``: share of rows whose invented answer is likelier per token.
    * ``rougeL_recall``: of the answer against the true one, mean over rows.

    Of ``normal``, ``heldout`` and ``neighbour`` rows: ``rougeL_recall``, ``distinct_2``,
    ``perplexity`` and ``kl_to_reference``.

    Args:
        data: Folder with a file each for ``trained`` and ``unseen``, or the id on the Hub.
        trained: Name of the file or configuration whose invented answers are to be forgotten.
        unseen: Name of that with other questions; None for none.
        question_field: Column of the question; the names are those of HaluEval.
        true_field: Column of the true answer.
        invented_field: Column of the invented answer.
        normal: Rows that the retain term sees; by default the stream ``retain``.
        heldout: Normal rows that it does not see.
        neighbour: Normal rows that it does not see either, on the topics that are forgotten.
        template: Text around question and answer.
        chat: Put questions through the chat template instead.
        max_new_tokens: Longest answer.
        limit: Rows of each kind at most, evenly spaced; None for all.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.

    References:
        Yao et al. 2023, arXiv 2310.10683, sec. 4.3; Li et al. 2023, "HaluEval",
        arXiv 2305.11747 (data).
    """

    better: ClassVar[Mapping[str, Better]] = {
        "*/hallucination_rate": "lower",
        "*/preference_rate": "lower",
        "*/perplexity": "lower",
        "*/kl_to_reference": "zero",
        "*": "higher",
    }

    def __init__(
        self,
        data: str,
        trained: str = "trained",
        unseen: str | None = "unseen",
        question_field: str = "question",
        true_field: str = "right_answer",
        invented_field: str = "hallucinated_answer",
        normal: Source | None = None,
        heldout: Source | None = None,
        neighbour: Source | None = None,
        template: str = "Question: {prompt}\nAnswer: {response}",
        chat: bool = False,
        max_new_tokens: int = 64,
        limit: int | None = 64,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
    ) -> None:
        check_template(template)
        if max_new_tokens < 1:
            raise RecipeError(
                f"hallucination: max_new_tokens must be at least 1, found {max_new_tokens}"
            )
        if limit is not None and limit < 1:
            raise RecipeError(f"hallucination: limit must be at least 1 or null, found {limit}")
        self.data, self.template = data, template
        self.chat = Chat.chosen(chat, chat_template, template_arguments)
        self.fields = (question_field, true_field, invented_field)
        keys = ("question_field", "true_field", "invented_field")
        self.parts = [Part("trained", trained, self.fields, keys=keys)]
        if unseen is not None:
            self.parts.append(Part("unseen", unseen, self.fields, optional=True, keys=keys))
        self.sources: dict[str, Source | None] = dict(
            zip(KEPT, (normal, heldout, neighbour), strict=True)
        )
        self.max_new_tokens, self.limit = max_new_tokens, limit

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the recipe's streams that it reads, of those that the recipe has."""
        return stream_names({k: s or KEPT_NAMES[k] for k, s in self.sources.items()})

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all probes."""
        self._asked(tokenizer, context)
        self._normal(tokenizer, context)

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of the probes' tokens."""
        probes = (self._asked(tokenizer, context), self._normal(tokenizer, context))
        return digest(self.max_new_tokens, probes)

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model on all probes."""
        rows: list[dict[str, Any]] = []
        asked, normal = self._asked(tokenizer, context), self._normal(tokenizer, context)
        for stream, pairs in asked.items():
            answers = [example for pair in pairs for example in pair]
            scores = score(model, answers, batch_size=context.batch_size)
            losses = loss(scores.logps, scores.sequence, len(answers)).view(-1, 2).tolist()
            found = self._rows(model, tokenizer, context, [true for true, _ in pairs], stream)
            for row, (_, invented), (nll, nll_invented) in zip(found, pairs, losses, strict=True):
                text = text_of(tokenizer, invented.response_ids)
                row["invented"], row["nll"], row["nll_invented"] = text, nll, nll_invented
                row["rougeL_f1"] = rouge(row["generated"], row["reference"]).f1
                row["rougeL_f1_invented"] = rouge(row["generated"], text).f1
            rows += found
        for stream, examples in normal.items():
            rows += self._rows(model, tokenizer, context, examples, stream)
        missing = {
            f"{kind}/*": f"no {kind} rows"
            for kind in ("unseen", *KEPT)
            if kind not in asked and kind not in normal
        }
        return SuiteResult(self.figures(rows), rows, missing)

    def figures(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Figures of these rows, by stream."""
        return {
            f"{stream}/{name}": value
            for stream, part in by_stream(rows).items()
            for name, value in _values(stream, part).items()
        }

    def _rows(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        context: SuiteContext,
        examples: Sequence[Example],
        stream: str,
    ) -> list[dict[str, Any]]:
        found = continuation_rows(
            model,
            tokenizer,
            context,
            examples,
            self.max_new_tokens,
            as_long_as_response=stream in KEPT,
        )
        return [{"stream": stream, **row} for row in found]

    def _asked(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> Probes:
        """True and invented answer of each row, by stream."""
        asking = Prompting(context.codec(tokenizer), self.template, self.chat)
        question, true, invented = self.fields
        return {
            stream: [
                (
                    asking.example(item, item.fields[question], item.fields[true]),
                    asking.example(item, item.fields[question], item.fields[invented]),
                )
                for item in items
            ]
            for stream, items in read_parts(self.data, self.parts, self.limit).items()
        }

    def _normal(
        self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> dict[str, list[Example]]:
        sources = chosen_sources("hallucination", self.sources, KEPT_NAMES, context, KEPT)
        return read_probes(sources, tokenizer, context, prompt_tokens=32, limit=self.limit)


def _values(stream: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    if stream in KEPT:
        return normal_figures(rows)
    return {
        "hallucination_rate": fmean(row["rougeL_f1_invented"] > row["rougeL_f1"] for row in rows),
        "preference_rate": fmean(row["nll_invented"] < row["nll"] for row in rows),
        "rougeL_recall": fmean(row["rougeL_recall"] for row in rows),
    }
