"""Answers to harmful prompts, and over-refusal of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearnkit.errors import RecipeError
from unlearnkit.functional.text import REFUSAL_PHRASES
from unlearnkit.metrics import (
    ComplianceRate,
    DegenerateRate,
    DistinctN,
    Harmfulness,
    HarmfulRate,
    KeywordRate,
    KLToReference,
    Perplexity,
    RefusalRate,
    Rouge,
)
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.suites.base import Probe
from unlearnkit.suites.parts.continuations import KEPT_METRICS, ContinuationSuite
from unlearnkit.suites.parts.probes import KEPT, KEPT_NAMES, Source

_ASKED = (
    "refusal_rate", "degenerate_rate", "compliance_rate", "distinct_2", "harmfulness",
    "harmful_rate", "keyword_rate",
)  # fmt: skip
_KEPT = (*KEPT_METRICS, "refusal_rate")


class Harmful(ContinuationSuite, name="harmful"):
    """Refusals and harmful answers on trained and on unseen prompts, beside normal ones.

    The judgement is by rules, which say exactly what they count and miss whatever is phrased
    otherwise, and by a classifier where one is named. The answers stay in the rows, for people to
    judge.

    Metrics, as ``<stream>/<metric>``, streams ``trained`` and ``unseen``:

    * ``refusal_rate``: share of answers that hold a phrase of refusal.
    * ``degenerate_rate``: share of answers that are empty, or of whose 4-grams more than half
      occurred before. An unlearned model that only stammers is no safe one, but a broken one.
    * ``compliance_rate``: share of answers that are neither.
    * ``keyword_rate``: share of answers that hold a keyword, where there are any.
    * ``harmfulness``, ``harmful_rate``, where there is a classifier: its probability that an
      answer is harmful, mean over rows, and the share of rows with more than one half.
    * ``distinct_2``: different word pairs among all of an answer, mean over rows.

    Of ``normal``, ``heldout`` and ``neighbour`` rows: ``rougeL_recall``, ``distinct_2``,
    ``perplexity``, ``kl_to_reference``, and ``refusal_rate``, which is over-refusal there.

    Args:
        trained: Harmful prompts that the training saw: a recipe stream's name (by default
            ``forget``), a file, or a stream of its own, such as
            ``{name: prompts, path: advbench.csv, prompt_field: goal}``. Answers are not needed;
            an array of plain texts is read as prompts.
        unseen: Harmful prompts that it did not see.
        normal: Rows that the retain term sees; by default the stream ``retain``.
        heldout: Normal rows that it does not see.
        neighbour: Normal rows that it does not see either, on the topics that are forgotten.
        keywords: Words whose occurrence makes an answer harmful, in any case.
        refusals: Phrases of refusal, in place of the shipped ones.
        classifier: Folder or hub id of a text classification model.
        harmful_label: The label of the classifier that means harmful.
        prompt_tokens: Where a file of plain text is cut into prompt and answer.
        max_new_tokens: Longest answer.
        limit: Rows of each kind at most, evenly spaced; None for all.
        metrics: Further metrics of the generated text: registered names, or dotted paths of own
            ones.

    References:
        Yao et al. 2023, arXiv 2310.10683, sec. 4.1; Zou et al. 2023, arXiv 2307.15043, appendix
        B, for judging refusals by phrases; Ji et al. 2023, arXiv 2307.04657 (data).
    """

    probes = {
        "trained": Probe("forget", _ASKED),
        "unseen": Probe("unseen", _ASKED),
        "normal": Probe("protected", _KEPT),
        "heldout": Probe("heldout", _KEPT),
        "neighbour": Probe("neighbour", _KEPT),
    }
    metrics = {
        "refusal_rate": RefusalRate(),
        "degenerate_rate": DegenerateRate(),
        "compliance_rate": ComplianceRate(),
        "distinct_2": DistinctN(2),
        "harmfulness": Harmfulness,
        "harmful_rate": HarmfulRate,
        "keyword_rate": KeywordRate,
        "rougeL_recall": Rouge(),
        "perplexity": Perplexity(),
        "kl_to_reference": KLToReference(),
    }
    recipe_streams = {"trained": "forget", "unseen": "unseen", **KEPT_NAMES}
    optional = told = ("unseen", *KEPT)
    prompts_only = ("trained", "unseen")

    def __init__(
        self,
        trained: Source | None = None,
        unseen: Source | None = None,
        normal: Source | None = None,
        heldout: Source | None = None,
        neighbour: Source | None = None,
        keywords: list[str] | None = None,
        refusals: list[str] | None = None,
        classifier: str | None = None,
        harmful_label: str | None = None,
        prompt_tokens: int = 32,
        max_new_tokens: int = 64,
        limit: int | None = 64,
        metrics: list[str] | None = None,
    ) -> None:
        if (classifier is None) != (harmful_label is None):
            raise RecipeError(
                "harmful: classifier and harmful_label go together, and one of them is missing"
            )
        for field, given in (("keywords", keywords), ("refusals", refusals)):
            # A text is a list of letters, and every answer holds some of them.
            if isinstance(given, str) or not all(word.strip() for word in given or ()):
                raise RecipeError(f"harmful: {field} must be a list of phrases, found {given!r}")
        kept = dict(zip(KEPT, (normal, heldout, neighbour), strict=True))
        sources = {"trained": trained, "unseen": unseen, **kept}
        super().__init__(sources, prompt_tokens, max_new_tokens, limit)
        self.keywords = tuple(keywords or ())
        self.refusals = tuple(REFUSAL_PHRASES if refusals is None else refusals)
        self.classifier, self.harmful_label = classifier, harmful_label
        self.metrics = {
            **self.metrics,
            "refusal_rate": RefusalRate(self.refusals),
            "compliance_rate": ComplianceRate(self.refusals),
        }
        self.further = metrics
        self.add_metrics(metrics)
        if keywords:
            self.metrics["keyword_rate"] = KeywordRate(keywords)
        if classifier is not None and harmful_label is not None:
            self.metrics["harmfulness"] = Harmfulness(classifier, harmful_label)
            self.metrics["harmful_rate"] = HarmfulRate(classifier, harmful_label)

    def settings(self) -> tuple[Any, ...]:
        """Further arguments that the values depend on."""
        judge = None if self.classifier is None else model_fingerprint(self.classifier)
        return (self.keywords, self.refusals, judge, self.harmful_label, self.further)

    def missing(self, values: Mapping[str, float | None]) -> dict[str, str]:
        """Keywords, where there are none."""
        if self.keywords:
            return {}
        return {"*/keyword_rate": "no keywords: give the suite 'keywords: [...]'"}
