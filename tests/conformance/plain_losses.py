"""A few published losses in slow, plain torch: row by row, position by position.

They share nothing with the package. ``run(role)`` gives a batch's rows, each a `Row` of a padded
forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass
class Row:
    """One padded row: what went in, and what the two models gave for it."""

    ids: list[int]
    labels: list[int]
    logits: Tensor  # [S, V]
    ref_logits: Tensor
    hidden: Tensor  # [S, H] output of the first block
    ref_hidden: Tensor

    def targets(self) -> list[tuple[int, int]]:
        """Positions that predict a label, and the label."""
        return [(t, y) for t, y in enumerate(self.labels[1:]) if y != -100]

    def holding(self) -> list[int]:
        return [t for t, y in enumerate(self.labels) if y != -100]

    def nll(self, reference: bool = False) -> Tensor:
        """``[R]``."""
        logps = (self.ref_logits if reference else self.logits).log_softmax(-1)
        return torch.stack([-logps[t, y] for t, y in self.targets()])


Run = Callable[[str], list[Row]]
Loss = Callable[[Run, dict[str, Any]], Tensor]
LOSSES: dict[str, Loss] = {}


def loss(name: str) -> Callable[[Loss], Loss]:
    def register(function: Loss) -> Loss:
        LOSSES[name] = function
        return function

    return register


def token_mean(rows: list[Row]) -> Tensor:
    return torch.cat([row.nll() for row in rows]).mean()


def kl_everywhere(rows: list[Row]) -> Tensor:
    total = torch.tensor(0.0)
    for row in rows:
        for z, z_ref in zip(row.logits, row.ref_logits, strict=True):
            p = z_ref.softmax(-1)
            total = total + (p * (p.log() - z.log_softmax(-1))).sum()
    return total / (len(rows) * len(rows[0].ids))


@loss("ou.GradAscent")
def grad_ascent(run: Run, h: dict[str, Any]) -> Tensor:
    return -token_mean(run("forget"))


@loss("ou.GradDiff")
def grad_diff_kl(run: Run, h: dict[str, Any]) -> Tensor:
    assert h["retain_loss_type"] == "KL"
    return -h["gamma"] * token_mean(run("forget")) + h["alpha"] * kl_everywhere(run("retain"))


@loss("ou.NPO")
def npo(run: Run, h: dict[str, Any]) -> Tensor:
    terms = [
        -2 / h["beta"] * logsigmoid(h["beta"] * (row.nll().sum() - row.nll(True).sum()))
        for row in run("forget")
    ]
    return h["gamma"] * torch.stack(terms).mean() + h["alpha"] * token_mean(run("retain"))


@loss("ou.DPO")
def dpo(run: Run, h: dict[str, Any]) -> Tensor:
    terms = []
    for lost, won in zip(run("forget"), run("alternate"), strict=True):
        gap = (won.nll(True) - won.nll()).sum() - (lost.nll(True) - lost.nll()).sum()
        terms.append(-2 / h["beta"] * logsigmoid(h["beta"] * gap))
    return h["gamma"] * torch.stack(terms).mean() + h["alpha"] * token_mean(run("retain"))


@loss("ou.CEU")
def ceu(run: Run, h: dict[str, Any]) -> Tensor:
    terms = []
    for row in run("forget"):
        for t, y in row.targets()[h["ignore_first_n_answer_tokens"] :]:
            odds = row.logits[t].detach().exp()
            odds[y] = 0
            terms.append(-(odds / odds.sum() * row.logits[t].log_softmax(-1)).sum())
    return torch.stack(terms).mean() if terms else torch.tensor(float("nan"))


@loss("ou.UNDIAL")
def undial(run: Run, h: dict[str, Any]) -> Tensor:
    terms = []
    for row in run("forget"):
        for t, y in enumerate(row.labels[1:]):
            teacher = row.ref_logits[t].clone()
            teacher[y] -= h["beta"]
            terms.append(-(teacher.softmax(-1) * row.logits[t].log_softmax(-1)).sum())
    return h["gamma"] * torch.stack(terms).mean() + h["alpha"] * token_mean(run("retain"))


@loss("ou.PDU")
def pdu(run: Run, h: dict[str, Any]) -> Tensor:
    heights = [row.logits[t].max() - row.logits[t].mean() for row in run("forget")
               for t in row.holding()]  # fmt: skip
    retain = token_mean(run("retain")) - h["retain_loss_eps"]
    return h["gamma"] * torch.stack(heights).square().mean() + h["alpha"] * retain


@loss("ou.RMU")
def rmu(run: Run, h: dict[str, Any]) -> Tensor:
    def broadcast(rows: list[Row], to: Callable[[Row, int], Tensor]) -> Tensor:
        sums = [
            sum((row.hidden[t] - to(row, t)).square().mean() for t in row.holding()) for row in rows
        ]
        return torch.stack([s / len(row.holding()) for s in sums for row in rows]).mean()

    forget = broadcast(run("forget"), lambda row, t: h["steering_coeff"] * h["direction"])
    retain = broadcast(run("retain"), lambda row, t: row.ref_hidden[t])
    return h["gamma"] * forget + h["alpha"] * retain


@loss("ihl.forget_only")
def ihl(run: Run, h: dict[str, Any]) -> Tensor:
    terms = []
    for row in run("forget"):
        for t, y in row.targets():
            p = row.logits[t].softmax(-1)
            others = torch.cat([p[:y], p[y + 1 :]])
            terms.append((1 + p[y] - others.max()).relu())
    return torch.stack(terms).mean()


@loss("simnpo.muse.simnpo_gdr")
def muse_simnpo(run: Run, h: dict[str, Any]) -> Tensor:
    z = torch.stack([row.logits for row in run("forget")])
    forget = -2 / h["beta"] * logsigmoid(h["beta"] * (-z - h["gamma"])).mean()
    return h["npo_coeff"] * forget + h["coeff"] * token_mean(run("retain"))


@loss("llm_unlearn.ga")
def llm_unlearn_ga(run: Run, h: dict[str, Any]) -> Tensor:
    terms = []
    for row in run("forget"):
        start = row.holding()[0] - 1
        counted = [t for t in range(start, len(row.ids)) if row.ids[t] != 1]
        predicted = dict(row.targets())
        logps = row.logits.log_softmax(-1)
        kept = [logps[t, predicted[t]] for t in counted if t in predicted]
        terms.append(torch.stack(kept).sum() / len(counted))
    return torch.stack(terms).mean()


@loss("llm_unlearn.kl")
def llm_unlearn_kl(run: Run, h: dict[str, Any]) -> Tensor:
    terms = [
        -(z_ref.softmax(-1) * (z.softmax(-1) + 1e-12).log()).sum()
        for row in run("retain")
        for z, z_ref in zip(row.logits, row.ref_logits, strict=True)
    ]
    return torch.stack(terms).mean()
