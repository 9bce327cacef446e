"""A step in parts is the step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from live import Live
from peft import LoraConfig
from rounding import margin, near
from rows import STORED
from short_fits import objective, qa, stub_data, stub_module, train
from transformers import LlamaConfig, LlamaForCausalLM

from unlearnkit.data.example import Example
from unlearnkit.data.packer import split
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.data.streams.base import Stream
from unlearnkit.errors import RecipeError
from unlearnkit.module import UnlearningModule

METHOD = {"forget": "gradient_ascent", "mismatch": "random_mismatch", "retain": "retain_kl"}


LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)


def _weights(
    names: dict[str, str], folder, tokens: int | None, accumulate: int = 1, **options: Any
):
    torch.manual_seed(0)
    module = stub_module(
        {key: objective(name) for key, name in names.items()},
        {"random_init": 1},
        lr=0.1,
        max_tokens_per_micro_batch=tokens,
        **{key: value for key, value in options.items() if key != "root"},
    )
    streams = {
        "forget": qa(folder / "forget.jsonl"),
        "retain": qa(folder / "retain.jsonl"),
        "mismatch": Stream.resolve("mismatch")(per_prompt=3),
    }
    read = {name: streams[name] for name in {"forget", *names}}
    if "mismatch" in names:
        read = streams
    data = stub_data(read, batch_size=4, seed=1)
    root = options.get("root")
    seen = train(
        module, data, max_steps=3, accumulate_grad_batches=accumulate, default_root_dir=root
    )
    return seen.figures, torch.cat([p.detach().flatten() for p in module.policy.parameters()])


@pytest.mark.parametrize("names", [METHOD, {"forget": "npo", "retain": "retain_nll"}])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_parts_train_the_same_model(written, names, accumulate) -> None:
    folder = written(**STORED)
    figures, whole = _weights(names, folder, None, accumulate)
    for tokens in (1, 12):
        part_figures, parts = _weights(names, folder, tokens, accumulate)
        # After three steps, in which errors of gradients of size 1 add up.
        assert torch.allclose(parts, whole, rtol=0, atol=margin(size=3.0))
        for one, other in zip(part_figures, figures, strict=True):
            assert one == near(other, size=3.0)
        assert part_figures[0] != near(figures[1], size=3.0)


@pytest.mark.parametrize(
    ("reference", "lora"), [("cached", None), ("cached", LORA), ("adapter_off", LORA)]
)
def test_parts_train_the_same_model_with_every_reference(written, tmp_path, reference, lora):
    folder = written(**STORED)
    options = {"reference": reference, "lora": lora, "root": tmp_path}
    figures, whole = _weights(METHOD, folder, None, **options)
    part_figures, parts = _weights(METHOD, folder, 6, **options)
    assert torch.allclose(parts, whole, rtol=0, atol=margin(size=3.0))
    for one, other in zip(part_figures, figures, strict=True):
        assert one == near(other, size=3.0)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("names", [METHOD, {"forget": "npo", "retain": "retain_nll"}])
def test_parts_need_little_more_than_the_gradient(names, tied) -> None:
    """1.3 times the weights, activations of a part included; whole gradients twice would be 2."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256, hidden_size=96, intermediate_size=192, num_hidden_layers=6,
        num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=tied,
    )  # fmt: skip
    module = UnlearningModule(
        {key: objective(name) for key, name in names.items()}, max_tokens_per_micro_batch=4
    )
    module.use_model(LlamaForCausalLM(config))
    rows = {
        stream: StreamBatch(
            tuple(Example((row, row), (7, row), row, stream) for row in range(8)), 16.0, 8.0
        )
        for stream in module.streams_read
    }
    batches = module.packer(rows)
    assert len(batches) == 8
    weights = sum(p.nbytes for p in module.policy.parameters())
    with Live([*module.parameters(), *module.buffers()]) as live:
        module.loss(batches).backward()
    assert 1.0 < live.peak / weights <= 1.3


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6)), min_size=1, max_size=8),
    st.integers(1, 20),
    st.sampled_from(["packed", "rows"]),
)
def test_no_row_is_lost_and_no_tree_is_cut(sizes, tokens, layout) -> None:
    def rows(name: str) -> StreamBatch:
        examples = tuple(
            Example((prompt,), tuple(range(length)), row, name)
            for row, (prompt, length) in enumerate(sizes)
        )
        return StreamBatch(examples, 7.0, 3.0)

    whole = {"forget": rows("f"), "retain": rows("r")}
    parts = split(whole, tokens, layout)
    for name, batch in whole.items():
        found = [e for part in parts for e in part[name].examples]
        assert sorted(found) == sorted(batch.examples)
        assert all(part[name].token_share == 7.0 for part in parts)
    owners = [{e.prompt_ids for batch in part.values() for e in batch.examples} for part in parts]
    assert len(set().union(*owners)) == sum(map(len, owners))


def test_rows_of_like_length_share_a_part_and_padding_counts() -> None:
    lengths = (1, 8, 2, 7, 3)
    examples = tuple(Example((n,), (0,) * n, row, "f") for row, n in enumerate(lengths))
    parts = split({"forget": StreamBatch(examples, 21.0, 5.0)}, 18, "rows")
    found = [[len(e.response_ids) for e in part["forget"].examples] for part in parts]
    assert found == [[1, 2, 3], [7, 8]]
    packed = split({"forget": StreamBatch(examples, 21.0, 5.0)}, 18)
    assert [len(part["forget"].examples) for part in packed] == [3, 2]


def test_a_loss_of_the_whole_batch_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"the loss of forget is a function of the whole batch"):
        stub_module(
            {"forget": objective("npo", compat="Unlearn-Simple/WMDP")},
            max_tokens_per_micro_batch=40,
        )
