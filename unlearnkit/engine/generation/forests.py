"""Lets models that are scored take packed rows for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Layout
from unlearnkit.engine.step.attention import TREE_ATTENTION, use_tree_attention
from unlearnkit.engine.step.attention_choice import choose_attention, where_it_runs
from unlearnkit.engine.step.attention_kernels import KernelName
from unlearnkit.engine.step.layout import packed_refusal
from unlearnkit.engine.step.probe import own_attention_kept
from unlearnkit.models.composite.logits import CombinedForCausalLM

GAIN = 0.9
"""Packed rows are worth it where they have at most this share of the padded rows' tokens."""
_kernels: WeakKeyDictionary[nn.Module, KernelName | None] = WeakKeyDictionary()


@contextmanager
def planned_passes(
    models: Sequence[nn.Module], examples: Sequence[Example], size: int
) -> Iterator[tuple[Layout, list[list[int]]]]:
    """The layout, and indices of the examples of each forward pass.

    Examples are packed where that spares tokens and all models can be packed; they attend over
    forests meanwhile. Whether a model can is found out by running it, the first time it is asked.

    Args:
        models: Those that the examples are run through.
        examples: Prompts with responses.
        size: Examples in one pass at most.
    """
    rows, trees = row_passes(examples, size), tree_passes(examples, size)
    padded = sum(len(each) * max(_length(examples[i]) for i in each) for each in rows)
    tokens = sum(len(p) for each in trees for p in {examples[i].prompt_ids for i in each})
    tokens += sum(len(e.response_ids) for e in examples)
    if tokens > GAIN * padded or None in [_kernel(model) for model in models]:
        yield "rows", rows
        return
    with ExitStack() as stack:
        for model in models:
            if not _attends_to_forests(model):
                stack.enter_context(_switched(model))
        yield "packed", trees


def row_passes(examples: Sequence[Example], size: int) -> list[list[int]]:
    """Passes of examples of like length.

    Example:
        >>> row_passes([Example((5,), (4,) * n, 0, "a:1") for n in (1, 3, 2)], 2)
        [[0, 2], [1]]
    """
    order = sorted(range(len(examples)), key=lambda i: _length(examples[i]))
    return [order[start : start + size] for start in range(0, len(order), size)]


def tree_passes(examples: Sequence[Example], size: int) -> list[list[int]]:
    """Passes that hold all examples of a prompt, as far as that is possible.

    Example:
        >>> tree_passes([Example((p,), (4,), 0, "a:1") for p in (1, 2, 1, 2, 1)], 2)
        [[0, 2], [4], [1, 3]]
    """
    trees: dict[tuple[int, ...], list[int]] = {}
    for i, example in enumerate(examples):
        trees.setdefault(example.prompt_ids, []).append(i)
    passes: list[list[int]] = []
    for tree in trees.values():
        for part in (tree[start : start + size] for start in range(0, len(tree), size)):
            if not passes or len(passes[-1]) + len(part) > size:
                passes.append([])
            passes[-1] += part
    return passes


def _length(example: Example) -> int:
    return len(example.prompt_ids) + len(example.response_ids)


def _kernel(model: nn.Module) -> KernelName | None:
    """The attention kernel of the model's packed rows; None if it cannot take them."""
    if _attends_to_forests(model):
        return "loop"
    if model not in _kernels:
        _kernels[model] = None
        if packed_refusal(model) is None:
            with ExitStack() as stack:
                for part in _parts(model):
                    stack.enter_context(own_attention_kept(part))
                _kernels[model] = choose_attention("auto", *where_it_runs(model, None), model)[0]
    return _kernels[model]


@contextmanager
def _switched(model: nn.Module) -> Iterator[None]:
    with ExitStack() as stack:
        for part in _parts(model):
            stack.enter_context(own_attention_kept(part))
            use_tree_attention(part, _kernels[model] or "loop")
        yield


def _parts(model: Any) -> list[Any]:
    return list(model.parts.values()) if isinstance(model, CombinedForCausalLM) else [model]


def _attends_to_forests(model: nn.Module) -> bool:
    named = (getattr(part.config, "_attn_implementation", None) for part in _parts(model))
    return all(str(name).startswith(TREE_ATTENTION) for name in named)
