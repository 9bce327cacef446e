"""How stored values of membership attacks are computed with the package."""

from __future__ import annotations

import re
from typing import Any

import torch
from golden_adapters import OPEN, adapter, result
from golden_metrics import World, as_example
from torch import Tensor

from unlearnkit.engine.generation.scoring import gradient_norms
from unlearnkit.functional import membership
from unlearnkit.functional import tofu as truth
from unlearnkit.metrics import MembershipAUC, PrivLeak

TWO_SETS = ("mia_members", "mia_nonmembers")


def attack(
    world: World,
    name: str,
    rows: list[dict[str, Any]],
    *,
    model: str = "target",
    k: float = 0.4,
    p: float | str = 2.0,
    compat: Any = OPEN,
) -> Tensor:
    """``[S]`` scores of one attack on whole texts."""
    examples = world.texts(rows)
    if name == "mia_gradnorm":
        return gradient_norms(world.model(model), examples, float(p), compat=compat)
    found = world.scores(examples, model)
    flat = (found.sequence, found.sequences)
    loss = membership.loss(found.logps, *flat)
    if name == "mia_loss":
        return loss
    if name == "mia_zlib":
        return membership.zlib(found.logps, found.sequence, [row["text"] for row in rows])
    if name == "mia_min_k":
        return membership.min_k(found.logps, *flat, k, compat=compat)
    if name == "mia_min_k_plus_plus":
        return membership.min_k(found.standardised, *flat, k, compat=compat)
    if name == "mia_reference":
        return membership.reference(loss, world.nll(examples, "reference"))
    assert name == "lowercase"
    lowered = world.tokenizer([row["text"].lower() for row in rows]).input_ids
    return membership.lowercase(loss, world.nll([as_example(i[:1], i[1:]) for i in lowered], model))


@adapter("auc")
def auc(world: World) -> Any:
    given = world.given()
    found = auc_of(torch.tensor(given["forget"]), torch.tensor(given["holdout"]))
    return {"open_unlearning": found, "muse": 1 - found}


def auc_of(forget: Tensor, holdout: Tensor) -> float:
    scores = torch.cat([forget.double(), holdout.double()])
    is_forget = torch.arange(len(scores)) < len(forget)
    return result(MembershipAUC(), scores, is_forget)


@adapter("privleak_open_unlearning")
def privleak_open(world: World) -> Any:
    if world.pointers():
        given = world.given()
        a, b = given["auc_unlearn"], given["auc_retrain"]
        return {
            "privleak": truth.privleak(a, b, compat=OPEN),
            "rel_diff": truth.relative_difference(a, b, compat=OPEN),
        }
    k = float(re.findall(r"k=([\d.]+)", world.case.inputs)[0])
    scores = {
        model: [attack(world, "mia_min_k", world.data[s], k=k, model=model) for s in TWO_SETS]
        for model in ("target", "reference")
    }
    aucs = {model: auc_of(*pair) for model, pair in scores.items()}
    forget, holdout = scores["target"]
    is_forget = torch.arange(len(forget) + len(holdout)) < len(forget)
    metric = PrivLeak(aucs["reference"], compat=OPEN)
    return {
        "privleak": result(metric, torch.cat([forget, holdout]), is_forget),
        "auc_target": aucs["target"],
        "auc_reference": aucs["reference"],
    }


@adapter(
    "mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus", "mia_reference", "mia_gradnorm"
)
def membership_attack(world: World) -> Any:
    forget, holdout = (
        attack(world, world.case.metric, world.given(section), **world.params)
        for section in world.pointers()
    )
    return {
        "auc": auc_of(forget, holdout),
        "forget": forget.tolist(),
        "holdout": holdout.tolist(),
        "forget_mean": forget.double().mean().item(),
        "holdout_mean": holdout.double().mean().item(),
    }


@adapter("mia_full_tokens")
def full_tokens(world: World) -> Any:
    rows = [row for pointer in world.pointers() for row in world.given(pointer)]
    members = len(world.given(world.pointers()[0]))
    if "k" in world.params:
        k = world.params["k"]
        return {
            "min_k": attack(world, "mia_min_k", rows, k=k, compat="mimir").tolist(),
            "min_k_pp": attack(world, "mia_min_k_plus_plus", rows, k=k, compat="mimir").tolist(),
            "zlib": attack(world, "mia_zlib", rows).tolist(),
        }
    attacks = {"loss": "mia_loss", "zlib": "mia_zlib"}
    attacks |= {"mink": "mia_min_k", "mink++": "mia_min_k_plus_plus"}
    found: dict[str, Any] = {}
    for key in world.case.expected:
        name, _, k = key.partition("_")
        scores = attack(world, attacks[name], rows, k=float(k or 1), compat="mimir")
        # That repository's scores are high for members.
        found[key] = {
            "scores": (-scores).tolist(),
            "auroc": auc_of(scores[:members], scores[members:]),
        }
    return found


def muse_attack(
    world: World, key: str, rows: list[dict[str, Any]], model: str = "target"
) -> Tensor:
    """Scores under MUSE's own names; its PPL is the loss, not exponentiated."""
    if key.startswith("Min-"):
        k = float(key.removeprefix("Min-").rstrip("%")) / 100
        return attack(world, "mia_min_k", rows, k=k, model=model, compat="mimir")
    names = {"PPL": "mia_loss", "PPL/zlib": "mia_zlib", "PPL/lower": "lowercase"}
    return attack(world, names[key], rows, model=model)


@adapter("muse_privleak_scores")
def muse_scores(world: World) -> Any:
    return {key: muse_attack(world, key, world.given()).tolist() for key in world.case.expected}


@adapter("muse_privleak")
def muse_privleak(world: World) -> Any:
    least = world.params["min_tokens"]
    sections = dict(zip(("forget", "holdout", "retain"), world.pointers(), strict=True))
    rows = {
        name: [row for row in world.given(pointer) if len(row["input_ids"]) >= least]
        for name, pointer in sections.items()
    }
    ours: dict[str, dict[str, float]] = {"target": {}, "reference": {}}
    for model, aucs in ours.items():
        for key in {*world.case.expected[f"auc_{model}"], world.params["key"]}:
            first, second, name = key.split("_", 2)
            aucs[key] = auc_of(
                *(muse_attack(world, name, rows[each], model) for each in (first, second))
            )
    key = world.params["key"]
    # MUSE's AUC is 1 minus the usual one.
    return {
        "privleak": truth.privleak(ours["target"][key], ours["reference"][key]),
        **{f"auc_{model}": {k: 1 - v for k, v in aucs.items()} for model, aucs in ours.items()},
    }
