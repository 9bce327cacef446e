"""Cost of an unlearning request, answers included."""

from __future__ import annotations

import math


def holistic_cost(unlearning: float, inferences: float, overhead: float) -> float:
    """Cost of one request: of the deletion, and of the answers until the next request.

    ``C = unlearning + inferences · overhead``

    Args:
        unlearning: Cost of a deletion, such as floating-point operations.
        inferences: Answers between two requests.
        overhead: What an answer costs more than one of a model without examples in its prompt.

    Returns:
        The cost, in the unit of ``unlearning`` and ``overhead``.

    References:
        Muresanu et al. 2024, "Unlearnable Algorithms for In-context Learning", arXiv 2402.00751,
        the holistic measure of unlearning cost.

    Example:
        >>> holistic_cost(unlearning=100.0, inferences=50, overhead=2.0)
        200.0
    """
    return unlearning + inferences * overhead


def break_even(unlearning: float, overhead: float, retraining: float) -> float:
    """Answers between two requests up to which examples in a prompt cost less than retraining.

    Args:
        unlearning: Cost of a deletion from the examples.
        overhead: As in `holistic_cost`; an answer of the retrained model has none.
        retraining: Cost of training without the deleted rows.

    Returns:
        0 where the deletion alone costs more; infinity where answers cost nothing more.

    Example:
        >>> break_even(unlearning=10.0, overhead=2.0, retraining=100.0)
        45.0
    """
    saved = retraining - unlearning
    if saved <= 0:
        return 0.0
    return saved / overhead if overhead > 0 else math.inf
