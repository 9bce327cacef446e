"""Objectives of the form ``-log sigmoid`` on sequence log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, get_args

from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.functional import preference as functional
from unlearnkit.functional.preference import Scale
from unlearnkit.objectives.base import Objective, positive
from unlearnkit.objectives.pairing import partners, sum_by_partner

_TOFU = "Unlearn-Simple/TOFU"
_MUSE = "Unlearn-Simple/MUSE"
_WMDP = "Unlearn-Simple/WMDP"
_OPEN_UNLEARNING = "open-unlearning"


class NPO(Objective, name="npo"):
    r"""Negative preference optimisation: gradient ascent that fades as a response is forgotten.

    $$-\frac{2}{\beta} \frac{1}{S} \sum_i \log\sigma\!\left(-\beta
      \log\frac{\pi_\theta(y_i|x_i)}{\pi_\mathrm{ref}(y_i|x_i)}\right)$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        beta: Inverse temperature, above 0; 0.1 is tuned for sums over tokens.
        compat: ``Unlearn-Simple/MUSE``: raw logits of the whole vocabulary instead of
            log-probabilities. ``Unlearn-Simple/WMDP``: token mean of the batch instead of
            sequence sums.

    References:
        Zhang et al. 2024, "Negative Preference Optimization", arXiv 2404.05868, eq. 3.
    """

    needs = frozenset({"reference"})
    paper = "Zhang et al. 2024, arXiv 2404.05868"
    ranges = {"beta": {"log": [0.02, 0.5]}}
    compat_values: ClassVar[Mapping[str, str]] = {
        _MUSE: "mean over tokens and vocabulary of raw logits; adding a constant changes it",
        _WMDP: "one log-sigmoid of the batch's token mean, so it depends on the batch",
    }

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        beta: float = 0.1,
        compat: str | None = None,
    ) -> None:
        super().__init__(weight, stream)
        positive("npo", beta=beta)
        self.beta = beta
        self.compat = self.check_compat(compat)
        self.additive = compat != _WMDP
        if compat == _MUSE:
            self.needs = frozenset({"reference", "logits"})

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Mean over sequences."""
        view = views[self.stream]
        if self.compat == _MUSE:
            return view.mean(functional.npo(view.logits, view.ref_logits, self.beta).mean(-1))
        if self.compat == _WMDP:
            return functional.npo(view.mean(view.logps), view.mean(view.ref_logps), self.beta)
        logps, ref_logps = view.row_sum(view.logps), view.row_sum(view.ref_logps)
        return view.sequence_mean(functional.npo(logps, ref_logps, self.beta))


class SimNPO(Objective, name="simnpo"):
    r"""NPO without a reference, normalised by the response's length.

    $$-\frac{2}{\beta} \frac{1}{S} \sum_i \log\sigma\!\left(
      -\frac{\beta}{|y_i|} \log\pi_\theta(y_i|x_i) - \gamma\right)$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        beta: Inverse temperature, above 0.
        gamma: Margin.
        compat: ``open-unlearning`` and ``Unlearn-Simple/TOFU``: margin inside ``beta``.
            ``Unlearn-Simple/MUSE``: raw logits of the whole vocabulary.
            ``Unlearn-Simple/WMDP``: token mean of the batch.

    References:
        Fan et al. 2024, "Simplicity Prevails" (SimNPO), arXiv 2410.07163.
    """

    paper = "Fan et al. 2024, arXiv 2410.07163"
    ranges = {"beta": {"log": [0.5, 10.0]}, "gamma": {"uniform": [0.0, 2.0]}}
    compat_values: ClassVar[Mapping[str, str]] = {
        _OPEN_UNLEARNING: "margin inside beta: beta * (NLL - gamma); there called delta",
        _TOFU: "margin inside beta: beta * (NLL - gamma)",
        _MUSE: "mean over tokens and vocabulary of raw logits; adding a constant changes it",
        _WMDP: "one log-sigmoid of the batch's token mean, so it depends on the batch",
    }

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        beta: float = 4.5,
        gamma: float = 0.0,
        compat: str | None = None,
    ) -> None:
        super().__init__(weight, stream)
        positive("simnpo", beta=beta)
        self.beta = beta
        self.gamma = gamma
        self.compat = self.check_compat(compat)
        self.additive = compat != _WMDP
        if compat == _MUSE:
            self.needs = frozenset({"logits"})

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Mean over sequences."""
        view = views[self.stream]
        gamma = self.gamma if self.compat is None else self.beta * self.gamma
        if self.compat == _MUSE:
            return view.mean(functional.simnpo(view.logits, self.beta, gamma).mean(-1))
        if self.compat == _WMDP:
            return functional.simnpo(view.mean(view.logps), self.beta, gamma)
        return view.sequence_mean(functional.simnpo(view.row_mean(view.logps), self.beta, gamma))


class DPO(Objective, name="dpo"):
    r"""Prefers another response to the forget response; IdkDPO and AltPO by choice of stream.

    $$-\frac{2}{\beta} \frac{1}{S} \sum_i \log\sigma\!\left(
      \beta \log\frac{\pi_\theta(y^w_i|x_i)}{\pi_\mathrm{ref}(y^w_i|x_i)}
      - \beta \log\frac{\pi_\theta(y^l_i|x_i)}{\pi_\mathrm{ref}(y^l_i|x_i)}\right)$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream of rejected (forget) responses.
        preferred: Name of the stream of preferred responses, paired with the other by row:
            refusals for IdkDPO, alternate answers for AltPO.
        beta: Inverse temperature, above 0.
        scale: ``npo``: factor 2/beta, as unlearning code has it; ``dpo``: factor 1, the original.

    References:
        Rafailov et al. 2023, "Direct Preference Optimization", arXiv 2305.18290, eq. 7.
        Zhang et al. 2024, arXiv 2404.05868 (IdkDPO). Mekala et al. 2024, arXiv 2409.13474 (AltPO).
    """

    needs = frozenset({"reference"})
    paper = "Rafailov et al. 2023, arXiv 2305.18290"
    ranges = {"beta": {"log": [0.02, 0.5]}}

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        preferred: str = "alternate",
        beta: float = 0.1,
        scale: Scale = "npo",
    ) -> None:
        super().__init__(weight, stream)
        positive("dpo", beta=beta)
        if scale not in get_args(Scale):
            raise RecipeError(f"dpo: scale is 'npo' or 'dpo', found '{scale}'")
        self.preferred = preferred
        self.beta = beta
        self.scale: Scale = scale

    @property
    def streams(self) -> tuple[str, ...]:
        """The rejected and the preferred stream."""
        return (self.stream, self.preferred)

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Mean over pairs."""
        rejected, preferred = views[self.stream], views[self.preferred]
        partner = partners(rejected, preferred, self.streams)
        losses = functional.dpo(
            sum_by_partner(preferred.row_sum(preferred.logps), partner, rejected),
            sum_by_partner(preferred.row_sum(preferred.ref_logps), partner, rejected),
            rejected.row_sum(rejected.logps),
            rejected.row_sum(rejected.ref_logps),
            self.beta,
            self.scale,
        )
        return rejected.sequence_mean(losses)


class D2O(Objective, name="d2o"):
    r"""Prefers the reference's own samples, on average, to the forget response.

    $$-\frac{1}{S} \sum_i \log\sigma\!\left(\frac{\beta}{K} \sum_k
      \log\frac{\pi_\theta(y_{ik}|x_i)}{\pi_\mathrm{ref}(y_{ik}|x_i)}
      - \alpha \log\frac{\pi_\theta(y^l_i|x_i)}{\pi_\mathrm{ref}(y^l_i|x_i)}\right)$$

    The paper's two references are both the model at the start.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream of forget responses.
        samples: Name of the stream of self-samples: K to each row of the other.
        beta: Inverse temperature of the samples, above 0.
        alpha: Inverse temperature of the forget response, above 0.

    References:
        Duan et al. 2024, "Negating Negatives" (D2O), arXiv 2403.03419.
    """

    needs = frozenset({"reference"})
    paper = "Duan et al. 2024, arXiv 2403.03419"
    ranges = {"beta": {"log": [0.02, 0.5]}, "alpha": {"log": [0.02, 0.5]}}

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        samples: str = "self_samples",
        beta: float = 0.1,
        alpha: float = 0.1,
    ) -> None:
        super().__init__(weight, stream)
        positive("d2o", beta=beta, alpha=alpha)
        self.samples = samples
        self.beta = beta
        self.alpha = alpha

    @property
    def streams(self) -> tuple[str, ...]:
        """The forget stream and its self-samples."""
        return (self.stream, self.samples)

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Mean over forget responses."""
        forget, samples = views[self.stream], views[self.samples]
        partner = partners(forget, samples, self.streams, several=True)
        log_ratio = samples.row_sum(samples.logps - samples.ref_logps)
        count = sum_by_partner(log_ratio.new_ones(len(samples)), partner, forget)
        sampled = sum_by_partner(log_ratio, partner, forget) / count
        losses = functional.d2o(
            sampled, forget.row_sum(forget.logps - forget.ref_logps), self.beta, self.alpha
        )
        return forget.sequence_mean(losses)


class SafeUnlearning(Objective, name="safe_unlearning"):
    r"""Length-normalised dispreference of harmful responses: the third term of Safe Unlearning.

    $$-\frac{1}{S} \sum_i \log\sigma\!\left(-\frac{\beta}{|y_i|}
      \log\frac{\pi_\theta(y_i|x_i)}{\pi_\mathrm{ref}(y_i|x_i)}\right)$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        beta: Inverse temperature, above 0.

    References:
        Zhang et al. 2024, "Safe Unlearning", arXiv 2407.02855.
    """

    needs = frozenset({"reference"})
    paper = "Zhang et al. 2024, arXiv 2407.02855"
    ranges = {"beta": {"log": [0.2, 5.0]}}

    def __init__(self, weight: float = 1.0, stream: str | None = None, beta: float = 1.0) -> None:
        super().__init__(weight, stream)
        positive("safe_unlearning", beta=beta)
        self.beta = beta

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Mean over sequences."""
        view = views[self.stream]
        logps, ref_logps = view.row_mean(view.logps), view.row_mean(view.ref_logps)
        return view.sequence_mean(functional.safe_unlearning(logps, ref_logps, self.beta))
