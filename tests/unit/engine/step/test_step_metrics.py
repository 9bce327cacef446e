"""Figures and counts are those of optimiser steps, however a step is split."""

from __future__ import annotations

import csv
import json

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from rounding import margin, near
from short_fits import objective, qa, stub_data, stub_module, train
from stub import NATS_PER_BIT

from unlearnkit.callbacks import CollapseStop, EvaluateEvery
from unlearnkit.runs.start import Batches
from unlearnkit.suites import Copyright

ROWS = (("a", "cd"), ("a", "aa"), ("b", "deede"))
# a 2 bits, c and the end 3, d and e 4: 10 + 7 + 23 bits for 3 + 3 + 6 tokens.
NLL = 40 / 12 * NATS_PER_BIT
SPLITS = [(3, 1, None), (8, 1, None), (1, 3, None), (2, 2, None), (1, 64, None), (3, 1, 5)]


@pytest.fixture
def files(tmp_path):
    for name, rows in (("forget", ROWS), ("retain", ROWS[::-1])):
        lines = [json.dumps({"prompt": p, "response": r}) for p, r in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    return {name: qa(tmp_path / f"{name}.jsonl") for name in ("forget", "retain")}


class _Seen(L.Callback):
    """What other callbacks and the progress bar can see after each micro-batch."""

    def __init__(self) -> None:
        self.callback: list[dict[str, float]] = []
        self.shown: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        self.callback.append({k: float(v) for k, v in trainer.callback_metrics.items()})
        self.shown.append({k: float(v) for k, v in trainer.progress_bar_metrics.items()})


def _arguments(split):
    batch_size, accumulate, tokens = split
    return (
        {"max_tokens_per_micro_batch": tokens},
        {"batch_size": batch_size},
        {"accumulate_grad_batches": accumulate},
    )


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_shows_the_metrics_of_the_step(files, tmp_path, split) -> None:
    of_module, of_data, of_trainer = _arguments(split)
    module = stub_module({"forget": objective("nll", weight=0.5)}, **of_module)
    seen = _Seen()
    stop = EarlyStopping("train/loss", stopping_threshold=0.51 * NLL)
    keep = ModelCheckpoint(
        tmp_path / "kept", "best", monitor="train/forget_nll", every_n_train_steps=1
    )
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=2, log_every_n_steps=1, enable_progress_bar=False,
        enable_model_summary=False, logger=CSVLogger(tmp_path / "logs", name="", version=""),
        callbacks=[seen, stop, keep], **of_trainer,
    )  # fmt: skip
    trainer.fit(module, datamodule=stub_data({"forget": files["forget"]}, **of_data))
    right = {"train/loss": NLL / 2, "train/forget": NLL, "train/forget_nll": NLL}
    with (tmp_path / "logs" / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    # One step an epoch, and the first is below the threshold.
    assert [line["step"] for line in lines] == ["0"]
    assert {key: float(lines[0][key]) for key in right} == near(right)
    assert all(each in ({}, near(right)) for each in seen.callback)
    assert seen.callback[-1]
    assert seen.shown[-1] == near({"train/loss": NLL / 2})
    assert stop.stopped_epoch == 0
    assert float(keep.best_model_score) == near(NLL)


@pytest.mark.parametrize(
    ("terms", "splits"),
    [
        ({"forget": "gradient_ascent", "l2": "l2_to_reference"}, SPLITS),
        # With other splits a step has other numbers of retain rows.
        ({"pdu": "pdu"}, [split for split in SPLITS if split[0] in (1, 3)]),
    ],
)
def test_what_a_step_has_once_counts_once_in_every_split(files, terms, splits) -> None:
    """A penalty on weights, the bound of PDU and its dual weight know nothing of parts."""
    found = []
    for split in splits:
        of_module, of_data, of_trainer = _arguments(split)
        arguments = {"l2": {"weight": 3.0}, "pdu": {"dual": 1.0, "gamma": 0.0}}
        module = stub_module(
            {key: objective(name, **arguments.get(key, {})) for key, name in terms.items()},
            {"random_init": 1},
            lr=0.05,
            **of_module,
        )
        read = {name: files[name] for name in {"forget", *module.streams_read}}
        data = stub_data(read, shuffle=False, **of_data)
        seen = train(module, data, max_epochs=3, **of_trainer)
        weights = torch.cat([p.detach().flatten() for p in module.policy.parameters()])
        dual = [o.dual for o in module.active.values() if hasattr(o, "dual")]
        found.append((seen.steps, weights, dual))
    metrics, weights, dual = found[0]
    assert len(metrics) == 3
    assert metrics[0] != near(metrics[1], size=3.0)
    for other, their_weights, their_dual in found[1:]:
        for one, two in zip(metrics, other, strict=True):
            # Three steps, each of sums over the rows.
            assert two == near(one, size=3.0)
        assert torch.allclose(their_weights, weights, rtol=0, atol=margin(size=3.0))
        assert their_dual == pytest.approx(dual, rel=1e-5)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_that_is_refused_is_not_counted(files, accumulate) -> None:
    module = stub_module(
        {"forget": objective("gradient_ascent"), "pdu": objective("pdu", weight=1e-3)},
        {"random_init": 1},
        lr=0.5,
    )
    module.schedule, module.warmup = "linear", 2
    stop = CollapseStop(forget_nll=4.0)
    data = stub_data(files, batch_size=3 // accumulate)
    steps = train(module, data, stop, max_steps=50, accumulate_grad_batches=accumulate).steps
    trainer = module.trainer
    taken = len(steps) - 1
    assert 0 < taken < 49
    assert steps[-1]["forget_nll"] >= 4.0 > steps[-2]["forget_nll"]
    assert str(stop.reason).startswith(f"step {taken}: forget_nll reached")
    assert trainer.global_step == taken
    assert trainer.lr_scheduler_configs[0].scheduler.last_epoch == taken
    assert module.active["pdu"]._steps == taken


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "forget", "retain"),
    [(8, 1, 3, 8), (1, 64, 3, 3), (2, 1, 2, 2), (1, 2, 2, 2), (2, 64, 3, 4)],
)
def test_the_effective_batch_has_no_more_rows_than_there_are(
    files, batch_size, accumulate, forget, retain
) -> None:
    module = stub_module({"forget": objective("nll"), "retain": objective("retain_nll")})
    data = stub_data(files, batch_size=batch_size)
    data.check()
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, accumulate_grad_batches=accumulate, logger=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    batches = Batches.of(module, data, trainer)
    assert batches.effective_batch == forget
    assert batches.rows_per_step == {"forget": forget, "retain": retain}
    plan = data.plan_for(trainer)
    drawn = {name: sum(len(plan.draws(name, m, 0)) for m in plan.window(0)) for name in files}
    assert batches.rows_per_step == drawn


class _At(EvaluateEvery):
    """Notes at which steps it evaluates."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.suites, self.at = [Copyright()], []

    def _values(self, trainer, pl_module):
        self.at.append(trainer.global_step)
        return {}


def test_evaluations_fall_between_steps_and_not_amid_one(files) -> None:
    for accumulate in (1, 2):
        module = stub_module({"forget": objective("nll")})
        watch = _At(steps=2)
        data = stub_data({"forget": files["forget"]}, batch_size=1)
        train(module, data, watch, max_steps=5, accumulate_grad_batches=accumulate)
        assert watch.at == [2, 4]


@pytest.mark.parametrize(
    ("accumulate", "there"), [(1, [False] * 4), (3, [False, True, True, False])]
)
def test_gradients_of_the_step_before_are_gone_in_the_forward_pass(files, accumulate, there):
    module = stub_module({"forget": objective("nll")})
    forward = module.training_step
    at_begin: list[bool] = []

    def step(*args):
        at_begin.append(any(p.grad is not None for p in module.parameters()))
        return forward(*args)

    module.training_step = step
    data = stub_data({"forget": files["forget"]}, batch_size=1)
    train(module, data, max_epochs=2, accumulate_grad_batches=accumulate)
    # An epoch has three micro-batches, and the last of a window ends the step.
    assert at_begin[:4] == there
