"""Batches of 64 prompts or examples give what one at a time gives, and faults of one row show."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from architectures import CONFIGS, VOCABULARY, tiny_model
from rounding import DOT, margin
from stub import stub_tokenizer

from unit.engine.step.sixty_four.steps import dropped_prompt
from unlearnkit.data.example import Example
from unlearnkit.engine.generation import generate as generating
from unlearnkit.engine.generation import scoring
from unlearnkit.engine.generation.forests import planned_passes
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score

ROWS, LIMIT, EOS = 64, 6, 3


def _ids(count: int, seed: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(4, VOCABULARY, (count,), generator=generator).tolist())


PROMPTS = [_ids(1 + row % 4, row) for row in range(ROWS)]
EXAMPLES = [
    Example(_ids(3 + tree % 2, tree), _ids(1 + (tree + answer) % 4, 99 + answer), tree, "a:1")
    for tree in range(16)
    for answer in range(4)
]
"""16 questions with four answers each."""


@torch.no_grad()
def _one_by_one(model: Any) -> list[tuple[int, ...]]:
    """Greedy ids by whole passes over prompts of one length, without padding, cache or ends."""
    found: list[Any] = [None] * ROWS
    for length in {len(prompt) for prompt in PROMPTS}:
        rows = [row for row, prompt in enumerate(PROMPTS) if len(prompt) == length]
        ids = torch.tensor([PROMPTS[row] for row in rows])
        for _ in range(LIMIT):
            logits = model(input_ids=ids, use_cache=False).logits[:, -1]
            ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
        for row, new in zip(rows, ids[:, length:].tolist(), strict=True):
            found[row] = tuple(new)
    return found


def _generated(model: Any, batch_size: int) -> list[tuple[int, ...]]:
    found = generate(model, stub_tokenizer(), PROMPTS, max_new_tokens=LIMIT, batch_size=batch_size)
    return [each.ids for each in found]


@pytest.mark.parametrize("name", CONFIGS)
def test_64_prompts_go_on_as_each_alone(name) -> None:
    model: Any = tiny_model(name)
    model.generation_config.eos_token_id = None
    expected = _one_by_one(model)
    assert len(set(expected)) > ROWS // 2
    expected = [ids[: ids.index(EOS)] if EOS in ids else ids for ids in expected]
    assert _generated(model, ROWS) == expected


def test_a_prompt_that_sees_its_padding_is_found(monkeypatch) -> None:
    """One of the 64."""
    model: Any = tiny_model("llama")
    expected = _generated(model, 1)
    assert _generated(model, ROWS) == expected
    left_pad = generating.left_pad

    def faulty(*given: Any) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = left_pad(*given)
        row = int(mask.sum(1).argmin())
        mask[row] = 1
        return ids, mask

    monkeypatch.setattr(generating, "left_pad", faulty)
    found = _generated(model, ROWS)
    assert sum(one != other for one, other in zip(found, expected, strict=True)) == 1


@cache
def _plain(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and divergences from another model, an example at a time."""
    model, other = tiny_model(name), tiny_model(name, seed=1)
    logps, kl = [], []
    with torch.no_grad():
        for prompt, response, *_ in EXAMPLES:
            ids = torch.tensor([[*prompt, *response]])
            one, two = (
                each(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
                for each in (model, other)
            )
            logps.append(one[range(len(response)), response])
            kl.append((two.exp() * (two - one)).sum(-1))
    return torch.cat(logps), torch.cat(kl)


def _gaps(name: str) -> float:
    """The largest of what 64 examples in one pass differ from one at a time, in margins."""
    model, other = tiny_model(name), tiny_model(name, seed=1)
    found = score(model, EXAMPLES, batch_size=ROWS, reference=other)
    logps, kl = _plain(name)
    assert found.kl is not None
    size = float(logps.abs().max())
    gaps = [(found.logps - logps).abs().max(), (found.kl - kl).abs().max()]
    return float(max(gaps)) / margin(size, 4 * DOT)


@pytest.mark.parametrize("name", CONFIGS)
def test_64_examples_in_one_pass_score_as_each_alone(name) -> None:
    assert _gaps(name) < 1


def test_an_answer_that_does_not_see_its_question_is_found(monkeypatch) -> None:
    """One of the 64, in a packed forest."""
    model = tiny_model("llama")
    with planned_passes([model], EXAMPLES, ROWS) as (layout, passes):
        assert (layout, len(passes)) == ("packed", 1)
    pack = scoring._pack
    monkeypatch.setattr(scoring, "_pack", lambda *given: dropped_prompt(pack(*given)))
    assert _gaps("llama") > 100
