"""No row's value depends on the rows beside it, also where positions depend on the longest row."""

from __future__ import annotations

import copy
import logging
from functools import cache

import pytest
import torch
from architectures import _COMMON, VOCABULARY
from stub import stub_tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel, models

from unlearnkit.data.example import Example
from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.engine.preflight import MODEL, Values, refuse
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import LoraConfig
from unlearnkit.models.composite.encoder import own_states
from unlearnkit.models.composite.logit_rules import CombinedConfig
from unlearnkit.models.composite.logits import CombinedForCausalLM
from unlearnkit.models.load import add_adapter

LIMIT = 12
LONG = {
    "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4,
    "long_factor": [4.0, 5.0, 6.0, 7.0], "original_max_position_embeddings": LIMIT,
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
OTHERS = {
    "yarn": {"factor": 4.0, "original_max_position_embeddings": LIMIT},
    "linear": {"factor": 4.0},
    "llama3": {
        "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": LIMIT,
    },
}  # fmt: skip
KINDS = {
    "llama": models.llama.LlamaConfig,
    "mistral": models.mistral.MistralConfig,
    "qwen2": models.qwen2.Qwen2Config,
    "phi3": models.phi3.Phi3Config,
    "gemma3": models.gemma3.Gemma3TextConfig,
}
CASES = [
    *[(kind, "long") for kind in KINDS],
    *[(kind, "dynamic") for kind in ("llama", "mistral", "qwen2")],
    *[("llama", rope) for rope in OTHERS],
]
MANY = [("llama", "long"), ("llama", "dynamic"), ("phi3", "long"), ("gemma3", "long")]


@cache
def _made(kind: str, rope: str) -> PreTrainedModel:
    given = {"long": LONG, "dynamic": DYNAMIC}.get(rope) or {
        "rope_type": rope, "rope_theta": 1e4, **OTHERS[rope],
    }  # fmt: skip
    sizes = {**_COMMON, "max_position_embeddings": LIMIT if rope == "dynamic" else 48}
    if kind == "phi3":
        sizes["original_max_position_embeddings"] = LIMIT
    if kind == "gemma3":  # a scaling for each kind of block
        sizes |= {"head_dim": 8, "sliding_window": 5}
        given = {
            "full_attention": LONG,
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(KINDS[kind](**sizes, rope_parameters=dict(given)))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(4)
    return model.eval()


def _fresh(kind: str, rope: str) -> PreTrainedModel:
    """Dynamic NTK remembers the longest row that it saw."""
    return copy.deepcopy(_made(kind, rope))


def _examples() -> list[Example]:
    """Rows of 6 to 21 inputs; a prompt has responses on both sides of the limit."""
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())

    prompt = ids(5)
    pairs = ((prompt, 2), (prompt, 17), (ids(8), 5), (ids(9), 9), (ids(3), 4), (ids(14), 3))
    return [Example(p, ids(n), row, "f") for row, (p, n) in enumerate(pairs)]


def _batch(examples, layout, keep_last=False):
    return pack({"f": StreamBatch(tuple(examples), 1, 1)}, layout, keep_last)


def _plain(kind: str, rope: str) -> Tensor:
    """Log-probabilities of the responses' tokens by transformers, each row in a model of its own.

    The last token is none of the inputs, as everywhere in training.
    """
    found = []
    for prompt, response, *_ in _examples():
        ids = torch.tensor([[*prompt, *response[:-1]]])
        with torch.no_grad():
            logps = _fresh(kind, rope)(input_ids=ids).logits[0].log_softmax(-1)
        found.append(logps[len(prompt) - 1 :].gather(1, torch.tensor(response)[:, None])[:, 0])
    return torch.cat(found)


@pytest.mark.parametrize("layout", ["packed", "rows"])
@pytest.mark.parametrize(("kind", "rope"), CASES)
def test_each_row_has_its_value_alone(kind: str, rope: str, layout) -> None:
    model = _fresh(kind, rope)
    if layout == "packed":
        use_tree_attention(model)
    batch = _batch(_examples(), layout)
    expected = _plain(kind, rope)
    for _ in range(2):  # the second pass follows one with long rows
        with torch.no_grad():
            found = ForwardPass(model, Head(model), batch).logps(torch.arange(len(batch.target)))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_one_pass_would_give_short_rows_other_values() -> None:
    """So the equality above can fail."""
    examples = [e._replace(response_ids=e.response_ids[:4]) for e in _examples()[:1]]
    ids = torch.tensor([[*examples[0].prompt_ids, *examples[0].response_ids]])
    with torch.no_grad():
        alone = _fresh("llama", "long")(input_ids=ids).logits
        beside = _fresh("llama", "long")(
            input_ids=torch.nn.functional.pad(ids, (0, 20)).repeat(2, 1),
            attention_mask=torch.tensor([[1] * ids.shape[1] + [0] * 20, [1] * (ids.shape[1] + 20)]),
        ).logits[:1, : ids.shape[1]]
    assert float((alone - beside).abs().max()) > 0.1


@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_gradients_and_blocks_are_those_of_the_rows_alone(layout) -> None:
    plain = _fresh("llama", "long")
    states = []
    for prompt, response, *_ in _examples():
        ids = torch.tensor([[*prompt, *response]])
        output = plain(input_ids=ids, output_hidden_states=True)
        states.append(output.hidden_states[1][0, len(prompt) :])
        logps = output.logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        logps.gather(1, torch.tensor(response)[:, None]).sum().backward()
    model = _fresh("llama", "long")
    if layout == "packed":
        use_tree_attention(model)
    batch = _batch(_examples(), layout, keep_last=True)
    forward = ForwardPass(model, Head(model), batch, layers=(0,))
    tokens = torch.arange(len(batch.target))
    torch.testing.assert_close(forward.hidden(0, tokens), torch.cat(states), rtol=1e-4, atol=1e-5)
    forward.logps(tokens).sum().backward()
    for (name, one), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert one.grad is not None, name
        difference = (one.grad - other.grad).norm() / other.grad.norm()
        assert float(difference) < 1e-4, name


@pytest.mark.parametrize(("kind", "rope"), MANY)
def test_scores_do_not_depend_on_the_batch(kind: str, rope: str) -> None:
    for size in (1, 3, 16):
        found = score(_fresh(kind, rope), _examples(), batch_size=size).logps
        torch.testing.assert_close(found, _plain(kind, rope), rtol=1e-4, atol=1e-5)


def _prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    lengths = (2, 5, 5, 7, 9, 9, 10, 13, 16)
    return [torch.randint(4, 9, (n,), generator=generator).tolist() for n in lengths]


@pytest.mark.parametrize("kind", ["llama", "phi3", "gemma3"])
@pytest.mark.parametrize("new", [3, 8])
def test_what_is_generated_does_not_depend_on_the_batch(kind: str, new: int) -> None:
    """Rows below the limit, beyond it and on their way over it; by transformers, one by one."""
    tokenizer = stub_tokenizer()
    settings = GenerationConfig(
        max_new_tokens=new, do_sample=False, eos_token_id=[2, 3], pad_token_id=0, use_cache=True
    )
    expected = []
    for prompt in _prompts():
        ids = torch.tensor([prompt])
        whole = _fresh(kind, "long").generate(ids, generation_config=settings)[0, len(prompt) :]
        ends = torch.isin(whole, torch.tensor([2, 3])).nonzero()
        expected.append(tuple(whole[: int(ends[0]) if len(ends) else None].tolist()))
    for size in (4, 16):
        model = _fresh(kind, "long")
        found = generate(model, tokenizer, _prompts(), max_new_tokens=new, batch_size=size)
        assert [each.ids for each in found] == expected


def test_states_of_prompts_do_not_depend_on_the_batch() -> None:
    model = _fresh("llama", "long")
    rows = [[5, 6, 7], list(range(3, 24)), [8, 9, 10, 11]]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    with torch.no_grad():
        together = own_states(model, ids, mask, layers=3)
        for row, found in zip(rows, together, strict=True):
            one = torch.tensor([row])
            alone = own_states(_fresh("llama", "long"), one, torch.ones_like(one), layers=3)
            torch.testing.assert_close(found, alone[0], rtol=1e-4, atol=1e-5)


def test_adapters_and_parts_are_run_apart_and_told_once(caplog) -> None:
    adapted = add_adapter(_fresh("llama", "long"), LoraConfig(r=2, target_modules=["q_proj"]))
    config = CombinedConfig("offset", {"alpha": 1.0}, vocab_size=VOCABULARY)
    parts = {name: _fresh("llama", "long") for name in ("base", "tuned", "small")}
    for model in (adapted, CombinedForCausalLM(config, parts)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="unlearnkit"):
            for _ in range(2):
                found = score(model.eval(), _examples()).logps
        torch.testing.assert_close(found, _plain("llama", "long"), rtol=1e-4, atol=1e-5)
        (told,) = (record.getMessage() for record in caplog.records)
        assert told.startswith("rows of more than 12")


def test_sharded_processes_would_make_other_numbers_of_passes() -> None:
    config = _made("phi3", "long").config
    refuse(MODEL, Values("tiny", config=config, max_length=LIMIT, sharded=True))
    with pytest.raises(RecipeError, match="above 12 tokens the model's rotary frequencies change"):
        refuse(MODEL, Values("tiny", config=config, max_length=LIMIT + 1, sharded=True))
    scaled = _made("llama", "yarn").config
    refuse(
        MODEL,
        Values("tiny", config=scaled, max_length=scaled.max_position_embeddings, sharded=True),
    )
