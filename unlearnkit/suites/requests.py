"""Recitation of the rows of several requests to forget, one after another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from unlearnkit.data.streams.base import Stream
from unlearnkit.errors import RecipeError
from unlearnkit.metrics import ExactMemorization, ExtractionStrength, Probability, Rouge
from unlearnkit.suites.base import Probe, SuiteContext
from unlearnkit.suites.parts.continuations import ContinuationSuite
from unlearnkit.suites.parts.probes import Source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KEPT = ("normal", "heldout")


class Requests(ContinuationSuite, name="requests"):
    """Recitation of the forget rows of several requests, each under its own name.

    A recipe with ``requests:`` runs it before the first request and after each, on all of them:
    those that came before, which should stay forgotten, and those that are still to come.

    Every probe is a prompt with its true continuation, as in the suite ``copyright``, and what
    ``max_new_tokens`` cuts is compared as there.

    Metrics, as ``<request>/<metric>``, ``normal/<metric>`` and ``heldout/<metric>``:

    * ``rougeL_recall``: of the greedy continuation against the true one, mean over rows.
    * ``probability``: of the true continuation, normalised by its length, mean over rows.
    * ``exact_memorization``, ``extraction_strength``: teacher-forced, mean over rows.

    Args:
        streams: The forget rows of each request by its name; a recipe with ``requests:`` fills
            them in.
        normal: Rows that are to stay, as the retain term sees them; by default the recipe's
            stream ``retain``.
        heldout: Rows that are to stay, and which the retain term never sees; by default the
            recipe's stream ``heldout``.
        prompt_tokens: Where a file of plain text is cut into prompt and continuation.
        max_new_tokens: Longest continuation.
        limit: Rows of each kind at most, evenly spaced; None for all.

    References:
        Shi et al. 2024, "MUSE: Machine unlearning six-way evaluation for language models",
        arXiv 2407.06460, sec. 3, criterion 6 (sustainability).
    """

    probes = {"normal": Probe("protected"), "heldout": Probe("heldout"), "*": Probe("forget")}
    metrics = {
        "rougeL_recall": Rouge(),
        "probability": Probability(),
        "exact_memorization": ExactMemorization(),
        "extraction_strength": ExtractionStrength(),
    }

    def __init__(
        self,
        streams: dict[str, Stream] | None = None,
        normal: Source | None = None,
        heldout: Source | None = None,
        prompt_tokens: int = 32,
        max_new_tokens: int = 64,
        limit: int | None = 64,
    ) -> None:
        taken = sorted(set(KEPT) & set(streams or {}))
        if taken:
            raise RecipeError(f"requests: {taken[0]} is the name of rows that are to stay")
        sources = {**(streams or {}), "normal": normal, "heldout": heldout}
        super().__init__(sources, prompt_tokens, max_new_tokens, limit)
        self.told = tuple(sorted(sources))
        if streams:
            self.probes = {**dict.fromkeys(streams, Probe("forget")), **self.probes}
            del self.probes["*"]

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all probes."""
        if not set(self.sources) - set(KEPT):
            raise RecipeError(
                "requests: no request is given",
                hint="Give the recipe requests: [a.jsonl, b.jsonl], or the suite streams by name.",
            )
        super().check(tokenizer, context)

    def fill(self, rows: list[dict[str, Any]]) -> list[str]:
        """Adds the probability of each true continuation."""
        for row in rows:
            row["probability"] = math.exp(-row["nll_sum"] / row["tokens"])
        return super().fill(rows)
