"""A base in 4 or 8 bits under an adapter, and what is refused."""

from __future__ import annotations

from functools import partial

import lightning as L
import pytest
import torch
from peft import LoraConfig
from rows import UNEQUAL
from short_fits import objective, qa
from stub import stub_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from unlearnkit import UnlearningDataModule, UnlearningModule, export, fit
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model

LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])


def _module(base: str, lora: LoraConfig | None = LORA, **arguments) -> UnlearningModule:
    return UnlearningModule(
        {"forget": objective("npo"), "retain": objective("retain_kl")},
        base=BaseModel(base, quantization=arguments.pop("quantization", "4bit")),
        lora=lora,
        optimizer=partial(torch.optim.AdamW, lr=1e-2),
        **arguments,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    """As wide as a block of quantised weights."""
    folder = tmp_path_factory.mktemp("wide")
    tokenizer = stub_tokenizer()
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=512, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.extra("bitsandbytes")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_an_adapter_learns_on_quantised_weights(base, written, tmp_path, bits, precision) -> None:
    folder = written(**UNEQUAL)
    module = _module(base, quantization=bits)
    data = UnlearningDataModule(
        {name: qa(folder / f"{name}.jsonl") for name in ("forget", "retain")},
        tokenizer=base, batch_size=2,
    )  # fmt: skip
    trainer = L.Trainer(
        accelerator="cpu", max_steps=4, enable_progress_bar=False, enable_model_summary=False,
        precision=precision,
    )  # fmt: skip
    recipe = f"model:\n  base: {{path: {base}, quantization: {bits}}}\n"
    summary = fit(module, data, trainer, recipe_text=recipe, run_dir=tmp_path / "runs")
    quantised = {p.dtype for n, p in module.policy.named_parameters() if "k_proj" in n}
    assert quantised == {torch.uint8 if bits == "4bit" else torch.int8}
    raised = [p for n, p in module.policy.named_parameters() if "lora_B" in n]
    assert len(raised) == 4
    assert all(float(p.detach().norm()) > 0 for p in raised)
    assert not list((summary.folder / "model").glob("model*.safetensors"))
    merged = load_model(str(export(summary.folder, tmp_path / "merged", merge=True)))
    ids = torch.tensor([[4, 5, 6, 7]])
    module.policy.eval()
    with torch.no_grad():
        trained, whole = module.policy(ids).logits.float(), merged(ids).logits
    assert merged.model.layers[0].self_attn.k_proj.weight.dtype == torch.float32
    # LLM.int8() quantises what goes into a layer too, in float16.
    assert torch.allclose(whole, trained, atol=1e-4 if bits == "4bit" else 3e-2)


def test_quantised_weights_are_not_trained(base) -> None:
    with pytest.raises(RecipeError, match=r"quantization: 4bit needs an adapter"):
        _module(base, lora=None)


def test_a_second_copy_as_reference_is_refused(base) -> None:
    with pytest.raises(RecipeError, match=r"4bit does not go with model\.reference: frozen"):
        _module(base, reference="frozen")


def test_a_missing_library_is_named_with_its_extra(base, monkeypatch) -> None:
    monkeypatch.setattr("unlearnkit.models.quantized.find_spec", lambda _: None)
    with pytest.raises(RecipeError, match=r"needs the package bitsandbytes.*\n.*\[quantized\]"):
        _module(base)
