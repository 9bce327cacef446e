"""Loss adjustment by f-divergences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, get_args

from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.functional.f_divergence import Divergence, forget_term, template_term
from unlearnkit.objectives.base import Objective

_REPOSITORY = "FLAT"
_CODE_FORGET_TERMS: dict[str, Callable[[Tensor], Tensor]] = {
    "jeffrey": lambda v: v + v.square() / 4 + v.pow(3) / 16,
    "neyman": lambda v: 2 - 2 * (1 - v).sqrt(),
}


class FLAT(Objective, name="flat"):
    r"""Learns a template (refusal) and unlearns the forget response by an f-divergence.

    $$\frac{1}{S} \sum_i \left[-g^*(P(y^e_i)) + f^*(g^*(P(y^f_i)))\right], \quad
      P(y) = \frac{1}{|y|} \sum_t p_\theta(y_t)$$

    The table of $g^*$ and $f^*$ is in `unlearnkit.functional.f_divergence`.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream of forget responses.
        template: Name of the stream of template responses to the same prompts.
        divergence: ``total_variation``, ``kl``, ``reverse_kl``, ``jeffrey``,
            ``squared_hellinger``, ``pearson``, ``neyman`` or ``jensen_shannon``.
        compat: ``FLAT`` for that repository's value.

    References:
        Wang et al. 2024, "LLM Unlearning via Loss Adjustment with Only Forget Data" (FLAT),
        arXiv 2410.11143.
    """

    paper = "Wang et al. 2024, arXiv 2410.11143"
    compat_values: ClassVar[Mapping[str, str]] = {
        _REPOSITORY: (
            "P is the token mean of the batch, not of each response; the conjugate of jeffrey is "
            "its Taylor series, that of neyman is applied to P instead of g*(P)"
        )
    }

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        template: str = "idk",
        divergence: Divergence = "total_variation",
        compat: str | None = None,
    ) -> None:
        super().__init__(weight, stream)
        if divergence not in get_args(Divergence):
            raise RecipeError(
                f"flat: divergence is one of {', '.join(get_args(Divergence))}, "
                f"found '{divergence}'"
            )
        self.template = template
        self.divergence: Divergence = divergence
        self.compat = self.check_compat(compat)
        self.additive = compat is None

    @property
    def streams(self) -> tuple[str, ...]:
        """The forget and the template stream."""
        return (self.stream, self.template)

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Sum of both terms, each a mean over its own responses."""
        forget, template = views[self.stream], views[self.template]
        p_forget, p_template = forget.logps.exp(), template.logps.exp()
        if self.compat is None:
            gain = template_term(template.row_mean(p_template), self.divergence)
            loss = forget_term(forget.row_mean(p_forget), self.divergence)
            return template.sequence_mean(gain) + forget.sequence_mean(loss)
        mean = forget.mean(p_forget)
        code = _CODE_FORGET_TERMS.get(self.divergence)
        loss = code(mean) if code else forget_term(mean, self.divergence)
        return template_term(template.mean(p_template), self.divergence) + loss
