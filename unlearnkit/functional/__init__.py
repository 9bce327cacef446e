"""Pure functions of tensors: the maths of losses and metrics.

A function gives one value for each token (``[N]``) or for each sequence (``[S]``) wherever the
loss is their plain mean, so that the caller chooses the average.
"""

from unlearnkit.functional.activation import control_vector, rmu
from unlearnkit.functional.bounded import jensen_shannon, jensun, unilogit
from unlearnkit.functional.core import row_mean, row_sum, token_logps
from unlearnkit.functional.displacement import ceu, ihl, unlikelihood
from unlearnkit.functional.distillation import undial
from unlearnkit.functional.divergence import forward_kl, reverse_kl, uniform_kl
from unlearnkit.functional.f_divergence import flat
from unlearnkit.functional.invariance import dummy_slope
from unlearnkit.functional.logit_rules import offset_logits, uld_logits, whp_logits
from unlearnkit.functional.lunar import descended, redirection
from unlearnkit.functional.parameters import l2, orthogonal_lora
from unlearnkit.functional.preference import (
    answer_preservation,
    d2o,
    dpo,
    npo,
    safe_unlearning,
    simnpo,
)
from unlearnkit.functional.primal_dual import dual_step, pdu
from unlearnkit.functional.weighted import satimp, wga

__all__ = [
    "answer_preservation",
    "ceu",
    "control_vector",
    "d2o",
    "descended",
    "dpo",
    "dual_step",
    "dummy_slope",
    "flat",
    "forward_kl",
    "ihl",
    "jensen_shannon",
    "jensun",
    "l2",
    "npo",
    "offset_logits",
    "orthogonal_lora",
    "pdu",
    "redirection",
    "reverse_kl",
    "rmu",
    "row_mean",
    "row_sum",
    "safe_unlearning",
    "satimp",
    "simnpo",
    "token_logps",
    "uld_logits",
    "undial",
    "uniform_kl",
    "unilogit",
    "unlikelihood",
    "wga",
    "whp_logits",
]
