"""Terms of the functions measured in other repositories, and of formulas as papers print them."""

from __future__ import annotations

from golden_objectives import Record
from golden_positions import Positions
from golden_terms import Term, on, recipe, retain_term

from unlearnkit.objectives import (
    DPO,
    IHL,
    NLL,
    NPO,
    UNDIAL,
    GradientAscent,
    RandomMismatch,
    RetainKL,
    RetainNLL,
    SimNPO,
)
from unlearnkit.objectives.base import Objective

TOFU, MUSE, WMDP = (f"Unlearn-Simple/{part}" for part in ("TOFU", "MUSE", "WMDP"))
LLM_UNLEARN = "llm_unlearn"


@recipe("ihl.IHL", "ihl.forget_only")
def ihl(record: Record) -> list[Term]:
    kept = [Term(RetainNLL())] if record.objective == "ihl.IHL" else []
    return [Term(IHL()), *kept]


@recipe("npo.npo", "npo.npo_grad_diff", "simnpo.npo_grad_diff", "npo.npo_KL")
def npo_repository(record: Record) -> list[Term]:
    h = record.hyperparameters
    terms = [Term(NPO(h.get("npo_coeff", 1.0), beta=h["beta"]))]
    if record.objective.endswith("_grad_diff"):
        terms.append(retain_term(record, h["grad_diff_coeff"]))
    if record.objective.endswith("_KL"):
        terms.append(retain_term(record, h["KL_coeff"], "KL"))
    return terms


@recipe("npo.dpo", "npo.dpo_grad_diff")
def dpo_repository(record: Record) -> list[Term]:
    kept = [Term(RetainNLL())] if record.objective.endswith("_grad_diff") else []
    return [Term(DPO(beta=record.hyperparameters["beta"])), *kept]


@recipe("simnpo.simnpo", "simnpo.simnpo_grad_diff")
def simnpo_repository(record: Record) -> list[Term]:
    h = record.hyperparameters
    weight = h.get("npo_coeff", 1.0)
    terms = [Term(SimNPO(weight, beta=h["beta"], gamma=h["gamma"], compat=TOFU))]
    if record.objective.endswith("_grad_diff"):
        terms.append(retain_term(record, h["grad_diff_coeff"]))
    return terms


@recipe("simnpo.muse.npo_gdr", "simnpo.muse.simnpo_gdr", "simnpo.muse.npo_klr")
def muse(record: Record) -> list[Term]:
    h = record.hyperparameters
    if record.objective.endswith("npo_klr"):
        # This variant forgets with weight 1 whatever the coefficient is.
        kept = RetainKL(h["coeff"], compat=MUSE)
        return [
            on("forget", Positions.EVERY, NPO(beta=h["beta"], compat=MUSE)),
            on("retain", Positions.EVERY, kept),
        ]
    forget: Objective = NPO(h["npo_coeff"], beta=h["beta"], compat=MUSE)
    if record.objective.endswith("simnpo_gdr"):
        forget = SimNPO(h["npo_coeff"], beta=h["beta"], gamma=h["gamma"], compat=MUSE)
    return [on("forget", Positions.EVERY, forget), retain_term(record, h["coeff"])]


@recipe("simnpo.wmdp.NPO_FT", "simnpo.wmdp.SimNPO_FT")
def wmdp(record: Record) -> list[Term]:
    h = record.hyperparameters
    forget = SimNPO if record.objective.endswith("SimNPO_FT") else NPO
    return [Term(forget(beta=h["beta"], compat=WMDP)), retain_term(record, h["gamma"])]


@recipe("llm_unlearn.ga")
def llm_unlearn_ga(record: Record, weight: float = 1.0) -> list[Term]:
    objective = GradientAscent(weight, compat=LLM_UNLEARN)
    return [on("forget", Positions.FROM_PROMPT_END, objective)]


@recipe("llm_unlearn.gd")
def llm_unlearn_gd(record: Record) -> list[Term]:
    (role,) = record.roles
    return [on(role, Positions.FROM_PROMPT_END, NLL(stream=role, compat=LLM_UNLEARN))]


@recipe("llm_unlearn.rand_ans")
def llm_unlearn_random_answers(record: Record) -> list[Term]:
    return [Term(RandomMismatch(stream="text", compat=LLM_UNLEARN))]


@recipe("llm_unlearn.kl")
def llm_unlearn_kl(record: Record, weight: float = 1.0) -> list[Term]:
    return [on("retain", Positions.EVERY, RetainKL(weight, compat=LLM_UNLEARN))]


@recipe("llm_unlearn.total")
def llm_unlearn_total(record: Record) -> list[Term]:
    h = record.hyperparameters
    mismatch = RandomMismatch(h["random_weight"], compat=LLM_UNLEARN)
    return [
        *llm_unlearn_ga(record, h["bad_weight"]),
        on("mismatch", Positions.FROM_PROMPT_END, mismatch),
        *llm_unlearn_kl(record, h["normal_weight"]),
    ]


def rows_or_mean(record: Record, role: str) -> float:
    """Factor of a mean over rows (of random answers: over prompts) that gives what is stored."""
    if record.hyperparameters["batch_reduction"] == "mean":
        return 1.0
    rows = record.rows(role)
    return len(set(rows.group)) or len(rows)


@recipe("textbook.fgt")
def llmu_forget(record: Record, weight: float = 1.0) -> list[Term]:
    weight *= rows_or_mean(record, "forget")
    return [Term(GradientAscent(weight, reduction="sequence_sum"))]


@recipe("textbook.rdn")
def llmu_random(record: Record, weight: float = 1.0) -> list[Term]:
    weight *= rows_or_mean(record, "mismatch")
    return [Term(RandomMismatch(weight, reduction="sequence_sum"))]


@recipe("textbook.nor")
def llmu_normal(record: Record, weight: float = 1.0) -> list[Term]:
    weight *= rows_or_mean(record, "retain")
    return [Term(RetainKL(weight, reduction="sequence_sum"))]


@recipe("textbook.total")
def llmu(record: Record) -> list[Term]:
    h = record.hyperparameters
    forget, random = llmu_forget(record, h["eps1"]), llmu_random(record, h["eps2"])
    return [*forget, *random, *llmu_normal(record, h["eps3"])]


@recipe("paper.SimNPO")
def simnpo_paper(record: Record) -> list[Term]:
    h = record.hyperparameters
    return [Term(SimNPO(beta=h["beta"], gamma=h["gamma"]))]


@recipe("textbook.UNDIAL")
def undial_paper(record: Record) -> list[Term]:
    return [Term(UNDIAL(beta=record.hyperparameters["beta"]))]
