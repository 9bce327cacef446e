"""Terms of the functions measured in the open-unlearning repository."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from golden_objectives import Record
from golden_positions import Positions
from golden_terms import Term, on, recipe, retain_term
from torch import Tensor

from unlearnkit.objectives import (
    CEU,
    DPO,
    NLL,
    NPO,
    PDU,
    RMU,
    UNDIAL,
    GradientAscent,
    RetainHidden,
    SatImp,
    SimNPO,
    WeightedGradientAscent,
)
from unlearnkit.objectives.base import Objective

COMPAT = "open-unlearning"


class GivenDirection(RMU):
    """RMU towards a stored direction instead of one it draws."""

    def __init__(self, direction: Tensor, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.direction = direction

    def control_vector(self, size: int) -> Tensor:
        return self.steering * self.direction


def open_unlearning(record: Record, forget: Callable[..., Objective], **arguments: Any) -> Term:
    """The forget term; that repository's ``gamma`` is its weight."""
    return Term(forget(weight=record.hyperparameters["gamma"], **arguments))


def open_unlearning_retain(record: Record) -> Term:
    h = record.hyperparameters
    return retain_term(record, h["alpha"], h["retain_loss_type"])


@recipe("ou.GradAscent")
def grad_ascent(record: Record) -> list[Term]:
    return [Term(GradientAscent())]


@recipe("ou.GradDiff")
def grad_diff(record: Record) -> list[Term]:
    return [open_unlearning(record, GradientAscent), open_unlearning_retain(record)]


@recipe("ou.kl_retain")
def kl_retain(record: Record) -> list[Term]:
    return [retain_term(record, 1.0, "KL")]


@recipe("ou.batch_nll")
def batch_nll(record: Record) -> list[Term]:
    return [Term(NLL(len(record.rows("forget")), reduction="sequence_sum"))]


@recipe("ou.NPO")
def npo(record: Record) -> list[Term]:
    beta = record.hyperparameters["beta"]
    return [open_unlearning(record, NPO, beta=beta), open_unlearning_retain(record)]


@recipe("ou.SimNPO")
def simnpo(record: Record) -> list[Term]:
    h = record.hyperparameters
    forget = open_unlearning(record, SimNPO, beta=h["beta"], gamma=h["delta"], compat=COMPAT)
    return [forget, open_unlearning_retain(record)]


@recipe("ou.DPO", "ou.AltPO")
def dpo(record: Record) -> list[Term]:
    beta = record.hyperparameters["beta"]
    return [open_unlearning(record, DPO, beta=beta), open_unlearning_retain(record)]


@recipe("ou.UNDIAL")
def undial(record: Record) -> list[Term]:
    h = record.hyperparameters
    forget = on("forget", Positions.SHIFTED, UNDIAL(weight=h["gamma"], beta=h["beta"]))
    return [forget, open_unlearning_retain(record)]


@recipe("ou.CEU")
def ceu(record: Record) -> list[Term]:
    skipped = record.hyperparameters["ignore_first_n_answer_tokens"]
    return [Term(CEU(ignore_first_n=skipped))]


@recipe("ou.WGA")
def wga(record: Record) -> list[Term]:
    beta = record.hyperparameters["beta"]
    forget = open_unlearning(record, WeightedGradientAscent, beta=beta)
    return [forget, open_unlearning_retain(record)]


@recipe("ou.SatImp")
def satimp(record: Record) -> list[Term]:
    h = record.hyperparameters
    forget = open_unlearning(record, SatImp, beta1=h["beta1"], beta2=h["beta2"])
    return [forget, open_unlearning_retain(record)]


@recipe("ou.PDU")
def pdu(record: Record) -> list[Term]:
    h = record.hyperparameters
    objective = PDU(
        gamma=h["gamma"],
        retain_bound=h["retain_loss_eps"],
        dual=h["alpha"],
        dual_step_size=h["dual_step_size"],
    )
    return [on("forget", Positions.HOLDING, objective)]


@recipe("ou.RMU", "textbook.RMU")
def rmu(record: Record) -> list[Term]:
    h = record.hyperparameters
    layer = int(re.findall(r"\d+", h["module_regex"])[-1])
    compat = COMPAT if record.objective == "ou.RMU" else None
    forget = GivenDirection(
        record.control_vector(),
        weight=h["gamma"],
        layer=layer,
        steering=h["steering_coeff"],
        compat=compat,
    )
    terms = [on("forget", Positions.HOLDING, forget)]
    if h["retain_loss_type"] == "EMBED_DIFF":
        kept = RetainHidden(weight=h["alpha"], layer=layer, compat=compat)
        return [*terms, on("retain", Positions.HOLDING, kept)]
    return [*terms, open_unlearning_retain(record)]
