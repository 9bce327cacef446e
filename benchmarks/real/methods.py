"""The compared methods, each as overrides of the application's recipe."""

from __future__ import annotations

from typing import Any

Layer = dict[str, Any]
"""Sections of a recipe; ``objectives`` replace the recipe's, ``streams`` are added to its own."""

FORGET = {"name": "gradient_ascent", "weight": 0.5}
MISMATCH = {"name": "random_mismatch", "weight": 1.0}
KL = {"name": "retain_kl", "weight": 8.0}
NLL = {"name": "retain_nll", "weight": 1.0}
NPO = {"name": "npo", "beta": 0.1, "weight": 1.0}
SIMNPO = {"name": "simnpo", "beta": 2.5, "weight": 1.0}


def objectives(**terms: dict[str, Any]) -> Layer:
    """A layer of objectives alone."""
    return {"model": {"objectives": terms}}


def joined(*layers: Layer) -> Layer:
    """Layers over one another; of a section's key given twice, the last counts."""
    found: Layer = {}
    for layer in layers:
        for section, value in layer.items():
            found[section] = {**found.get(section, {}), **value}
    return found


# Adam's rate for an adapter would destroy the weights themselves, which need float32 to move at
# all by steps this small.
WHOLE: Layer = {
    "model": {
        "base": {"dtype": "float32"},
        "lora": None,
        "optimizer": {"name": "AdamW", "lr": 1e-4, "weight_decay": 0.0},
    },
    "trainer": {"precision": "bf16-mixed"},
}
METHODS: dict[str, Layer] = {
    "ga": objectives(forget=FORGET),
    "ga_mismatch": objectives(forget=FORGET, mismatch=MISMATCH),
    "llmu": {},
    "npo": objectives(forget=NPO),
    "simnpo": objectives(forget=SIMNPO),
    "finetune": objectives(retain=NLL),
    "llmu_whole": WHOLE,
}
TITLES = {
    "taught": "before unlearning",
    "gold": "gold: never taught",
    "ga": "GA",
    "ga_mismatch": "GA + mismatch",
    "llmu": "GA + mismatch + KL",
    "npo": "NPO",
    "simnpo": "SimNPO",
    "finetune": "finetuning on normal data",
    "llmu_whole": "GA + mismatch + KL, all weights",
}
