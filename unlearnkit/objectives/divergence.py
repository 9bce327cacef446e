"""Divergences of the policy from the reference or a uniform distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.functional.divergence import reverse_kl, uniform_kl
from unlearnkit.objectives.reduction import LLM_UNLEARN, Reduction, TokenObjective

Direction = Literal["forward", "reverse"]

_MUSE = "Unlearn-Simple/MUSE"


class RetainKL(TokenObjective, name="retain_kl"):
    r"""Keeps the policy near the reference on retain responses.

    $$\frac{1}{N} \sum_t \mathrm{KL}(p_\mathrm{ref} \| p_\theta)$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        direction: ``forward`` KL(reference ‖ policy), or ``reverse`` KL(policy ‖ reference).
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.
        compat: ``llm_unlearn``: cross-entropy to the reference instead of the KL.
            ``Unlearn-Simple/MUSE``: raw logits where log-probabilities belong, summed over tokens
            and averaged over sequences.

    Raises:
        RecipeError: For another direction, or ``compat`` with ``direction: reverse``.

    References:
        Yao et al. 2023, "Large Language Model Unlearning", arXiv 2310.10683, L_nor.
        Maini et al. 2024, "TOFU", arXiv 2401.06121 (KL minimisation).
    """

    default_stream = "retain"
    needs = frozenset({"reference"})
    paper = "Yao et al. 2023, arXiv 2310.10683"
    compat_values: ClassVar[Mapping[str, str]] = {
        LLM_UNLEARN: (
            "cross-entropy -sum p_ref log(p + 1e-12): the entropy of the reference is not "
            "subtracted, so it is not 0 at the start"
        ),
        _MUSE: "sum of exp(z_ref)(z_ref - z) over raw logits, divided by sequences: not a KL",
    }

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        direction: Direction = "forward",
        reduction: Reduction | None = None,
        compat: str | None = None,
    ) -> None:
        super().__init__(weight, stream, "sequence_sum" if compat == _MUSE else reduction)
        if direction not in get_args(Direction):
            raise RecipeError(
                f"retain_kl: direction is 'forward' or 'reverse', found '{direction}'"
            )
        self.direction: Direction = direction
        self.compat = self.check_compat(compat)
        if compat and direction == "reverse":
            raise RecipeError(f"retain_kl: compat '{compat}' has direction 'forward' only")
        if compat or direction == "reverse":
            self.needs = frozenset({"reference", "logits"})

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` divergences."""
        if self.compat == LLM_UNLEARN:
            return -(view.ref_logits.softmax(-1) * (view.logits.softmax(-1) + 1e-12).log()).sum(-1)
        if self.compat == _MUSE:
            return (view.ref_logits.exp() * (view.ref_logits - view.logits)).sum(-1)
        if self.direction == "reverse":
            return reverse_kl(view.logits, view.ref_logits)
        return view.forward_kl()


class NegativeKL(TokenObjective, name="negative_kl"):
    r"""Drives the policy away from the reference: SKU's preservation divergence, stage 1.

    $$-\frac{1}{N} \sum_t \mathrm{KL}(p_\mathrm{ref} \| p_\theta)$$

    Unbounded below, and without gradient at the start.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    References:
        Liu et al. 2024, "Towards Safer Large Language Models through Machine Unlearning" (SKU),
        arXiv 2402.10058.
    """

    default_stream = "retain"
    needs = frozenset({"reference"})
    paper = "Liu et al. 2024, arXiv 2402.10058"

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` negated divergences."""
        return -view.forward_kl()


class UniformKL(TokenObjective, name="uniform_kl"):
    r"""Draws the prediction towards the uniform distribution: ULD's assistant on retain data.

    $$\frac{1}{N} \sum_t \mathrm{KL}(U \| p_\theta)$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    References:
        Ji et al. 2024, "Reversing the Forget-Retain Objectives" (ULD), arXiv 2406.08607.
    """

    default_stream = "retain"
    needs = frozenset({"logits"})
    paper = "Ji et al. 2024, arXiv 2406.08607"

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` divergences from the uniform distribution."""
        return uniform_kl(view.logits)
