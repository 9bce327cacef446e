"""Metrics of membership attacks.

An attack's scores come from `unlearnkit.functional.membership`; higher means less like a member.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnkit.functional import membership as functional
from unlearnkit.functional.tofu import OpenUnlearning, privleak
from unlearnkit.metrics.base import UnlearningMetric


class _TwoSets(UnlearningMetric):
    """Scores of forget rows and of held-out rows; rows without a score (nan) are left out."""

    direction = "gold"
    needs = keys = ("score", "is_forget")

    def per_row(self, *columns: Any) -> Tensor:
        """From scores ``[S]``, and whether each is of a forget row or a held-out row ``[S]``.

        Row numbers are those of one list of both sets.
        """
        return torch.stack([torch.as_tensor(each).double() for each in columns], dim=1)


def _sets(scores: Sequence[float], is_forget: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Scores of the forget rows, and of the held-out rows."""
    every, forget = torch.tensor(scores, dtype=torch.double), torch.tensor(is_forget) == 1
    return every[forget], every[~forget]


class MembershipAUC(_TwoSets, name="membership_auc"):
    """Probability that a held-out row scores higher than a forget row, ties counted half.

    Example:
        >>> MembershipAUC()([1.0, 2.0, 2.0, 3.0], [1, 1, 0, 0]).item()
        0.875
    """

    value_range = "0 to 1"
    formula = (
        r"\frac{1}{|F||H|} \sum_{f \in F} \sum_{h \in H} \bigl([s_h > s_f] + \tfrac{1}{2} [s_h "
        r"= s_f]\bigr)"
    )
    good = (
        "about 0.5, the gold model's; 1: each forget row looks trained on; well below 0.5: "
        "unlearning itself gives the rows away"
    )
    source = "Hanley and McNeil 1982; Shi et al. 2024, arXiv 2407.06460"

    def aggregate(self, scores: Sequence[float], is_forget: Sequence[float]) -> float:
        """The area under the ROC curve."""
        return functional.auc(*_sets(scores, is_forget))


class MembershipTPR(_TwoSets, name="membership_tpr"):
    """Share of forget rows found while at most a given share of held-out rows is found wrongly.

    Args:
        false_positive_rate: That share.

    Example:
        >>> MembershipTPR()([1.0, 2.5, 2.0, 3.0], [1, 1, 0, 0]).item()
        0.5
    """

    value_range = "0 to 1"
    formula = (
        r"\max_\tau\, \frac{|\{f \in F : s_f < \tau\}|}{|F|} \quad \text{where} \quad "
        r"\frac{|\{h \in H : s_h < \tau\}|}{|H|} \le \alpha"
    )
    good = "the gold model's, near the false positive rate, which guessing has"
    source = "Carlini et al. 2022, arXiv 2112.03570, sec. 3"

    def __init__(self, false_positive_rate: float = 0.01, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.false_positive_rate = false_positive_rate

    def aggregate(self, scores: Sequence[float], is_forget: Sequence[float]) -> float:
        """The true positive rate."""
        return functional.true_positive_rate(*_sets(scores, is_forget), self.false_positive_rate)


class PrivLeak(_TwoSets, name="privleak"):
    """Change of a membership attack's error against the retrained model's, in percent.

    Args:
        auc_gold: The attack's AUC on the retrained model, in the sense of `MembershipAUC`; None
            to compute it from a third input, the retrained model's scores of the same rows.
        compat: ``open-unlearning`` adds 1e-10 to the divisor.

    Example:
        >>> PrivLeak(auc_gold=0.5)([1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0]).item()
        -100.0
    """

    value_range = "-100 to 100 at an AUC of 0.5 of the retrained model"
    formula = (
        r"100 \cdot \frac{(1 - \mathrm{AUC}) - (1 - \mathrm{AUC}_\mathrm{gold})}{1 - "
        r"\mathrm{AUC}_\mathrm{gold}}"
    )
    direction = "zero"
    good = "-5 to 5; far below: still looks trained on; far above: over-unlearned"
    source = "Shi et al. 2024, arXiv 2407.06460, eq. 4"

    def __init__(
        self, auc_gold: float | None = 0.5, compat: OpenUnlearning | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.auc_gold = auc_gold
        if auc_gold is None:
            self.keys = (*self.keys, "gold_score")
        self.compat: OpenUnlearning | None = compat

    def aggregate(
        self, scores: Sequence[float], is_forget: Sequence[float], gold: Sequence[float] = ()
    ) -> float:
        """Percent; nan if the retrained model makes no error."""
        auc = functional.auc(*_sets(scores, is_forget))
        known = self.auc_gold
        auc_gold = functional.auc(*_sets(gold, is_forget)) if known is None else known
        return privleak(auc, auc_gold, compat=self.compat)
