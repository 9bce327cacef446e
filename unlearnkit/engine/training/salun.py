"""SalUn: trains only the weights that matter to the forget loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from unlearnkit.data.datamodule import datamodule_of
from unlearnkit.data.encoded import StreamData
from unlearnkit.data.pack import Layout, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.preflight import MODEL, SETTINGS, Values, refuse
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.training.fsdp2 import takes_apart
from unlearnkit.errors import RecipeError
from unlearnkit.models.modes import evaluating

ROWS_AT_ONCE = 8
_BITS = tuple(1 << place for place in range(8))


@dataclass(frozen=True)
class Saliency:
    r"""Trains the weights with the largest gradients of the forget loss at the start.

    $$m = 1\left[\,|\nabla_\theta \ell_f(\theta_0)| \ge \gamma\,\right], \quad
    \theta = m \odot (\theta_0 + \Delta\theta) + (1 - m) \odot \theta_0$$

    Args:
        fraction: Share of the trainable weights that are trained; it sets gamma. A weight without
            any gradient is never among them.
        stream: The stream whose negative log-likelihood is differentiated.

    References:
        Fan et al. 2024, "SalUn: Empowering Machine Unlearning via Gradient-based Weight
        Saliency", arXiv 2310.12508, equations 3 and 4.
    """

    fraction: float = 0.5
    stream: str = "forget"


class SalientWeights(L.Callback):
    """Holds the weights outside of the mask where they are, exactly, whatever the optimizer does.

    Their gradients are set to zero, so that clipping and momentum see the others alone; and after
    each step they are put back, since weight decay moves weights without a gradient too.
    The mask is part of the checkpoint. `UnlearningModule` brings this callback along.

    Args:
        saliency: Which weights are trained.
    """

    def __init__(self, saliency: Saliency) -> None:
        self.saliency = saliency
        self.masks: dict[str, Tensor] = {}
        self._held: list[tuple[nn.Parameter, Tensor, Tensor]] = []

    def setup(self, trainer: L.Trainer, pl_module: Any, stage: str) -> None:
        """Works the masks out, before any checkpoint changes the policy."""
        if stage != "fit":
            return
        rows = datamodule_of(trainer).data
        refuse((*SETTINGS, *MODEL), Values.of(pl_module, streams=rows, apart=takes_apart(trainer)))
        pl_module.configure_model()
        pl_module.to(trainer.strategy.root_device)
        self.masks = salient(
            pl_module.policy,
            pl_module.head,
            pl_module.layout,
            rows[self.saliency.stream],
            self.saliency.fraction,
        )
        if trainer.world_size > 1:
            # Rounding on two devices may differ; their weights must not.
            for name in sorted(self.masks):
                torch.distributed.broadcast(self.masks[name], src=0)

    def on_fit_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Takes note of what is to be held, in the type and on the device of the training."""
        named = dict(pl_module.policy.named_parameters())
        self._held = []
        for name, mask in self.masks.items():
            outside = ~mask.to(named[name].device)
            self._held.append((named[name], outside, named[name].detach()[outside].clone()))
        for optimizer in trainer.optimizers:
            optimizer.register_step_post_hook(self._put_back)

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Clears the gradients of the weights that are held."""
        for parameter, outside, _ in self._held:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(outside, 0)

    @torch.no_grad()
    def _put_back(self, *_: Any) -> None:
        for parameter, outside, values in self._held:
            parameter.masked_scatter_(outside, values)

    def state_dict(self) -> dict[str, Any]:
        """The masks, eight weights to the byte."""
        return {
            "fraction": self.saliency.fraction,
            "stream": self.saliency.stream,
            "masks": {name: _packed(mask) for name, mask in self.masks.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the masks of the interrupted run in place of those worked out anew.

        Raises:
            RecipeError: If that run had other settings or other weights to train.
        """
        theirs = {key: state_dict[key] for key in ("fraction", "stream")}
        ours = {"fraction": self.saliency.fraction, "stream": self.saliency.stream}
        if theirs != ours or state_dict["masks"].keys() != self.masks.keys():
            raise RecipeError(
                f"model.saliency: the checkpoint is of a run with {theirs} and "
                f"{len(state_dict['masks'])} weight matrices, not {ours} and {len(self.masks)}",
                hint="Resume with the recipe that made it (recipe.yaml in the run folder).",
            )
        for name, mask in self.masks.items():
            packed = state_dict["masks"][name].to(mask.device)
            self.masks[name] = _unpacked(packed, mask.shape)


def salient(
    model: nn.Module, head: Head, layout: Layout, data: StreamData, fraction: float
) -> dict[str, Tensor]:
    """A mask for each trainable weight: true where the gradient of the rows' NLL is largest.

    Args:
        model: The policy; its modes and gradients are as before afterwards.
        head: Its output head.
        layout: How rows are packed.
        data: The rows; the loss is the sum over all their response tokens.
        fraction: Share of the weights that are true, over all matrices together.

    Raises:
        RecipeError: If no trainable weight has a gradient.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    device = next(iter(named.values())).device
    sums = [torch.zeros_like(p, dtype=torch.float32) for p in named.values()]
    with evaluating(model), torch.enable_grad():
        for first in range(0, len(data), ROWS_AT_ONCE):
            rows = range(first, min(first + ROWS_AT_ONCE, len(data)))
            examples = tuple(data.examples(rows))
            batch = pack({"rows": StreamBatch(examples, 1, 1)}, layout).to(device)
            tokens = torch.arange(len(batch.target), device=device)
            loss = -ForwardPass(model, head, batch).logps(tokens).sum()
            found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
            for total, gradient in zip(sums, found, strict=True):
                if gradient is not None:
                    total += gradient
    sizes = [total.abs_() for total in sums]
    threshold = _kth_largest(sizes, max(1, round(fraction * sum(s.numel() for s in sizes))))
    masks = {
        name: (size >= threshold) & (size > 0) for name, size in zip(named, sizes, strict=True)
    }
    if not any(bool(mask.any()) for mask in masks.values()):
        raise RecipeError("model.saliency: the forget loss has no gradient in any trained weight")
    return masks


def _kth_largest(sizes: Sequence[Tensor], k: int) -> float:
    """The k-th largest of all values together, which are not negative, without joining them.

    The bits of such floats are ordered as the floats are: the upper half is settled first.
    """
    counts = _histogram(_bits(size) >> 16 for size in sizes)
    upper, above = _bin_of(counts, k)
    inside = (bits & 0xFFFF for bits in map(_bits, sizes) for bits in (bits[bits >> 16 == upper],))
    lower, _ = _bin_of(_histogram(inside), k - above)
    return torch.tensor(upper << 16 | lower, dtype=torch.int32).view(torch.float32).item()


def _bits(values: Tensor) -> Tensor:
    return values.flatten().view(torch.int32)


def _histogram(parts: Any) -> Tensor:
    return torch.stack([torch.bincount(part, minlength=1 << 16).cpu() for part in parts]).sum(0)


def _bin_of(counts: Tensor, k: int) -> tuple[int, int]:
    """The bin that holds the k-th from the top, and how many lie in higher bins."""
    from_top = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(from_top, k))
    above = int(from_top[place - 1]) if place else 0
    return len(counts) - 1 - place, above


def _packed(mask: Tensor) -> Tensor:
    flat = mask.flatten().to(torch.uint8)
    flat = nn.functional.pad(flat, (0, -len(flat) % 8)).view(-1, 8)
    return (flat * flat.new_tensor(_BITS)).sum(1, dtype=torch.uint8).cpu()


def _unpacked(packed: Tensor, shape: torch.Size) -> Tensor:
    flat = (packed[:, None] & packed.new_tensor(_BITS)).ne(0).flatten()
    return flat[: shape.numel()].view(shape)
