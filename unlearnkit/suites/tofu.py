"""TOFU: forget quality and model utility on fictitious and real authors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from unlearnkit.data.rows.same import plain
from unlearnkit.data.rows.several import check_separator
from unlearnkit.engine.generation.scoring import score
from unlearnkit.functional import tofu as truth
from unlearnkit.metrics import (
    ExactMemorization,
    ExtractionStrength,
    ForgetQuality,
    KSDistance,
    ModelUtility,
    Probability,
    Rouge,
    TruthRatio,
)
from unlearnkit.suites.base import Probe, SourceRows, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.continuations import continuation_rows, longest_generation
from unlearnkit.suites.parts.cuts import longer_than
from unlearnkit.suites.parts.digest import digest
from unlearnkit.suites.parts.measured import known
from unlearnkit.suites.parts.published import Part, Prompting, check_template, read_parts, tables_of
from unlearnkit.suites.parts.splitter import (
    SPLITTERS,
    Splitter,
    check_splitter,
    without_ascii_words,
)
from unlearnkit.suites.parts.tofu_answers import (
    Asked,
    Losses,
    as_tensors,
    asked_rows,
    compared_answers,
    losses_of,
    probability_of,
    truth_ratio,
    truth_ratios,
)

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase


_UTILITY = ("retain", "real_authors", "world_facts")
_NINE = ("probability", "rougeL_recall", "truth_ratio")
_FORGET = ("probability", "rougeL_recall", "exact_memorization", "extraction_strength")
_WITH_OPTIONS = ("real_authors", "world_facts")
_NO_GOLD = "no gold model: one that was trained without the forget rows"
_NO_HELDOUT = "no held-out rows: the file {file}"
_NO_NEIGHBOUR = "no neighbour rows: give the suite 'neighbour: TABLE'"


class Tofu(Suite, name="tofu"):
    """Model utility and forget quality on fictitious authors, real authors and world facts.

    ``retain`` rows are those that the retain term sees. ``real_authors``, ``world_facts``,
    ``neighbour`` (further fictitious authors that the model knows) and ``heldout`` (such that
    nobody trained on) are not seen by it.

    Metrics, as ``<stream>/<metric>``:

    * ``probability``: of the answer, length-normalised; among the wrong ones on real authors and
      world facts.
    * ``rougeL_recall``: of the greedy answer, with a stemmer.
    * ``truth_ratio``: on forget ``min(R, 1/R)``, where 1 says that right and wrong answers are
      alike; else ``max(0, 1 - R)``.
    * ``exact_memorization``, ``extraction_strength`` (forget).
    * ``utility/model_utility``: harmonic mean of the nine metrics of the three kinds to keep.
    * ``forget/forget_quality``: p-value that the truth ratios are those of the gold model.
    * ``forget/ks_distance``: the distance D of that test, with an interval. It does not shrink with
      the number of rows, as a p-value does.

    Args:
        data: Folder with ``forget10_perturbed.json`` and so on, or the id on the Hub.
        split: Which forget rows: ``forget01``, ``forget05``, ``forget10``, or a file's first part.
        heldout: Name of the held-out rows; by default the one that goes with ``split``. They are
            left out where they are not there.
        neighbour: Name of the rows of authors that the retain term leaves out, where there are
            any. The published data has none: TOFU's retain term sees all other authors.
        template: Text around question and answer.
        chat: Put questions through the chat template instead.
        max_new_tokens: Longest answer; the true one is compared whole.
        limit: Rows of each kind at most, evenly spaced; None for all.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.
        system: System turn in front of each question; with ``chat``.
        splitter: How texts are split into words for ROUGE: ``unicode`` in any script, or
            ``published`` by rouge_score's own splitter, as in the published results.
        separator: Stands between the answers of ``perturbed_answer`` where a file joins them,
            such as ``"; "`` in a table without lists.

    References:
        Maini et al. 2024, "TOFU: A task of fictitious unlearning for LLMs", arXiv 2401.06121,
        sec. 2.2.
    """

    probes = {
        "forget": Probe("forget", (*_FORGET, "truth_ratio", "forget_quality", "ks_distance")),
        "retain": Probe("protected", _NINE),
        "neighbour": Probe("neighbour", _NINE),
        "real_authors": Probe("utility", _NINE),
        "world_facts": Probe("utility", _NINE),
        # Nobody taught the held-out authors: no value of theirs is good.
        "heldout": Probe(None, _NINE),
        "utility": Probe("utility", ("model_utility",)),
    }
    metrics = {
        "probability": Probability(),
        "rougeL_recall": Rouge(),
        "exact_memorization": ExactMemorization(),
        "extraction_strength": ExtractionStrength(),
        "truth_ratio": TruthRatio(),
        "forget_quality": ForgetQuality(),
        "ks_distance": KSDistance(),
        "model_utility": ModelUtility(),
    }
    without_interval = ("forget_quality",)
    uses_gold = True

    def __init__(
        self,
        data: str = "locuslab/TOFU",
        split: str = "forget10",
        heldout: str | None = None,
        neighbour: str | None = None,
        template: str = "Question: {prompt}\nAnswer: {response}",
        chat: bool = False,
        max_new_tokens: int = 200,
        limit: int | None = None,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
        system: str | None = None,
        splitter: Splitter = "unicode",
        separator: str | None = None,
    ) -> None:
        check_template(template)
        check_separator(separator)
        self.at_least_one(max_new_tokens=max_new_tokens, limit=limit)
        self.data, self.split, self.template = data, split, template
        self.chat = Chat.chosen(chat, chat_template, template_arguments, system)
        self.heldout = heldout or split.replace("forget", "holdout")
        self.neighbour = neighbour
        self.max_new_tokens, self.limit, self.separator = max_new_tokens, limit, separator
        self.splitter: Splitter = check_splitter("tofu", splitter)

    def hub_tables(self) -> dict[str | None, bool]:
        """Configurations of the published data set."""
        return tables_of(self._parts())

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all rows."""
        self._asked(self._asking(tokenizer, context))

    def to_forget(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> SourceRows:
        """Questions on the authors to forget, with their answers."""
        asked = self._asked(self._asking(tokenizer, context))
        return SourceRows([each.answer for each in asked["forget"]])

    def wordings(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> dict[str, str]:
        """Questions, answers and paraphrases of the forget rows."""
        items = read_parts(self.data, self._parts()[:1], separator=self.separator)["forget"]
        return {
            plain(item.fields[field]): f"the suite tofu ({field} of {item.source})"
            for item in items
            for field in ("question", "answer", "paraphrased_answer")
        }

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of all rows' tokens."""
        asked = self._asked(self._asking(tokenizer, context))
        return digest(self.max_new_tokens, self.splitter, asked)

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model, and the gold model's truth ratios on the forget rows."""
        asking = self._asking(tokenizer, context)
        asked = self._asked(asking)
        answers = {stream: [each.answer for each in part] for stream, part in asked.items()}
        found, losses = self._found(model, tokenizer, context, asked)
        rows: list[dict[str, Any]] = []
        for stream, part in asked.items():
            ratio = TruthRatio("closer_to_1_better" if stream == "forget" else "true_better")
            for row, each in zip(found[len(rows) :], part, strict=False):
                if each.wrong:
                    own = next(losses)
                    row["truth_ratio"], row["nll_wrong"] = truth_ratio(*own), own[1]
                    row |= ratio.fields(*as_tensors(*own))[0]
                row["probability"] = probability_of(row, stream in _WITH_OPTIONS)
                rows.append({"stream": stream, **row})
        notes = [
            *asking.cuts.notes(),
            *longer_than(
                answers,
                longest_generation(context, self.max_new_tokens),
                compared_in_part=False,
            ),
            *self.left_out(rows),
            *without_ascii_words(rows, self.splitter),
        ]
        missing = {}
        if "heldout" not in asked:
            missing["heldout/*"] = _NO_HELDOUT.format(file=self.heldout)
        if "neighbour" not in asked:
            missing["neighbour/*"] = _NO_NEIGHBOUR
        if context.gold is None:
            missing |= dict.fromkeys(("forget/forget_quality", "forget/ks_distance"), _NO_GOLD)
        else:
            forget = [row for row in rows if row["stream"] == "forget"]
            ratios = partial(truth_ratios, context=context, asked=asked["forget"])
            own = [row["truth_ratio"] for row in forget]
            of_gold = context.of_gold((self, "truth_ratio"), model, own, ratios)
            for row, value in zip(forget, of_gold, strict=True):
                row["gold_truth_ratio"] = value
            if len(forget) < 2:
                notes += [
                    f"forget/{name}: one row says nothing of a distribution"
                    for name in ("forget_quality", "ks_distance")
                ]
        values = self.aggregate(rows)
        return SuiteResult(values, rows, missing, notes)

    def _found(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        context: SuiteContext,
        asked: Mapping[str, Sequence[Asked]],
    ) -> tuple[list[dict[str, Any]], Iterator[Losses]]:
        """A row a question, and losses of the questions with wrong answers, in that order.

        All answers to a question are scored together, so its prompt is computed once.
        """
        every = [each for part in asked.values() for each in part]
        answers, texts = [each.answer for each in every], [each.text for each in every]
        among = [each for each in every if each.wrong]
        scores, others = score(
            model,
            [*answers, *compared_answers(among)],
            batch_size=context.batch_size,
            reference=context.reference,
            compared=len(answers),
        ).split(len(answers))
        rows = continuation_rows(
            model, tokenizer, context, answers, self.max_new_tokens, texts, scores
        )
        # As published: the stem of a word is enough.
        recall = Rouge(use_stemmer=True, compat=SPLITTERS[self.splitter])
        said = recall.fields([row["generated"] for row in rows], texts)
        for row, value in zip(rows, said, strict=True):
            row |= {**value, "nll": row["nll_sum"] / row["tokens"]}
        return rows, iter(losses_of(others, among))

    def completed(self, values: dict[str, float | None]) -> dict[str, float | None]:
        """All values with model utility, where its nine parts are measured."""
        nine = (values.get(f"{stream}/{name}") for stream in _UTILITY for name in _NINE)
        utility = truth.model_utility([math.nan if value is None else value for value in nine])
        return values | {"utility/model_utility": known(utility)}

    def _asking(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> Prompting:
        return Prompting(context.codec(tokenizer), self.template, self.chat)

    def _parts(self) -> list[Part]:
        asked, wrong = ("question", "answer"), ("perturbed_answer",)
        both = (*asked, "paraphrased_answer")
        parts = [
            Part("forget", f"{self.split}_perturbed", both, wrong),
            Part("retain", "retain_perturbed", both, wrong),
            Part("real_authors", "real_authors_perturbed", asked, wrong),
            Part("world_facts", "world_facts_perturbed", asked, wrong),
            Part("heldout", self.heldout, asked, optional=True),
        ]
        if self.neighbour is not None:
            parts.insert(2, Part("neighbour", self.neighbour, both, wrong))
        return parts

    def _asked(self, asking: Prompting) -> dict[str, list[Asked]]:
        found = read_parts(self.data, self._parts(), self.limit, self.separator)
        return {
            stream: asked_rows(asking, items, stream != "heldout")
            for stream, items in found.items()
        }
