"""The engine gives the figures of plain forward passes, on every architecture and layout."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from architectures import CONFIGS, PACKED, VOCABULARY, tiny_model
from torch import Tensor, nn

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.reference.kinds import frozen_copy
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.engine.step.forward import ForwardPass, decoder_blocks, stream_views
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.layout import choose_layout, packed_refusal
from unlearnkit.errors import RecipeError


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _rows(examples: list[Example]) -> StreamBatch:
    return StreamBatch(tuple(examples), sum(len(e.response_ids) for e in examples), len(examples))


def _streams(seed: int = 0) -> dict[str, StreamBatch]:
    """Prompts of 1 to 7 tokens, responses of 1 to 9, two prompts with several responses."""
    generator = torch.Generator().manual_seed(seed)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())

    prompts = [ids(n) for n in (7, 1, 4)]
    lengths = zip(prompts, (9, 1, 5), strict=True)
    forget = [Example(p, ids(n), row, "f") for row, (p, n) in enumerate(lengths)]
    mismatch = [Example(e.prompt_ids, ids(n), e.row, "m") for e in forget for n in (1, 6)]
    retain = [Example(ids(n), ids(8 - n), row, "r") for row, n in enumerate((2, 7))]
    return {"forget": _rows(forget), "mismatch": _rows(mismatch), "retain": _rows(retain)}


def _plain_logits(model: torch.nn.Module, example: Example) -> Tensor:
    """Logits that predict the response, from an ordinary forward pass of one row."""
    ids = torch.tensor([[*example.prompt_ids, *example.response_ids]])
    logits = model(input_ids=ids, use_cache=False).logits[0]
    return logits[len(example.prompt_ids) - 1 : -1].float()


def _loss(views) -> Tensor:
    forget, mismatch, retain = views["forget"], views["mismatch"], views["retain"]
    return (
        forget.mean(forget.logps)
        - mismatch.sequence_mean(mismatch.row_mean(mismatch.logps))
        + retain.mean(retain.forward_kl())
        + 0.1 * forget.mean(forget.entropy())
    )


def _gradient(model: torch.nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def _engine_loss(model, reference, batch: Batch) -> Tensor:
    views = stream_views(
        batch, ForwardPass(model, Head(model, chunk_tokens=5), batch), reference.forward(batch)
    )
    return _loss(views)


@pytest.mark.parametrize("name", [*PACKED, "mamba"])
def test_logps_equal_those_of_plain_forward_passes(name: str) -> None:
    streams = _streams()
    plain = tiny_model(name)
    examples = [e for batch in streams.values() for e in batch.examples]
    with torch.no_grad():
        expected = torch.cat(
            [
                _plain_logits(plain, e).log_softmax(-1).gather(1, torch.tensor([e.response_ids]).T)
                for e in examples
            ]
        ).flatten()
    model = tiny_model(name)
    layout, _ = choose_layout(model, "auto")
    assert layout == ("rows" if name == "mamba" else "packed")
    for each in {layout, "rows"}:
        if each == "packed":
            use_tree_attention(model)
        batch = pack(streams, each)
        with torch.no_grad():
            found = ForwardPass(model, Head(model), batch).logps(torch.arange(len(batch.target)))
        assert found.dtype == torch.float32
        assert _relative(found, expected) < 1e-5, (name, each)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gemma3", "mistral-window", "gpt2", "qwen3"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_loss_and_gradient_are_the_same_packed_and_in_rows(name: str, checkpointing: bool) -> None:
    found = {}
    for layout in ("rows", "packed"):
        model = tiny_model(name)
        reference = frozen_copy(tiny_model(name, seed=1))
        if layout == "packed":
            use_tree_attention(model)
            use_tree_attention(reference.model)
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
            model.train()
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
        loss = _engine_loss(model, reference, pack(_streams(), layout))
        loss.backward()
        found[layout] = loss.detach(), _gradient(model)
    assert torch.isclose(*(each[0] for each in found.values()), rtol=1e-5)
    assert _relative(found["packed"][1], found["rows"][1]) < 1e-5


@pytest.mark.parametrize("fault", ["positions not restarted", "wrong prompt"])
def test_a_wrong_forest_is_noticed(fault: str) -> None:
    """The equality above would catch these; so it can fail."""
    model = tiny_model("llama")
    use_tree_attention(model)
    reference = frozen_copy(model)
    good = pack(_streams(), "packed")
    if fault == "positions not restarted":
        positions = torch.arange(good.input_ids.shape[1])[None]
        bad = Batch(**{**vars(good), "position_ids": positions})
    else:
        plan = good.attention
        assert plan is not None
        assert plan.gather is not None
        branch = next(i for i, q in enumerate(plan.queries) if q < plan.keys[i])
        start, shared = int(plan.key_ends[branch]), plan.keys[branch] - plan.queries[branch]
        gather = plan.gather.clone()
        gather[start : start + shared] = torch.arange(good.input_ids.shape[1])[-shared:]
        bad = replace(good, attention=replace(plan, gather=gather))
    with torch.no_grad():
        found = [_logps(model, reference, batch) for batch in (good, bad)]
    assert _relative(found[1], found[0]) > 1e-3


def _logps(model, reference, batch: Batch) -> Tensor:
    return ForwardPass(model, Head(model), batch).logps(torch.arange(len(batch.target)))


def test_prompt_and_padding_have_no_influence_beyond_their_own_row() -> None:
    streams = _streams()
    model = tiny_model("llama")
    use_tree_attention(model)
    alone = pack({"forget": streams["forget"]}, "packed")
    together = pack(streams, "packed")
    count = len(alone.target)
    with torch.no_grad():
        one = ForwardPass(model, Head(model), alone).logps(torch.arange(count))
        many = ForwardPass(model, Head(model), together).logps(torch.arange(count))
    assert torch.allclose(one, many, atol=1e-5)


def test_an_empty_batch_gives_zero_and_a_gradient_for_every_rank() -> None:
    model = tiny_model("llama")
    use_tree_attention(model)
    for layout in ("packed", "rows"):
        batch = pack({"forget": StreamBatch((), 3.0, 1.0)}, layout)
        views = stream_views(batch, ForwardPass(model, Head(model), batch), None)
        loss = views["forget"].mean(-views["forget"].logps)
        assert loss.item() == 0.0
        assert loss.requires_grad


def test_hidden_states_are_those_of_the_response_tokens() -> None:
    streams = _streams()
    plain = tiny_model("llama")
    model = tiny_model("llama")
    use_tree_attention(model)
    for layout in ("packed", "rows"):
        batch = pack(streams, layout, keep_last=True)
        with torch.no_grad():
            forward = ForwardPass(model, Head(model), batch, layers=(0,))
            found = forward.hidden(0, torch.arange(len(batch.target)))
            expected = torch.cat(
                [
                    plain.model(
                        input_ids=torch.tensor([[*e.prompt_ids, *e.response_ids]]),
                        output_hidden_states=True,
                    ).hidden_states[1][0, len(e.prompt_ids) :]
                    for each in streams.values()
                    for e in each.examples
                ]
            )
        assert torch.allclose(found, expected, atol=1e-5)


def test_a_model_that_cannot_be_packed_is_refused_with_the_reason() -> None:
    model = tiny_model("mamba")
    assert packed_refusal(model) is not None
    with pytest.raises(RecipeError, match=r"MambaForCausalLM cannot be packed"):
        choose_layout(model, "packed")


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_decoder_blocks_are_as_many_as_the_config_has(name) -> None:
    model = tiny_model(name)
    layers = model.config.get_text_config().num_hidden_layers
    # More experts than blocks, as a mixture of experts has that keeps them in a list.
    model.get_decoder().experts = nn.ModuleList(nn.Linear(1, 1) for _ in range(layers + 3))
    assert len(decoder_blocks(model)) == layers


@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_the_gradient_is_the_same_each_time_on_two_threads(layout, two_threads) -> None:
    """Many responses begin behind one position, whose gradient is their sum."""
    model = tiny_model("llama")
    if layout == "packed":
        use_tree_attention(model)
    draw = torch.Generator().manual_seed(0)
    rows = [
        Example((3, 4), tuple(torch.randint(3, VOCABULARY, (3,), generator=draw).tolist()), n, "f")
        for n in range(600)
    ]
    batch = pack({"forget": _rows(rows)}, layout)
    assert layout == "rows" or batch.source.unique(return_counts=True)[1].max() == 600
    assert batch.source.numel() * model.config.hidden_size > 32_768  # fewer are summed by one
    found = []
    for _ in range(8):
        model.zero_grad()
        logps = ForwardPass(model, Head(model), batch).logps(torch.arange(len(batch.target)))
        logps.sum().backward()
        found.append(_gradient(model))
    assert all(torch.equal(each, found[0]) for each in found)
