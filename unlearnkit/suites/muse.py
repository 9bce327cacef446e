"""Verbatim text, knowledge, privacy and utility: MUSE's criteria of one unlearning request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.functional import membership
from unlearnkit.functional import tofu as truth
from unlearnkit.functional.text import rouge
from unlearnkit.suites.base import Better, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.continuations import text_of
from unlearnkit.suites.digest import by_stream, digest
from unlearnkit.suites.privacy import ALWAYS_RIGHT
from unlearnkit.suites.published import Item, Part, read_parts

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

STOP = ("\n\n", "\nQuestion", "Question:")
_QA = ("question", "answer")
_PARTS = (
    Part("verbmem", "verbmem", ("prompt", "gt"), split="forget", folder=True),
    Part("forget", "knowmem", _QA, split="forget_qa", folder=True),
    Part("retain", "knowmem", _QA, split="retain_qa", folder=True),
    Part("forget_icl", "knowmem", _QA, split="forget_qa_icl", folder=True, optional=True),
    Part("retain_icl", "knowmem", _QA, split="retain_qa_icl", folder=True, optional=True),
    Part("members", "privleak", ("text",), split="forget", folder=True),
    Part("holdout", "privleak", ("text",), split="holdout", folder=True),
)
_NO_GOLD = "no gold model: give one trained without the forget texts, or the suite its gold_auc"


class Muse(Suite, name="muse"):
    """Verbatim memorisation, knowledge memorisation, privacy leakage and utility.

    Neither the questions of ``retain`` nor the texts of ``holdout`` are rows of the training:
    both are held-out. Criteria 5 and 6, scale and sequential requests, are several runs of this.

    Figures, as ``<stream>/<figure>``:

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
        limit: Rows of each kind at most, evenly spaced; None for all.

    References:
        Shi et al. 2024, "MUSE: Machine unlearning six-way evaluation for language models",
        arXiv 2407.06460, sec. 3.
    """

    better: ClassVar[Mapping[str, Better]] = {
        # An AUC is good near the gold model's, which is what PrivLeak says.
        "forget/privleak": "zero",
        "forget/verbmem": "lower",
        "forget/knowmem": "lower",
        "retain/*": "higher",
    }
    uses_gold = True

    def __init__(
        self,
        data: str = "muse-bench/MUSE-News",
        gold_auc: float | None = None,
        k: float = 0.4,
        limit: int | None = None,
    ) -> None:
        if not 0 < k <= 1:
            raise RecipeError(f"muse: k must be in (0, 1], found {k}")
        if gold_auc is not None and not 0 <= gold_auc < 1:
            raise RecipeError(f"muse: gold_auc must be in [0, 1), found {gold_auc}")
        if limit is not None and limit < 1:
            raise RecipeError(f"muse: limit must be at least 1 or null, found {limit}")
        self.data, self.gold_auc, self.k, self.limit = data, gold_auc, k, limit

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all rows."""
        items = read_parts(self.data, _PARTS, self.limit)
        self._texts(items, context.codec(tokenizer))

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of all rows."""
        return digest(self.gold_auc, self.k, read_parts(self.data, _PARTS, self.limit))

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model, and the gold model's privacy."""
        items = read_parts(self.data, _PARTS, self.limit)
        codec = context.codec(tokenizer)
        rows = self._verbatim(model, codec, context, items["verbmem"])
        for stream in ("forget", "retain"):
            shown = _shown(items.get(f"{stream}_icl", ()))
            rows += _knowledge(model, codec, context, stream, items[stream], shown)
        texts = self._texts(items, codec)
        rows += self._privacy(model, context, texts)
        missing: dict[str, str] = {}
        if self.gold_auc is None and context.gold is None:
            missing["forget/privleak"] = _NO_GOLD
        elif self.gold_auc is None and context.gold is not None:
            gold = self._privacy(context.gold, context, texts)
            for row, other in zip(rows[-len(gold) :], gold, strict=True):
                row["gold_score"] = other["score"]
        values = self.figures(rows)
        if not missing and "forget/privleak" not in values:
            missing["forget/privleak"] = ALWAYS_RIGHT
        return SuiteResult(values, rows, missing)

    def figures(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """All figures."""
        part = by_stream(rows)
        values = {
            "forget/verbmem": 100 * fmean(row["rougeL_f1"] for row in part["verbmem"]),
            "forget/knowmem": 100 * fmean(row["rougeL_f1"] for row in part["forget"]),
            "retain/knowmem": 100 * fmean(row["rougeL_f1"] for row in part["retain"]),
            "forget/min_k_auc": _auc(part, "score"),
        }
        gold = self.gold_auc
        if gold is None and "gold_score" in part["members"][0]:
            gold = _auc(part, "gold_score")
        if gold is not None and gold < 1:
            values["forget/privleak"] = truth.privleak(values["forget/min_k_auc"], gold)
        return values

    def _verbatim(
        self, model: nn.Module, codec: Codec, context: SuiteContext, items: Sequence[Item]
    ) -> list[dict[str, Any]]:
        prompts = [codec.prompt(item.fields["prompt"]) for item in items]
        # As published: the truth is cut to 128 ids, of which one is the BOS.
        truths = [text_of(codec.tokenizer, codec.tokens([i.fields["gt"]])[0][:127]) for i in items]
        return _answered(model, codec, context, "verbmem", items, prompts, truths, 128, ())

    def _texts(self, items: Mapping[str, Sequence[Item]], codec: Codec) -> dict[str, list[Example]]:
        """Texts to be scored whole, but for their first token where there is no BOS."""
        found: dict[str, list[Example]] = {}
        problems: list[Problem] = []
        for stream in ("members", "holdout"):
            for item in items[stream]:
                ids = codec.tokens([item.fields["text"]])[0][: codec.max_length - len(codec.bos)]
                first = 0 if codec.bos else 1
                prompt, response = [*codec.bos, *ids[:first]], ids[first:]
                if not response:
                    problem = Problem(item.source, None, "text", "too few tokens", "at least two")
                    problems.append(problem)
                    continue
                example = Example(tuple(prompt), tuple(response), item.row, item.source)
                found.setdefault(stream, []).append(example)
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


def _knowledge(
    model: nn.Module,
    codec: Codec,
    context: SuiteContext,
    stream: str,
    items: Sequence[Item],
    shown: str,
) -> list[dict[str, Any]]:
    prompts = [
        codec.prompt(f"{shown}Question: {item.fields['question']}\nAnswer: ".rstrip(" "))
        for item in items
    ]
    truths = [item.fields["answer"] for item in items]
    return _answered(model, codec, context, stream, items, prompts, truths, 32, STOP)


def _answered(
    model: nn.Module,
    codec: Codec,
    context: SuiteContext,
    stream: str,
    items: Sequence[Item],
    prompts: Sequence[Sequence[int]],
    truths: Sequence[str],
    tokens: int,
    stop: Sequence[str],
) -> list[dict[str, Any]]:
    bound = min(tokens, context.max_new_tokens or tokens)
    texts = generate(
        model,
        codec.tokenizer,
        prompts,
        max_new_tokens=bound,
        batch_size=context.batch_size,
        stop=stop,
    )
    return [
        {
            "stream": stream,
            "row": item.row,
            "source": item.source,
            "prompt": text_of(codec.tokenizer, prompt),
            "reference": reference,
            "generated": new.text,
            "rougeL_f1": rouge(new.text, reference).f1,
        }
        for item, prompt, reference, new in zip(items, prompts, truths, texts, strict=True)
    ]


def _auc(part: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> float:
    def scores(stream: str) -> torch.Tensor:
        return torch.tensor([row[name] for row in part[stream]], dtype=torch.double)

    return membership.auc(scores("members"), scores("holdout"))
