"""A step in parts is the step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding import margin, near
from rows import STORED
from short_fits import objective, qa, stub_data, stub_module, train

from unlearnkit.data.example import Example
from unlearnkit.data.packer import split
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.data.streams.base import Stream
from unlearnkit.errors import RecipeError

METHOD = {"forget": "gradient_ascent", "mismatch": "random_mismatch", "retain": "retain_kl"}


def _weights(names: dict[str, str], folder, tokens: int | None, accumulate: int = 1):
    module = stub_module(
        {key: objective(name) for key, name in names.items()},
        {"random_init": 1},
        lr=0.1,
        max_tokens_per_micro_batch=tokens,
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
    seen = train(module, data, max_steps=3, accumulate_grad_batches=accumulate)
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


@settings(max_examples=40, deadline=None)
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
            max_tokens_per_micro_batch=100,
        )
