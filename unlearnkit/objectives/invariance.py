"""A penalty that makes finetuning on other rows start from a rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.functional.invariance import dummy_slope
from unlearnkit.objectives.base import Objective


class ILU(Objective, name="ilu"):
    r"""Keeps the model at rest on rows that somebody may finetune on: the invariance penalty.

    $$\sum_i \left(\nabla_{w|w=1}\, \ell_i(w \circ \theta)\right)^2
      = \sum_i \left(\frac{1}{N_i} \sum_t \left[-\log p_\theta(y_t) - H(p_{\theta,t})\right]
      \right)^2$$

    with $\ell_i$ the negative log-likelihood of environment $i$, a stream of rows that have
    nothing to do with what is forgotten, and $w$ a factor on the logits (IRMv1). It is added to any
    method; its weight is the paper's $\lambda$.

    The square is taken of the mean over the rows of a step: it cannot be computed in micro-batches,
    and of several processes each has a mean of its own.

    Args:
        weight: Factor of the penalty in the total, at least 0.
        stream: Name of the only environment's stream.
        environments: Names of the environments' streams, in place of ``stream``.

    Raises:
        RecipeError: If ``environments`` is empty, names one twice, or stands beside ``stream``.

    References:
        Wang et al. 2025, "Invariance Makes LLM Unlearning Resilient Even to Unanticipated
        Downstream Fine-Tuning" (ILU), arXiv 2506.01339: the formula, one unrelated environment,
        and a $\lambda$ of 0.05 to 0.1, by summaries that quote them: the text itself was not at
        hand, and its repository has no code of the penalty. That $w$ is a
        scalar before the softmax is IRMv1's (Arjovsky et al. 2019, arXiv 1907.02893).
    """

    default_stream = "benign"
    additive = False
    paper = "Wang et al. 2025, arXiv 2506.01339"
    ranges = {"weight": {"log": [0.01, 1.0]}}

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        environments: Sequence[str] | None = None,
    ) -> None:
        super().__init__(weight, stream)
        if environments is not None and (
            stream is not None or not environments or len(set(environments)) < len(environments)
        ):
            raise RecipeError(
                f"ilu: environments are one or more streams, each once, in place of stream; found "
                f"{list(environments)}" + (f" beside stream {stream!r}" if stream else "")
            )
        self.environments = (self.stream,) if environments is None else tuple(environments)

    @property
    def streams(self) -> tuple[str, ...]:
        """The environments."""
        return self.environments

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """The sum of squares over the environments."""
        found = [views[name] for name in self.environments]
        slopes = [view.mean(dummy_slope(view.logps, view.entropy())) for view in found]
        return torch.stack(slopes).square().sum()
