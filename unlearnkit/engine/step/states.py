"""Output of each decoder block, and the norm before the head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.data.pack import Batch
from unlearnkit.engine.step.forward import decoder_blocks
from unlearnkit.errors import UserError


def block_states(model: nn.Module, batch: Batch, norm: nn.Module, said: str) -> list[Tensor]:
    """Output of each decoder block where it predicts the response tokens.

    Args:
        model: A causal language model.
        batch: Rows, not packed.
        norm: Its `final_norm`.
        said: What asks, for messages.

    Returns:
        A tensor ``[N, H]`` for each block.

    Raises:
        UserError: If the model has more between its last block and its head than the norm.
    """
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _arguments: object, output: Any) -> None:
        states = output[0] if isinstance(output, tuple) else output
        caught.append(states.flatten(0, -2)[batch.source])

    hooks = [block.register_forward_hook(catch) for block in decoder_blocks(model)]
    try:
        last = _decoder(model)(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            use_cache=False,
        )[0]
    finally:
        for hook in hooks:
            hook.remove()
    if not torch.allclose(norm(caught[-1]), last.flatten(0, -2)[batch.source]):
        raise UserError(f"{said}: {type(model).__name__} has more after its last layer")
    return caught


def final_norm(model: nn.Module, said: str) -> nn.Module:
    """The last norm among the decoder's own modules, after its blocks.

    Args:
        model: A causal language model.
        said: What asks, for messages.

    Raises:
        UserError: If none is found.
    """
    owner = next(
        (m for m in _decoder(model).modules() if decoder_blocks(model) in m.children()), None
    )
    norms = [m for m in owner.children() if "norm" in type(m).__name__.lower()] if owner else []
    if not norms:
        raise UserError(f"{said}: {type(model).__name__} has no final norm that is known")
    return norms[-1]


def _decoder(model: nn.Module) -> nn.Module:
    return model.get_decoder()  # pyright: ignore
