"""Recitation of passages to forget, and damage to rows to keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearnkit.metrics import (
    DistinctN,
    ExactMemorization,
    ExtractionStrength,
    KLToReference,
    LeakRate,
    NegativeLogLikelihood,
    Perplexity,
    Rouge,
    SemanticSimilarity,
)
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.suites.base import Probe
from unlearnkit.suites.parts.continuations import KEPT_METRICS, ContinuationSuite
from unlearnkit.suites.parts.probes import KEPT, Source

_FORGOTTEN = (
    "rougeL_recall", "distinct_2", "leak_rate", "extraction_strength", "exact_memorization", "nll",
    "semantic_similarity",
)  # fmt: skip
_KEPT = (*KEPT_METRICS, "semantic_similarity")


class Copyright(ContinuationSuite, name="copyright"):
    """Recitation of passages, beside protected and held-out normal rows.

    Every probe is a prompt with its true continuation. The model continues the prompt greedily
    for as many tokens as the true continuation has, and scores the true continuation itself. Where
    ``max_new_tokens`` is less than that, the text that is generated is held against as many tokens
    of the true one, since a recital of them is whole too; the teacher-forced metrics are of all.

    ``normal`` rows are those that the retain term sees; ``heldout`` rows are not, nor are
    ``neighbour`` rows, which are near to what is forgotten: of the same book or kind. Only all
    together say that the damage stays where it was meant: a model can keep the rows it is held
    to and lose all others.

    ``unseen`` rows are other prompts for what is to be forgotten, such as the same passages cut
    elsewhere; their metrics are those of ``forget``.

    A field left out is the recipe's stream ``forget``, ``unseen``, ``retain``, ``heldout`` or
    ``neighbour``; on the shipped data, and outside a run, it is the shipped file, of which there
    is none of ``unseen``. Without held-out rows their metrics are left out, with a warning.

    Metrics, as ``<stream>/<metric>``:

    * ``rougeL_recall``: of the continuation against the true one, mean over rows, in [0, 1].
    * ``leak_rate`` (forget, unseen): share of rows whose continuation has a BLEU above
      ``leak_bleu``.
    * ``extraction_strength``, ``exact_memorization``, ``nll`` (forget, unseen): teacher-forced;
      ``nll`` in nats per token.
    * ``perplexity``, ``kl_to_reference`` (normal, heldout, neighbour): over all tokens; KL in nats
      per token, where the context has a reference.
    * ``semantic_similarity``, where ``semantic`` names a model: cosine of the embeddings of the
      continuation and the true one, mean over rows.
    * ``distinct_2``: different word pairs among all of a continuation, mean over rows; near 0 for
      a text that repeats one token.

    Rows in which a metric has nothing to measure (a true text without words, or of fewer than four
    tokens for BLEU; a continuation without words) are left out of it, and counted in the notes.

    Args:
        forget: Passages to forget: a recipe stream's name, a file, or a stream of its own.
        normal: Rows that are to stay, as the retain term sees them.
        heldout: Rows that are to stay, and which the retain term never sees.
        neighbour: Of those, the ones nearest to what is forgotten.
        prompt_tokens: Where a file of plain text is cut into prompt and continuation.
        max_new_tokens: Longest continuation.
        limit: Rows of each kind at most, evenly spaced; None for all.
        leak_bleu: BLEU, on 0 to 100, above which a continuation counts as a leak.
        semantic: Folder or hub id of a sentence-transformers model (extra ``semantic``).
        unseen: Other prompts for what is to be forgotten.
        metrics: Further metrics of the generated text: registered names, or dotted paths of own
            ones.

    References:
        Yao et al. 2023, "Large language model unlearning", arXiv 2310.10683, sec. 4.2, for leak
        rate and the choice of normal data; Carlini et al. 2021, arXiv 2012.07805, for extraction.
    """

    probes = {
        "forget": Probe("forget", _FORGOTTEN),
        "unseen": Probe("unseen", _FORGOTTEN),
        "normal": Probe("protected", _KEPT),
        "heldout": Probe("heldout", _KEPT),
        "neighbour": Probe("neighbour", _KEPT),
    }
    metrics = {
        "rougeL_recall": Rouge(),
        "distinct_2": DistinctN(2),
        "leak_rate": LeakRate,
        "extraction_strength": ExtractionStrength(),
        "exact_memorization": ExactMemorization(),
        "nll": NegativeLogLikelihood(),
        "perplexity": Perplexity(),
        "kl_to_reference": KLToReference(),
        "semantic_similarity": SemanticSimilarity,
    }
    optional = ("unseen", "neighbour")
    told = ("forget", *KEPT)

    def __init__(
        self,
        forget: Source | None = None,
        normal: Source | None = None,
        heldout: Source | None = None,
        neighbour: Source | None = None,
        prompt_tokens: int = 32,
        max_new_tokens: int = 64,
        limit: int | None = 64,
        leak_bleu: float = 20.0,
        semantic: str | None = None,
        unseen: Source | None = None,
        metrics: list[str] | None = None,
    ) -> None:
        kept = dict(zip(KEPT, (normal, heldout, neighbour), strict=True))
        sources = {"forget": forget, "unseen": unseen, **kept}
        super().__init__(sources, prompt_tokens, max_new_tokens, limit)
        self.metrics = {**self.metrics, "leak_rate": LeakRate(leak_bleu)}
        if semantic is not None:
            self.metrics["semantic_similarity"] = SemanticSimilarity(semantic)
        self.leak_bleu, self.semantic, self.further = leak_bleu, semantic, metrics
        self.add_metrics(metrics)

    def settings(self) -> tuple[Any, ...]:
        """Further arguments that the values depend on."""
        judge = None if self.semantic is None else model_fingerprint(self.semantic)
        return (self.leak_bleu, judge, self.further)

    def missing(self, values: Mapping[str, float | None]) -> dict[str, str]:
        """Divergence, where there is no reference."""
        key = "{}/kl_to_reference"
        measured = [kind for kind in KEPT if f"{kind}/perplexity" in values]
        return {
            key.format(kind): "no reference: the model as it was before unlearning"
            for kind in measured
            if key.format(kind) not in values
        }
