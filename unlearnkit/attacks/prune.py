"""Skips decoder blocks, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import measured, notes_on
from unlearnkit.engine.generation.sampling import on_device
from unlearnkit.engine.step.forward import decoder_blocks
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel
from unlearnkit.models.composite.base import CompositeConfig
from unlearnkit.models.load import load_config, load_model
from unlearnkit.plain import spaced

if TYPE_CHECKING:
    from unlearnkit.data.example import Example


class Prune(Attack, name="prune"):
    """Skip a decoder block: what one block suppresses comes back without it.

    Each block in turn passes on its input as its output. A curve has one mapping per block that is
    skipped, that of the whole model first: ``without``, the block from 0, and ``forget/<metric>``.

    Args:
        limit: Rows measured at most, evenly spaced.
        blocks: Blocks that are skipped in turn at most, evenly spaced.

    References:
        Che et al. 2025, "Model tampering attacks enable more rigorous evaluations of LLM
        capabilities", arXiv 2502.05209, for attacks that change the model.
    """

    def __init__(self, limit: int = 32, blocks: int = 8) -> None:
        if blocks < 1:
            raise UserError(f"--blocks: expected at least 1, found {blocks}", title="usage")
        self.limit, self.blocks = check_limit(limit), blocks

    def prepare(self, target: Target) -> list[Example]:
        """Evenly spaced rows."""
        return spaced(target.examples, self.limit)

    def notes(self, rows: Sequence[Example], target: Target) -> list[str]:
        """Rows that are cut, or have no word."""
        return notes_on({"forget": rows}, target)

    def run(self, base: str | BaseModel, rows: Sequence[Example], target: Target) -> Curve:
        """Measures the whole model, and without each block.

        Raises:
            UserError: If the model is composite, or has no list of blocks.
        """
        if isinstance(load_config(base), CompositeConfig):
            raise UserError(
                "prune: a composite model has several lists of blocks, and none is its own.",
                hint="Attack the models that it is made of, or take another attack.",
            )
        model = on_device(load_model(base))
        try:
            blocks = decoder_blocks(model)
        except LookupError as error:
            raise UserError(f"prune: {error}") from error
        curve: Curve = []
        for which in (None, *spaced(range(len(blocks)), self.blocks)):
            with skipping(blocks, which):
                metrics = measured(model, target.tokenizer, rows, target.context)
            curve.append({"without": which, **metrics})
        return curve


@contextmanager
def skipping(blocks: Sequence[nn.Module] | nn.ModuleList, which: int | None) -> Iterator[None]:
    """Has a block pass on its input within; None skips no block.

    The block still runs, so that a cache of keys and values has an entry for it.

    Example:
        >>> import torch
        >>> blocks = nn.ModuleList([nn.Linear(2, 2)])
        >>> with skipping(blocks, 0):
        ...     blocks[0](torch.ones(2))
        tensor([1., 1.])
    """
    if which is None:
        yield
        return

    def pass_on(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], out: Any) -> Any:
        states = given[0] if given else named["hidden_states"]
        return (states, *out[1:]) if isinstance(out, tuple) else states

    hook = blocks[which].register_forward_hook(pass_on, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
