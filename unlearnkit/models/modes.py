"""Sets a model's mode temporarily, and captures states before the head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import GenerationConfig


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Puts the model in eval mode; afterwards each submodule has its own mode back.

    Example:
        >>> model = nn.Sequential(nn.Dropout(), nn.Linear(1, 1).eval())
        >>> with evaluating(model):
        ...     model[0].training
        False
        >>> model[0].training, model[1].training
        (True, False)
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def without_own_settings(model: nn.Module) -> Iterator[None]:
    """Removes for a while the generation configs of a model and of its parts.

    ``generate`` of transformers takes from them whatever the config that it is given leaves open:
    stop strings, processors of logits, a kind of cache.
    """
    own = [
        (module, found)
        for module in model.modules()
        if isinstance(found := vars(module).get("generation_config"), GenerationConfig)
    ]
    for module, _ in own:
        vars(module)["generation_config"] = GenerationConfig()
    try:
        yield
    finally:
        for module, found in own:
            vars(module)["generation_config"] = found


@contextmanager
def captured_states(head: nn.Module) -> Iterator[list[Tensor]]:
    """Catches what the model would feed to its head, and feeds one position instead.

    The head then costs nothing inside the model's own forward, whatever the architecture; the
    wanted positions are put through it afterwards.
    """
    caught: list[Tensor] = []

    def catch(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = arguments[0]
        caught.append(hidden)
        return (hidden[..., :1, :].detach(), *arguments[1:])

    handle = head.register_forward_pre_hook(catch)
    try:
        yield caught
    finally:
        handle.remove()
