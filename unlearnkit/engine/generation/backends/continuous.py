"""Continuous batching: the next prompt takes the place of one that ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import ContinuousBatchingConfig, GenerationConfig, PreTrainedConfig

from unlearnkit.engine.generation.lockstep import is_apart
from unlearnkit.engine.generation.stopping import inner_model, is_plain
from unlearnkit.engine.step.probe import ordinary_ids, own_attention_kept
from unlearnkit.errors import RecipeError
from unlearnkit.models.rope import scalings_of

_TURNS = 16
"""So many times the rows that run at once go into one call."""
_PASS = 512
"""Tokens of prompts in one forward pass, whatever their number."""
_PROBE = ((3, 5), (9, 5), (1, 5), (6, 5))
"""Tokens of prompt and answer of made-up rows: ragged, and more than run at once."""
_CLOSE = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Mean difference of log-probabilities that is rounding; in half precision `_CLOSE_IN_HALF`."""
_CLOSE_IN_HALF = 0.1
_examined: WeakKeyDictionary[nn.Module, str | None] = WeakKeyDictionary()


def config_refusal(config: PreTrainedConfig) -> str | None:
    """Why models of a config cannot be run by continuous batching; None where nothing is known.

    Example:
        >>> from transformers import LlamaConfig, Gemma2Config
        >>> config_refusal(LlamaConfig())
        >>> config_refusal(Gemma2Config())
        'its soft cap of attention scores is left out there'
    """
    text = config.get_text_config()
    if getattr(text, "attn_logit_softcapping", None) is not None:
        return "its soft cap of attention scores is left out there"
    if scalings_of(config):
        return "its positions depend on the longest row of a pass, and there rows come and go"
    # It has no public name; what it groups is what the cache can hold.
    from transformers.generation.continuous_batching.cache import group_layers_by_attn_type

    try:
        group_layers_by_attn_type(text)
    except ValueError as error:
        return f"its cache holds keys and values alone ({error})"
    return None


class Continuous:
    """Continues prompts by transformers' continuous batching, on the live model.

    What was computed of made-up rows is compared with a plain forward pass, the first time that a
    model is given.

    Args:
        model: A causal language model of transformers, adapted or not.
        batch_size: Rows that run at once.

    Raises:
        RecipeError: If the model cannot be run so, or gives other probabilities.
    """

    def __init__(self, model: nn.Module, batch_size: int) -> None:
        self._model, self._size = inner_model(model), batch_size
        self.rows = _TURNS * batch_size
        if is_apart(model):
            raise _refused(model, "its weights are spread over processes")
        if not is_plain(model):
            raise _refused(model, "it is none of transformers' own")
        reason = config_refusal(self._model.config)
        if reason is None:
            if self._model not in _examined:
                _examined[self._model] = _fault(self._model)
            reason = _examined[self._model]
        if reason is not None:
            raise _refused(model, reason)

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        config: GenerationConfig,
        seed: int,
    ) -> list[list[int]]:
        """New ids of each prompt, up to its limit or an end token, which is the last then.

        Args:
            prompts: Token ids.
            limits: New tokens of each at most.
            config: End tokens and sampling.
            seed: Of the sampling; the processes' generators are the caller's to put back.
        """
        return [ids for ids, _ in _run(self._model, prompts, limits, config, self._size, seed)]


def _refused(model: nn.Module, reason: str) -> RecipeError:
    kind = getattr(inner_model(model).config, "model_type", type(model).__name__)
    return RecipeError(
        f"generation.backend: continuous batching does not go with this model ({kind}): {reason}",
        hint="Set generation.backend: hf.",
    )


def _run(
    model: Any,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    config: GenerationConfig,
    size: int,
    seed: int,
    logprobs: bool = False,
) -> list[tuple[list[int], list[float]]]:
    with own_attention_kept(model), _quiet():
        _use_plain_attention(model)
        longest = max(len(p) + n for p, n in zip(prompts, limits, strict=True))
        flash = str(model.config._attn_implementation).startswith("flash")
        page = 256 if flash else 16  # its kernels read whole pages of 256
        manager = model.init_continuous_batching(
            config,
            ContinuousBatchingConfig(
                page_size=page,
                # Sized by the rows: by default it takes nearly all memory that is free.
                num_blocks=size * (-(-longest // page) + 1),
                max_batch_tokens=max(_PASS, size),
                max_requests_per_batch=size,
                auto_switch_to_flash=False,
                drop_unsupported_processors=False,
                return_logprobs=logprobs,
                seed=seed % 2**63,
            ),
        )
        ends = config.eos_token_id if config.eos_token_id is not None else -1
        names = [f"row-{i}" for i in range(len(prompts))]
        # Before it starts: what shares a pass must not depend on how fast rows come in.
        for name, prompt, limit in zip(names, prompts, limits, strict=True):
            manager.add_request(
                list(prompt), request_id=name, max_new_tokens=limit, eos_token_id=ends
            )
        found: dict[str, Any] = {}
        manager.start()
        try:
            while len(found) < len(prompts):
                result = manager.get_result(timeout=1)
                if result is not None and result.is_finished():
                    if result.error is not None:
                        raise _refused(model, str(result.error))
                    found[result.request_id] = result
                elif result is None and not manager.is_running():
                    raise _refused(model, "its thread ended before the rows were done")
        finally:
            manager.stop(block=True, hard_stop=True)
            manager.destroy()
    return [(list(found[n].generated_tokens), list(found[n].logprobs)) for n in names]


def _use_plain_attention(model: Any) -> None:
    """Replaces an attention over forests, which the paged cache does not know."""
    current = str(model.config._attn_implementation)
    if current not in ("sdpa", "eager") and "flash_attention" not in current:
        model.set_attn_implementation("sdpa" if model._supports_sdpa else "eager")


@torch.no_grad()
def _fault(model: Any) -> str | None:
    """How made-up rows differ from a forward pass of each alone; None where they do not."""
    ids = ordinary_ids(model.config)
    prompts = [list(islice(ids, length)) for length, _ in _PROBE]
    greedy = GenerationConfig(do_sample=False, pad_token_id=0, use_cache=True)
    try:
        found = _run(model, prompts, [n for _, n in _PROBE], greedy, 2, 0, logprobs=True)
    except RecipeError as error:
        return error.message.partition("): ")[2]
    except Exception as error:  # a model may fail in any way
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    differences: list[Tensor] = []
    for prompt, (new, logps) in zip(prompts, found, strict=True):
        row = torch.tensor([[*prompt, *new]], device=model.device)
        log = model(input_ids=row, use_cache=False).logits[0, len(prompt) - 1 : -1]
        own = log.float().log_softmax(-1).gather(1, row[0, len(prompt) :, None])[:, 0]
        differences.append((own - torch.tensor(logps, device=own.device)).abs())
    difference = float(torch.cat(differences).mean())
    if difference <= _CLOSE.get(model.dtype, _CLOSE_IN_HALF):
        return None
    return f"log-probabilities of made-up rows differ by {difference:.2g} nats from a plain pass"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the library from logging what is raised here."""
    logger = logging.getLogger("ContinuousBatchingLogger")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
