"""Compares rows computed together with the same rows computed alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, Layout, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.engine.step.forward import head_inputs
from unlearnkit.models.modes import captured_states, evaluating

_LENGTHS = ((1, 3), (4, 5), (4, 3), (2, 6))
"""Tokens of prompt and response: two of the rows have one prompt, and all but the first have
others before them when they are packed."""
_ALONE = 2
"""The row that is run alone too; it is padded where it is run with the others."""
_WINDOW = 3
"""What sliding windows are narrowed to meanwhile, so that the rows are longer."""
ROUNDING = {torch.float32: 2e-5, torch.bfloat16: 8e-3, torch.float16: 1e-3}
"""Relative difference that is rounding in any case."""
_NOISE = 8.0
"""So many times the difference between a row in a batch and the same row alone is rounding too."""
_FAULT = 0.2
"""Relative difference that is no rounding in half precision, nor in 8 bits."""


class Findings(NamedTuple):
    """What is wrong with a model's rows; None where nothing is."""

    together: str | None
    """Rows in one batch, padded on the right, differ from the same rows alone."""
    packed: str | None
    """Packed rows differ from rows in one batch."""


@torch.no_grad()
def examine(model: nn.Module, packed: bool = True) -> Findings:
    """Runs made-up rows alone, in a batch and packed, through all decoder blocks.

    The model is in eval mode meanwhile and its sliding windows are narrower than the rows. Modes,
    attention function, windows and the state of random numbers are put back.

    Args:
        model: A causal language model of transformers, whole on its device.
        packed: Pack the rows too.
    """
    device = next(model.parameters()).device
    generators = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(generators), evaluating(model), _narrow_windows(model):
        examples = _made_up(model)
        together = _states(model, examples, "rows", device)
        alone = _states_alone(model, examples[_ALONE], device)
        first = sum(response for _, response in _LENGTHS[:_ALONE])
        same = together[first : first + len(alone)]
        if same.shape != alone.shape:
            return Findings("its output head is not given one state a token", None)
        if not (together.isfinite().all() and alone.isfinite().all()):
            return Findings(None, None)  # that is another fault, and `Head` names it
        noise = relative_difference(same, alone)
        if noise > (1e-3 if _is_exact(model, together.dtype) else _FAULT):
            return Findings(f"a row in a batch and the same row alone differ by {noise:.2g}", None)
        reason = _packed_fault(model, examples, together, noise) if packed else None
    return Findings(None, reason)


def _is_exact(model: Any, dtype: torch.dtype) -> bool:
    """Whether nothing is computed in less than float32."""
    whole = torch.get_float32_matmul_precision() == "highest"
    return dtype.itemsize >= 4 and whole and not getattr(model, "is_quantized", False)


def _packed_fault(
    model: nn.Module, examples: list[Example], together: Tensor, noise: float
) -> str | None:
    try:
        with own_attention_kept(model):
            use_tree_attention(model)  # pyright: ignore[reportArgumentType]
            found = _states(model, examples, "packed", together.device)
    except Exception as error:
        # A model may refuse the arguments in any way; then it cannot be packed.
        first = (str(error).strip().splitlines() or [""])[0]
        return f"it does not run packed ({type(error).__name__}: {first})"
    difference = relative_difference(found, together)
    if difference <= max(ROUNDING.get(together.dtype, 2e-5), _NOISE * noise):
        return None
    return f"made-up rows differ when they are packed (by {difference:.2g} of their size)"


def _states(
    model: nn.Module, examples: list[Example], layout: Layout, device: torch.device
) -> Tensor:
    """``[N, H]`` what the output head is given at the positions that predict responses."""
    batch = _batch(examples, layout, device)
    return head_inputs(model, _head(model), batch)[batch.source]


def made_up_rows(model: nn.Module, device: torch.device, layout: Layout = "rows") -> Batch:
    """The made-up rows as a batch."""
    return _batch(_made_up(model), layout, device)


def _batch(examples: list[Example], layout: Layout, device: torch.device) -> Batch:
    return pack({"probe": StreamBatch(tuple(examples), 1, 1)}, layout).to(device)


def _states_alone(model: nn.Module, example: Example, device: torch.device) -> Tensor:
    """The same of one row as transformers itself is called, and with its last token too."""
    ids = torch.tensor([[*example.prompt_ids, *example.response_ids]], device=device)
    with captured_states(_head(model)) as caught:
        model(input_ids=ids, use_cache=False)
    return caught[-1].flatten(0, -2)[len(example.prompt_ids) - 1 : -1]


def _head(model: Any) -> nn.Module:
    return model.get_output_embeddings()


def _made_up(model: Any) -> list[Example]:
    ids = ordinary_ids(model.config)
    prompts = {length: tuple(next(ids) for _ in range(length)) for length, _ in _LENGTHS}
    return [
        Example(prompts[prompt], tuple(next(ids) for _ in range(response)), row, "probe")
        for row, (prompt, response) in enumerate(_LENGTHS)
    ]


def ordinary_ids(config: PreTrainedConfig) -> Iterator[int]:
    """Ids from all over the vocabulary, without those that the config gives a part to play."""
    special: set[int] = set()
    for each in (config, config.get_text_config()):
        for name, value in each.to_dict().items():
            if name.endswith(("token_id", "token_index")):
                special |= set(value) if isinstance(value, list) else {value}
    vocabulary = config.get_text_config().vocab_size
    found = [i * 7919 % vocabulary for i in range(1, 65)]
    plain = [i for i in dict.fromkeys(found) if i not in special] or found
    return (plain[i % len(plain)] for i in count())


@contextmanager
def own_attention_kept(model: Any) -> Iterator[None]:
    """Puts the model's attention function back as it was."""
    config = model.config
    before = {"": config._attn_implementation}
    for name in config.sub_configs:
        if value := getattr(getattr(config, name, None), "_attn_implementation", None):
            before[name] = value
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def _narrow_windows(model: nn.Module) -> Iterator[None]:
    """Narrows sliding windows, in configs (masks are made from them) and in attention modules."""
    holders: dict[int, Any] = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        for each in (module, config, *_parts_of(config)):
            if each is not None:
                holders[id(each)] = each
    before = [
        (holder, name, value)
        for holder in holders.values()
        for name, value in vars(holder).items()
        if name in ("sliding_window", "sliding_window_size")
        and isinstance(value, int)
        and value > _WINDOW
    ]
    for holder, name, _ in before:
        setattr(holder, name, _WINDOW)
    try:
        yield
    finally:
        for holder, name, value in before:
            setattr(holder, name, value)


def _parts_of(config: object) -> list[Any]:
    names = config.sub_configs if isinstance(config, PreTrainedConfig) else ()
    return [getattr(config, name, None) for name in names]


def relative_difference(one: Tensor, other: Tensor) -> float:
    """Difference of ``[N, H]`` states, in parts of their size.

    It is the mean over tokens; in half precision the median, since rounding sends single tokens of
    a mixture of experts to other experts.
    """
    exact = other.dtype in (torch.float32, torch.float64)
    one, other = one.float(), other.float()
    each = (one - other).norm(dim=-1) / other.norm(dim=-1).clamp(min=1e-30)
    return float(each.mean() if exact else each.median())
