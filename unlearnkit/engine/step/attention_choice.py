"""Chooses the attention kernel of packed rows, and probes it."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from unlearnkit.data.attention_plan import Tree, plan_attention
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.engine.step.attention_kernels import KERNELS, KernelName
from unlearnkit.engine.step.forward import head_inputs
from unlearnkit.engine.step.probe import made_up_rows
from unlearnkit.errors import RecipeError
from unlearnkit.models.composite.logits import CombinedForCausalLM
from unlearnkit.models.modes import evaluating

logger = logging.getLogger(__name__)

AttentionChoice = Literal["auto", "loop", "varlen", "flash_attn", "flex"]
PREFERENCE: tuple[KernelName, ...] = ("varlen", "flash_attn", "flex", "loop")
_HALF = (torch.bfloat16, torch.float16)
_ROUNDING = 2e-2
"""Largest relative gap between two kernels in half precision; a wrong window gives 0.1 or more."""


class AttentionNeeds(NamedTuple):
    """What the attention of a model asks of a kernel."""

    head_size: int
    """Of queries and keys."""
    value_size: int
    softcap: bool
    dropout: bool


@torch.no_grad()
def observed_needs(model: Any) -> set[AttentionNeeds]:
    """What the decoder blocks of a model ask of a kernel, on made-up rows in train mode.

    Modes and the state of random numbers are put back; the model attends by the loop afterwards.

    Args:
        model: A causal language model that can be packed, or one that combines several.
    """
    if isinstance(model, CombinedForCausalLM):
        return set[AttentionNeeds]().union(*map(observed_needs, model.parts.values()))
    found: set[AttentionNeeds] = set()

    def note(query: Tensor, value: Tensor, dropout: float, softcap: float | None) -> None:
        found.add(
            AttentionNeeds(query.shape[-1], value.shape[-1], softcap is not None, dropout > 0)
        )

    device = next(model.parameters()).device
    generators = [device] if device.type == "cuda" else []
    use_tree_attention(model, observe=note)
    with torch.random.fork_rng(generators), evaluating(model):
        model.train()
        head_inputs(model, model.get_output_embeddings(), made_up_rows(model, device, "packed"))
    use_tree_attention(model)
    return found


def refusals(
    device: torch.device, dtype: torch.dtype, needs: AttentionNeeds
) -> dict[KernelName, str | None]:
    """Why each kernel cannot serve, or None."""
    gpu = None if device.type == "cuda" else f"it runs on a GPU, and the model is on {device.type}"
    half = None if dtype in _HALF else f"it computes in bfloat16 or float16, not in {dtype}"
    odd = needs.head_size % 8 or needs.head_size > 256
    size = f"heads of {needs.head_size} are not a multiple of 8 up to 256" if odd else None
    if needs.value_size != needs.head_size:
        size = f"keys have heads of {needs.head_size}, values of {needs.value_size}"
    double = "it has no float64 form" if dtype == torch.float64 else None
    dropout = "it has no attention dropout" if needs.dropout else None
    package = None if find_spec("flash_attn") else "flash-attn is not installed"
    cap = "it has no soft caps" if needs.softcap else None
    return {
        "varlen": gpu or half or size or cap or dropout,
        "flash_attn": gpu or half or size or package,
        "flex": gpu or double or dropout,
        "loop": None,
    }


def choose_attention(
    asked: AttentionChoice, device: torch.device, dtype: torch.dtype, model: Any
) -> tuple[KernelName, str]:
    """The kernel to use, and why in a few words.

    Args:
        asked: A kernel by name, or ``auto`` for the first that serves.
        device: Of the model.
        dtype: Of queries and keys, that of autocast where it is on.
        model: A causal language model, or one that combines several.

    Raises:
        RecipeError: If the kernel that is asked for cannot serve.
    """
    if asked == "loop" or (asked == "auto" and device.type != "cuda"):
        return "loop", "as asked" if asked == "loop" else f"the others run on a GPU, not {device}"
    needs = sorted(observed_needs(model))

    def refusal(name: KernelName) -> str | None:
        reasons = (
            refusals(device, dtype, each)[name] or probe_kernel(name, device, dtype, each)
            for each in needs
        )
        return next(filter(None, reasons), None)

    if asked != "auto":
        if reason := refusal(asked):
            raise RecipeError(
                f"model.attention: {asked} cannot serve here: {reason}",
                hint="Leave it out: auto takes the first kernel that serves.",
            )
        return asked, "as asked"
    told: list[str] = []
    for name in PREFERENCE:
        if (reason := refusal(name)) is None:
            return name, "; ".join(told) or "one call a layer"
        told.append(f"not {name}: {reason}")
    raise AssertionError("the loop serves everywhere")


def attend_to_forests(model: Any, asked: AttentionChoice, trainer: Any = None) -> KernelName:
    """Makes a model attend over forests by the kernel that serves; the log has the reason."""
    name, reason = choose_attention(asked, *where_it_runs(model, trainer), model)
    logger.info("attention %s: %s", name, reason)
    use_tree_attention(model, name)
    return name


def where_it_runs(model: Any, trainer: Any) -> tuple[torch.device, torch.dtype]:
    """Device and type of a model's queries, under a trainer or without one."""
    first = next(model.parameters())
    if trainer is None:
        return first.device, first.dtype
    types: dict[str, torch.dtype] = {
        "bf16": torch.bfloat16,
        "16": torch.float16,
        "64": torch.float64,
    }
    bits, _, _ = str(trainer.precision).partition("-")
    dtype: torch.dtype = types.get(bits) or first.dtype
    return trainer.strategy.root_device, dtype


@torch.no_grad()
def probe_kernel(
    name: KernelName, device: torch.device, dtype: torch.dtype, needs: AttentionNeeds
) -> str | None:
    """Why a kernel differs from the loop on a made-up row, or None."""
    if name == "loop":
        return None
    plan = plan_attention([Tree((0, 9), ((9, 14), (14, 33))), Tree((33, 40), ((40, 56),))])
    plan = plan.to(device)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(1, heads, 56, size, generator=generator).to(device, dtype)
        for heads, size in ((4, needs.head_size), (2, needs.head_size), (2, needs.value_size))
    )
    softcap = 20.0 if needs.softcap else None
    for window in (None, 6):
        options: Any = {"dropout": 0.0, "scaling": None, "window": window, "softcap": softcap}
        expected = KERNELS["loop"](query, key, value, plan, **options)
        try:
            found = KERNELS[name](query, key, value, plan, **options)
        except Exception as error:  # a kernel may refuse a device in any way
            first = (str(error).strip().splitlines() or [""])[0]
            return f"it does not run ({type(error).__name__}: {first})"
        gap = float((found - expected).float().norm() / expected.float().norm())
        if not gap <= _ROUNDING:
            return f"it differs from the loop on a made-up row (by {gap:.2g} of its size)"
    return None
