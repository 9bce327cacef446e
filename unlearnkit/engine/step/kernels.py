"""Computes log-probabilities and KL through the output head in chunks.

``[N, V]`` logits never exist as a whole. The derivative with respect to the hidden state of token
``n`` is a vector of its own, whatever the loss does with the token, so it is worked out beside
the value and kept: ``[N, H]``. The derivative with respect to the head's weight mixes the tokens
by the loss's derivative ``u_n`` at each of them. Where the loss is known to weigh tokens by a fixed
pattern, ``u = c·pattern``, it is worked out beside the value too. Where the pattern is not proven
(`unlearnkit.engine.step.patterns`) the backward pass compares, and only where it does not hold, or
is not known, are the logits computed a second time. A head that is not trained needs none of that.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from unlearnkit.engine.step.patterns import Pattern
from unlearnkit.functional.core import at_least_float32
from unlearnkit.models.logit_transform import LogitTransform

PATTERN_TOLERANCE = 1e-6
"""Largest relative gap at which a loss's weights count as following the pattern."""


HeadKernel = Literal["auto", "torch", "liger"]


class Options(NamedTuple):
    """What the kernels need beside tensors."""

    transform: LogitTransform
    chunk: int
    gradient_bytes: int
    """A weight gradient larger than this is not kept; logits are computed twice instead."""
    kernel: HeadKernel = "torch"


def liger_is_installed() -> bool:
    """Whether the package of the fused kernels is there."""
    return find_spec("liger_kernel") is not None


def has_triton_device() -> bool:
    """Whether Triton kernels run here: on a GPU, or interpreted."""
    return torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1"


def chosen_kernel(kernel: HeadKernel) -> HeadKernel:
    """The kernel that is used: without the package ``auto`` is ``torch``."""
    return "torch" if kernel == "auto" and not liger_is_installed() else kernel


def _nll_kernel(hidden: Tensor, kernel: HeadKernel) -> Any:
    """Liger's computes in float32 whatever it is given."""
    single = hidden.dtype != torch.float64
    auto = kernel == "auto" and hidden.is_cuda
    return _liger_chunk if single and (auto or kernel == "liger") else _nll_chunk


class _Chunk(NamedTuple):
    """Values of a chunk, and their derivative with respect to the logits."""

    value: Tensor  # [n]
    gradient: Tensor  # [n, V] float32, scratch
    logits: Tensor  # [n, V] float32, what the transform gave; scratch unless that has a cap
    dtype: torch.dtype  # of the matrix products


def _logits(hidden: Tensor, weight: Tensor, transform: LogitTransform) -> tuple[Tensor, Any]:
    raw = F.linear(hidden, weight)
    return at_least_float32(transform(raw)), raw.dtype


def _nll_chunk(h: Tensor, weight: Tensor, target: Tensor, transform: LogitTransform) -> _Chunk:
    logits, dtype = _logits(h, weight, transform)
    picked = logits.gather(1, target[:, None])[:, 0]
    # In place: `logsumexp` goes over the logits, and makes as many again, twice as often.
    top = logits.amax(-1, keepdim=True)
    gradient = _spare(logits, transform).sub_(top).exp_()
    total = gradient.sum(-1, keepdim=True)
    gradient.mul_(total.reciprocal().neg_())
    gradient.scatter_add_(1, target[:, None], gradient.new_ones(len(target), 1))
    return _Chunk(picked - (top + total.log())[:, 0], gradient, logits, dtype)


def _liger_chunk(h: Tensor, weight: Tensor, target: Tensor, transform: LogitTransform) -> _Chunk:
    """As `_nll_chunk` in one pass over the logits; needs ``unlearnkit[liger]``."""
    from liger_kernel.ops import cross_entropy  # pyright: ignore[reportMissingImports]

    logits, dtype = _logits(h, weight, transform)
    # The derivative is written over what is given, if that says that it wants one.
    given = _spare(logits, transform).requires_grad_()
    nll, *_ = cross_entropy.cross_entropy_forward(
        given, target, weight=None, ignore_index=-100, lse_square_scale=0.0,
        label_smoothing=0.0, reduction="none", softcap=None, return_z_loss=False,
    )  # fmt: skip
    return _Chunk(-nll.detach(), given.detach().neg_(), logits, dtype)


def _kl_chunk(h: Tensor, weight: Tensor, ref_logps: Tensor, transform: LogitTransform) -> _Chunk:
    """Writes into ``ref_logps``: three tensors of the size of the logits are all there is."""
    logits, dtype = _logits(h, weight, transform)
    logps = _spare(logits, transform).sub_(logits.amax(-1, keepdim=True))
    probabilities = logps.exp()
    total = probabilities.sum(-1, keepdim=True)
    logps.sub_(total.log())
    torch.sub(ref_logps, logps, out=logps)
    ref = ref_logps.exp_()
    value = logps.mul_(ref).sum(-1)
    return _Chunk(value, probabilities.mul_(total.reciprocal()).sub_(ref), logits, dtype)


def _spare(logits: Tensor, transform: LogitTransform) -> Tensor:
    """The logits' own memory where nobody reads them again."""
    return logits if transform.cap is None else logits.clone()


def _weight_gradient(into: Tensor, weights: Tensor, gradient: Tensor, hidden: Tensor) -> None:
    """Adds a chunk's gradient."""
    # Hidden states are weighed, of which a token has fewer than logits.
    weighed = (hidden * weights[:, None]).to(gradient.dtype)
    if into.dtype == gradient.dtype:
        into.addmm_(gradient.t(), weighed)
    else:
        into += (gradient.t() @ weighed).to(into.dtype)


class _HeadFunction(Function):
    """Shared by both kernels: chunks of ``rest`` feed ``compute``."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,  # [N, H]
        weight: Tensor,  # [V, H]
        rest: Tensor,  # [N] targets, or [N, H'] states of the reference
        pattern: Pattern | None,
        compute: Any,
        options: Options,
    ) -> Tensor:
        ctx.autocast = _autocast_dtype(hidden)
        cast = _cast(weight, ctx.autocast)
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        small = weight.numel() * weight.element_size() <= options.gradient_bytes
        keep = needs_weight and pattern is not None and small
        values: list[Tensor] = []
        directions: list[Tensor] = []
        kept = torch.zeros_like(weight) if keep else None
        for start in range(0, len(hidden), options.chunk):
            part = slice(start, start + options.chunk)
            h = _cast(hidden[part], ctx.autocast)
            chunk: _Chunk = compute(h, cast, rest[part], options.transform)
            values.append(chunk.value)
            if needs_hidden or keep:
                raw = options.transform.backward(chunk.gradient, chunk.logits).to(chunk.dtype)
                directions.append((raw @ cast).to(hidden.dtype))
                if kept is not None and pattern is not None:
                    _weight_gradient(kept, pattern.weights[part], raw, hidden[part])
        direction = torch.cat(directions) if directions else None
        ctx.save_for_backward(hidden, weight, rest, direction)
        ctx.pattern, ctx.kept = pattern, kept
        ctx.compute, ctx.options = compute, options
        return torch.cat(values) if values else hidden.new_zeros(0, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        (upstream,) = grad_outputs
        hidden, weight, rest, direction = ctx.saved_tensors
        # No reference stays, so that what is handed on becomes ``.grad`` without a copy.
        kept, ctx.kept = ctx.kept, None
        to_hidden = to_weight = None
        if ctx.needs_input_grad[0]:
            # Without tokens it is a gradient all the same: processes reduce theirs together.
            scale = upstream[:, None].to(hidden.dtype)
            to_hidden = torch.zeros_like(hidden) if direction is None else direction * scale
        if ctx.needs_input_grad[1]:
            factor = None if kept is None else _factor(upstream, ctx.pattern)
            if kept is not None and factor is not None:
                to_weight = kept.mul_(factor)
            else:
                to_weight = _second_pass(ctx, upstream, hidden, weight, rest)
        return to_hidden, to_weight, None, None, None, None


def _second_pass(
    ctx: Any, upstream: Tensor, hidden: Tensor, weight: Tensor, rest: Tensor
) -> Tensor:
    """The weight's gradient by the very logits of the forward pass, computed once more."""
    found = torch.zeros_like(weight)
    cast = _cast(weight, ctx.autocast)
    # A reference's head may have weights of its own to cast.
    again = torch.autocast(hidden.device.type, ctx.autocast, enabled=ctx.autocast is not None)
    for start in range(0, len(hidden), ctx.options.chunk):
        part = slice(start, start + ctx.options.chunk)
        h = _cast(hidden[part], ctx.autocast)
        with again:
            chunk: _Chunk = ctx.compute(h, cast, rest[part], ctx.options.transform)
        raw = ctx.options.transform.backward(chunk.gradient, chunk.logits).to(chunk.dtype)
        _weight_gradient(found, upstream[part], raw, hidden[part])
    return found


def _autocast_dtype(tensor: Tensor) -> torch.dtype | None:
    """A tensor as autocast casts it; autocast is off in the backward pass."""
    device = tensor.device.type
    on = torch.is_autocast_enabled(device) and tensor.dtype != torch.float64
    return torch.get_autocast_dtype(device) if on else None


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor if dtype is None else tensor.to(dtype)


def _as_the_mode_says(*tensors: Tensor) -> tuple[Tensor, ...]:
    # Inside a Function gradients are off, and needs_input_grad does not know of no_grad outside.
    return tensors if torch.is_grad_enabled() else tuple(t.detach() for t in tensors)


def _factor(upstream: Tensor, pattern: Pattern) -> Tensor | None:
    """``c`` where ``upstream = c·pattern``, or None where it is not."""
    if not len(upstream):
        return upstream.new_ones(())
    factor = upstream[0] / pattern.weights[0]
    if pattern.proven:
        return factor
    gap = (upstream - factor * pattern.weights).abs().max()
    return factor if gap <= PATTERN_TOLERANCE * upstream.abs().max() else None


def token_logps(
    hidden: Tensor, weight: Tensor, target: Tensor, pattern: Pattern | None, options: Options
) -> Tensor:
    """``log p(target)`` of each token, in nats.

    Args:
        hidden: ``[N, H]`` inputs of the head.
        weight: ``[V, H]`` of the head.
        target: ``[N]`` token ids.
        pattern: Weights that the loss is expected to give to the tokens.
        options: Transform and sizes.

    Returns:
        ``[N]``, float32 (float64 for a float64 head).

    Example:
        >>> options = Options(LogitTransform(), chunk=2, gradient_bytes=0)
        >>> hidden, weight = torch.zeros(3, 2), torch.zeros(4, 2)
        >>> token_logps(hidden, weight, torch.tensor([0, 1, 2]), None, options).exp()
        tensor([0.2500, 0.2500, 0.2500])
    """
    hidden, weight = _as_the_mode_says(hidden, weight)
    compute = _nll_kernel(hidden, options.kernel)
    return _applied(hidden, weight, target, pattern, compute, options)


def token_forward_kl(
    hidden: Tensor,
    weight: Tensor,
    reference: Any,
    reference_hidden: Tensor,
    pattern: Pattern | None,
    options: Options,
) -> Tensor:
    """``KL(reference ‖ policy)`` of each token, in nats.

    Args:
        hidden: ``[N, H]`` inputs of the policy's head.
        weight: ``[V, H]`` of the policy's head.
        reference: Turns states of the reference into its logits, ``[n, H'] -> [n, V]``.
        reference_hidden: ``[N, H']`` inputs of the reference's head.
        pattern: As in `token_logps`.
        options: Transform and sizes.

    Returns:
        ``[N]``, float32 (float64 for a float64 head).
    """

    def compute(h: Tensor, w: Tensor, ref_h: Tensor, transform: LogitTransform) -> _Chunk:
        with torch.no_grad():
            ref_logps = at_least_float32(reference(ref_h)).log_softmax(-1)
        return _kl_chunk(h, w, ref_logps, transform)

    hidden, weight = _as_the_mode_says(hidden, weight)
    return _applied(hidden, weight, reference_hidden, pattern, compute, options)


def _applied(
    hidden: Tensor, weight: Tensor, rest: Tensor, pattern: Pattern | None, *how: Any
) -> Tensor:
    found: Any = _HeadFunction.apply(hidden, weight, rest, pattern, *how)
    if pattern is not None and found.grad_fn is not None:
        pattern.number = found.grad_fn._sequence_nr()
    return found
