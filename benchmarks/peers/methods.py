"""Twelve methods of open-unlearning, beside ours with a switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.peers.open_unlearning import Pairing
from benchmarks.peers.positions import Positions
from benchmarks.peers.sides import Objectives

LAYER = 2
"""The decoder block that RMU reads, of the embedded model's four."""


class Switch(NamedTuple):
    """What makes our loss theirs: ``compat`` of some objectives, or other positions of a stream."""

    compat: tuple[str, ...] = ()
    """Objectives, by their name in the pairing, that are given ``compat: open-unlearning``."""
    positions: Mapping[str, Positions] = {}

    def name(self) -> str:
        """As the table has it."""
        if self.compat:
            return "`compat: open-unlearning`"
        return ", ".join(f"positions of `{name}`: {at}" for name, at in self.positions.items())

    def laid_over(self, objectives: Objectives) -> Objectives:
        """The objectives with ``compat`` where it is given."""
        more = {"compat": "open-unlearning"}
        return {k: {**v, **more} if k in self.compat else v for k, v in objectives.items()}


class Method(NamedTuple):
    """A method of the checkout and our objectives of the same paper."""

    pairing: Pairing
    switch: Switch | None = None


_NLL: Mapping[str, Any] = {"name": "retain_nll"}
_ASCENT: Mapping[str, Any] = {"name": "gradient_ascent"}
_HIDDEN: Mapping[str, Any] = {"name": "retain_hidden", "layer": LAYER}


def _pair(module: str, cls: str, arguments: Mapping[str, Any], **ours: Mapping[str, Any]) -> Method:
    return Method(Pairing(module, cls, arguments, ours))


METHODS: Mapping[str, Method] = {
    "GradAscent": _pair("grad_ascent", "GradAscent", {}, forget=_ASCENT),
    "GradDiff": _pair("grad_diff", "GradDiff", {}, forget=_ASCENT, retain=_NLL),
    "GradDiff-KL": _pair(
        "grad_diff",
        "GradDiff",
        {"retain_loss_type": "KL"},
        forget=_ASCENT,
        retain={"name": "retain_kl"},
    )._replace(switch=Switch(positions={"retain": "every"})),
    "NPO": _pair("npo", "NPO", {"beta": 0.1}, forget={"name": "npo", "beta": 0.1}, retain=_NLL),
    "SimNPO": _pair(
        "simnpo",
        "SimNPO",
        {"beta": 4.5, "delta": 0.5, "gamma": 0.125},  # a margin, since 0 hides where it stands
        forget={"name": "simnpo", "beta": 4.5, "gamma": 0.5, "weight": 0.125},
        retain=_NLL,
    )._replace(switch=Switch(compat=("forget",))),
    "DPO": _pair("dpo", "DPO", {"beta": 0.1}, forget={"name": "dpo", "beta": 0.1}, retain=_NLL),
    "RMU": _pair(
        "rmu",
        "RMU",
        {
            "module_regex": rf"model\.layers\.{LAYER}",
            "trainable_params_regex": [".*"],
            "steering_coeff": 2.0,
            "retain_loss_type": "EMBED_DIFF",
        },
        forget={"name": "rmu", "layer": LAYER, "steering": 2.0},
        retain=_HIDDEN,
    )._replace(switch=Switch(compat=("forget", "retain"))),
    "UNDIAL": _pair(
        "undial",
        "UNDIAL",
        {"beta": 10.0},
        forget={"name": "undial", "beta": 10.0},
        retain=_NLL,
    )._replace(switch=Switch(positions={"forget": "shifted"})),
    "CE-U": _pair(
        "ceu",
        "CEU",
        {"ignore_first_n_answer_tokens": 1},
        forget={"name": "ceu", "ignore_first_n": 1},
    ),
    "WGA": _pair(
        "wga",
        "WGA",
        {"beta": 1.0},
        forget={"name": "weighted_gradient_ascent", "beta": 1.0},
        retain=_NLL,
    ),
    "SatImp": _pair(
        "satimp",
        "SatImp",
        {"beta1": 5.0, "beta2": 1.0, "gamma": 1.0, "alpha": 0.1},
        forget={"name": "satimp", "beta1": 5.0, "beta2": 1.0},
        retain={**_NLL, "weight": 0.1},
    ),
    "PDU": _pair(
        "pdu",
        "PDU",
        {"retain_loss_eps": 0.3, "primal_dual": True, "dual_step_size": 5.0, "alpha": 100.0},
        forget={"name": "pdu", "retain_bound": 0.3, "dual": 100.0, "dual_step_size": 5.0},
    )._replace(switch=Switch(positions={"forget": "holding"})),
}
