"""The encoder of O3's detectors: what its training lowers, and what it leaves behind."""

from __future__ import annotations

import json

import pytest
import torch
from encoders import save_encoder
from stub import stub_tokenizer
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM

from unlearnkit.data.example import Example
from unlearnkit.edits import O3Encoder
from unlearnkit.errors import UserError
from unlearnkit.functional.ood_gate import layer_entropy
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.composite import checkpoints
from unlearnkit.models.composite.detector import held_out
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


OTHERS = [
    Example(tuple(load_tokenizer("tiny")(text).input_ids), (), index, "others")
    for index, text in enumerate(["aaa", "dab", "cc"])
]


def test_prompts_that_are_held_out_are_not_learned(encoder, tmp_path, monkeypatch):
    read = []

    def losses(self, tuned, frozen, tokenizer, mask, rows):
        read.extend(rows)
        return O3Encoder._losses_as_they_are(self, tuned, frozen, tokenizer, mask, rows)

    monkeypatch.setattr(O3Encoder, "_losses_as_they_are", O3Encoder._losses, raising=False)
    monkeypatch.setattr(O3Encoder, "_losses", losses)
    edit(encoder, epochs=2, heldout=0.5, seed=3).write(tmp_path / "out")
    seen, unseen = held_out(len(TEXTS), 0.5, seed=3)
    assert {*read} == {TEXTS[index] for index in seen}
    record = json.loads((tmp_path / "out" / "edit.json").read_text())
    assert record["prompts"] == {"seen": 3, "heldout": len(unseen), "others": 0}
    assert record["kept"] == 2


@pytest.mark.parametrize("best", [0, 1, 3])
def test_the_encoder_of_the_best_accuracy_is_kept(encoder, tmp_path, monkeypatch, best):
    pytest.importorskip("sklearn")
    given, states = [0.2, 0.2, 0.1, 0.2], []

    def measured(detector, seen, held, others):
        assert (len(seen), len(held), len(others)) == (4, 2, 3)
        value = 0.9 if len(states) == best else given[len(states)]
        states.append(held.clone())
        return {"gate": value, "published": 1.0 - value}

    monkeypatch.setattr(checkpoints, "accuracies", measured)
    made = edit(encoder, epochs=3, heldout=0.3, others=OTHERS)
    made.write(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "edit.json").read_text())
    assert record["kept"] == best
    assert [each["gate"] for each in record["accuracies"]][best] == 0.9
    assert f"Kept after pass {best} of 3, accuracy 0.900." in made.remark
    seen = load_encoder(str(tmp_path / "out"), load_tokenizer("tiny"))
    _, unseen = held_out(len(TEXTS), 0.3)
    rows = [torch.tensor([load_tokenizer("tiny")(TEXTS[index]).input_ids]) for index in unseen]
    found = torch.cat([seen(ids, torch.ones_like(ids), 3) for ids in rows])
    torch.testing.assert_close(found, states[best], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(states[0], states[3])


def test_of_equal_accuracies_the_first_is_kept_by_the_rule_that_is_asked_for(
    encoder, tmp_path, monkeypatch
):
    pytest.importorskip("sklearn")
    found = iter([(0.2, 0.5), (0.3, 0.7), (0.9, 0.7)])

    def measured(*_):
        return dict(zip(("gate", "published"), next(found), strict=True))

    monkeypatch.setattr(checkpoints, "accuracies", measured)
    options = {"heldout": 0.3, "others": OTHERS, "choose_by": "published"}
    edit(encoder, epochs=2, **options).write(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "edit.json").read_text())["kept"] == 1


class Told:
    """A detector whose weights and decisions are the features themselves."""

    def __call__(self, features):
        return features

    def decision(self, features):
        return features


def test_accuracies_by_hand():
    seen, held = torch.tensor([0.1, 0.6]), torch.tensor([0.7, 0.5, 0.2, 0.1])
    others = torch.tensor([0.4, 0.55, 0.65, 0.1])
    found = checkpoints.accuracies(Told(), seen, held, others)
    # Two of four open the gate, two of four others do; one and three are right as published.
    assert found == {"gate": 0.5, "published": 0.5}
    found = checkpoints.accuracies(Told(), seen, held[:3], others[:1])
    assert found == pytest.approx({"gate": (2 / 3 + 1) / 2, "published": 2 / 4})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": 4}, r"--layers: expected 1 to 3, found 4"),
        ({"prompts": [[5]]}, "expected at least two prompts, found 1"),
        ({"epochs": 0, "batch_size": 1}, "(?s)--epochs: .*--batch_size: expected at least 2"),
        ({"lr": 0.0, "warmup": 1.0}, "(?s)--lr: expected above 0.*--warmup: .* found 1.0"),
        ({"heldout": 1.0}, "--heldout: expected a part, from 0 to below 1, found 1.0"),
        ({"others": []}, "--others: expected --heldout with it, such as 0.2, found 0"),
        (
            {"others": [], "heldout": 0.5},
            "--others: expected rows and held-out prompts, found 0 rows and 3 prompts",
        ),
        ({"choose_by": "gate?"}, r"--choose_by: expected gate or published, found 'gate\?'"),
        ({"choose_by": "published"}, "--choose_by: has no effect without --others"),
        ({"warmup": -0.1}, "--warmup: expected a part of the steps, from 0 to below 1, found -0.1"),
    ],
)
def test_options_that_do_not_fit_are_told(encoder, tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        edit(encoder, **options).write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("roberta", {"layers": 9}, "--layers: expected 1 to 3, found 9"),
        ("roberta", {}, "expected a tokenizer with a mask token"),
        ("roberta", {"prompts": [[5]]}, "expected at least two prompts, found 1"),
        ("distilbert", {}, "expected layers named query, key, value, as those of a RoBERTa"),
        ("llama", {}, "holds no model that can be loaded"),
    ],
)
def test_an_encoder_that_does_not_fit_is_told_before_its_weights_are_read(
    tmp_path, monkeypatch, kind, options, said
):
    folder = save_encoder(kind, tmp_path / kind)
    monkeypatch.setattr("unlearnkit.edits.o3_encoder.load_whole", None)
    monkeypatch.setattr("unlearnkit.edits.o3_encoder.read_rows", None)
    more = {"others": "nowhere.jsonl", "heldout": 0.4}
    with pytest.raises(UserError, match=said):
        edit(folder, **more, **options).write(tmp_path / "out")
