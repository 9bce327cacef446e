"""A logistic regression on mean hidden states of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnkit.data.example import Example
from unlearnkit.models.composite.encoder import own_states


def fit_classifier(forget: Tensor, retain: Tensor) -> tuple[Tensor, float]:
    """Coefficients ``[H]`` and bias of a logistic regression, both kinds of one weight.

    Args:
        forget: ``[N, H]`` features that are to be found.
        retain: ``[M, H]`` features that are not.

    Needs scikit-learn: ``pip install 'unlearnkit[gate]'``.
    """
    from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingImports]

    both = torch.cat([forget, retain]).double()
    scale = both.std().clamp(min=1e-12)
    kinds = [1] * len(forget) + [0] * len(retain)
    fitted: Any = LogisticRegression(C=100.0, class_weight="balanced", max_iter=1000)
    fitted.fit((both / scale).numpy(), kinds)
    return torch.tensor(fitted.coef_[0]).div(scale).float(), float(fitted.intercept_[0])


@torch.no_grad()
def features(model: Any, rows: Sequence[Example], layers: int) -> Tensor:
    """Mean hidden state of each prompt by itself, ``[rows, H]``."""
    ids = [torch.tensor([list(each.prompt_ids)]) for each in rows]
    return torch.cat(
        [own_states(model, each, torch.ones_like(each), layers)[:, -1] for each in ids]
    )
