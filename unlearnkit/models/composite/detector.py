"""Detects inputs of a request by features of an encoder.

Fitting needs scikit-learn; a detector that was fitted does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from unlearnkit.errors import UserError
from unlearnkit.functional.ood_gate import mahalanobis_score, o3_score, soft_gate

ScoreKind = Literal["cosine", "mahalanobis", "o3"]
SCORES = ("cosine", "mahalanobis", "o3")
_FITTED = ("mean_train", "mean_heldout", "sigma")


class Detector(nn.Module):
    """Scores of each layer, a one-class SVM over them, and a gate on its decision function.

    Args:
        kind: The layers' score: ``cosine`` to the mean of the training inputs, ``mahalanobis``,
            or ``o3``, which is the published sum.
        tensors: What was fitted; see `fit_detector`.
    """

    train_inputs: Tensor  # [K, L, H]
    precision: Tensor  # [L, H, H]

    def __init__(self, kind: ScoreKind, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.kind: ScoreKind = kind
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.float(), persistent=False)

    def layer_scores(self, features: Tensor) -> Tensor:
        """``[B, L, H] -> [B, L]``."""
        return _layer_scores(self.kind, features, self.train_inputs, self.precision)

    def decision(self, features: Tensor) -> Tensor:
        """The one-class SVM's decision function, ``[B, L, H] -> [B]``."""
        found: Any = self
        return self.layer_scores(features.float()) @ found.coefficients + found.offset

    def forward(self, features: Tensor) -> Tensor:
        """The gate's weight between 0 and 1, ``[B, L, H] -> [B]``."""
        given = [getattr(self, name).item() for name in _FITTED]
        # Cosines of like inputs are positive, so the decision function grows with likeness. The
        # other scores are below 0, and it grows with distance from the training inputs.
        return soft_gate(self.decision(features), *given, two_sided=self.kind != "cosine")

    def save(self, file: Path) -> None:
        """Writes it."""
        tensors = {name: each.contiguous() for name, each in self.named_buffers()}
        save_file(tensors, file, metadata={"kind": self.kind})


def load_detector(file: Path, kind: ScoreKind) -> Detector:
    """A detector from its file."""
    return Detector(kind, load_file(file))


def fit_detector(
    features: Tensor, kind: ScoreKind = "cosine", nu: float = 0.1, heldout: Tensor | None = None
) -> Detector:
    """Fits a detector to inputs of one request.

    Args:
        features: ``[K, L, H]`` of the request's inputs.
        kind: The layers' score. As published ``o3`` leaves the embedding out of several layers.
        nu: Share of inputs that the one-class SVM may leave outside.
        heldout: ``[J, L, H]`` of inputs of the request that are not among them; by default the
            held-out scores are those of each input under a detector of the others.

    Raises:
        UserError: If there are fewer than three inputs, or scikit-learn is not installed.

    References:
        Gao et al. 2024, "On Large Language Model Continual Unlearning" (O3), arXiv 2407.10223;
        Schölkopf et al. 2001, "Estimating the Support of a High-Dimensional Distribution".
    """
    refuse_few(len(features))
    features = features.double()
    precision = _precision(features, kind)
    scores = _layer_scores(kind, features, features, precision)
    coefficients, offset = _one_class_svm(scores, kind, nu)
    if heldout is None:
        found = [_left_out(kind, features, i) for i in range(len(features))]
    else:
        found = [_layer_scores(kind, heldout.double(), features, precision)]
    others = torch.cat(found) @ coefficients + offset
    fitted = {
        "coefficients": coefficients,
        "offset": offset,
        "mean_train": (scores @ coefficients + offset).mean(),
        "mean_heldout": others.mean(),
        # Inputs that were held out are the whole of what is described, as published.
        "sigma": others.std(correction=1 if heldout is None else 0).clamp(min=1e-6),
        "train_inputs": features,
        "precision": precision,
    }
    return Detector(kind, fitted)


def refuse_few(count: int) -> None:
    """Raises for fewer inputs than a detector can be fitted on.

    Raises:
        UserError: With their number.
    """
    if count < 3:
        raise UserError(f"a detector needs at least 3 prompts of a request, found {count}")


def held_out(count: int, part: float, seed: int = 0) -> tuple[list[int], list[int]]:
    """Which of so many prompts a detector sees, and which it is only measured on, both ascending.

    Example:
        >>> [len(each) for each in held_out(10, 0.2)]
        [8, 2]
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    kept = round(count - part * count)
    return sorted(order[:kept]), sorted(order[kept:])


def _left_out(kind: ScoreKind, features: Tensor, index: int) -> Tensor:
    rest = torch.cat([features[:index], features[index + 1 :]])
    return _layer_scores(kind, features[index : index + 1], rest, _precision(rest, kind))


def _layer_scores(kind: ScoreKind, h: Tensor, train: Tensor, precision: Tensor) -> Tensor:
    found: list[Tensor] = []
    for layer in range(h.shape[1]):
        here, inputs = h[:, layer], train[:, layer]
        mean = inputs.mean(0)
        if kind == "cosine":
            found.append(F.cosine_similarity(here, mean[None], dim=-1))
        elif kind == "mahalanobis":
            found.append(mahalanobis_score(here, mean, precision[layer]))
        else:
            found.append(o3_score(here, mean, precision[layer], inputs))
    return torch.stack(found, dim=1)


def _precision(features: Tensor, kind: ScoreKind) -> Tensor:
    """Inverse covariances ``[L, H, H]``; as inputs are fewer than dimensions, shrunk or pseudo."""
    if kind == "cosine":
        return features.new_zeros(features.shape[1], 0, 0)
    from sklearn.covariance import (  # pyright: ignore[reportMissingImports]
        EmpiricalCovariance,
        LedoitWolf,
    )

    estimate: Any = EmpiricalCovariance if kind == "o3" else LedoitWolf
    layers: Sequence[Tensor] = features.unbind(1)
    return torch.stack([torch.tensor(estimate().fit(x.numpy()).precision_) for x in layers])


def _one_class_svm(scores: Tensor, kind: ScoreKind, nu: float) -> tuple[Tensor, Tensor]:
    """``[L]`` coefficients and the offset."""
    from sklearn.svm import OneClassSVM  # pyright: ignore[reportMissingImports]

    first = 1 if kind == "o3" and scores.shape[1] > 1 else 0
    fitted = OneClassSVM(kernel="linear", nu=nu).fit(scores[:, first:].numpy())
    coefficients = scores.new_zeros(scores.shape[1])
    coefficients[first:] = torch.tensor(fitted.coef_[0])
    return coefficients, torch.tensor(fitted.intercept_[0])


def refuse_missing_sklearn() -> None:
    """Raises unless scikit-learn is installed.

    Raises:
        UserError: With the extra to install.
    """
    from importlib.util import find_spec

    if find_spec("sklearn") is None:
        raise UserError(
            "fitting a detector needs scikit-learn, which is not installed",
            hint="pip install 'unlearnkit[gate]'",
        )
