"""The attention of packed rows, given rows that are not packed."""

from __future__ import annotations

import pytest
import torch
from architectures import tiny_model
from rounding import margin

from unlearnkit.engine.step.attention import use_tree_attention


@pytest.mark.parametrize("name", ["llama", "mistral-window", "gemma2", "gemma3"])
@torch.no_grad()
def test_without_a_plan_the_values_are_those_of_the_models_own_attention(name: str) -> None:
    """Evaluation and generation meet it so; weights are large enough for soft caps to count."""
    model = tiny_model(name).eval()
    for parameter in model.parameters():
        parameter.mul_(4)
    ids = torch.randint(3, 61, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    seen = mask.bool()

    def run() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        padded = model(input_ids=ids, attention_mask=mask).logits[seen]
        texts = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=5,
                               do_sample=False)  # fmt: skip
        return model(input_ids=ids).logits, padded, texts

    whole, padded, texts = run()
    use_tree_attention(model)
    found, found_padded, found_texts = run()
    size = float(whole.abs().max())
    assert float((found - whole).abs().max()) <= margin(size, terms=256)
    assert float((found_padded - padded).abs().max()) <= margin(size, terms=256)
    assert torch.equal(found_texts, texts)
