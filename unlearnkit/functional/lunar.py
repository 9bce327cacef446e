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

    The authors approach it by gradient descent, as `descended` does, with $w = 1$ and
    $\lambda = 0$. Of one forget
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


def descended(
    weight: Tensor,
    forget: Tensor,
    retain: Tensor,
    step: Tensor,
    epochs: int = 20,
    lr: float = 0.01,
    batch_size: int = 64,
    seed: int = 0,
) -> Tensor:
    r"""The layer's weight as the authors train it: AdamW on the mean square error of its outputs.

    Tokens of both kinds are shuffled together. The rate is multiplied by 0.9 after each epoch.

    Args:
        weight: ``[O, I]`` what it starts from, and what targets are of.
        forget: ``[F, I]`` the layer's inputs whose outputs are to move by ``step``.
        retain: ``[R, I]`` those whose outputs are to stay.
        step: ``[O]`` $c\,r$.
        epochs: Passes over all tokens.
        lr: Rate of the first epoch.
        batch_size: Tokens of a step.
        seed: Of the order of tokens.

    Returns:
        ``[O, I]`` float32.

    Example:
        >>> a = torch.eye(2)
        >>> moved = descended(torch.zeros(1, 2), a[:1], a[1:], torch.ones(1), epochs=30, lr=0.2)
        >>> moved.round()
        tensor([[1., 0.]])

    References:
        Shen et al. 2025, arXiv 2502.07218; optimizer and constants are those of its code.
    """
    before = weight.float()
    after = before.clone().requires_grad_()
    inputs = torch.cat([forget, retain]).float()
    moves = torch.arange(len(inputs), device=inputs.device) < len(forget)
    optimizer = torch.optim.AdamW([after], lr=lr)
    rate = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for tokens in torch.randperm(len(inputs), generator=order).split(batch_size):
            wanted = inputs[tokens] @ before.T + moves[tokens, None] * step.float()
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(inputs[tokens] @ after.T, wanted).backward()
            optimizer.step()
        rate.step()
    return after.detach()
