"""Weight that redirects some activations and keeps others (LUNAR)."""

from __future__ import annotations

import torch
from torch import Tensor


def redirection(forget: Tensor, gram: Tensor, ridge: float = 0.0) -> Tensor:
    r"""The row $v$ of $\Delta W = c\,r\,v^\top$, the change of a layer in closed form.

    $$\Delta W = \operatorname{arg\,min} \sum_{a \in F} \lVert \Delta W a - c\,r \rVert^2
      + w \sum_{a \in R} \lVert \Delta W a \rVert^2 + \lambda \lVert \Delta W \rVert_F^2$$

    The target is the same for all of $F$, so that the solution has rank one:

    $$v = \Bigl(\sum_F a a^\top + w \sum_R a a^\top + \lambda I\Bigr)^{+} \sum_F a$$

    The authors approach it by gradient descent, with $w = 1$ and $\lambda = 0$. Of one forget
    activation alone the solution is $v = a / \lVert a \rVert^2$. Forget activations that are
    orthogonal to all that is kept are moved without any loss there.

    Args:
        forget: ``[I]`` sum of the layer's inputs on what is to be forgotten, $\sum_F a$.
        gram: ``[I, I]`` $\sum_F a a^\top + w \sum_R a a^\top$.
        ridge: $\lambda$; 0 gives the solution of least norm.

    Returns:
        ``[I]`` float64.

    Example:
        >>> a = torch.tensor([3.0, 4.0])
        >>> v = redirection(a, torch.outer(a, a))
        >>> round(float(v @ a.double()), 6)
        1.0

    References:
        Shen et al. 2025, "LUNAR: LLM Unlearning via Neural Activation Redirection", arXiv
        2502.07218.
    """
    system = gram.double()
    if ridge:
        system = system + ridge * torch.eye(len(system), dtype=torch.float64, device=gram.device)
        return torch.linalg.solve(system, forget.double())
    return torch.linalg.pinv(system, hermitian=True, rtol=1e-10) @ forget.double()
