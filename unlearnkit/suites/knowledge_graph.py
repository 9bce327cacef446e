"""Questions that reach facts by other ways: backwards, by two hops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from unlearnkit.data.rows.several import check_separator
from unlearnkit.data.rows.values import text_fault
from unlearnkit.engine.generation.scoring import score
from unlearnkit.errors import DataError, Problem
from unlearnkit.metrics import Accuracy, Chance, Probability, Rouge
from unlearnkit.plain import spaced
from unlearnkit.suites.base import Probe, SourceRows, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.continuations import continuation_rows, longest_generation
from unlearnkit.suites.parts.cuts import longer_than
from unlearnkit.suites.parts.digest import digest
from unlearnkit.suites.parts.published import Item, Part, Prompting, check_template, read_parts
from unlearnkit.suites.parts.tofu_answers import Asked, asked_rows, compared_answers, losses_of

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

PLAIN = "plain"
"""The kind of rows that name none."""
_KEPT = ("retain", "neighbour")


class KnowledgeGraph(Suite, name="knowledge_graph"):
    """Facts asked straight, backwards, and by way of other facts, each kind apart.

    A model may refuse a question and still tell the fact when it is asked from the other end (who
    wrote the book?) or as a step of a longer way (where was her best friend born?). Facts of rows
    to keep may be lost in the same ways, when what they hang on is forgotten.

    A row's field of the kind, such as ``plain``, ``reverse``, ``relation`` or ``two_hop``, names
    its stream: ``forget_reverse``, ``neighbour_two_hop``; a row without one is ``plain``.

    Metrics, as ``<stream>/<metric>``:

    * ``accuracy``: share of rows whose right answer is likelier per token than every wrong one,
      where the rows have wrong answers. It does not see the words that right and wrong answers
      share.
    * ``chance``: accuracy of guessing.
    * ``probability``: of the answer, length-normalised.
    * ``rougeL_recall``: of the greedy answer.

    Args:
        data: Folder of the files, or the id of a data set on the Hub.
        forget: Name of the file of questions about what is to be forgotten.
        retain: Name of that of questions that the retain term sees.
        neighbour: Name of that of questions near to what is forgotten.
        question_field: The column that holds the question.
        answer_field: The column that holds the answer.
        kind_field: The column that holds the kind of question.
        wrong_field: The column that holds a list of wrong answers; null if there is none.
        right_field: The column that holds the right answer in the wording of the wrong ones. Rows
            without it are compared by their answer.
        template: Text around question and answer.
        chat: Put questions through the chat template instead.
        max_new_tokens: Longest answer; the true one is compared whole.
        limit: Rows of each kind of each file at most, evenly spaced; None for all.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.
        system: System turn in front of each question; with ``chat``.
        separator: Stands between wrong answers where a file joins them, such as ``"; "``.

    References:
        Wu et al. 2024, "Evaluating deep unlearning in large language models", arXiv 2410.15153,
        for facts that follow from others; Berglund et al. 2023, "The reversal curse", arXiv
        2309.12288, for questions from the other end.
    """

    probes = {
        f"forget_{PLAIN}": Probe("forget"),
        "forget_*": Probe("unseen"),
        "retain_*": Probe("protected"),
        "neighbour_*": Probe("neighbour"),
    }
    metrics = {
        "accuracy": Accuracy("right"),
        "chance": Chance(),
        "probability": Probability(),
        "rougeL_recall": Rouge(),
    }

    def __init__(
        self,
        data: str,
        forget: str,
        retain: str | None = None,
        neighbour: str | None = None,
        question_field: str = "question",
        answer_field: str = "answer",
        kind_field: str = "kind",
        wrong_field: str | None = "perturbed_answer",
        right_field: str = "paraphrased_answer",
        template: str = "Question: {prompt}\nAnswer: {response}",
        chat: bool = False,
        max_new_tokens: int = 40,
        limit: int | None = None,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
        system: str | None = None,
        separator: str | None = None,
    ) -> None:
        check_template(template)
        check_separator(separator)
        self.at_least_one(max_new_tokens=max_new_tokens, limit=limit)
        self.data, self.template, self.separator = data, template, separator
        given = zip(("forget", *_KEPT), (forget, retain, neighbour), strict=True)
        self.files = {kind: file for kind, file in given if file is not None}
        self.asked_fields = (question_field, answer_field)
        self.kind_field, self.wrong_field, self.right_field = kind_field, wrong_field, right_field
        self.chat = Chat.chosen(chat, chat_template, template_arguments, system)
        self.max_new_tokens, self.limit = max_new_tokens, limit

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all rows."""
        self._asked(self._asking(tokenizer, context))

    def to_forget(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> SourceRows:
        """All questions about what is to be forgotten, with their answers."""
        asked = self._asked(self._asking(tokenizer, context))
        found = [a.answer for k, part in asked.items() if k.startswith("forget_") for a in part]
        return SourceRows(found)

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of all rows' tokens."""
        return digest(self.max_new_tokens, self._asked(self._asking(tokenizer, context)))

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model on all rows."""
        asking = self._asking(tokenizer, context)
        asked = self._asked(asking)
        every = [each for part in asked.values() for each in part]
        answers, among = [each.answer for each in every], [each for each in every if each.wrong]
        scores, others = score(
            model,
            [*answers, *compared_answers(among)],
            batch_size=context.batch_size,
            compared=len(answers),
        ).split(len(answers))
        texts = [each.text for each in every]
        found = continuation_rows(
            model, tokenizer, context, answers, self.max_new_tokens, texts, scores
        )
        losses = iter(losses_of(others, among))
        streams = [stream for stream, part in asked.items() for _ in part]
        rows: list[dict[str, Any]] = []
        for stream, each, row in zip(streams, every, found, strict=True):
            row["probability"] = math.exp(-row["nll_sum"] / row["tokens"])
            if each.wrong:
                right, wrong = next(losses)
                row |= {"nll_right": right, "nll_wrong": wrong, "choices": 1 + len(wrong)}
                # A tie is no knowledge.
                row |= Accuracy("right").fields([int(right >= min(wrong))], [0])[0]
            rows.append({"stream": stream, **row})
        missing = {
            f"{kind}_*": f"no {kind} rows: give the suite '{kind}: TABLE'"
            for kind in _KEPT
            if kind not in self.files
        }
        notes = [
            *asking.cuts.notes(),
            *longer_than(
                {stream: [each.answer for each in part] for stream, part in asked.items()},
                longest_generation(context, self.max_new_tokens),
                compared_in_part=False,
            ),
            *self.left_out(rows),
        ]
        return SuiteResult(self.aggregate(rows), rows, missing, notes)

    def _asking(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> Prompting:
        return Prompting(context.codec(tokenizer), self.template, self.chat)

    def _asked(self, asking: Prompting) -> dict[str, list[Asked]]:
        """The rows of each kind, by stream."""
        lists = () if self.wrong_field is None else (self.wrong_field,)
        parts = [Part(kind, file, self.asked_fields, lists) for kind, file in self.files.items()]
        kinds: dict[str, list[Item]] = {}
        problems: list[Problem] = []
        read = read_parts(self.data, parts, separator=self.separator)
        for kind, items in read.items():
            for item in items:
                named = item.fields.get(self.kind_field)
                if named is not None and (fault := text_fault(named)):
                    expected = "the kind of question, such as reverse"
                    problems.append(Problem(item.source, None, self.kind_field, fault, expected))
                    continue
                kinds.setdefault(f"{kind}_{named or PLAIN}", []).append(self._as_of_tofu(item))
        if problems:
            raise DataError(problems)
        return {
            stream: asked_rows(asking, spaced(items, self.limit), self.wrong_field is not None)
            for stream, items in kinds.items()
        }

    def _as_of_tofu(self, item: Item) -> Item:
        """The row with TOFU's names of its fields."""
        question, answer = self.asked_fields
        fields: dict[str, Any] = {
            "question": item.fields[question],
            "answer": item.fields[answer],
        }
        right = item.fields.get(self.right_field)
        if right is not None and not text_fault(right):
            fields["paraphrased_answer"] = right
        if self.wrong_field is not None:
            fields["perturbed_answer"] = item.fields[self.wrong_field]
        return Item(item.row, item.source, fields, item.stream)
