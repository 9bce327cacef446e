"""Variants that keep what is near to rudeness and to invented answers.

Each is a recipe as it is shipped, or a layer over it that takes one of its parts away.
"""

from __future__ import annotations

from benchmarks.real.methods import KL, Layer, joined, objectives


def _without_ascent() -> Layer:
    terms = {name: KL | {"stream": name} for name in ("retain", "reasons", "facts")}
    advice = {"name": "retain_nll", "weight": 1.0, "stream": "advice"}
    # The ceiling is of the forget rows' NLL, which nothing measures here.
    return joined(objectives(advice=advice, **terms), {"trainer": {"callbacks": []}})


SELECTIVE: dict[str, dict[str, tuple[str, str, Layer]]] = {
    "harmful": {
        "selective": ("GA + polite answers + KL, broader", "harmful_selective", {}),
        "s_polite": (
            "polite answers + KL, broader, no ascent",
            "harmful_selective",
            _without_ascent(),
        ),
    },
    "hallucination": {
        "selective": ("GA (weight 2) + mismatch + KL, broader", "hallucination_selective", {}),
    },
}
"""By application and name: title, recipe and layer."""
