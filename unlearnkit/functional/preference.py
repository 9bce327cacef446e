"""Losses of the form ``-log sigmoid(beta * x)`` on sequence log-probabilities."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import logsigmoid

from unlearnkit.functional.core import at_least_float32

Scale = Literal["npo", "dpo"]


def npo(logps_sum: Tensor, ref_logps_sum: Tensor, beta: float = 0.1) -> Tensor:
    r"""Negative preference optimisation.

    $$\frac{2}{\beta} \log\!\left[1 + \left(
      \frac{\pi_\theta(y|x)}{\pi_\mathrm{ref}(y|x)}\right)^{\beta}\right]
      = -\frac{2}{\beta} \log\sigma\!\left(-\beta \,
      [\log\pi_\theta(y|x) - \log\pi_\mathrm{ref}(y|x)]\right)$$

    Equals $(2/\beta)\ln 2$ where policy and reference agree, with the gradient of gradient
    ascent there; the gradient fades to 0 as the response becomes unlikely.

    Args:
        logps_sum: ``[S]`` log-probability of each response under the policy, in nats, summed over
            its tokens.
        ref_logps_sum: ``[S]`` the same under the reference.
        beta: Inverse temperature. Towards 0 the loss tends to gradient ascent.

    Returns:
        ``[S]``, at least 0. The paper averages over sequences.

    Example:
        >>> import torch
        >>> logps = torch.tensor([-7.0])
        >>> npo(logps, logps, beta=1.0)
        tensor([1.3863])

    References:
        Zhang et al. 2024, "Negative Preference Optimization", arXiv 2404.05868, eq. 3.
    """
    return -2 / beta * logsigmoid(-beta * _log_ratio(logps_sum, ref_logps_sum))


def simnpo(logps_mean: Tensor, beta: float = 4.5, gamma: float = 0.0) -> Tensor:
    r"""Negative preference optimisation without a reference, normalised by length.

    $$-\frac{2}{\beta} \log\sigma\!\left(
      -\frac{\beta}{|y|} \log\pi_\theta(y|x) - \gamma\right)$$

    Args:
        logps_mean: ``[S]`` log-probability of each response in nats, averaged over its tokens.
        beta: Inverse temperature.
        gamma: Margin, outside of ``beta`` as in the paper. Published code has it inside: its
            ``delta`` is ``gamma / beta``.

    Returns:
        ``[S]``, at least 0. The paper averages over sequences.

    Example:
        >>> import torch
        >>> simnpo(torch.tensor([-2.0]), beta=1.0, gamma=2.0)
        tensor([1.3863])

    References:
        Fan et al. 2024, "Simplicity Prevails" (SimNPO), arXiv 2410.07163.
    """
    return -2 / beta * logsigmoid(-beta * at_least_float32(logps_mean) - gamma)


def dpo(
    preferred_logps_sum: Tensor,
    preferred_ref_logps_sum: Tensor,
    rejected_logps_sum: Tensor,
    rejected_ref_logps_sum: Tensor,
    beta: float = 0.1,
    scale: Scale = "npo",
) -> Tensor:
    r"""Direct preference optimisation of a preferred over a rejected (forget) response.

    $$-c \log\sigma\!\left(
      \beta \log\frac{\pi_\theta(y_w|x)}{\pi_\mathrm{ref}(y_w|x)}
      - \beta \log\frac{\pi_\theta(y_l|x)}{\pi_\mathrm{ref}(y_l|x)}\right)$$

    Without the first ratio it is `npo`.

    Args:
        preferred_logps_sum: ``[S]`` log-probability of each preferred response under the policy,
            in nats, summed over its tokens.
        preferred_ref_logps_sum: ``[S]`` the same under the reference.
        rejected_logps_sum: ``[S]`` of the rejected response to the same prompt, policy.
        rejected_ref_logps_sum: ``[S]`` the same under the reference.
        beta: Inverse temperature.
        scale: ``npo``: $c = 2/\beta$, as unlearning code has it; ``dpo``: $c = 1$.

    Returns:
        ``[S]``, at least 0.

    Example:
        >>> import torch
        >>> same = torch.tensor([-7.0])
        >>> dpo(same, same, same, same, scale="dpo")
        tensor([0.6931])

    References:
        Rafailov et al. 2023, "Direct Preference Optimization", arXiv 2305.18290, eq. 7.
        Zhang et al. 2024, arXiv 2404.05868 (refusals as the preferred response, factor 2/beta).
        Mekala et al. 2024, "Alternate Preference Optimization", arXiv 2409.13474.
    """
    preferred = _log_ratio(preferred_logps_sum, preferred_ref_logps_sum)
    rejected = _log_ratio(rejected_logps_sum, rejected_ref_logps_sum)
    factor = 2 / beta if scale == "npo" else 1.0
    return -factor * logsigmoid(beta * (preferred - rejected))


def d2o(
    sampled_log_ratio_mean: Tensor, forget_log_ratio: Tensor, beta: float = 0.1, alpha: float = 0.1
) -> Tensor:
    r"""Distributional dispreference optimisation.

    $$-\log\sigma\!\left(\frac{\beta}{K} \sum_{k=1}^K
      \log\frac{\pi_\theta(y_k|x)}{\pi_{r^-}(y_k|x)}
      - \alpha \log\frac{\pi_\theta(y_l|x)}{\pi_{r^+}(y_l|x)}\right)$$

    with $y_1 \ldots y_K$ sampled from the reference.

    Args:
        sampled_log_ratio_mean: ``[S]`` log-ratio of policy to reference of the prompt's own
            samples, summed over tokens, averaged over the K samples.
        forget_log_ratio: ``[S]`` log-ratio of the forget response, summed over tokens.
        beta: Inverse temperature of the samples.
        alpha: Inverse temperature of the forget response.

    Returns:
        ``[S]``, at least 0.

    Example:
        >>> import torch
        >>> d2o(torch.zeros(1), torch.zeros(1))
        tensor([0.6931])

    References:
        Duan et al. 2024, "Negating Negatives" (D2O), arXiv 2403.03419.
    """
    sampled, forget = at_least_float32(sampled_log_ratio_mean), at_least_float32(forget_log_ratio)
    return -logsigmoid(beta * sampled - alpha * forget)


def safe_unlearning(logps_mean: Tensor, ref_logps_mean: Tensor, beta: float = 1.0) -> Tensor:
    r"""Length-normalised dispreference of harmful responses.

    $$-\log\sigma\!\left(-\frac{\beta}{|y|}
      \log\frac{\pi_\theta(y|x)}{\pi_\mathrm{ref}(y|x)}\right)$$

    Args:
        logps_mean: ``[S]`` log-probability of each response under the policy, in nats, averaged
            over its tokens.
        ref_logps_mean: ``[S]`` the same under the reference.
        beta: Inverse temperature.

    Returns:
        ``[S]``, at least 0.

    Example:
        >>> import torch
        >>> logps = torch.tensor([-2.0])
        >>> safe_unlearning(logps, logps)
        tensor([0.6931])

    References:
        Zhang et al. 2024, "Safe Unlearning", arXiv 2407.02855.
    """
    return -logsigmoid(-beta * _log_ratio(logps_mean, ref_logps_mean))


def answer_preservation(answer_logps: Tensor, refusal_logps: Tensor, beta: float = 0.1) -> Tensor:
    r"""Keeps answers likelier than refusals to the same prompts: AP, of IDK+AP.

    $$-\frac{1}{\beta} \log\sigma\!\left(-\beta
      \log\frac{\pi_\theta(r|x)}{\pi_\theta(y|x)}\right)$$

    Args:
        answer_logps: ``[S]`` sums of the answers' log-probabilities.
        refusal_logps: ``[S]`` sums of the refusals'.
        beta: Inverse temperature, above 0.

    Returns:
        ``[S]``, at least 0.

    Example:
        >>> import torch
        >>> answer_preservation(torch.tensor([-3.0]), torch.tensor([-3.0]), beta=1.0)
        tensor([0.6931])

    References:
        Yuan et al. 2024, "A Closer Look at Machine Unlearning for LLMs", arXiv 2410.08109.
    """
    return -logsigmoid(beta * _log_ratio(answer_logps, refusal_logps)) / beta


def _log_ratio(logps: Tensor, ref_logps: Tensor) -> Tensor:
    return at_least_float32(logps) - at_least_float32(ref_logps)
