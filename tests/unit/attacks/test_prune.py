"""Skipped blocks: the model without one is the model that never had it."""

from __future__ import annotations

import pytest
import torch
from architectures import CONFIGS
from edited import whp_model
from stub import save_stub, stub_model, stub_tokenizer
from transformers import AutoModelForCausalLM

from unlearnkit.attacks import Prune, Target, prune
from unlearnkit.attacks.prune import skipping
from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.step.forward import decoder_blocks
from unlearnkit.errors import UserError
from unlearnkit.suites import SuiteContext

IDS = torch.tensor([[2, 4, 5, 6]])
ROW = Example((2, 4), (5, 3), 0, "f:0")


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt2", "gpt-neox", "opt", "mamba"])
@torch.no_grad()
def test_a_model_without_a_block_is_the_model_that_never_had_it(kind):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[kind]()).eval()
    blocks = decoder_blocks(model)
    whole = model(IDS).logits
    with skipping(blocks, 1):
        skipped = model(IDS).logits
    torch.testing.assert_close(model(IDS).logits, whole)
    del blocks[1]
    if kind == "gemma3":
        model.config.layer_types = model.config.layer_types[:1]
    model.config.num_hidden_layers = 1
    torch.testing.assert_close(model(IDS, use_cache=False).logits, skipped)
    assert not torch.allclose(whole, skipped)


def target():
    return Target([ROW], Codec(stub_tokenizer(), 8), SuiteContext(max_length=8))


def test_each_block_is_skipped_by_itself(tmp_path, monkeypatch):
    base = str(save_stub({"random_init": 1, "layers": 3}, tmp_path / "base"))
    seen = []
    monkeypatch.setattr(
        prune, "measured", lambda model, *_: seen.append(model(IDS).logits) or {"forget/x": 0.0}
    )
    curve = Prune().run(base, [ROW], target())
    assert [point["without"] for point in curve] == [None, 0, 1, 2]
    model = stub_model({"random_init": 1, "layers": 3}).eval()
    torch.testing.assert_close(seen[0], model(IDS).logits)
    with skipping(decoder_blocks(model), 2):
        torch.testing.assert_close(seen[-1], model(IDS).logits)
    seen.clear()
    assert [each["without"] for each in Prune(blocks=2).run(base, [ROW], target())] == [None, 0, 1]


def test_a_composite_model_is_refused(tmp_path):
    parts = [str(save_stub({"random_init": i}, tmp_path / f"part{i}")) for i in (1, 2)]
    whp_model(*parts, tmp_path / "out")
    with pytest.raises(UserError, match="several lists of blocks"):
        Prune().run(str(tmp_path / "out"), [ROW], target())
