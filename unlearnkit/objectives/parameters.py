"""Objectives on parameters, which read no stream."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.functional.parameters import l2, orthogonal_lora
from unlearnkit.objectives.base import Objective

_LORA_A = ".lora_A."
_ADAPTER_FILE = "adapter_model.safetensors"


class _OnParameters(Objective):
    def __init__(self, weight: float) -> None:
        super().__init__(weight)
        # Kept out of the module tree: the policy's parameters are not this objective's.
        self._policy: list[nn.Module] = []

    @property
    def streams(self) -> tuple[str, ...]:
        """None: the loss does not depend on rows."""
        return ()

    def attach(self, policy: nn.Module) -> None:
        """Takes note of the model whose parameters are read."""
        self._policy = [policy]

    @property
    def policy(self) -> nn.Module:
        """The attached model."""
        if not self._policy:
            raise LookupError(f"{self.registered_name}: attach(policy) was not called")
        return self._policy[0]


class L2ToReference(_OnParameters, name="l2_to_reference"):
    r"""Half the squared distance of the trained parameters from where they started.

    $$\frac{1}{2} \lVert \theta - \theta_0 \rVert_2^2$$

    Keeps a copy of the trained parameters.

    Args:
        weight: Factor of the loss in the total, at least 0.

    References:
        Li et al. 2018, "Explicit Inductive Bias for Transfer Learning" (L2-SP),
        arXiv 1802.01483.
    """

    paper = "Li et al. 2018, arXiv 1802.01483"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)
        self._start: dict[str, Tensor] = {}

    def attach(self, policy: nn.Module) -> None:
        """Copies the trained parameters."""
        super().attach(policy)
        self._start = {
            name: parameter.detach().clone()
            for name, parameter in policy.named_parameters()
            if parameter.requires_grad
        }

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Sum over all trained parameters."""
        terms = [
            l2(parameter, self._start_like(name, parameter))
            for name, parameter in self.policy.named_parameters()
            if name in self._start
        ]
        return _whole(torch.stack([_whole(term) for term in terms]).sum())

    def _start_like(self, name: str, parameter: Tensor) -> Tensor:
        start = self._start[name]
        if isinstance(parameter, DTensor) and not isinstance(start, DTensor):
            start = distribute_tensor(
                start.to(parameter.device), parameter.device_mesh, parameter.placements
            )
        self._start[name] = start.to(parameter.device)
        return self._start[name]


class OrthogonalLoRA(_OnParameters, name="orthogonal_lora"):
    r"""Keeps a new LoRA adapter's row spaces orthogonal to those of earlier adapters.

    $$\sum_{\mathrm{modules}} \sum_{t' < t} \lVert A_{t'} A_t^\top \rVert_F^2$$

    Args:
        weight: Factor of the loss in the total, at least 0; the paper's lambda is 0.1.
        previous: Folders of earlier adapters, each with ``adapter_model.safetensors``.

    Raises:
        RecipeError: If a folder has no adapter, or one of other modules or sizes than the
            adapter that is trained.

    References:
        Gao et al. 2024, "On Large Language Model Continual Unlearning" (O3), arXiv 2407.10223.
    """

    paper = "Gao et al. 2024, arXiv 2407.10223"

    def __init__(self, weight: float = 1.0, previous: list[str] | None = None) -> None:
        super().__init__(weight)
        self.previous = list(previous or [])
        self._earlier: dict[str, list[Tensor]] = {}
        for folder in self.previous:
            if not (Path(folder) / _ADAPTER_FILE).is_file():
                raise RecipeError(
                    f"orthogonal_lora: previous: '{folder}' has no {_ADAPTER_FILE}",
                    hint="Give folders that hold a saved LoRA adapter.",
                )

    def attach(self, policy: nn.Module) -> None:
        """Reads the earlier adapters' A matrices."""
        super().attach(policy)
        trained = self._trained()
        if not trained:
            raise RecipeError(
                "orthogonal_lora: the model has no LoRA adapter to train",
                hint="Set model.lora, or remove the objective.",
            )
        self._earlier = {module: [] for module in trained}
        for folder in self.previous:
            found = {
                name.partition(_LORA_A)[0]: a
                for name, a in load_file(Path(folder) / _ADAPTER_FILE).items()
                if _LORA_A in name
            }
            wrong = sorted(
                module
                for module in found.keys() | trained.keys()
                if module not in found
                or module not in trained
                or found[module].shape[1] != trained[module].shape[1]
            )
            if wrong:
                raise RecipeError(
                    f"orthogonal_lora: the adapter in '{folder}' and the one that is trained do "
                    f"not have the same modules and input sizes: {', '.join(wrong[:3])}"
                    f"{' ...' if len(wrong) > 3 else ''}",
                    hint="Train every adapter with the same base and the same target_modules.",
                )
            for module, a in found.items():
                self._earlier[module].append(a)

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Sum over modules and earlier adapters; 0 when there is none."""
        terms: list[Tensor] = []
        for module, a in self._trained().items():
            full = _whole(a)
            terms.append(0.0 * full.sum())
            self._earlier[module] = [b.to(full.device) for b in self._earlier[module]]
            terms += [orthogonal_lora(full, b) for b in self._earlier[module]]
        return torch.stack(terms).sum()

    def _trained(self) -> dict[str, nn.Parameter]:
        return {
            name.partition(_LORA_A)[0]: parameter
            for name, parameter in self.policy.named_parameters()
            if _LORA_A in name and parameter.requires_grad
        }


def _whole(x: Tensor) -> Tensor:
    return x.full_tensor() if isinstance(x, DTensor) else x
