"""vLLM on a model's folder, in place of the live model."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig

from unlearnkit.data.plan import derived_seed
from unlearnkit.engine.generation.backends.saved import refuse_unreadable, saved_model
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel

_ROUND = 1024
"""Longest sequences are rounded up to a multiple, so that few calls need another engine."""
_SHARE = 0.9
"""Part of a GPU's free memory that an engine takes."""


class Vllm:
    """Continues prompts with vLLM, given as token ids.

    One engine is kept, of the model and length that were asked for last. The live model stays where
    it is, so the engine takes a part of the memory that is free.

    Args:
        model: A live model whose folder is known; see `saved_as`.

    Raises:
        RecipeError: If vLLM is not installed, or cannot read the model.
    """

    rows = 1 << 30

    def __init__(self, model: nn.Module) -> None:
        refuse_missing()
        self._base = saved_model(model)
        refuse_unreadable(self._base, self._base.path)

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        config: GenerationConfig,
        seed: int,
    ) -> list[list[int]]:
        """New ids of each prompt; the end token is among them.

        Args:
            prompts: Token ids.
            limits: New tokens of each at most.
            config: End tokens and sampling.
            seed: Of the sampling, with the number of the row.
        """
        params: Any = import_module("vllm").SamplingParams

        ends = list(config.eos_token_id or ())
        asked = [
            params(
                temperature=config.temperature if config.do_sample else 0.0,
                top_p=config.top_p if config.do_sample else 1.0,
                top_k=(config.do_sample and config.top_k) or -1,
                max_tokens=limit,
                stop_token_ids=ends,
                seed=derived_seed(seed, row) % 2**31 if config.do_sample else None,
                detokenize=False,
            )
            for row, limit in enumerate(limits)
        ]
        longest = max(len(p) + n for p, n in zip(prompts, limits, strict=True))
        given = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        found = _engine(self._base, longest).generate(given, asked, use_tqdm=False)
        return [_ids(each.outputs[0], ends) for each in found]


def refuse_missing() -> None:
    """Refuses to go on without vLLM.

    Raises:
        RecipeError: With the extra that has it.
    """
    if find_spec("vllm") is None:
        raise RecipeError(
            "generation.backend: the package vllm is not installed",
            hint="pip install 'unlearnkit[vllm]', or set generation.backend: hf.",
        )


_kept: dict[tuple[BaseModel, int], Any] = {}
"""The engine that is in memory, by model and longest sequence."""


def _engine(base: BaseModel, longest: int) -> Any:
    rounded = -(-longest // _ROUND) * _ROUND
    longest = min(rounded, _positions(base) or rounded)
    known = next((each for (b, n), each in _kept.items() if b == base and n >= longest), None)
    if known is not None:
        return known
    _kept.clear()
    gc.collect()
    share: dict[str, float] = {}
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info()
        share["gpu_memory_utilization"] = round(_SHARE * free / total, 3)
    _kept[base, longest] = import_module("vllm").LLM(
        model=base.path,
        revision=base.revision,
        dtype=base.dtype,
        trust_remote_code=base.trust_remote_code,
        skip_tokenizer_init=True,  # ids go in, and ids come out
        generation_config="vllm",  # the model's own would add penalties
        max_model_len=longest,
        seed=0,
        **share,
    )
    return _kept[base, longest]


def _positions(base: BaseModel) -> int | None:
    from unlearnkit.models.load import load_config

    found = getattr(load_config(base).get_text_config(), "max_position_embeddings", None)
    return found if isinstance(found, int) else None


def _ids(output: Any, ends: Sequence[int]) -> list[int]:
    ids = [int(each) for each in output.token_ids]
    # A version that leaves the end token out says by which one it stopped.
    if output.finish_reason == "stop" and not set(ends) & set(ids) and output.stop_reason in ends:
        ids.append(int(output.stop_reason))
    return ids
