"""Views of a padded batch have the values of plain forward passes and of the engine."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from architectures import VOCABULARY, tiny_model
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from unlearnkit import views_from_batch
from unlearnkit.data.example import Example
from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.reference.kinds import frozen_copy
from unlearnkit.engine.step.forward import ForwardPass, stream_views
from unlearnkit.engine.step.head import Head
from unlearnkit.errors import UserError
from unlearnkit.objectives import NPO, RMU, RetainKL

ARCHITECTURES = ("llama", "gpt2", "opt", "gemma2", "cohere", "mixtral", "mamba")
PROMPTS = ((5, 6, 7), (8,), (9, 10), (11, 12, 13, 14))
RESPONSES = ((20, 21), (22, 23, 24, 25), (26,), (27, 28, 29))
STREAMS = ["forget", "retain", "forget", "retain"]
ADAPTER = LoraConfig(r=2, lora_dropout=0.5, target_modules="all-linear")


def _padded(side: str) -> tuple[Tensor, Tensor, Tensor]:
    """``input_ids``, ``labels`` and ``attention_mask``, padded to eight tokens."""

    def fill(row: list[int], by: int) -> list[int]:
        rest = [by] * (8 - len(row))
        return rest + row if side == "left" else row + rest

    rows = list(zip(PROMPTS, RESPONSES, strict=True))
    ids = [fill([*p, *r], 3) for p, r in rows]
    labels = [fill([-100] * len(p) + [*r], -100) for p, r in rows]
    mask = [fill([1] * (len(p) + len(r)), 0) for p, r in rows]
    return torch.tensor(ids), torch.tensor(labels), torch.tensor(mask)


def _plain(model: nn.Module, prompt: tuple[int, ...], response: tuple[int, ...]) -> Tensor:
    """``[n, V]`` log-probabilities from an ordinary forward pass of one row without padding."""
    logits = model(torch.tensor([[*prompt, *response]]), use_cache=False).logits[0]
    return logits[len(prompt) - 1 : -1].float().log_softmax(-1)


def _changed(model: nn.Module) -> nn.Module:
    other = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return other


def _gradients(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_npo_and_kl_by_hand(name: str, side: str) -> None:
    reference = tiny_model(name)
    model = _changed(reference)
    rows = list(zip(PROMPTS, RESPONSES, strict=True))
    with torch.no_grad():
        before = [_plain(reference, *row) for row in rows]
    after = [_plain(model, *row) for row in rows]
    answers = [torch.tensor(r)[:, None] for r in RESPONSES]
    ratios = [(after[i] - before[i]).gather(1, answers[i]).sum() for i in (0, 2)]
    npo = torch.stack([-(2 / 0.1) * torch.nn.functional.logsigmoid(-0.1 * r) for r in ratios])
    kl = torch.cat([(before[i].exp() * (before[i] - after[i])).sum(1) for i in (1, 3)])
    expected = npo.mean() + kl.mean()
    expected.backward()
    by_hand = _gradients(model)
    model.zero_grad()
    ids, labels, mask = _padded(side)
    views = views_from_batch(model, ids, labels, mask, streams=STREAMS, reference=reference)
    loss = NPO(beta=0.1)(views) + RetainKL()(views)
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=2e-5, atol=2e-5)
    assert float((_gradients(model) - by_hand).norm() / by_hand.norm()) < 1e-5


@pytest.mark.parametrize("side", ["left", "right"])
def test_all_that_a_view_gives_is_as_the_engine_has_it(side: str) -> None:
    reference = tiny_model("llama")
    model = _changed(reference)
    rows = zip(PROMPTS, RESPONSES, STREAMS, strict=True)
    examples: dict[str, list[Example]] = {"forget": [], "retain": []}
    for prompt, response, stream in rows:
        own = examples[stream]
        own.append(Example(prompt, response, len(own), ""))
    batch = pack(
        {
            name: StreamBatch(tuple(own), sum(len(e.response_ids) for e in own), len(own))
            for name, own in examples.items()
        },
        "rows",
        keep_last=True,
    )
    engine = stream_views(
        batch,
        ForwardPass(model, Head(model), batch, layers=(1,)),
        frozen_copy(reference).forward(batch, (1,)),
    )
    ids, labels, mask = _padded(side)
    views = views_from_batch(
        model, ids, labels, mask, streams=STREAMS, reference=reference, layers=(1,)
    )
    assert views.keys() == engine.keys()
    for name, view in views.items():
        other = engine[name]
        assert view.rows == other.rows
        assert (view.token_share, view.sequence_share) == (other.token_share, other.sequence_share)
        for read in (
            lambda v: v.target,
            lambda v: v.sequence,
            lambda v: v.logps,
            lambda v: v.ref_logps,
            lambda v: v.logits,
            lambda v: v.ref_logits,
            lambda v: v.forward_kl(),
            lambda v: v.entropy(),
            lambda v: v.hidden(1),
            lambda v: v.ref_hidden(1),
        ):
            torch.testing.assert_close(read(view), read(other), rtol=1e-5, atol=1e-5)


def test_rows_of_several_turns_are_read_at_their_labels_alone() -> None:
    model = tiny_model("qwen2")
    ids = torch.tensor([[5, 6, 7, 8, 9, 10]])
    labels = torch.tensor([[5, 6, -100, -100, 9, -100]])  # nothing predicts the first
    views = views_from_batch(model, ids, labels)
    plain = model(ids).logits[0].float().log_softmax(-1)
    expected = torch.stack([plain[0, 6], plain[3, 9]])
    torch.testing.assert_close(views["forget"].logps, expected, rtol=1e-5, atol=1e-5)
    assert views["forget"].sequence.tolist() == [0, 0]


def test_an_adapter_switched_off_is_a_reference() -> None:
    base = tiny_model("llama")
    plain = copy.deepcopy(base)
    model: Any = get_peft_model(
        base, LoraConfig(r=2, lora_dropout=0.5, target_modules="all-linear")
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    model.train()
    ids, labels, mask = _padded("left")
    views = views_from_batch(model, ids, labels, mask, reference="adapter_off")
    expected = [
        _plain(plain, p, r).gather(1, torch.tensor(r)[:, None])[:, 0]
        for p, r in zip(PROMPTS, RESPONSES, strict=True)
    ]
    torch.testing.assert_close(views["forget"].ref_logps, torch.cat(expected), rtol=1e-5, atol=1e-5)
    assert model.training
    assert not torch.allclose(views["forget"].logps, views["forget"].ref_logps)


def test_micro_batches_with_the_shares_of_the_step_have_its_gradient() -> None:
    model = tiny_model("llama")
    ids, labels, mask = _padded("right")
    forget = views_from_batch(model, ids, labels, mask)["forget"]
    (forget.mean(forget.logps) + forget.sequence_mean(forget.row_mean(forget.logps))).backward()
    whole = _gradients(model)
    model.zero_grad()
    for part in (slice(0, 1), slice(1, 4)):
        views = views_from_batch(
            model, ids[part], labels[part], mask[part],
            token_share={"forget": 10 / 2}, sequence_share={"forget": 4 / 2},
        )  # fmt: skip
        view = views["forget"]
        loss = view.mean(view.logps) + view.sequence_mean(view.row_mean(view.logps))
        (loss / 2).backward()
    torch.testing.assert_close(_gradients(model), whole, rtol=1e-4, atol=1e-5)


def test_an_objective_on_hidden_states_works() -> None:
    model = tiny_model("llama")
    loss = RMU(layer=1, steering=2.0)
    loss.attach(model)
    ids, labels, mask = _padded("left")
    views = views_from_batch(
        model, ids, labels, mask, reference=copy.deepcopy(model), layers=loss.layers
    )
    value = loss(views)
    value.backward()
    assert value > 0
    assert model.get_input_embeddings().weight.grad is not None


def test_a_wrapped_model_runs_through_its_wrapper() -> None:
    class Wrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module, self.calls = module, 0

        def forward(self, **arguments: Any) -> Any:
            self.calls += 1
            return self.module(**arguments)

    model = tiny_model("llama")
    wrapped = Wrapper(model)
    ids, labels, mask = _padded("right")
    views = views_from_batch(wrapped, ids, labels, mask)
    plain = views_from_batch(model, ids, labels, mask)
    assert torch.equal(views["forget"].logps, plain["forget"].logps)
    assert wrapped.calls == 1


def test_embeddings_that_grew_have_their_own_head() -> None:
    model = tiny_model("llama")
    ids, labels, mask = _padded("right")
    views_from_batch(model, ids, labels, mask)
    model.resize_token_embeddings(VOCABULARY + 3, mean_resizing=False)
    views = views_from_batch(model, ids, labels, mask)
    assert views["forget"].logits.shape == (10, VOCABULARY + 3)


def test_all_bad_rows_are_named_at_once() -> None:
    model = tiny_model("llama")
    ids = torch.full((4, 4), 5)
    labels = torch.tensor([[-100] * 4, [5, -100, -100, -100], [-100, 5, 5, 5], [-100, 5, 5, -100]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 1, 1]])
    with pytest.raises(UserError) as error:
        views_from_batch(model, ids, labels, mask)
    found = str(error.value)
    assert "row 0: labels has no token to be predicted" in found
    assert "row 1: labels has no token to be predicted" in found
    assert "row 2: labels has a token where attention_mask is 0" in found
    assert "row 3: attention_mask has zeros between tokens" in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": torch.ones(2, 3)}, r"labels: expected the shape \[2, 4\], found \[2, 3\]"),
        ({"streams": ["forget"]}, "streams: expected 2, one a row, found 1"),
        ({"rows": [0, 1, 2]}, "rows: expected 2, one a row, found 3"),
        ({"model": nn.Linear(2, 2)}, "expected a causal language model of transformers, found Lin"),
        ({"reference": "adapter_off"}, "'adapter_off' with a model of PEFT, found 'adapter_off'"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], message: str) -> None:
    given = {"model": tiny_model("llama"), "input_ids": torch.full((2, 4), 5)}
    given["labels"] = torch.tensor([[-100, 5, 5, 5]] * 2)
    with pytest.raises(UserError, match=message):
        views_from_batch(**{**given, **arguments})
