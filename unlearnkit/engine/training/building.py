"""Builds the policy of a module, and a frozen reference beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from unlearnkit.engine.reference.adapter_probe import add_restorable_adapter, refuse_trained_base
from unlearnkit.engine.reference.kinds import Frozen
from unlearnkit.engine.reference.other import kept_reference
from unlearnkit.engine.step.attention_choice import attend_to_forests
from unlearnkit.engine.step.checkpointing import recompute_blocks
from unlearnkit.engine.step.forward import decoder_blocks
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.layout import layouts_of
from unlearnkit.engine.training.freezing import restrict
from unlearnkit.engine.training.fsdp2 import let_go, shard, sharding_mesh
from unlearnkit.engine.training.heap import give_back_freed_memory, trim
from unlearnkit.engine.training.slices import Slices
from unlearnkit.models.load import add_adapter


def build(module: Any, model: Any, kind: str | None, slices: Slices | None = None) -> Frozen | None:
    """Sets a module's policy, head, layout and attention, and shards what its strategy shards.

    What is found out by running the model is found out before anything is put on it; of a model
    that is not read yet once it is sharded and read.

    Args:
        module: An `UnlearningModule`.
        model: The model to be trained.
        kind: The reference; of kind ``frozen`` it is made here.
        slices: What the model is read from, if its weights are not there yet.

    Returns:
        The frozen reference, if that is asked for.
    """
    if slices is None:
        _choose(module, [model])
    reference: Frozen | None = None
    copied: list[Any] = []
    if kind == "frozen" and slices is None:
        reference = kept_reference(module, model)
        copied = [reference.model]
    elif kind == "frozen" and slices is not None:
        copied = [slices.unread(module.reference_dtype).requires_grad_(False)]
    recompute_blocks(model, module.gradient_checkpointing)
    add = add_restorable_adapter if kind == "adapter_off" and slices is None else add_adapter
    module.policy = add(model, module.lora) if module.lora else model
    restrict(module.policy, module.trainable)
    if slices is not None:
        slices.settle(module.policy)
    else:
        module.head = Head(module.policy, kernel=module.head_kernel)
    if module.device_mesh is not None:
        give_back_freed_memory()
        precision = str(module._trainer.precision) if module._trainer else None
        shard([module.policy, *copied], sharding_mesh(module.device_mesh), precision)
    if slices is not None:
        for each in (module.policy, *copied):
            slices.fill(each)
        with _trimmed([model, *copied]):  # each of these runs one of them
            _choose(module, [model, *copied])
            module.head = Head(module.policy, kernel=module.head_kernel)
            reference = slices.frozen(copied[0], module.reference_dtype) if copied else None
            refuse_trained_base(module.policy, kind)
        for each in (module.policy, *copied):
            let_go(each)
    return reference


@contextmanager
def _trimmed(models: Iterable[Any]) -> Iterator[None]:
    """Gives back what gathering each decoder block took, before the next one is gathered."""
    blocks = [block for model in models for block in decoder_blocks(model)]
    handles = [block.register_forward_hook(lambda *_: trim()) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        trim()


def _choose(module: Any, models: Iterable[Any]) -> None:
    """Chooses the layout by running the first model, and has all attend to it."""
    first, *others = models
    found = layouts_of(first, module.layout, module._trainer, module.compiled)
    module.layout, module.step_layout, module.layout_reason = found
    if module.layout == "packed":
        for each in (first, *others):
            module.attention = attend_to_forests(each, module.attention, module._trainer)
