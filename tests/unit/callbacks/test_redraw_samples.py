"""`redraw_samples`: answers of the model as it is, while it trains."""

from __future__ import annotations

from typing import Any

import lightning as L
import pytest
import torch

from unlearnkit.callbacks import RedrawSamples
from unlearnkit.data import QAStream
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.samples import SampledAnswer
from unlearnkit.data.streams.sampled import SampledStream
from unlearnkit.engine.generation import sampling
from unlearnkit.errors import RecipeError
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives import D2O

ROWS = [{"prompt": f"Count {n}:", "response": f" {n} and {n}."} for n in range(4)]


class Read(L.Callback):
    """Keeps the samples that each step reads."""

    def __init__(self) -> None:
        self.seen: list[set[tuple[int, ...]]] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, _: int) -> None:
        data = trainer.datamodule.data["samples"]
        step = trainer.global_step
        self.seen.append({e.response_ids for row in range(4) for e in data.at(row, 4 * step)})


def fit(tmp_path, callback: RedrawSamples, *more: L.Callback, steps: int = 5, **given: Any) -> Any:
    trainer = L.Trainer(
        default_root_dir=tmp_path,
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[*more, callback],
    )
    streams: dict[str, Any] = {"forget": QAStream(ROWS)}
    if given.get("sampled", True):
        cache = str(tmp_path / "cache")
        how = {"per_prompt": 2, "max_new_tokens": 3, "cache": cache}
        streams["samples"] = SampledStream("forget", **how)
    objectives = {"forget": D2O(samples="samples" if "samples" in streams else "forget")}
    module = UnlearningModule(objectives, reference=given.get("reference", "auto"))
    data = UnlearningDataModule(streams, batch_size=4, num_workers=given.get("num_workers", 0))
    trainer.fit(module, datamodule=data, ckpt_path=given.get("ckpt_path"))
    return trainer


def test_every_second_step_reads_answers_of_its_own(tmp_path, monkeypatch) -> None:
    asked: list[int] = []

    def answer(model: Any, data: Any, step: int) -> Any:
        asked.append(step)
        return {ids: [SampledAnswer("", (step,), False)] * 2 for ids in data.prompt_ids}

    monkeypatch.setattr("unlearnkit.callbacks.redraw_samples.redrawn", answer)
    read = Read()
    fit(tmp_path, RedrawSamples(2), read)
    assert asked == [2, 4]
    assert read.seen[0] == read.seen[1] != {(2,)}
    assert read.seen[2:] == [{(2,)}, {(2,)}, {(4,)}]


def test_answers_are_those_of_the_model_that_trains_and_another_draw_each_time(tmp_path) -> None:
    trainer = fit(tmp_path, RedrawSamples(1), steps=1)
    data, policy = trainer.datamodule.data["samples"], trainer.lightning_module.policy
    one, again = (sampling.redrawn(policy, data, 1) for _ in range(2))
    assert one == again
    drawn = {a.ids for a in one[data.prompt_ids[0]]}
    assert {e.response_ids[:3] for e in data.at(0, 0)} <= {(*ids, 1)[:3] for ids in drawn}
    assert sampling.redrawn(policy, data, 2) != one
    with torch.no_grad():
        policy.get_output_embeddings().weight.mul_(-1.0)
    assert sampling.redrawn(policy, data, 1) != one


def test_a_checkpoint_has_the_answers_of_its_step(tmp_path) -> None:
    whole = RedrawSamples(2)
    trainer = fit(tmp_path, whole, steps=3)
    trainer.save_checkpoint(tmp_path / "at3.ckpt")
    stored = torch.load(tmp_path / "at3.ckpt", weights_only=True)
    assert stored["global_step"] == 3
    later, read = RedrawSamples(100), Read()
    fit(tmp_path, later, read, steps=4, ckpt_path=str(tmp_path / "at3.ckpt"))
    data = trainer.datamodule.data["samples"]
    assert read.seen == [{e.response_ids for row in range(4) for e in data.at(row, 12)}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sampled": False}, "no stream is `sampled` without a path"),
        ({"reference": "cached"}, "would be those of the first answers"),
        ({"num_workers": 1}, "expected 0, found 1"),
    ],
)
def test_what_new_answers_would_not_reach_is_refused(tmp_path, given, said) -> None:
    with pytest.raises(RecipeError, match=said):
        fit(tmp_path, RedrawSamples(1), **given)


def test_steps_below_one_are_refused() -> None:
    with pytest.raises(RecipeError, match="expected at least 1, found 0"):
        RedrawSamples(0)
