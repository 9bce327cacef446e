"""Faults of training: what diverges, leaks or stands still in a fit."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from rounding import margin, near
from rows import FORGET, PACED, RETAIN
from short_fits import Recorder, objective, qa, stub_data, stub_module, train
from stub import BITS, set_logits, stub_model

from unlearnkit.callbacks import CollapseStop
from unlearnkit.callbacks.collapse_stop import TrainingDiverged
from unlearnkit.data.streams.base import Stream
from unlearnkit.engine.preflight import MODEL, Values, refuse
from unlearnkit.errors import RecipeError


def _both(folder: Path, **arguments):
    return {
        "forget": qa(folder / "forget.jsonl", **arguments),
        "retain": qa(folder / "retain.jsonl"),
    }


def _weights(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.policy.parameters()]).clone()


def test_ascent_stops_before_the_step_that_is_not_finite(written) -> None:
    folder = written(forget=FORGET, retain=RETAIN)
    module = stub_module({"forget": objective("gradient_ascent")}, {"random_init": 1}, lr=1e6)
    data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=2)
    with pytest.raises(TrainingDiverged, match=r"step \d+: (forget|the gradient norm)"):
        train(module, data, CollapseStop(), max_steps=50)
    assert torch.isfinite(_weights(module)).all()


def test_a_ceiling_stops_the_run_on_the_weights_it_was_measured_on(written) -> None:
    folder = written(forget=FORGET, retain=RETAIN)
    module = stub_module({"forget": objective("gradient_ascent")}, {"random_init": 1}, lr=0.5)
    data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=3)
    stop = CollapseStop(forget_nll=4.0)
    recorder = train(module, data, stop, max_steps=200)
    assert stop.reason is not None
    assert "forget_nll reached" in stop.reason
    assert recorder.figures[-1]["forget_nll"] >= 4.0
    assert all(seen["forget_nll"] < 4.0 for seen in recorder.figures[:-1])
    again = train(module, data, max_steps=1).figures[0]["forget_nll"]
    assert again == near(recorder.figures[-1]["forget_nll"])
    assert again != near(recorder.figures[-2]["forget_nll"])


@pytest.mark.parametrize("names", [("gradient_ascent", "retain_nll"), ("npo", "retain_kl")])
def test_accumulated_micro_batches_are_one_batch(written, names) -> None:
    folder = written(forget="b:a b:dddddddd", retain="b:aaaaaa b:d")
    spec = {"random_init": 3}
    found = {}
    for batch_size, accumulate in ((2, 1), (1, 2)):
        module = stub_module(
            {"forget": objective(names[0]), "retain": objective(names[1])}, spec, lr=0.1
        )
        data = stub_data(_both(folder), batch_size=batch_size, shuffle=False)
        train(module, data, max_steps=1, accumulate_grad_batches=accumulate)
        found[batch_size] = _weights(module)
    start = _weights(stub_module({"forget": objective("nll")}, spec))
    assert torch.allclose(found[1], found[2], rtol=0, atol=margin(size=1.0))
    assert not torch.allclose(found[1], start, atol=1e-4)


def test_a_short_last_window_has_the_gradient_of_what_it_holds(written) -> None:
    folder = written(forget="a:cd " * 5, retain="b:ab " * 5)
    norms = []

    class Norms(Recorder):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
            grads = [p.grad for p in pl_module.policy.parameters() if p.grad is not None]
            norms.append(float(torch.nn.utils.get_total_norm(grads)))

    module = stub_module({"forget": objective("nll")}, {"random_init": 1})
    data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=1)
    train(module, data, Norms(), max_epochs=1, accumulate_grad_batches=4)
    assert len(norms) == 2
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)


def test_the_forget_stream_sets_the_pace_and_the_others_flow_on(written) -> None:
    folder = written(**PACED)
    module = stub_module(
        {
            "forget": objective("gradient_ascent"),
            "mismatch": objective("random_mismatch"),
            "retain": objective("retain_nll"),
        }
    )
    mismatch = Stream.resolve("mismatch")(
        prompts="forget", answers=str(folder / "mismatch.jsonl"), per_prompt=1
    )
    data = stub_data({**_both(folder), "mismatch": mismatch}, batch_size=1)
    drawn = Counter()

    class Answers(Recorder):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            (batch,) = batch
            part = batch.streams["mismatch"]
            drawn[tuple(batch.target[part.tokens].tolist())] += 1

    seen = train(module, data, Answers(), max_epochs=20)
    assert len(seen.rows) == 60
    assert Counter(row["forget"][0] for row in seen.rows) == dict.fromkeys(range(3), 20)
    retain = Counter(row["retain"][0] for row in seen.rows)
    assert set(retain) == set(range(50))
    assert set(retain.values()) <= {1, 2}
    assert len(drawn) == 7
    assert set(drawn.values()) <= {8, 9}
    assert all(row["mismatch"] == row["forget"] for row in seen.rows)


@pytest.mark.parametrize("lora", [False, True])
def test_the_reference_never_changes(written, lora: bool) -> None:
    folder = written(forget=FORGET, retain=RETAIN)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.5)
    module = stub_module(
        {"forget": objective("npo"), "retain": objective("retain_kl")},
        {"random_init": 1, "dropout": 0.5},
        lr=1e-2,
        lora=config if lora else None,
    )
    values: dict[int, set[float]] = {}
    trains: list[bool] = []

    class References(Recorder):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            pl_module.train()
            views = pl_module(batch[0])
            trains.append(all(m.training for m in pl_module.policy.modules()))
            view = views["forget"]
            for row, value in zip(view.rows, view.row_sum(view.ref_logps).tolist(), strict=True):
                values.setdefault(row, set()).add(value)

    start = None if lora else copy.deepcopy(module.reference.model.state_dict())
    data = stub_data(_both(folder), batch_size=1)
    train(module, data, References(), max_epochs=4)
    assert {len(each) for each in values.values()} == {1}
    assert all(trains)
    if start is not None:
        end = module.reference.model.state_dict()
        assert all(torch.equal(start[key], end[key]) for key in start)
        assert all(p.grad is None for p in module.reference.parameters())


def test_dropout_is_on_in_training(written) -> None:
    folder = written(forget="a:cdab " * 20)
    losses = {}
    for dropout in (0.0, 0.9):
        lora = LoraConfig(
            r=8,
            target_modules=["q_proj", "v_proj", "o_proj", "down_proj"],
            lora_dropout=dropout,
            init_lora_weights=False,
        )
        module = stub_module(
            {"forget": objective("gradient_ascent")}, {"random_init": 1}, lora=lora
        )
        data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=2)
        seen = train(module, data, max_steps=20)
        assert all(seen.policy_trains)
        losses[dropout] = torch.tensor([each["forget"] for each in seen.figures])
    assert losses[0.9].std() > 1e-3
    assert losses[0.0].std() < margin(size=float(losses[0.0].abs().max()))


def test_every_adapter_matrix_gets_a_gradient_under_checkpointing(written) -> None:
    folder = written(forget=FORGET, retain=RETAIN)
    losses = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        module = stub_module(
            {"forget": objective("gradient_ascent"), "retain": objective("retain_nll")},
            {"random_init": 1},
            lr=1e-3,
            lora=LoraConfig(r=2, target_modules=["q_proj", "v_proj"]),
            gradient_checkpointing=checkpointing,
        )
        seen = train(module, stub_data(_both(folder), batch_size=2), max_steps=1)
        losses.append(seen.figures[0]["forget"])
        raised = [p for n, p in module.policy.named_parameters() if "lora_B" in n]
        assert len(raised) == 4
        assert all(float(p.norm()) > 0 for p in raised)
    assert losses[0] == near(losses[1])


def test_log_ratios_are_float32_in_a_bfloat16_model(written) -> None:
    """Logits that bfloat16 holds, so that only what is made of them can be rounded."""
    folder = written(forget="a:" + "abcde" * 40)
    module = stub_module({"forget": objective("npo")}, layout="rows")
    generator = torch.Generator().manual_seed(4)
    logits = torch.randint(-64, 1, (2, len(BITS)), generator=generator) / 16
    for model, each in zip((module.policy, module.reference.model), logits, strict=True):
        set_logits(model, each)
        model.to(torch.bfloat16)
    data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=1, shuffle=False)
    seen = train(module, data, max_steps=1).figures[0]
    target = list(data.data["forget"].at(0, 0)[0].response_ids)
    policy, reference = logits.double().log_softmax(-1)[:, target].sum(-1).tolist()
    rounded = logits.bfloat16().log_softmax(-1).float()[:, target].sum(-1).tolist()
    assert seen["forget_log_ratio"] == near(policy - reference, size=abs(reference))
    assert rounded[0] - rounded[1] != near(policy - reference, size=abs(reference))


def test_an_adapter_on_a_tied_head_is_refused() -> None:
    spec = {"random_init": 1, "tie": True}
    lora = LoraConfig(r=2, target_modules=["lm_head"])
    with pytest.raises(RecipeError, match=r"lm_head.*tie_word_embeddings"):
        refuse(MODEL, Values("tiny", lora, config=stub_model(spec).config))


def test_the_same_seed_gives_the_same_run_with_any_number_of_workers(written) -> None:
    folder = written(forget=FORGET, retain=RETAIN)
    found = []
    for workers in (0, 0, 2):
        torch.manual_seed(3)
        module = stub_module(
            {"forget": objective("gradient_ascent"), "retain": objective("retain_nll")},
            {"random_init": 1},
            lr=1e-3,
            optimizer=torch.optim.AdamW,
            lora=LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.1),
        )
        torch.manual_seed(3)
        data = stub_data(_both(folder), batch_size=2, seed=3, num_workers=workers)
        seen = train(module, data, max_steps=5)
        found.append((seen.figures, _weights(module)))
    for figures, weights in found[1:]:
        assert figures == found[0][0]
        assert torch.equal(weights, found[0][1])
