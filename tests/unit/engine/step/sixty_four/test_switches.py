"""At 64 rows a step every switch gives loss and gradient of plain passes.

The models compute in float64, but for norms and rotary embeddings, which transformers keeps in
float32: hence the tolerances. Gemma 2 is all float32, since the mask that transformers gives to its
softmax has no form in float64.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import CONFIGS, tiny_model
from peft import LoraConfig
from rounding import margin
from torch import Tensor

from unit.engine.step import varlen_on_cpu
from unit.engine.step.sixty_four.rows import (
    ROWS,
    YAO,
    logps_of,
    model_of,
    moved,
    plain_loss,
    plain_pass,
    streams,
)  # fmt: skip
from unit.engine.step.sixty_four.steps import (
    NAMES,
    dropped_prompt,
    module_of_step,
    plain_step,
    same,
    step,
)  # fmt: skip
from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.pack import Batch, pack
from unlearnkit.engine.reference.cached import Cached
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.engine.step.checkpointing import Checkpointing
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.layout import packed_refusal
from unlearnkit.errors import Place
from unlearnkit.module import UnlearningModule

LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)


def _fill_cache(module: UnlearningModule, folder: Path) -> None:
    assert isinstance(module.reference, Cached)
    rows: dict[str, Any] = {}
    for name in module.streams_referred:
        rows[name] = EncodedRows(name, "drawn")
        for number, e in enumerate(streams()[name].examples, start=1):
            rows[name].append([(e.prompt_ids, e.response_ids)], Place(number), text="")
    module.reference.fill(module.policy, rows, {"retain"}, folder, {})


def _chunks(tokens: int) -> Callable[[UnlearningModule], None]:
    def prepare(module: UnlearningModule) -> None:
        module.head = Head(module.policy, chunk_tokens=tokens)

    return prepare


def _called_by_chunk(module: UnlearningModule) -> None:
    """As a head with an adapter or a bias is."""
    module.head.module.register_forward_hook(lambda *_: None)
    module.head = Head(module.policy, chunk_tokens=100)
    assert not module.head.plain


def _weight_gradient_later(module: UnlearningModule) -> None:
    module.head.options = module.head.options._replace(gradient_bytes=0)  # pyright: ignore


def _varlen(module: UnlearningModule) -> None:
    varlen_on_cpu.register()
    use_tree_attention(module.policy, "varlen")
    use_tree_attention(module.reference.model, "varlen")  # pyright: ignore


SWITCHES: dict[str, dict[str, Any]] = {
    "packed": {"layout": "packed"},
    "rows": {"layout": "rows"},
    "varlen": {"prepare": _varlen},
    "chunks of 7": {"prepare": _chunks(7)},
    "chunks of 300": {"prepare": _chunks(300)},
    "head by chunk": {"prepare": _called_by_chunk},
    "weight gradient later": {"prepare": _weight_gradient_later},
    "cached": {"reference": "cached"},
    "parts of 40": {"max_tokens_per_micro_batch": 40},
    "parts of 500": {"max_tokens_per_micro_batch": 500},
    "parts of rows": {"max_tokens_per_micro_batch": 500, "layout": "rows"},
    "cached in parts": {"reference": "cached", "max_tokens_per_micro_batch": 200},
    "checkpointing": {"gradient_checkpointing": True},
    "second blocks": {"gradient_checkpointing": Checkpointing(every=2), "layout": "rows"},
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_is_plain_passes(switch: str, tmp_path: Path) -> None:
    options = dict(SWITCHES[switch])
    if options.get("reference") == "cached":
        options["prepare"] = lambda module: _fill_cache(module, tmp_path)
    assert same(step(module_of_step(**options)), plain_step())


@torch.no_grad()
@pytest.mark.parametrize("name", CONFIGS)
def test_values_are_those_of_plain_passes_on_every_architecture(name: str) -> None:
    expected = [logps_of(plain_pass(tiny_model(name), each)[0], each) for each in YAO]
    expected = torch.cat([row for stream in expected for row in stream])
    for layout in ("packed", "rows"):
        model: Any = tiny_model(name)
        if layout == "packed":
            if packed_refusal(model) is not None:
                continue
            use_tree_attention(model)
        batch = pack(streams(), layout)
        found = ForwardPass(model, Head(model), batch).logps(torch.arange(len(batch.target)))
        size = float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=margin(size, ROWS))


@pytest.mark.parametrize("layout", ["packed", "rows"])
@pytest.mark.parametrize("name", ["mistral-window", "gemma2", "gpt2", "qwen3"])
def test_windows_soft_caps_and_other_positions_are_plain_passes(name: str, layout: str) -> None:
    assert same(step(module_of_step(name, layout=layout)), plain_step(name))


@pytest.mark.parametrize(
    "options", [{}, {"layout": "rows"}, {"max_tokens_per_micro_batch": 500}], ids=str
)
@pytest.mark.parametrize("method", ["npo", "rmu"])
def test_losses_of_whole_responses_and_of_states_are_plain_passes(method, options) -> None:
    assert same(step(module_of_step(names=NAMES[method], **options)), plain_step("llama", method))


def test_an_adapter_is_its_own_reference() -> None:
    """Switched off, packed, in rows and in parts."""
    kinds: list[dict[str, Any]] = [
        {"reference": "adapter_off"},
        {"reference": "adapter_off", "layout": "rows"},
        {"reference": "adapter_off", "max_tokens_per_micro_batch": 500},
    ]

    def plain() -> tuple[float, Tensor]:
        policy: Any = module_of_step(lora=LORA, layout="rows").policy  # with its own attention
        loss = plain_loss(YAO, policy, model_of("llama"))
        loss.backward()
        trained = [p.grad.flatten() for p in policy.parameters() if p.grad is not None]
        return float(loss.detach()), torch.cat(trained)

    torch.manual_seed(0)
    expected = plain()
    for options in kinds:
        torch.manual_seed(0)
        assert same(step(module_of_step(lora=LORA, **options)), expected), options


def _wrong_window(module: UnlearningModule) -> None:
    module.policy.config.sliding_window -= 1


def _no_cap(module: UnlearningModule) -> None:
    """The last block's scores have no soft cap."""
    module.policy.model.layers[-1].self_attn.attn_logit_softcapping = None  # pyright: ignore


def _lost_token(module: UnlearningModule) -> None:
    """The last token of a stream has no gradient."""
    whole = module.head.logps

    def logps(hidden: Tensor, target: Tensor, pattern: Any = None) -> Tensor:
        found = whole(hidden, target, pattern)
        return torch.cat([found[:-1], found[-1:].detach()])

    module.head.logps = logps  # pyright: ignore[reportAttributeAccessIssue]


def _stale_cache(module: UnlearningModule, folder: Path) -> None:
    """Two tokens of the cache have each other's states."""
    _fill_cache(module, folder)
    stored: Any = module.reference.stored  # pyright: ignore

    def swapped(batch: Batch) -> dict[str, Tensor]:
        values = dict(stored(batch))
        values["states"] = torch.cat([values["states"][:2].flip(0), values["states"][2:]])
        return values

    module.reference.stored = swapped  # pyright: ignore


def test_planted_faults_are_found(tmp_path: Path) -> None:
    """One part, row or token of all of a step's is enough."""
    expected, windowed = plain_step(), plain_step("mistral-window")
    assert not same(step(module_of_step(), dropped_prompt), expected)
    assert not same(step(module_of_step("mistral-window", prepare=_wrong_window)), windowed)
    assert not same(step(module_of_step("gemma2", prepare=_no_cap)), plain_step("gemma2"))
    assert not same(step(module_of_step(prepare=_lost_token)), expected)
    parts = module_of_step(max_tokens_per_micro_batch=40)
    assert not same(step(parts, lost=1), expected)
    stale = module_of_step(reference="cached", prepare=lambda m: _stale_cache(m, tmp_path))
    assert not same(step(stale), expected)
    other = module_of_step()
    other.reference = copy.deepcopy(other.reference)
    moved(other.reference.model.requires_grad_(True))  # pyright: ignore
    assert not same(step(other), expected)
