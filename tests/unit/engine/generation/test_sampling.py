"""The answers of `sampled` streams, as a library user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from short_fits import objective, qa, train
from stub import save_stub

from unlearnkit import UnlearningDataModule, UnlearningModule
from unlearnkit.data import SampledStream
from unlearnkit.data.streams.sampled import SampledData


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": letter, "response": "dd"} for letter in "abc"]
    (tmp_path / "forget.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(save_stub({"random_init": 1}, tmp_path / "model"))


def _data(base) -> UnlearningDataModule:
    streams = {
        "forget": qa("forget.jsonl"),
        "own": SampledStream(per_prompt=2, pool=4, max_new_tokens=3),
    }
    return UnlearningDataModule(streams, tokenizer=base, batch_size=1)


def _train(base, lora=None) -> tuple[UnlearningDataModule, UnlearningModule]:
    data = _data(base)
    module = UnlearningModule({"forget": objective("d2o", samples="own")}, base=base, lora=lora)
    train(module, data, max_epochs=2)
    return data, module


def test_a_plain_trainer_draws_too_and_takes_each_answer_once(base) -> None:
    data, _ = _train(base)
    own = data.data["own"]
    assert isinstance(own, SampledData)
    sampled = own.known()
    for row, ids in enumerate(own.prompt_ids):
        drawn = [e.response_ids for visit in (0, 1) for e in own.at(row, row + visit * len(own))]
        end = data.tokenizer.eos_token_id
        kept = [(*s.ids, end) if s.ended else s.ids for s in sampled[ids].answers]
        assert sorted(drawn) == sorted(kept)


def test_the_answers_are_those_of_the_start_with_an_adapter_too(base) -> None:
    _train(base)
    (file,) = Path("samples").glob("*.jsonl")
    plain = file.read_text()
    file.unlink()
    _train(base, LoraConfig(r=2, target_modules=["q_proj"]))
    assert file.read_text() == plain


def test_answers_that_were_not_drawn_are_no_rows(base) -> None:
    data = _data(base)
    data.check()
    assert len(data.data["own"]) == 3
    with pytest.raises(LookupError, match="have not been sampled"):
        data.data["own"].at(0, 0)


def test_the_loss_at_the_start_is_the_logarithm_of_two(base) -> None:
    """Policy and reference are one, whatever the answers are."""
    data = _data(base)
    module = UnlearningModule({"forget": objective("d2o", samples="own")}, base=base)
    seen = train(module, data, max_steps=1)
    assert seen.figures[0]["forget"] == pytest.approx(torch.tensor(2.0).log().item(), rel=1e-5)
