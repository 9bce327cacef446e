"""Batched generation that does not depend on the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, StoppingCriteriaList

from unlearnkit.data.generated import HF, generating
from unlearnkit.data.plan import derived_seed
from unlearnkit.data.tokens.turns import ends_of_turns
from unlearnkit.engine.generation.backends.engines import engine_of
from unlearnkit.engine.generation.dealing import over_batches
from unlearnkit.engine.generation.lockstep import is_apart
from unlearnkit.engine.generation.stopping import RowsDone, cache_of_rows, decode, is_plain
from unlearnkit.engine.generation.watching import counting
from unlearnkit.errors import UserError
from unlearnkit.models.modes import evaluating, without_own_settings
from unlearnkit.models.rope import forget_long_rows, generation_batches, length_scalings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Generation(NamedTuple):
    """One continuation of one prompt."""

    text: str
    """Without special tokens, cut before the first stop string."""
    ids: tuple[int, ...]
    """Without the end-of-sequence token; a stop string's tokens are included."""
    hit_limit: bool
    """True when neither an end-of-sequence token nor a stop string ended it."""


def generate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int | Sequence[int],
    batch_size: int = 16,
    stop: Sequence[str] = (),
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    begun: Sequence[Sequence[int]] | None = None,
) -> list[Generation]:
    """Continues each prompt; the result is in the order of the prompts.

    Prompts are padded on the left, with an attention mask, whatever the tokenizer says, so that
    greedy ids are the same for every batch size (up to ties within float rounding: float32 is
    exact in practice, half precision may not be). The tokenizer is only read, needs no pad token,
    and of the model's own generation config nothing but the end tokens applies. Once half of a
    batch's rows have ended, the others continue without them. The model is in eval mode meanwhile,
    and each of its modules is put back as it was.

    Inside `generated_by` another backend runs the rows. It then looks for stop strings at the end.

    Args:
        model: A causal language model, or one wrapped by PEFT.
        tokenizer: Decodes, and names the end-of-sequence token.
        prompts: Token ids of each prompt, specials included; none may be empty.
        max_new_tokens: Limit, one for all or one a prompt. It is lowered where the model's
            position table ends.
        batch_size: Prompts in one forward pass. Those of like limit and length go together.
        stop: Strings that end a continuation; they are not part of its text.
        temperature: 0 is greedy; above it, tokens are sampled.
        top_p: Share of the probability that is sampled from.
        top_k: Number of the likeliest tokens that are sampled from; 0 for all.
        seed: Of the sampling, with the number of the batch. Sampled text, unlike greedy text,
            varies with the batch size.
        begun: Ids that each greedy continuation is known to begin with, such as those of a true
            text that a forward pass found to be first choices. They are not generated again,
            except by models whose first choices may depend on where the prompt ends.

    Returns:
        One `Generation` a prompt.

    Raises:
        RecipeError: If a backend that was chosen does not go with the model.
        UserError: If a prompt leaves no room below the model's longest sequence.
        ValueError: If a prompt is empty, or limits and prompts differ in number.
    """
    limits = _limits(model, prompts, max_new_tokens)
    ends = _end_ids(model, tokenizer)
    config = _config(tokenizer, ends, temperature, top_p, top_k)
    found: list[Generation | None] = [None] * len(prompts)
    known: list[Sequence[int]] = [()] * len(prompts)
    if begun is not None and temperature == 0 and _goes_on_anywhere(model):
        known = [ids[:limit] for ids, limit in zip(begun, limits, strict=True)]
    for i, ids in enumerate(known):
        if len(ids) == limits[i] or not ends.isdisjoint(ids):
            found[i] = _finish(tokenizer, list(ids), ends, stop)
    open_rows = [i for i, done in enumerate(found) if done is None]
    prompts = [(*prompt, *ids) for prompt, ids in zip(prompts, known, strict=True)]
    limits = [limit - len(ids) for limit, ids in zip(limits, known, strict=True)]
    order = sorted(open_rows, key=lambda i: (limits[i], len(prompts[i])))
    lengths = [len(prompt) for prompt in prompts]
    with _seeded(model, seed, active=generating() != HF):
        engine = engine_of(model, batch_size) if order else None
    if engine is None:
        batches = list(generation_batches(model, lengths, limits, order, batch_size))
    else:
        batches = [(order[i : i + engine.rows], True) for i in range(0, len(order), engine.rows)]

    def run(number: int) -> list[Generation]:
        rows, near = batches[number]
        forget_long_rows(model)
        asked, bounds = [prompts[i] for i in rows], [limits[i] for i in rows]
        own = derived_seed(seed, number) if number else seed
        with _seeded(model, own, temperature > 0 or engine is not None):
            if engine is None:
                new = _continue(model, tokenizer, asked, bounds, stop, config, near)
            else:
                new = engine(asked, bounds, config, own)
        ends_at = zip(rows, new, strict=True)
        return [
            _finish(tokenizer, [*known[i], *ids[: limits[i]]], ends, stop) for i, ids in ends_at
        ]

    costs = [sum(lengths[i] + limits[i] for i in rows) for rows, _ in batches]
    plan = (tuple(map(tuple, prompts)), tuple(limits), tuple(order), seed, batch_size)
    with evaluating(model), without_own_settings(model), torch.no_grad():
        counted = counting([len(rows) for rows, _ in batches])
        every = over_batches([model], costs, plan, run, counted)
    for (rows, _), each in zip(batches, every, strict=True):
        for i, generation in zip(rows, each, strict=True):
            found[i] = generation
    return [each for each in found if each is not None]


def left_pad(
    rows: Sequence[Sequence[int]], pad_id: int, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Rows of ids as one ``[B, T]`` tensor that ends flush right, and its attention mask.

    Example:
        >>> left_pad([[5, 6, 7], [8]], pad_id=0)[0].tolist()
        [[5, 6, 7], [0, 0, 8]]
    """
    longest = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (longest - len(r)) + list(r) for r in rows], device=device)
    lengths = torch.tensor([len(r) for r in rows], device=device)
    mask = torch.arange(longest, device=device) >= longest - lengths[:, None]
    return ids, mask.long()


def _continue(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    stop: Sequence[str],
    config: GenerationConfig,
    near: bool,
) -> list[list[int]]:
    """New ids of one batch; what follows a row's end is filling.

    ``near``: no row passes a limit of the positions, where models drop the cache that they have.
    """
    ids, mask = left_pad(prompts, config.pad_token_id, device_of(model))
    asked = ids.shape[1]
    # Sampled rows stay together: what is drawn for a row depends on the others.
    cache = cache_of_rows(model) if near and not config.do_sample else None
    found: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    while rows:
        bounds = [limits[i] for i in rows]
        ends = config.eos_token_id or []
        done = RowsDone(tokenizer, asked, bounds, stop, ends, leave=cache is not None)
        config.max_new_tokens = max(bounds) - (ids.shape[1] - asked)
        ids = model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([done]),
            **({} if cache is None else {"cache": cache}),
            # Processes may have other prompts, and are kept in step where they are dealt.
            **({"synced_gpus": False} if is_apart(model) else {}),
        )
        for i, new in zip(rows, ids[:, asked:].tolist(), strict=True):
            found[i] = new
        if cache is None:
            break
        going = (~done.done(ids)).nonzero()[:, 0]
        cache.batch_select_indices(going)
        ids, mask = ids[going], mask[going]
        mask = torch.cat([mask, mask.new_ones(len(going), ids.shape[1] - mask.shape[1])], dim=1)
        rows = [rows[i] for i in going.tolist()]
    return found


def _finish(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], ends: frozenset[int], stop: Sequence[str]
) -> Generation:
    end = next((i for i, token in enumerate(ids) if token in ends), None)
    ids = ids if end is None else ids[:end]
    text = decode(tokenizer, ids)
    cut = _first(text, stop)
    if cut is None:
        return Generation(text, tuple(ids), hit_limit=end is None)
    # The row may have continued while others of its batch were unfinished.
    prefixes = (decode(tokenizer, ids[:n]) for n in range(len(ids) + 1))
    needed = next(n for n, prefix in enumerate(prefixes) if _first(prefix, stop) == cut)
    return Generation(text[:cut], tuple(ids[:needed]), hit_limit=False)


def _goes_on_anywhere(model: nn.Module) -> bool:
    """Whether a prompt with a part of its continuation goes on as the prompt alone does.

    Composite models may look at the prompt by itself, and positions that depend on a pass's longest
    row on how long the prompt is.
    """
    return is_plain(model) and not length_scalings(model)


def _first(text: str, stop: Sequence[str]) -> int | None:
    """Where the first stop string begins."""
    return min((at for s in stop if (at := text.find(s)) >= 0), default=None)


def _limits(
    model: nn.Module, prompts: Sequence[Sequence[int]], max_new_tokens: int | Sequence[int]
) -> list[int]:
    if isinstance(max_new_tokens, int):
        limits = [max_new_tokens] * len(prompts)
    else:
        limits = list(max_new_tokens)
    if len(limits) != len(prompts):
        raise ValueError(f"found {len(limits)} limits for {len(prompts)} prompts")
    if limits and min(limits) < 1:
        raise ValueError(f"max_new_tokens must be at least 1, found {min(limits)}")
    empty = [i for i, prompt in enumerate(prompts) if not len(prompt)]
    if empty:
        raise ValueError(f"a prompt needs at least one token; empty: {empty}")
    longest = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if not isinstance(longest, int):
        return limits
    full = [i for i, prompt in enumerate(prompts) if len(prompt) >= longest]
    if full:
        raise UserError(
            f"{len(full)} prompts fill the model's {longest} positions; the first is prompt "
            f"{full[0]} with {len(prompts[full[0]])} tokens",
            hint="Shorten the prompts, for instance by prompt_tokens.",
        )
    return [min(limit, longest - len(p)) for limit, p in zip(limits, prompts, strict=True)]


def _end_ids(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokenizer's end token, the chat template's, and those of the model's generation config.

    A chat model often names its end-of-turn token only in the latter, or in the template alone.
    """
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = own if isinstance(own, list) else [own]
    named = (tokenizer.eos_token_id, *listed, *ends_of_turns(tokenizer))
    return frozenset(i for i in named if isinstance(i, int))


def _config(
    tokenizer: Any, ends: frozenset[int], temperature: float, top_p: float, top_k: int
) -> GenerationConfig:
    fill = tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=temperature > 0,
        temperature=temperature or 1.0,
        top_p=top_p,
        top_k=top_k if temperature > 0 else 50,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        min_new_tokens=0,
        eos_token_id=sorted(ends) or None,
        pad_token_id=min(ends, default=0) if fill is None else fill,
        use_cache=True,
    )


@contextmanager
def _seeded(model: nn.Module, seed: int, active: bool) -> Iterator[None]:
    """Seeds the sampling inside the block and leaves the global generators as they were."""
    if not active:
        yield
        return
    device = device_of(model)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter lives, and so where its input goes."""
    return next(model.parameters()).device
