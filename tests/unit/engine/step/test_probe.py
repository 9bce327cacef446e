"""Whether a model can be packed, or trained on rows at all, is found by running it."""

from __future__ import annotations

import logging
import math
from functools import partial

import pytest
import torch
from architectures import PACKED, VOCABULARY, tiny_model
from families import tiny_config, tiny_family
from rounding import near
from transformers import AutoModelForCausalLM

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.layout import choose_layout
from unlearnkit.errors import RecipeError
from unlearnkit.models.composite.logit_rules import CombinedConfig
from unlearnkit.models.composite.logits import CombinedForCausalLM
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.likelihood import NLL
from unlearnkit.objectives.preference import NPO


def _rows(*lengths: tuple[int, int]) -> StreamBatch:
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())

    examples = tuple(Example(ids(p), ids(r), row, "f") for row, (p, r) in enumerate(lengths))
    return StreamBatch(examples, sum(r for _, r in lengths), len(lengths))


def _plain_nll(model, rows: StreamBatch) -> float:
    """The token mean by transformers itself, one row at a time."""
    total = 0.0
    for e in rows.examples:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*e.prompt_ids, *e.response_ids]])).logits[0]
        logps = logits[len(e.prompt_ids) - 1 : -1].log_softmax(-1)
        total -= float(logps.gather(1, torch.tensor(e.response_ids)[:, None]).sum())
    return total / sum(len(e.response_ids) for e in rows.examples)


def _module(model, layout: str = "auto") -> UnlearningModule:
    module = UnlearningModule(
        {"forget": NPO(beta=0.1), "nll": NLL(stream="forget")},
        optimizer=partial(torch.optim.SGD, lr=0.0),
        layout=layout,
    )
    module.use_model(model)
    return module


@pytest.mark.parametrize("family", ["nemotron", "roberta", "qwen2"])
def test_the_first_step_is_that_of_plain_transformers(family: str) -> None:
    """Blocks of Nemotron drop what they do not know; positions of RoBERTa do not begin at 0."""
    rows = _rows((4, 7), (2, 9), (6, 3))
    module = _module(tiny_family(family))
    assert module.layout == ("packed" if family == "qwen2" else "rows")
    (batch,) = module.packer({"forget": rows})
    with torch.no_grad():
        module.loss([batch])
    # NPO of a policy that is its reference: 2/beta·log 2.
    assert float(module.metrics["forget"]) == near(20 * math.log(2))
    expected = _plain_nll(tiny_family(family), rows)
    assert float(module.metrics["nll"]) == near(expected)


def test_the_reason_is_kept_and_logged(caplog) -> None:
    with caplog.at_level(logging.INFO, logger="unlearnkit"):
        module = _module(tiny_family("nemotron"))
    assert "made-up rows differ when they are packed" in module.layout_reason
    assert module.layout_reason in caplog.text


def test_packed_is_refused_where_it_was_asked_for() -> None:
    with pytest.raises(RecipeError, match="cannot be packed: made-up rows differ") as refusal:
        _module(tiny_family("nemotron"), layout="packed")
    assert refusal.value.hint == "Set model.layout: rows (or auto)."


@pytest.mark.parametrize(
    ("family", "layout"), [("qwen2", "packed"), ("phimoe", "rows"), ("qwen2_moe", "rows")]
)
def test_a_window_far_longer_than_the_made_up_rows_counts(family: str, layout: str) -> None:
    """Two of the families give a window to the mask, which is not built for packed rows."""
    config = tiny_config(family, windows=True)
    config.sliding_window = 64
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    assert choose_layout(model, "auto")[0] == layout
    assert model.config.sliding_window == 64
    assert {getattr(m, "sliding_window", None) for m in model.modules()} <= {None, 64}


@pytest.mark.parametrize("family", ["bert", "xlnet", "prophetnet"])
def test_a_model_whose_tokens_depend_on_later_ones_is_refused(family: str) -> None:
    config = tiny_config(family)
    if family == "bert":
        config.is_decoder = False
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for layout in ("auto", "rows"):
        with pytest.raises(RecipeError, match="cannot be trained on rows"):
            choose_layout(model, layout)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_is_no_reason(dtype: torch.dtype) -> None:
    found = {name: choose_layout(tiny_model(name).to(dtype), "auto")[0] for name in PACKED}
    assert found == dict.fromkeys(PACKED, "packed")
    assert choose_layout(tiny_family("nemotron").to(dtype), "auto")[0] == "rows"


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_nothing_of_the_model_or_of_random_numbers_is_changed(name: str) -> None:
    model = tiny_model(name).train()
    model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    buffers = [value.clone() for value in model.buffers()]
    settings = str(model.config), model.config._attn_implementation
    random = torch.get_rng_state()
    choose_layout(model, "auto")
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert all(map(torch.equal, model.buffers(), buffers))
    assert (str(model.config), model.config._attn_implementation) == settings
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_part_of_a_combined_model_that_cannot_be_packed_is_named() -> None:
    llama, nemotron = tiny_model("llama"), tiny_family("nemotron")
    config = CombinedConfig("offset", {"alpha": 1.0}, vocab_size=VOCABULARY)
    model = CombinedForCausalLM(config, {"base": llama, "tuned": nemotron, "small": nemotron})
    layout, reason = choose_layout(model, "auto")
    assert layout == "rows"
    assert reason.startswith("of its part 'tuned', made-up rows differ")
