"""Variants of the methods that may preserve neighbours.

Each stops as soon as the NLL of a batch of forget rows is that of the gold model, so that all are
compared where they have forgotten as much, not where their learning rates took them.
"""

from __future__ import annotations

from benchmarks.real.methods import (
    FORGET,
    KL,
    MISMATCH,
    NLL,
    NPO,
    SIMNPO,
    WHOLE,
    Layer,
    joined,
    objectives,
)

APPLICATION = "copyright"
MOST_STEPS = 32
RELATED = {"name": "qa", "path": "tiny/kept/related.jsonl", "batch_size": 4}
"""Protected rows of the book's kind; none of them is among the neighbours that are measured."""
MORE_RELATED = RELATED | {"path": "tiny/kept/more_related.jsonl"}
"""Those twelve, and the 46 passages of the embedded book that this model was never taught."""
ENTRIES = RELATED | {"path": "tiny/kept/entries.jsonl"}
"""Those 58, and 137 further entries of the dictionary."""
WGA = {"name": "weighted_gradient_ascent", "weight": 1.0}
_LONG: Layer = {"trainer": {"max_steps": 64}}
NEAR_KL = {"name": "retain_kl", "weight": 8.0, "stream": "related"}
NEAR_NLL = {"name": "retain_nll", "weight": 1.0, "stream": "related"}


def stopped(layer: Layer, forget_nll: float) -> Layer:
    """The layer with a stop at that NLL, in nats per token."""
    stop = {"name": "collapse_stop", "forget_nll": forget_nll}
    limits = {"trainer": {"max_epochs": -1, "max_steps": MOST_STEPS}}
    # A rate that falls with the steps that are left would tell fast methods from slow ones.
    how = {"trainer": {"callbacks": [stop]}, "model": {"schedule": "constant"}}
    return joined(limits, layer, how)


def _rate(lr: float) -> Layer:
    return {"model": {"optimizer": {"name": "AdamW", "lr": lr, "weight_decay": 0.0}}}


def _lora(**fields: object) -> Layer:
    return {"model": {"lora": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"} | fields}}


def _broad(rows: dict[str, object] = RELATED, **terms: dict[str, object]) -> Layer:
    return joined(objectives(**terms), {"data": {"streams": {"related": rows}}})


LLMU = {"forget": FORGET, "mismatch": MISMATCH, "retain": KL}
VARIANTS: dict[str, tuple[str, Layer]] = {
    "s_llmu": ("GA + mismatch + KL", {}),
    "s_ga": ("GA", objectives(forget=FORGET)),
    "s_ga_kl": ("GA + KL", objectives(forget=FORGET, retain=KL)),
    "s_mismatch_kl": ("mismatch + KL", objectives(mismatch=MISMATCH, retain=KL)),
    "s_npo": ("NPO", objectives(forget=NPO)),
    "s_npo_kl": ("NPO + KL", objectives(forget=NPO, retain=KL)),
    "s_simnpo_kl": ("SimNPO + KL", objectives(forget=SIMNPO, retain=KL)),
    "s_wga_kl": (
        "WGA + KL",
        objectives(forget=WGA, retain=KL),
    ),
    "s_undial": ("UNDIAL + KL", objectives(forget={"name": "undial"}, retain=KL)),
    "s_llmu_slow": ("GA + mismatch + KL, lr 3e-4", _rate(3e-4)),
    "s_llmu_rank2": ("GA + mismatch + KL, rank 2", _lora(r=2, lora_alpha=4)),
    "s_llmu_attention": (
        "GA + mismatch + KL, adapter on q and v",
        _lora(target_modules=["q_proj", "v_proj"]),
    ),
    "s_llmu_broad": ("GA + mismatch + KL, broader", _broad(**LLMU, near=NEAR_KL)),
    "s_npo_broad": ("NPO + KL, broader", _broad(forget=NPO, retain=KL, near=NEAR_KL)),
    "s_ga_broad": ("GA + KL, broader", _broad(forget=FORGET, retain=KL, near=NEAR_KL)),
    "s_npo_nll_broad": ("NPO + NLL, broader", _broad(forget=NPO, retain=NLL, near=NEAR_NLL)),
    "s_npo_broad_64": (
        "NPO + KL, broader, up to 64 steps",
        joined(_broad(forget=NPO, retain=KL, near=NEAR_KL), _LONG),
    ),
    "s_npo_broad_heavy": (
        "NPO (weight 4) + KL, broader, up to 64 steps",
        joined(_broad(forget=NPO | {"weight": 4.0}, retain=KL, near=NEAR_KL), _LONG),
    ),
    "s_wga_broad": (
        "WGA + KL, broader, up to 64 steps",
        joined(_broad(forget=WGA, retain=KL, near=NEAR_KL), _LONG),
    ),
    "s_llmu_broad_heavy": (
        "GA (weight 2) + mismatch + KL, broader, up to 64 steps",
        joined(_broad(**LLMU | {"forget": FORGET | {"weight": 2.0}}, near=NEAR_KL), _LONG),
    ),
    "s_llmu_broader": (
        "GA + mismatch + KL, broader still",
        _broad(MORE_RELATED, **LLMU, near=NEAR_KL),
    ),
    "s_llmu_broader_heavy": (
        "GA (weight 2) + mismatch + KL, broader still, up to 64 steps",
        joined(
            _broad(MORE_RELATED, **LLMU | {"forget": FORGET | {"weight": 2.0}}, near=NEAR_KL), _LONG
        ),
    ),
    "s_llmu_broader_one": (
        "GA (weight 1) + mismatch + KL, broader still, up to 64 steps",
        joined(
            _broad(MORE_RELATED, **LLMU | {"forget": FORGET | {"weight": 1.0}}, near=NEAR_KL), _LONG
        ),
    ),
    "s_npo_broader_heavy": (
        "NPO (weight 4) + KL, broader still, up to 64 steps",
        joined(_broad(MORE_RELATED, forget=NPO | {"weight": 4.0}, retain=KL, near=NEAR_KL), _LONG),
    ),
    "s_llmu_whole": ("GA + mismatch + KL, all weights", WHOLE),
    "s_llmu_salient": (
        "GA + mismatch + KL, 10 % of the weights",
        joined(WHOLE, {"model": {"saliency": {"fraction": 0.1}}}),
    ),
}
IN_FLOAT32, SEED = "copyright_float32", 3
"""What the results are stored under of variants whose models are all in float32, and their seed."""
EXACT: dict[str, tuple[str, Layer]] = {
    "s_llmu_entries": (
        "GA (weight 1) + mismatch + KL, 195 entries, up to 96 steps",
        joined(
            _broad(ENTRIES, **LLMU | {"forget": FORGET | {"weight": 1.0}}, near=NEAR_KL),
            {"trainer": {"max_steps": 96}},
        ),
    ),
}
NEGATED: dict[str, tuple[str, float]] = {
    "s_vector_1": ("task vector, scale 1", 1.0),
    "s_vector_3": ("task vector, scale 3", 3.0),
    "s_vector_5": ("task vector, scale 5", 5.0),
    "s_vector_8": ("task vector, scale 8", 8.0),
}
