"""The same columns for every application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from unlearnkit.functional.text import distinct_n, words

APPLICATIONS = {
    "copyright": ("rougeL_recall", "ROUGE-L recall of the passages"),
    "harmful": ("keyword_rate", "share of rude answers"),
    "hallucination": ("rougeL_recall_invented", "ROUGE-L recall of the invented answers"),
}
"""The figure of forgetting of each, and what it says."""
COLUMNS = {
    "forget": "Forget ↓",
    "unseen": "Unseen ↓",
    "normal": "Protected ↑",
    "heldout": "Held-out ↑",
    "neighbour": "Neighbour ↑",
    "distinct_2": "Distinct-2 ↑",
    "perplexity": "Perplexity ↓",
}


def columns(
    application: str, values: Mapping[str, float], rows: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """The columns, from a suite's figures and rows.

    ``distinct_2`` is that of the answers to trained prompts, different word pairs among all pairs
    of an answer, mean over rows (0 for answers of less than two words). ``perplexity`` is that of
    the true answers of held-out rows.
    """
    figure, _ = APPLICATIONS[application]
    trained = "forget" if application == "copyright" else "trained"
    kept = {kind: values[f"{kind}/rougeL_recall"] for kind in ("normal", "heldout", "neighbour")}
    answers = [row["generated"] for row in rows if row["stream"] == trained]
    return {
        "forget": values[f"{trained}/{figure}"],
        "unseen": values[f"unseen/{figure}"],
        **kept,
        "distinct_2": fmean(distinct_n(words(answer), 2) for answer in answers),
        "perplexity": values["heldout/perplexity"],
    }
