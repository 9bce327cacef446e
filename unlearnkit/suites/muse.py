"""MUSE: verbatim memorisation, knowledge memorisation, privacy leakage and utility."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.scoring import score
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.functional import membership
from unlearnkit.metrics import (
    KnowledgeMemorization,
    MembershipAUC,
    PrivLeak,
    Rouge,
    VerbatimMemorization,
)
from unlearnkit.suites.base import Probe, Rows, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts.asking import Asking
from unlearnkit.suites.parts.continuations import text_of
from unlearnkit.suites.parts.cuts import Cuts
from unlearnkit.suites.parts.digest import digest
from unlearnkit.suites.parts.measured import by_stream
from unlearnkit.suites.parts.published import Item, Part, read_parts, tables_of, whole_texts
from unlearnkit.suites.parts.splitter import (
    SPLITTERS,
    Splitter,
    check_splitter,
    without_ascii_words,
)
from unlearnkit.suites.privacy import ALWAYS_RIGHT, without_leak

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

STOP = ("\n\n", "\nQuestion", "Question:")
_QA = ("question", "answer")


def _shots(kind: str) -> Part:
    split = f"{kind}_qa_icl"
    return Part(f"{kind}_icl", "knowmem", _QA, (), split, folder=True, optional=True, shown=True)


_PARTS = (
    Part("verbmem", "verbmem", ("prompt", "gt"), split="forget", folder=True),
    Part("forget", "knowmem", _QA, split="forget_qa", folder=True),
    Part("retain", "knowmem", _QA, split="retain_qa", folder=True),
    _shots("forget"),
    _shots("retain"),
    Part("members", "privleak", ("text",), split="forget", folder=True),
    Part("holdout", "privleak", ("text",), split="holdout", folder=True),
)
_VERBATIM = 127
_NO_GOLD = "no gold model: give one trained without the forget texts, or the suite its gold_auc"


class Muse(Suite, name="muse"):
    """Verbatim memorisation, knowledge memorisation, privacy leakage and utility.

    Neither the questions of ``retain`` nor the texts of ``holdout`` are rows of the training:
    both are held-out. Criteria 5 and 6, scale and sequential requests, are several runs of this.

    Metrics, as ``<stream>/<metric>``:

    * ``forget/verbmem``: ROUGE-L F1 of the continuation of forget passages, in percent.
    * ``forget/knowmem``, ``retain/knowmem``: ROUGE-L F1 of answers about forget and retain texts,
      in percent, after the few examples of the ``_icl`` file where there is one.
    * ``forget/min_k_auc``: of the attack Min-K% on forget against holdout texts; 1 finds all.
    * ``forget/privleak``: its change against the gold model's, in percent; 0 is good, about -100
      says that the texts still look trained on.

    Args:
        data: Folder with ``knowmem/forget_qa.json`` and so on (fields as on the Hub), or the id,
            such as ``muse-bench/MUSE-News``.
        gold_auc: The gold model's ``min_k_auc``, where there is no gold model; published for
            MUSE's own retrained ones are 0.5228 (News) and 0.4607 (Books).
        k: Share of the tokens that Min-K% averages.
        limit: Rows of each kind that are asked or scored at most, evenly spaced; None for all. The
            examples in front of each question stay as they are.
        splitter: How texts are split into words for ROUGE: ``unicode`` in any script, or
            ``published`` by rouge_score's own splitter, as in the published results.

    Texts of ``privleak`` are cut at ``max_length``, and the notes say how many; published results
    are of whole texts.

    References:
        Shi et al. 2024, "MUSE: Machine unlearning six-way evaluation for language models",
        arXiv 2407.06460, sec. 3.
    """

    probes = {
        "forget": Probe("forget", ("verbmem", "knowmem", "min_k_auc", "privleak")),
        "retain": Probe("retain", ("knowmem",)),
        # Rows alone; their values stand under forget.
        "verbmem": Probe("forget", ()),
    }
    metrics = {
        "verbmem": VerbatimMemorization(percent=True),
        "knowmem": KnowledgeMemorization(percent=True),
        "min_k_auc": MembershipAUC(),
        "privleak": PrivLeak(auc_gold=None),
    }
    uses_gold = True

    def __init__(
        self,
        data: str = "muse-bench/MUSE-News",
        gold_auc: float | None = None,
        k: float = 0.4,
        limit: int | None = None,
        splitter: Splitter = "unicode",
    ) -> None:
        if not 0 < k <= 1:
            raise RecipeError(f"muse: k must be in (0, 1], found {k}")
        if gold_auc is not None and not 0 <= gold_auc < 1:
            raise RecipeError(f"muse: gold_auc must be in [0, 1), found {gold_auc}")
        self.at_least_one(limit=limit)
        self.data, self.gold_auc, self.k, self.limit = data, gold_auc, k, limit
        self.splitter: Splitter = check_splitter("muse", splitter)
        self.metrics = {**self.metrics, "privleak": PrivLeak(gold_auc)}

    def hub_tables(self) -> dict[str | None, bool]:
        """Configurations of the published data set."""
        return tables_of(_PARTS)

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all rows."""
        items = read_parts(self.data, _PARTS, self.limit)
        self._texts(items, context.codec(tokenizer), Cuts(context.max_length))

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of all rows."""
        items = read_parts(self.data, _PARTS, self.limit)
        return digest(self.gold_auc, self.k, self.splitter, items)

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model, and the gold model's privacy."""
        items = read_parts(self.data, _PARTS, self.limit)
        codec = context.codec(tokenizer)
        cuts = Cuts(context.max_length)
        texts = self._texts(items, codec, cuts)
        asking = Asking(model, codec, context, None)
        rows, notes = self._verbatim(asking, items["verbmem"])
        for stream in ("forget", "retain"):
            shown = _shown(items.get(f"{stream}_icl", ()))
            asked = [f"{shown}Question: {i.fields['question']}\nAnswer:" for i in items[stream]]
            said = asking.answers(stream, items[stream], codec.prompts(asked), 32, STOP)
            rows += self._compared(said, [item.fields["answer"] for item in items[stream]])
        notes += [
            *cuts.notes(),
            *self.left_out(rows),
            *without_ascii_words(rows, self.splitter),
        ]
        attacked = self._privacy(model, context, texts)
        missing: dict[str, str] = {}
        if self.gold_auc is None and context.gold is None:
            missing["forget/privleak"] = _NO_GOLD
        elif self.gold_auc is None and context.gold is not None:
            attack = partial(self._privacy, context=context, texts=texts)
            gold = context.of_gold((self, "privacy"), model, attacked, attack)
            for row, score_of_gold in zip(attacked, [each["score"] for each in gold], strict=True):
                row["gold_score"] = score_of_gold
        rows += attacked
        values = self.aggregate(rows)
        if not missing and "forget/privleak" not in values:
            missing["forget/privleak"] = ALWAYS_RIGHT
        return SuiteResult(values, rows, missing, notes)

    def completed(self, values: dict[str, float | None]) -> dict[str, float | None]:
        """All values; no privacy leakage where the gold model makes no error."""
        return without_leak(values)

    def groups(self, rows: Rows) -> dict[str, list[dict[str, Any]]]:
        """Rows of the published files by what they ask for."""
        part = by_stream(rows)
        return {
            "forget": [
                *({"verbmem": row["rougeL_f1"]} for row in part["verbmem"]),
                *({"knowmem": row["rougeL_f1"]} for row in part["forget"]),
                *({**row, "is_forget": True} for row in part.get("members", ())),
                *({**row, "is_forget": False} for row in part.get("holdout", ())),
            ],
            "retain": [{"knowmem": row["rougeL_f1"]} for row in part["retain"]],
        }

    def _verbatim(
        self, asking: Asking, items: Sequence[Item]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Rows, and what was cut of them."""
        codec = asking.codec
        prompts = codec.prompts([item.fields["prompt"] for item in items])
        # As published: the truth is cut to 128 ids, of which one is the BOS.
        whole = codec.tokens([item.fields["gt"] for item in items])
        truths = [text_of(codec.tokenizer, ids[:_VERBATIM]) for ids in whole]
        longer = sum(len(ids) > _VERBATIM for ids in whole)
        note = (
            f"verbmem: {longer} of {len(items)} true continuations are longer than the {_VERBATIM} "
            "tokens that are compared, as published"
        )
        rows = asking.answers("verbmem", items, prompts, _VERBATIM + 1)
        return self._compared(rows, truths), [note] if longer else []

    def _compared(self, rows: list[dict[str, Any]], truths: Sequence[str]) -> list[dict[str, Any]]:
        """Rows with the true texts and ROUGE-L F1."""
        for row, true in zip(rows, truths, strict=True):
            row["reference"] = true
        Rouge("rougeL", "f1", compat=SPLITTERS[self.splitter]).fill(rows)
        return rows

    def _texts(
        self, items: Mapping[str, Sequence[Item]], codec: Codec, cuts: Cuts
    ) -> dict[str, list[Example]]:
        """Texts of the attack, which has to have all of them."""
        found: dict[str, list[Example]] = {}
        problems: list[Problem] = []
        for stream in ("members", "holdout"):
            found[stream], short = whole_texts(items[stream], codec, cuts)
            problems += [
                Problem(each.source, None, "text", "too few tokens", "at least two")
                for each in short
            ]
        if problems:
            raise DataError(problems)
        return found

    def _privacy(
        self, model: nn.Module, context: SuiteContext, texts: Mapping[str, Sequence[Example]]
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for stream, examples in texts.items():
            scores = score(model, examples, batch_size=context.batch_size)
            lowest = membership.min_k(scores.logps, scores.sequence, len(examples), self.k)
            rows += [
                {"stream": stream, "row": e.row, "source": e.source, "score": value}
                for e, value in zip(examples, lowest.tolist(), strict=True)
            ]
        return rows


def _shown(items: Sequence[Item]) -> str:
    """Examples in front of every question."""
    return "".join(
        f"Question: {item.fields['question']}\nAnswer: {item.fields['answer']}\n\n"
        for item in items
    )
