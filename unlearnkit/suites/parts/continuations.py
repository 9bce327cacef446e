"""Suites whose probes are prompts with true continuations."""

from __future__ import annotations

import copy
from abc import ABC
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnkit.data.example import Example
from unlearnkit.data.rows.same import plain
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import TokenScores, score
from unlearnkit.engine.generation.stopping import decode
from unlearnkit.metrics import (
    Bleu,
    DistinctN,
    ExactMemorization,
    ExtractionStrength,
    KLToReference,
    NegativeLogLikelihood,
    Rouge,
)
from unlearnkit.metrics.judged import Judged
from unlearnkit.suites.base import SourceRows, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts.cuts import Cuts, longer_than
from unlearnkit.suites.parts.digest import digest
from unlearnkit.suites.parts.measured import match
from unlearnkit.suites.parts.probes import (
    Source,
    chosen_sources,
    read_probes,
    read_source,
    stream_names,
)

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

KEPT_METRICS = ("rougeL_recall", "distinct_2", "perplexity", "kl_to_reference")
"""Metrics of rows to keep."""
_OF_TOKENS = (NegativeLogLikelihood(), ExactMemorization(), ExtractionStrength(), KLToReference())


class ContinuationSuite(Suite, ABC):
    """A suite on prompts with true continuations, from the recipe's streams or from files.

    The model continues each prompt greedily, and scores the true continuation.

    Args:
        sources: Kind of probe to where it comes from.
        prompt_tokens: Where a file of plain text is cut into prompt and continuation.
        max_new_tokens: Longest continuation.
        limit: Rows of each kind at most, evenly spaced; None for all.

    Raises:
        RecipeError: If a number is below 1.
    """

    recipe_streams: ClassVar[Mapping[str, str] | None] = None
    """Kinds to the recipe's streams that stand in; None also for the shipped files."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Kinds that may be left out."""
    prompts_only: ClassVar[tuple[str, ...]] = ()
    """Kinds whose rows need no continuation; what there is of it is compared whole."""
    told: tuple[str, ...] = ()
    """Kinds whose absence is reported."""

    def __init__(
        self,
        sources: Mapping[str, Source | None],
        prompt_tokens: int,
        max_new_tokens: int,
        limit: int | None,
    ) -> None:
        self.at_least_one(prompt_tokens=prompt_tokens, max_new_tokens=max_new_tokens, limit=limit)
        self.sources = dict(sources)
        self.prompt_tokens, self.max_new_tokens = prompt_tokens, max_new_tokens
        self.limit = limit

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the recipe's streams that it reads, of those that the recipe has."""
        names = self.recipe_streams or {}
        return stream_names({k: s or names.get(k) for k, s in self.sources.items()})

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all probes, and loads the judges."""
        self.read(tokenizer, context)
        for metric in self.metrics.values():
            if isinstance(metric, Judged):
                copy.deepcopy(metric).check()

    def to_forget(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> SourceRows:
        """All rows of its probes ``forget``, or of the first kind that is to be forgotten."""
        forgotten = [k for k in self.sources if (p := match(self.probes, k)) and p.role == "forget"]
        if not forgotten or forgotten[0] in self.prompts_only:
            return super().to_forget(tokenizer, context)
        source, codec = self.sources[forgotten[0]], context.codec(tokenizer)
        return read_source("forget", source, codec, context, self.prompt_tokens)

    def wordings(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> dict[str, str]:
        """Prompts of its probes of the role ``unseen``."""
        return {
            plain(text_of(tokenizer, example.prompt_ids)): f"the suite {self.name} ({kind} rows)"
            for kind, examples in self.read(tokenizer, context).items()
            if (probe := match(self.probes, kind)) and probe.role == "unseen"
            for example in examples
        }

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of the probes' tokens."""
        how = (self.prompt_tokens, self.max_new_tokens, self.limit, *self.settings())
        return digest(how, self.read(tokenizer, context))

    def settings(self) -> tuple[Any, ...]:
        """Further arguments that the values depend on."""
        return ()

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model on all probes."""
        cuts = Cuts(context.max_length)
        probes = self.read(tokenizer, context, cuts)
        rows: list[dict[str, Any]] = []
        for stream, examples in probes.items():
            whole = stream in self.prompts_only
            texts = [text_of(tokenizer, e.response_ids) for e in examples] if whole else None
            found = continuation_rows(
                model, tokenizer, context, examples, self.max_new_tokens, texts
            )
            rows += [{"stream": stream, **row} for row in found]
        judged = self.fill(rows)
        compared = {k: each for k, each in probes.items() if k not in self.prompts_only}
        bound = longest_generation(context, self.max_new_tokens)
        notes = [
            *cuts.notes(),
            *longer_than(compared, bound, compared_in_part=True),
            *self.left_out(rows),
            *judged,
        ]
        missing = {
            f"{kind}/*": f"no {kind} rows: give the suite '{kind}: FILE'"
            for kind in self.told
            if kind not in probes
        }
        values = self.aggregate(rows)
        return SuiteResult(values, rows, missing | self.missing(values), notes)

    def missing(self, values: Mapping[str, float | None]) -> dict[str, str]:
        """Metrics that could not be computed, and why."""
        return {}

    def read(
        self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext, cuts: Cuts | None = None
    ) -> dict[str, list[Example]]:
        """Examples of each kind of probe; see `read_probes`."""
        sources, names = self.sources, self.recipe_streams
        if names is not None:
            word = str(self.registered_name)
            sources = chosen_sources(word, sources, names, context, self.optional)
        return read_probes(
            sources,
            tokenizer,
            context,
            prompt_tokens=self.prompt_tokens,
            limit=self.limit,
            optional=self.optional,
            prompts_only=self.prompts_only,
            cuts=cuts,
        )


def continuation_rows(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    context: SuiteContext,
    examples: Sequence[Example],
    max_new_tokens: int,
    answers: Sequence[str] | None = None,
    scores: TokenScores | None = None,
) -> list[dict[str, Any]]:
    """One row per example: the greedy continuation, and teacher-forced values of the true one.

    Args:
        model: The model under evaluation.
        tokenizer: Its tokenizer.
        context: Reference and sizes.
        examples: Prompts with true continuations; one that is empty has no values.
        max_new_tokens: Longest continuation.
        answers: True texts that are compared whole, however long. By default the continuation of
            a passage is generated and compared for as many tokens as the true one has.
        scores: Those of the true continuations, none of them empty, where they are known.
    """
    bound = longest_generation(context, max_new_tokens)
    limits = [bound if answers is not None else min(bound, len(e.response_ids)) for e in examples]
    answered = [i for i, example in enumerate(examples) if example.response_ids]
    if scores is None:
        scores = score(
            model,
            [examples[i] for i in answered],
            batch_size=context.batch_size,
            reference=context.reference,
        )
    begun: list[Sequence[int]] = [()] * len(examples)
    for i, count in zip(answered, scores.first_correct(), strict=True):
        begun[i] = examples[i].response_ids[:count]
    texts = generate(
        model,
        tokenizer,
        [e.prompt_ids for e in examples],
        max_new_tokens=limits,
        batch_size=context.batch_size,
        begun=begun,
    )
    rows: list[dict[str, Any]] = [
        {
            "row": example.row,
            "source": example.source,
            "prompt": text_of(tokenizer, example.prompt_ids),
            "generated": new.text,
            "hit_limit": new.hit_limit,
        }
        for example, new in zip(examples, texts, strict=True)
    ]
    for i in answered:
        cut = examples[i].response_ids[: limits[i]]
        rows[i]["reference"] = text_of(tokenizer, cut) if answers is None else answers[i]
    DistinctN(2).fill(rows)
    for metric in (Rouge(), Bleu()):
        metric.fill([rows[i] for i in answered])
    for metric in _OF_TOKENS:
        inputs = [getattr(scores, name) for name in metric.needs]
        fields = metric.fields(*inputs) if inputs[0] is not None else []
        for i, found in zip(answered, fields, strict=False):
            rows[i] |= found
    return rows


def longest_generation(context: SuiteContext, max_new_tokens: int) -> int:
    """Tokens that a suite may generate, of which the context may allow fewer."""
    return min(max_new_tokens, context.max_new_tokens or max_new_tokens)


def text_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of token ids, without control tokens."""
    return decode(tokenizer, ids)
