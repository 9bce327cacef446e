"""How stored values of answer probabilities and TOFU's aggregates are computed."""

from __future__ import annotations

import re
from typing import Any

import torch
from golden_adapters import OPEN, adapter, agg_and_items, result
from golden_metrics import World, as_example
from golden_text import tofu_rouge
from torch import Tensor

from unlearnkit.functional import tofu as truth
from unlearnkit.metrics import (
    ForgetQuality,
    ModelUtility,
    Probability,
    ProbabilityWithOptions,
    TruthRatio,
)


@adapter("answer_probability")
def answer_probability(world: World) -> Any:
    if world.case.name == "unmasked_first_label":
        # The reference divides by all labels, the first included, which nothing predicts. A
        # prompt is never empty here, so the harness makes the wrong mean.
        ids = world.given()["input_ids"]
        nll = world.nll([as_example(ids[:1], ids[1:])])[0] * (len(ids) - 1) / len(ids)
        return {"prob": truth.probability(nll).item(), "avg_loss": nll.item()}
    section, field = world.section(), re.findall(r"\w+_ids", world.case.inputs)[-1]
    nll = world.answer_nll(section, field)
    found = world.scores(world.answers(world.data[section], field))
    return {
        "agg": result(Probability(), found.logps, found.sequence, found.sequences),
        "prob": truth.probability(nll).tolist(),
        "avg_loss": nll.tolist(),
    }


@adapter("probability_w_options")
def probability_with_options(world: World) -> Any:
    return agg_and_items(ProbabilityWithOptions(compat=OPEN), *right_and_wrong(world, "answer_ids"))


@adapter("truth_ratio_tofu_item")
def truth_ratio_item(world: World) -> Any:
    return truth.truth_ratio(*right_and_wrong(world, world.params["base"])).tolist()


@adapter("truth_ratio_closer_to_1_better", "truth_ratio_true_better", "truth_ratio_prob_mean")
def truth_ratio(world: World) -> Any:
    which = world.case.metric.removeprefix("truth_ratio_")
    if "correct" in world.params:
        nll, nll_wrong = right_and_wrong(world, world.params["correct"], world.params["wrong"])
    else:
        losses = world.given()
        nll = torch.tensor(losses["correct"], dtype=torch.float64)
        nll_wrong = torch.tensor(losses["wrong"], dtype=torch.float64)
    # The reference reports the bounded score for prob_mean, and the ratio itself otherwise.
    items = which if which == "prob_mean" else "ratio"
    return {
        "agg": result(TruthRatio(which, compat=OPEN), nll, nll_wrong),
        "items": truth.truth_scores(nll, nll_wrong, items, compat=OPEN).tolist(),
    }


@adapter("truth_ratio_tofu_aggregate")
def truth_ratio_tofu(world: World) -> Any:
    return {
        "aggregate_eval_stat": tofu_truth_ratio(world, world.section(), "geometric"),
        "utils": tofu_truth_ratio(world, world.section(), "arithmetic"),
    }


def tofu_truth_ratio(
    world: World, section: str, mean: truth.TruthMean, compat: Any = None
) -> float:
    base = "paraphrased_ids" if section in {"qa_forget", "qa_retain"} else "answer_ids"
    which = "closer_to_1_better" if section == "qa_forget" else "true_better"
    pair = world.answer_nll(section, base), world.answer_nll(section, "perturbed_ids")
    return result(TruthRatio(which, mean, compat=compat), *pair)


def tofu_probability(world: World, section: str, compat: Any = None) -> float:
    nll = world.answer_nll(section, "answer_ids")
    if section in {"qa_forget", "qa_retain"}:
        return truth.probability(nll).double().mean().item()
    pair = nll, world.answer_nll(section, "perturbed_ids")
    return result(ProbabilityWithOptions(compat=compat), *pair)


@adapter("model_utility")
def model_utility(world: World) -> Any:
    if world.section() == "hmean_values":
        return result(ModelUtility(), torch.tensor(world.given(), dtype=torch.float64))
    limit = world.params.get("max_new_tokens", 12)
    names = {"retain": "Retain", "real_authors": "Real Authors", "world_facts": "Real World"}
    rouges = {name: tofu_rouge(world, f"qa_{name}", limit)["agg"] for name in (*names, "forget")}
    ours: dict[str, float] = {}
    tofu: dict[str, float] = {}
    arithmetic: list[float] = []
    for name, title in {**names, "forget": "Forget"}.items():
        section = f"qa_{name}"
        tofu[f"ROUGE {title}"] = rouges[name]
        tofu[f"Prob. {title}"] = tofu_probability(world, section)
        tofu[f"Truth Ratio {title}"] = tofu_truth_ratio(world, section, "geometric")
        if name != "forget":
            ours[f"{name}p"] = tofu_probability(world, section, OPEN)
            ours[f"{name}r"] = rouges[name]
            ours[f"{name}t"] = tofu_truth_ratio(world, section, "geometric", OPEN)
            arithmetic += [
                tofu[f"ROUGE {title}"],
                tofu[f"Prob. {title}"],
                tofu_truth_ratio(world, section, "arithmetic"),
            ]
    kept = [value for key, value in tofu.items() if not key.endswith("Forget")]
    return {
        "tofu_aggregate_eval_stat": result(ModelUtility(), torch.tensor(kept).double()),
        "tofu_utils": result(ModelUtility(), torch.tensor(arithmetic).double()),
        "open_unlearning": result(ModelUtility(), torch.tensor(list(ours.values())).double()),
        "components_open_unlearning": ours,
        "components_tofu_aggregate": tofu,
    }


@adapter("forget_quality")
def forget_quality(world: World) -> Any:
    if world.section() == "ks_samples":
        sample = world.given()
        return result(ForgetQuality(sample["y"]), torch.tensor(sample["x"], dtype=torch.float64))
    ratios, gold = (
        truth.truth_ratio(
            world.answer_nll("qa_forget", "paraphrased_ids", model),
            world.answer_nll("qa_forget", "perturbed_ids", model),
        )
        for model in ("target", "reference")
    )
    p_value = result(ForgetQuality(gold.tolist()), ratios)
    return {
        "pvalue_tofu": p_value,
        "statistic_tofu": truth.kolmogorov_smirnov(ratios.tolist(), gold.tolist()).statistic,
        "pvalue_open_unlearning": p_value,
    }


def right_and_wrong(
    world: World, right: str, wrong: str = "perturbed_ids"
) -> tuple[Tensor, Tensor]:
    return world.answer_nll(world.section(), right), world.answer_nll(world.section(), wrong)
