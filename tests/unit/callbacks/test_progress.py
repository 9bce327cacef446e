from __future__ import annotations

import json
from io import StringIO
from itertools import count

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar
from rich.console import Console
from short_fits import objective, qa, stub_data, stub_module

from unlearnkit.callbacks.progress import EpochBar, StepLines, use_epoch_bar


class OwnBar(RichProgressBar):
    pass


def trainer(bar: RichProgressBar, **options: int) -> L.Trainer:
    return L.Trainer(accelerator="cpu", logger=False, callbacks=[bar], **options)  # pyright: ignore


def test_lightnings_bar_is_replaced_with_its_settings_and_an_own_one_stays(monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    made = trainer(RichProgressBar(refresh_rate=7))
    use_epoch_bar(made)
    (bar,) = (each for each in made.callbacks if isinstance(each, RichProgressBar))
    assert isinstance(bar, EpochBar)
    assert bar.refresh_rate == 7
    own = OwnBar()
    made = trainer(own)
    use_epoch_bar(made)
    assert own in made.callbacks


def test_the_last_epoch_is_shown_only_where_it_is_known() -> None:
    bar = EpochBar()
    bar._trainer = trainer(bar, max_epochs=-1)
    assert bar._get_train_description(3).strip() == "Epoch 3"
    bar._trainer = trainer(EpochBar(), max_epochs=5)
    assert bar._get_train_description(3).strip() == "Epoch 3/4"


def test_without_a_terminal_there_are_lines_in_place_of_the_bar(monkeypatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    made = trainer(RichProgressBar())
    use_epoch_bar(made)
    assert any(isinstance(each, StepLines) for each in made.callbacks)
    assert not any(isinstance(each, RichProgressBar) for each in made.callbacks)


def lines(tmp_path, **options) -> list[str]:
    """What a run of four steps a pass says, by a clock of a second a look."""
    for name in ("forget", "retain"):
        rows = [{"prompt": letter, "response": "ab"} for letter in "abcd"]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    streams = {name: qa(tmp_path / f"{name}.jsonl") for name in ("forget", "retain")}
    module = stub_module({"retain": objective("retain_nll")}, {"random_init": 1})
    said, seconds = StringIO(), count(0, 60)
    shown = StepLines(Console(file=said, width=40), clock=lambda: float(next(seconds)))
    fitting = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
        callbacks=[shown], **options,
    )  # fmt: skip
    fitting.fit(module, datamodule=stub_data(streams, batch_size=1))
    return said.getvalue().splitlines()


def test_each_tenth_of_the_steps_has_a_line(tmp_path) -> None:
    said = lines(tmp_path, max_steps=40, max_epochs=-1)
    assert [line.split(",")[0] for line in said] == [f"step {4 * n} of 40" for n in range(1, 11)]
    assert all(" loss " in line for line in said)
    # A minute a line: after the first of ten nine are left, and after the last none.
    assert said[0].endswith(", 9:00 left")
    assert said[4].endswith(", 5:00 left")
    assert "left" not in said[-1]


def test_a_short_run_has_a_line_a_step_and_accumulated_batches_are_one_step(tmp_path) -> None:
    said = lines(tmp_path, max_epochs=2, accumulate_grad_batches=2)
    assert [line.split(",")[0] for line in said] == [f"step {n} of 4" for n in range(1, 5)]


def test_a_run_without_a_last_step_has_fewer_and_fewer_lines(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(L.Trainer, "estimated_stepping_batches", float("inf"))
    said = lines(tmp_path, max_steps=9, max_epochs=-1)
    assert [line.split(",")[0] for line in said] == ["step 1", "step 2", "step 4", "step 8"]
