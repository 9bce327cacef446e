"""Initial values of a low-rank adapter by relative importance (FILA)."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.functional.core import at_least_float32


def relative_importance(
    fisher_forget: Tensor, fisher_retain: Tensor, epsilon: float = 1e-5
) -> Tensor:
    r"""How much more each row of a weight matters to the forget set than to the retain set.

    $$d_i = \sqrt{\sum_j \frac{F^f_{ij}}{F^r_{ij} + \epsilon}}$$

    Args:
        fisher_forget: ``[out, in]`` mean squared gradients on the forget set.
        fisher_retain: ``[out, in]`` on the retain set.
        epsilon: Keeps the ratio finite.

    Returns:
        ``[out]``, at least 0.

    Example:
        >>> import torch
        >>> relative_importance(torch.tensor([[3.0, 1.0]]), torch.ones(1, 2), epsilon=0.0)
        tensor([2.])

    References:
        Cha et al. 2024, "Towards Robust and Parameter-Efficient Knowledge Unlearning for LLMs"
        (LoKU), arXiv 2408.06621.
    """
    return (fisher_forget / (fisher_retain + epsilon)).sum(-1).sqrt()


def weighted_low_rank(
    weight: Tensor,
    d: Tensor,
    rank: int,
    scaling: float,
    epsilon: float = 1e-5,
    iterations: int | None = None,
) -> tuple[Tensor, Tensor]:
    r"""The adapter nearest to a weight, with a weight for each of its rows (FILA).

    With $\mathrm{diag}(d)\,W \approx U_r S_r V_r^\top$,

    $$A = \sqrt{S_r / s}\; V_r^\top, \qquad
      B = \mathrm{diag}\Bigl(\frac{1}{d + \epsilon}\Bigr)\, U_r \sqrt{S_r / s}$$

    and $sBA$ minimises $\lVert \mathrm{diag}(d)(W - W^*) \rVert_F$ over all $W^*$ of that rank, up
    to $\epsilon$. A constant $d$ gives the plain singular vectors, as PiSSA has them.

    Args:
        weight: ``[out, in]``.
        d: ``[out]``, at least 0.
        rank: Of the adapter.
        scaling: The adapter's factor ``s``, which is ``lora_alpha / r``.
        epsilon: Keeps rows of no importance finite.
        iterations: Power iterations of a randomised decomposition; by default it is exact.

    Returns:
        ``A [rank, in]`` and ``B [out, rank]``, of ``weight``'s type, at least float32.

    Example:
        >>> import torch
        >>> w = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> a, b = weighted_low_rank(w, torch.tensor([1.0, 9.0]), 1, 2.0, epsilon=0.0)
        >>> torch.allclose(2 * b @ a, torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
        True

    References:
        Cha et al. 2024, "Towards Robust and Parameter-Efficient Knowledge Unlearning for LLMs"
        (LoKU), arXiv 2408.06621; Meng et al. 2024 (PiSSA), arXiv 2404.02948.
    """
    weight, d = at_least_float32(weight), at_least_float32(d)
    weighted = d[:, None] * weight
    if iterations is None:
        u, s, vt = torch.linalg.svd(weighted, full_matrices=False)
    else:
        u, s, v = torch.svd_lowrank(weighted, q=rank, niter=iterations)
        vt = v.T
    root = (s[:rank] / scaling).sqrt()
    return root[:, None] * vt[:rank], u[:, :rank] * root / (d + epsilon)[:, None]
