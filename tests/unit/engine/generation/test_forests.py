"""Scores of packed examples are those of plain forward passes, and prompts run once."""

from __future__ import annotations

import pytest
import torch
from architectures import CONFIGS, tiny_model
from peft import LoraConfig, get_peft_model
from rounding import margin

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.forests import planned_passes, tree_passes
from unlearnkit.engine.generation.scoring import score
from unlearnkit.engine.reference.kinds import frozen_copy
from unlearnkit.models.composite.logits import CombinedConfig, CombinedForCausalLM

PROMPTS = ((7, 9, 11, 30, 12, 8), (40, 5, 6))
EXAMPLES = [
    Example(prompt, tuple((13 * k + 7 * n) % 50 + 4 for n in range(2 + k % 3)), row, "a:1")
    for row, prompt in enumerate(PROMPTS)
    for k in range(7)
]


@torch.no_grad()
def plain_logs(model, example):
    """``[n, V]`` log-probabilities that predict the response."""
    ids = torch.tensor([[*example.prompt_ids, *example.response_ids]])
    logits = model(ids, use_cache=False).logits[0, len(example.prompt_ids) - 1 : -1]
    return logits.float().log_softmax(-1)


def tokens_run(model) -> list[int]:
    """Tokens of every forward pass from now on, but for the two by which `Head` is made."""
    found: list[int] = []

    def note(_: object, given: tuple[torch.Tensor]) -> None:
        if (tokens := given[0].numel()) > 2:
            found.append(tokens)

    model.get_input_embeddings().register_forward_pre_hook(note)
    return found


def packed_size() -> int:
    return sum(map(len, PROMPTS)) + sum(len(e.response_ids) - 1 for e in EXAMPLES)


@pytest.mark.parametrize("name", CONFIGS)
def test_values_are_those_of_plain_passes_on_every_architecture(name) -> None:
    model, other = tiny_model(name), tiny_model(name, seed=1)
    logs, others = ([plain_logs(m, e) for e in EXAMPLES] for m in (model, other))
    logps = [
        log[range(len(e.response_ids)), e.response_ids]
        for log, e in zip(logs, EXAMPLES, strict=True)
    ]
    kl = [(r.exp() * (r - p)).sum(-1) for r, p in zip(others, logs, strict=True)]
    before = model.config._attn_implementation
    score(model, EXAMPLES[:3])  # the probe runs, too
    run = tokens_run(model)
    found = score(model, EXAMPLES, batch_size=14, reference=other, compared=9)
    lowest = max(float(-log.min()) for log in logs)
    atol = margin(size=lowest) * 8
    torch.testing.assert_close(found.logps, torch.cat(logps), rtol=1e-4, atol=atol)
    torch.testing.assert_close(found.kl, torch.cat(kl[:9]), rtol=1e-3, atol=atol)
    assert model.config._attn_implementation == before
    widest = max(len(e.prompt_ids) + len(e.response_ids) - 1 for e in EXAMPLES)
    assert run == [14 * widest if name == "mamba" else packed_size()]


def test_a_question_with_seven_answers_is_run_once() -> None:
    model = tiny_model("llama")
    score(model, EXAMPLES)
    run = tokens_run(model)
    score(model, EXAMPLES[:7])
    # Six tokens of the prompt, and what its answers feed: 2, 3, 4, 2, 3, 4, 2 without the last.
    assert run == [6 + 20 - 7]


def test_what_packing_gains_nothing_by_stays_in_rows() -> None:
    equal = [Example((5 + row, 6, 7), (8, 9), row, "a:1") for row in range(4)]
    model = tiny_model("llama")
    with planned_passes([model], equal, 4) as (layout, passes):
        assert (layout, passes) == ("rows", [[0, 1, 2, 3]])
    with planned_passes([model], EXAMPLES, 32) as (layout, passes):
        assert layout == "packed"
        assert sorted(passes[0]) == list(range(14))
    with planned_passes([model, tiny_model("mamba")], EXAMPLES, 32) as (layout, passes):
        assert layout == "rows"


def test_a_tree_of_more_answers_than_fit_is_cut() -> None:
    assert list(map(len, tree_passes(EXAMPLES, 4))) == [4, 3, 4, 3]
    assert list(map(len, tree_passes(EXAMPLES, 7))) == [7, 7]


@pytest.mark.parametrize("kind", ["adapter", "parts"])
def test_adapters_and_combined_models_are_packed_too(kind) -> None:
    if kind == "adapter":
        lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        model = get_peft_model(tiny_model("llama"), lora).eval()
    else:
        parts = {n: tiny_model("llama", s) for s, n in enumerate(("base", "tuned", "small"))}
        config = CombinedConfig("offset", {"alpha": 1.0}, vocab_size=61)
        model = CombinedForCausalLM(config, parts).eval()
    expected = torch.cat(
        [plain_logs(model, e)[range(len(e.response_ids)), e.response_ids] for e in EXAMPLES]
    )
    torch.testing.assert_close(score(model, EXAMPLES).logps, expected, rtol=1e-4, atol=1e-4)


def test_a_reference_of_a_run_is_packed_beside_its_model() -> None:
    model = tiny_model("qwen3")
    reference = frozen_copy(tiny_model("qwen3", seed=1))
    found = score(model, EXAMPLES, reference=reference)
    assert found.ref_logps is not None
    torch.testing.assert_close(
        found.ref_logps, score(reference.model, EXAMPLES).logps, rtol=1e-4, atol=1e-4
    )
