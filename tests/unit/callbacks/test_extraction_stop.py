"""`extraction_stop`: what it measures, and when a run ends."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch

from unlearnkit.callbacks import ExtractionStop
from unlearnkit.data import QAStream
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.errors import RecipeError
from unlearnkit.models.load import load_model
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives import GradientAscent
from unlearnkit.runs.trainer import stopped_by

ROWS = [{"prompt": f"Count {n}:", "response": f" {n} and {n} and {n}."} for n in range(4)]
UNSEEN = [{"prompt": "Say it:", "response": " a river and a hill."}]


def data_of(**streams: Any) -> UnlearningDataModule:
    given = {"forget": ROWS, "unseen": UNSEEN, **streams}
    made = {name: QAStream(rows) for name, rows in given.items() if rows}
    return UnlearningDataModule(made, batch_size=4)


def fit(tmp_path, callback: ExtractionStop, data: UnlearningDataModule, epochs: int = 4) -> Any:
    trainer = L.Trainer(
        default_root_dir=tmp_path,
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[callback],
    )
    trainer.fit(UnlearningModule({"forget": GradientAscent()}), datamodule=data)
    return trainer


def test_it_ends_the_run_in_the_first_epoch_in_which_both_are_as_of_unseen_rows(
    tmp_path, monkeypatch
) -> None:
    # The likelihood is measured where the accuracy is low enough.
    values = {"memorisation": iter([0.5, 0.6, 0.4, 0.5]), "EL_2": iter([0.2, 0.3, 0.2])}
    asked = []

    def looks(self, trainer, module, name):
        def look(key: str) -> float:
            asked.append((name, key))
            return next(values[key])

        return {key: partial(look, key) for key in values}

    monkeypatch.setattr(ExtractionStop, "_looks", looks)
    stop = ExtractionStop(ngram=2)
    trainer = fit(tmp_path, stop, data_of(), epochs=9)
    forget = [("forget", "memorisation"), ("forget", "EL_2")]
    assert asked == [("unseen", "memorisation"), ("unseen", "EL_2"), forget[0], *forget, *forget]
    assert trainer.global_step == 3
    assert stop.found == [
        {"memorisation": 0.6},
        {"memorisation": 0.4, "EL_2": 0.3},
        {"memorisation": 0.5, "EL_2": 0.2},
    ]
    assert stopped_by(trainer) == (
        "step 3: forget rows are as unseen ones: memorisation 0.500, at most 0.500, "
        "EL_2 0.200, at most 0.200"
    )
    again = ExtractionStop(ngram=2)
    again.load_state_dict(stop.state_dict())
    assert (again.thresholds, again.found) == (stop.thresholds, stop.found)


def test_it_looks_every_so_many_epochs(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        ExtractionStop,
        "_looks",
        lambda self, trainer, module, name: {"EL_2": lambda: float(name == "forget")},
    )
    stop = ExtractionStop(ngram=2, every_n_epochs=2)
    trainer = fit(tmp_path, stop, data_of(), epochs=5)
    assert (trainer.global_step, len(stop.found), stopped_by(trainer)) == (5, 2, None)


def test_what_it_measures_is_that_of_a_loop() -> None:
    data, model = data_of(), load_model("tiny")
    data.check()
    trainer: Any = SimpleNamespace(datamodule=data)
    before = torch.get_rng_state()
    looks = ExtractionStop(ngram=2)._looks(trainer, SimpleNamespace(policy=model), "forget")
    found = {key: look() for key, look in looks.items()}
    assert torch.equal(before, torch.get_rng_state())
    end = data.tokenizer.eos_token_id
    likely, right = [], []
    for row in data.data["forget"].examples():
        ids = [*row.prompt_ids, *row.response_ids]
        first = len(row.prompt_ids)
        logits = model(torch.tensor([ids])).logits[0, first - 1 : -1]
        right.append((logits.argmax(-1) == torch.tensor(ids[first:])).float().mean().item())
        true, shares = [each for each in row.response_ids if each != end], []
        for seen in range(len(true) - 1):
            said = ids[: first + seen]
            for _ in range(len(true) - seen):
                said.append(int(model(torch.tensor([said])).logits[0, -1].argmax()))
                if said[-1] == end:
                    said.pop()
                    break
            words, rest = said[first + seen :], true[seen:]
            pairs = set(pairwise(rest))
            hits = sum(pair in pairs for pair in pairwise(words))
            shares.append(hits / (len(rest) - 1))
        likely.append(sum(shares) / len(shares))
    assert found["EL_2"] == pytest.approx(sum(likely) / len(likely))
    assert found["memorisation"] == pytest.approx(sum(right) / len(right))


@pytest.mark.parametrize(
    ("options", "streams", "said"),
    [
        ({"ngram": 2}, {"unseen": None}, "extraction_stop: no stream is named 'unseen'"),
        ({"ngram": 2, "forget": "gone"}, {}, "extraction_stop: no stream is named 'gone'"),
        ({"ngram": 50}, {}, "extraction_stop.ngram: no response of 'forget' has 50 tokens"),
    ],
)
def test_streams_that_do_not_fit_are_told_before_a_step(tmp_path, options, streams, said) -> None:
    with pytest.raises(RecipeError, match=said):
        fit(tmp_path, ExtractionStop(**options), data_of(**streams))


@pytest.mark.parametrize("options", [{"ngram": 0}, {"every_n_epochs": 0}])
def test_numbers_below_1_are_refused(options) -> None:
    with pytest.raises(RecipeError, match="expected at least 1, found 0"):
        ExtractionStop(**options)
