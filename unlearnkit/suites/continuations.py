"""What a model continues, and says of the true continuation, row by row."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.engine.generation.stopping import decode
from unlearnkit.functional.core import row_sum
from unlearnkit.functional.memorization import exact_memorization, extraction_strength
from unlearnkit.functional.text import bleu, distinct_n, rouge, words
from unlearnkit.suites.base import SuiteContext
from unlearnkit.suites.measured import known, mean_of

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase


def continuation_rows(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    context: SuiteContext,
    examples: Sequence[Example],
    max_new_tokens: int,
    answers: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """One row an example: the greedy continuation, and teacher-forced figures of the true one.

    Args:
        model: The model under evaluation.
        tokenizer: Its tokenizer.
        context: Reference and sizes.
        examples: Prompts with true continuations; one that is empty has no figures.
        max_new_tokens: Longest continuation.
        answers: The true texts, against which whole what is generated is held, however long that
            may become. By default it is a passage that is continued: no more tokens are generated
            than its true continuation has, and held against as many of that.
    """
    bound = longest_generation(context, max_new_tokens)
    limits = [bound if answers is not None else min(bound, len(e.response_ids)) for e in examples]
    texts = generate(
        model,
        tokenizer,
        [e.prompt_ids for e in examples],
        max_new_tokens=limits,
        batch_size=context.batch_size,
    )
    figures = _of_continuations(model, context, examples)
    rows: list[dict[str, Any]] = []
    for i, (example, limit, new) in enumerate(zip(examples, limits, texts, strict=True)):
        row = {
            "row": example.row,
            "source": example.source,
            "prompt": text_of(tokenizer, example.prompt_ids),
            "generated": new.text,
            "hit_limit": new.hit_limit,
            "distinct_2": known(distinct_n(words(new.text), 2)),
        }
        if example.response_ids:
            cut = example.response_ids[:limit]
            reference = text_of(tokenizer, cut) if answers is None else answers[i]
            row |= {
                "reference": reference,
                "tokens": len(example.response_ids),
                "rougeL_recall": known(rouge(new.text, reference).recall),
                "bleu": known(bleu(new.text, reference)),
                **figures[i],
            }
        rows.append(row)
    return rows


def _of_continuations(
    model: nn.Module, context: SuiteContext, examples: Sequence[Example]
) -> dict[int, dict[str, Any]]:
    """Teacher-forced figures of the examples that have a continuation, by their index."""
    indices = [i for i, example in enumerate(examples) if example.response_ids]
    scores = score(
        model,
        [examples[i] for i in indices],
        batch_size=context.batch_size,
        reference=context.reference,
    )
    flat = (scores.sequence, len(indices))
    columns = {
        "nll_sum": row_sum(-scores.logps, *flat).tolist(),
        "exact_memorization": exact_memorization(scores.correct, *flat).tolist(),
        "extraction_strength": extraction_strength(scores.correct, *flat).tolist(),
    }
    if scores.kl is not None:
        columns["kl_sum"] = row_sum(scores.kl, *flat).tolist()
    return {
        index: {name: column[i] for name, column in columns.items()}
        for i, index in enumerate(indices)
    }


def longest_generation(context: SuiteContext, max_new_tokens: int) -> int:
    """Tokens that a suite may generate, of which the context may allow fewer."""
    return min(max_new_tokens, context.max_new_tokens or max_new_tokens)


def normal_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Figures of rows that are to stay; divergence only where it was measured."""
    values = {
        "rougeL_recall": mean_of(rows, "rougeL_recall"),
        "distinct_2": mean_of(rows, "distinct_2"),
        "perplexity": _exp(token_mean(rows, "nll_sum")),
    }
    if "kl_sum" in rows[0]:
        values["kl_to_reference"] = token_mean(rows, "kl_sum")
    return values


def _exp(x: float) -> float | None:
    """The exponential, or None where there is no number so large."""
    return math.exp(x) if x < math.log(sys.float_info.max) else None


def token_mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    """Mean over the tokens of all rows, of a figure that is a sum over each row's."""
    return sum(row[name] for row in rows) / sum(row["tokens"] for row in rows)


def text_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of token ids, without control tokens."""
    return decode(tokenizer, ids)
