"""Trains only the weights that matter to the forget loss (SalUn, WAGLE)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
from unlearnkit.engine.training.apart import takes_apart
from unlearnkit.errors import RecipeError
from unlearnkit.models.modes import evaluating

ROWS_AT_ONCE = 8
_BITS = tuple(1 << place for place in range(8))


@dataclass(frozen=True)
class Saliency:
    r"""Trains the weights with the largest scores at the start, and no others.

    $$m = 1\left[s \ge \tau\right], \quad
    \theta = m \odot (\theta_0 + \Delta\theta) + (1 - m) \odot \theta_0$$

    SalUn takes $s = |\nabla \ell_f|$. WAGLE asks what becomes of the forget loss when a weight is
    taken away and the others make up for it on the retain rows:

    $$s = \left|\nabla \ell_f \odot
    \left(\theta_0 - \tfrac{1}{\gamma} \nabla \ell_r\right)\right|$$

    Args:
        fraction: Share of the trainable weights that are trained; it sets the bound. A weight
            whose score is zero is never among them.
        stream: The stream whose negative log-likelihood is the forget loss.
        name: ``salun`` or ``wagle``.
        retain: The stream whose negative log-likelihood, mean over its response tokens, is WAGLE's
            retain loss.
        gamma: WAGLE's stand-in for the diagonal of the retain loss's Hessian, above 0; by default
            the mean of the squared retain gradient over all trainable weights.

    References:
        Fan et al. 2024, "SalUn: Empowering Machine Unlearning via Gradient-based Weight
        Saliency", arXiv 2310.12508, equations 3 and 4. Jia et al. 2024, "WAGLE: Strategic Weight
        Attribution", arXiv 2410.17509; the score is that of the published code.
    """

    fraction: float = 0.5
    stream: str = "forget"
    name: Literal["salun", "wagle"] = "salun"
    retain: str = "retain"
    gamma: float | None = None

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams whose gradients it takes."""
        return (self.stream, self.retain) if self.name == "wagle" else (self.stream,)

    @property
    def settings(self) -> dict[str, Any]:
        """What the masks depend on, beside weights and rows."""
        found: dict[str, Any] = {"fraction": self.fraction, "stream": self.stream}
        if self.name == "wagle":
            found |= {"name": self.name, "retain": self.retain, "gamma": self.gamma}
        return found


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
            rows,
            self.saliency,
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
            **self.saliency.settings,
            "masks": {name: _packed(mask) for name, mask in self.masks.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the masks of the interrupted run in place of those worked out anew.

        Raises:
            RecipeError: If that run had other settings or other weights to train.
        """
        theirs = {key: value for key, value in state_dict.items() if key != "masks"}
        ours = self.saliency.settings
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
    model: nn.Module,
    head: Head,
    layout: Layout,
    rows: Mapping[str, StreamData],
    saliency: Saliency,
) -> dict[str, Tensor]:
    """A mask for each trainable weight: true where the score is largest.

    Args:
        model: The policy; its modes and gradients are as before afterwards.
        head: Its output head.
        layout: How rows are packed.
        rows: The streams.
        saliency: The score, and the share of the weights that are true, over all matrices together.

    Raises:
        RecipeError: If no trainable weight has a gradient.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = [_gradients(model, head, layout, rows[stream]) for stream in saliency.streams]
    forget = found[0][0]
    if saliency.name == "wagle":
        retain, tokens = found[1]
        retain = [each / tokens for each in retain]
        gamma = mean_square(retain) if saliency.gamma is None else saliency.gamma
        if not gamma > 0:
            raise RecipeError("model.saliency: the retain loss has no gradient in any weight")
        triples = zip(forget, retain, named.values(), strict=True)
        scores = [wagle_score(f, r, p.detach().float(), gamma) for f, r, p in triples]
    else:
        scores = [each.abs_() for each in forget]
    threshold = _kth_largest(
        scores, max(1, round(saliency.fraction * sum(s.numel() for s in scores)))
    )
    masks = {
        name: (score >= threshold) & (score > 0) for name, score in zip(named, scores, strict=True)
    }
    if not any(bool(mask.any()) for mask in masks.values()):
        raise RecipeError("model.saliency: the forget loss has no gradient in any trained weight")
    return masks


def wagle_score(forget: Tensor, retain: Tensor, weights: Tensor, gamma: float) -> Tensor:
    """WAGLE's score of each weight, of the shape of its arguments.

    Args:
        forget: Gradient of the forget loss; its scale changes no order.
        retain: Gradient of the retain loss.
        weights: The weights.
        gamma: Stands for the Hessian's diagonal, above 0.

    Example:
        >>> wagle_score(*map(torch.tensor, ([2.0, -1.0], [0.5, 4.0], [3.0, 1.0])), gamma=0.5)
        tensor([4., 7.])
    """
    return (forget * (weights - retain / gamma)).abs()


def mean_square(gradients: Sequence[Tensor]) -> float:
    """Mean of all squared values, in double precision.

    Example:
        >>> mean_square([torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])])
        4.666666666666667
    """
    total = sum(float(each.double().square().sum()) for each in gradients)
    return total / sum(each.numel() for each in gradients)


def _gradients(
    model: nn.Module, head: Head, layout: Layout, data: StreamData
) -> tuple[list[Tensor], int]:
    """Gradients of the summed NLL of all rows' response tokens, float32, and how many these are."""
    weights = [p for p in model.parameters() if p.requires_grad]
    sums = [torch.zeros_like(p, dtype=torch.float32) for p in weights]
    count = 0
    with evaluating(model), torch.enable_grad():
        for first in range(0, len(data), ROWS_AT_ONCE):
            rows = range(first, min(first + ROWS_AT_ONCE, len(data)))
            examples = tuple(data.examples(rows))
            batch = pack({"rows": StreamBatch(examples, 1, 1)}, layout).to(weights[0].device)
            tokens = torch.arange(len(batch.target), device=weights[0].device)
            count += len(tokens)
            loss = -ForwardPass(model, head, batch).logps(tokens).sum()
            found = torch.autograd.grad(loss, weights, allow_unused=True)
            for total, gradient in zip(sums, found, strict=True):
                if gradient is not None:
                    total += gradient
    return sums, count


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
