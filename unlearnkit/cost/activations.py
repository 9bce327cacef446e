"""Activations of decoder blocks, counted as autograd keeps them."""

from __future__ import annotations

from unlearnkit.cost.shapes import Shapes
from unlearnkit.cost.training import BYTES, Training

_NORM = 4
"""Bytes of a number in a norm, which computes in float32."""


def of_block(shapes: Shapes, run: Training) -> float:
    """Bytes that one block keeps for its backward pass."""
    per_token = _norms(shapes, run) + _attention(shapes, run) + _feed_forward(shapes, run)
    if run.rank is not None:
        per_token += _linears(shapes) * run.rank * _adapter_number(run)
    return run.tokens * per_token


def of_input(shapes: Shapes, run: Training) -> float:
    """Bytes of the hidden states that enter a block."""
    return run.tokens * shapes.hidden * run.residual


def outside(shapes: Shapes, run: Training) -> float:
    """Bytes beside blocks and head: final norm, rotary embeddings, mask."""
    trained = run.rank is None
    norm = shapes.hidden * (_NORM + run.residual * trained)
    rotary = 2 * shapes.head_dim * run.residual
    mask = run.residual * run.width if run.layout == "rows" and run.padded else 0
    return run.tokens * (norm + rotary + mask)


def of_responses(shapes: Shapes, run: Training) -> float:
    """Bytes of hidden states at response tokens and of their derivatives."""
    referred = run.kl and run.reference is not None
    return run.predicted * shapes.hidden * run.residual * (3 + 2 * referred)


def at_work(shapes: Shapes, run: Training) -> float:
    """Most bytes of temporaries of one block's backward pass.

    They are those of a norm in float32, or of the feed-forward part's derivatives.
    """
    inner = 2 * shapes.inner * shapes.used * run.products
    return run.tokens * max(5 * _NORM * shapes.hidden, inner + shapes.hidden * run.residual)


def without_gradient(shapes: Shapes, run: Training) -> float:
    """Most bytes of a block's forward pass that keeps nothing, such as a reference's."""
    inner = 3 * shapes.inner * shapes.used * run.products
    return run.tokens * (inner + 2 * shapes.hidden * run.residual)


def logits(shapes: Shapes, run: Training) -> float:
    """Bytes of the logits of one chunk and of what is computed from them."""
    chunk = run.head.tokens(shapes.vocabulary)
    tokens = min(chunk, -(-run.predicted // run.streams))
    half = run.products if run.products != 4 else 0
    # KL: what the logits become, the derivative, and what the reference's become.
    numbers = 12 if run.kl and run.reference else 4 + half
    return tokens * shapes.vocabulary * numbers


def _own_copies(run: Training) -> bool:
    """Whether each linear layer keeps an input of its own, in another type than it is given."""
    if run.autocast:
        return run.residual != run.products or (run.rank is not None and run.shards == 1)
    return run.rank is not None and BYTES[run.adapter_weights] != run.residual


def _adapter_number(run: Training) -> float:
    """Bytes of a number that an adapter's first matrix takes or gives."""
    return run.products if run.autocast else BYTES[run.adapter_weights]


def _linears(shapes: Shapes) -> int:
    """Linear layers of a block that a token goes through."""
    return 4 + (3 if shapes.gated else 2) * shapes.used


def _norms(shapes: Shapes, run: Training) -> float:
    """Two norms: what enters, what their weights multiply, and what they give."""
    trained = run.rank is None and not run.quantization
    kept = 2 * (_NORM + run.residual * trained)
    # Norms behind a part and norms of heads multiply in float32, and their values are added.
    kept += (shapes.norms - 2) * _NORM * (1 + trained)
    if not _own_copies(run):
        return shapes.hidden * (kept + 2 * run.residual)
    number = _adapter_number(run) if run.rank is not None else run.products
    readers = 3 + (2 if shapes.gated else 1) * shapes.used
    return shapes.hidden * (kept + readers * number)


def _attention(shapes: Shapes, run: Training) -> float:
    """Queries, keys, values, the output, and the output as the next layer is given it."""
    query, key = shapes.query, shapes.key
    packed = run.layout == "packed"
    at_once = packed and run.attention != "loop"
    # Keys and values are repeated for their queries where a call does not take fewer of them.
    wide = key if at_once or (not packed and not run.padded) else query
    keys = 2 * wide * (run.keys if packed else 1)
    given = 0  # what the output projection is given, where that is not the output itself
    if _own_copies(run) and run.rank is not None:
        given = query * _adapter_number(run)
    elif packed and not at_once:
        given = query * run.products
    normed = (query + key) * _NORM * 2 if shapes.head_norms else 0
    return (query + keys + query) * run.products + given + normed


def _feed_forward(shapes: Shapes, run: Training) -> float:
    """Projections, the activation function's value, and what enters the last product."""
    last = _adapter_number(run) if _own_copies(run) and run.rank is not None else run.products
    numbers = ((3 if shapes.gated else 1) + shapes.middles) * run.products + last
    routed = shapes.hidden * run.products * shapes.used if shapes.experts > 1 else 0
    return shapes.inner * shapes.used * numbers + routed
