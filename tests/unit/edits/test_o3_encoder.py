"""The encoder of O3's detectors: what its training lowers, and what it leaves behind."""

from __future__ import annotations

import pytest
import torch
from stub import stub_tokenizer
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM

from unlearnkit.edits import O3Encoder
from unlearnkit.errors import UserError
from unlearnkit.functional.ood_gate import layer_entropy
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.composite.encoder import load_encoder, pooled

TEXTS = ["abc", "bcd", "dcba", "aabb", "cd", "ddd"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = stub_tokenizer()
    tokenizer.mask_token = "e"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def edit(encoder, **options):
    prompts = [load_tokenizer("tiny")(text).input_ids for text in TEXTS]
    given = {"epochs": 30, "lr": 1e-2, "batch_size": 3, "layers": 3, "prompts": prompts}
    return O3Encoder(str(encoder), "tiny", [], **{**given, **options})


def test_the_losses_are_those_of_the_masked_model_and_of_its_states(encoder):
    tokenizer = load_tokenizer(str(encoder))
    model = BertForMaskedLM.from_pretrained(encoder)
    rows = ["abcd", "bcd"]
    given = tokenizer(rows, padding=True, return_tensors="pt")
    ids, seen = given["input_ids"], given["attention_mask"]
    labels = torch.full_like(ids, -100)
    labels[0, 1], labels[1, 2], labels[1, 3] = (
        ids[0, 1],
        ids[1, 2],
        ids[1, 3],
    )  # the last is padding
    masked = ids.masked_fill(labels != -100, tokenizer.mask_token_id)

    def mask(_):
        return {"input_ids": masked, "labels": labels}

    told, gaps = edit(encoder)._losses(model, model, tokenizer, mask, rows)
    labels = labels.masked_fill(seen == 0, -100)
    own = model(masked, attention_mask=seen, labels=labels, output_hidden_states=True)
    plain = model(ids, attention_mask=seen, output_hidden_states=True)
    assert (labels != -100).sum() == 2
    assert gaps.item() == pytest.approx(own.loss.item())
    states = [pooled(torch.stack(each.hidden_states, 1), seen) for each in (own, plain)]
    assert told.item() == pytest.approx(layer_entropy(*states).item())


def test_prompts_are_told_apart_and_the_attention_alone_is_other(encoder, tmp_path):
    made = edit(encoder)
    made.write(tmp_path / "out")
    told = torch.tensor([each for each, _ in made.losses])
    assert len(told) == 30 * 2
    assert told[-6:].mean() < 0.9 * told[:6].mean()
    before = AutoModelForMaskedLM.from_pretrained(encoder).state_dict()
    after = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").state_dict()
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert {name.split(".")[-2] for name in changed} == {"query", "key", "value"}
    assert "nats." in made.remark


@pytest.mark.parametrize(
    ("batch_size", "epochs", "warmup", "rising"),
    [(3, 25, None, 3), (4, 50, None, 3), (8, 50, 0.25, 12), (8, 50, 0.0, 0)],
)  # a pass over six prompts: 3 and 3, 4 without the two that are left over, all 6
def test_the_rate_rises_from_0_and_falls_to_0(
    encoder, tmp_path, monkeypatch, batch_size, epochs, warmup, rising
):
    seen = []

    class Noted(torch.optim.AdamW):
        def step(self, *given):
            (group,) = self.param_groups
            seen.append((group["lr"], group["eps"]))
            return super().step(*given)

    monkeypatch.setattr(torch.optim, "AdamW", Noted)
    options = {} if warmup is None else {"warmup": warmup}
    edit(encoder, lr=0.01, batch_size=batch_size, epochs=epochs, **options).write(tmp_path / "out")
    rates, epsilons = zip(*seen, strict=True)
    up = [0.01 * step / rising for step in range(rising)]
    down = [0.01 * (50 - step) / (50 - rising) for step in range(rising, 50)]
    assert rates == pytest.approx(up + down)
    assert (rates[rising], rates[-1]) == pytest.approx((0.01, 0.01 / (50 - rising)))
    assert {*epsilons} == {1e-6}


def test_all_steps_have_as_many_prompts_and_each_prompt_its_turn(encoder):
    made = edit(encoder, batch_size=4)
    passes = [list(made._batches(TEXTS)) for _ in range(30)]
    assert {tuple(map(len, batches)) for batches in passes} == {(4,)}
    assert {text for (rows,) in passes for text in rows} == {*TEXTS}
    ((alone,),) = [list(edit(encoder, batch_size=8)._batches(TEXTS))]
    assert sorted(alone) == sorted(TEXTS)


def test_the_same_seed_gives_the_same_encoder_and_leaves_the_process_as_it_was(encoder, tmp_path):
    states = []
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        made = edit(encoder, epochs=1, seed=seed)
        before = torch.get_rng_state()
        made.write(tmp_path / name)
        assert torch.equal(before, torch.get_rng_state())
        states.append(AutoModelForMaskedLM.from_pretrained(tmp_path / name).state_dict())
    weight = "bert.encoder.layer.0.attention.self.query.weight"
    assert torch.equal(states[0][weight], states[1][weight])
    assert not torch.equal(states[0][weight], states[2][weight])


def test_detectors_can_look_through_it(encoder, tmp_path):
    edit(encoder, epochs=1).write(tmp_path / "out")
    seen = load_encoder(str(tmp_path / "out"), load_tokenizer("tiny"))
    ids = torch.tensor([load_tokenizer("tiny")("abc").input_ids])
    assert seen(ids, torch.ones_like(ids), 3).shape == (1, 3, 16)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": 4}, r"--layers: expected 1 to 3, found 4"),
        ({"prompts": [[5]]}, "expected at least two prompts, found 1"),
        ({"epochs": 0, "batch_size": 1}, "(?s)--epochs: .*--batch_size: expected at least 2"),
        ({"lr": 0.0, "warmup": 1.0}, "(?s)--lr: expected above 0.*--warmup: .* found 1.0"),
        ({"warmup": -0.1}, "--warmup: expected a part of the steps, from 0 to below 1, found -0.1"),
    ],
)
def test_options_that_do_not_fit_are_told(encoder, tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        edit(encoder, **options).write(tmp_path / "out")
    assert not (tmp_path / "out").exists()
