"""The answers of `sampled` streams, as a library user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from filelock import FileLock, Timeout
from peft import LoraConfig
from short_fits import objective, qa, train
from stub import save_stub

from unlearnkit import UnlearningDataModule, UnlearningModule
from unlearnkit.data import SampledStream
from unlearnkit.data.streams.sampled import SampledData
from unlearnkit.engine.generation.sampling import drop_torn_line, lock_of
from unlearnkit.errors import UserError


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


def test_a_full_disk_is_told_and_what_was_drawn_stays(base, monkeypatch) -> None:
    data = _data(base)
    data.check()
    (own,) = (each for each in data.data.values() if isinstance(each, SampledData))
    own.use_base(base)
    own.file.parent.mkdir(parents=True, exist_ok=True)
    own.file.symlink_to("/dev/full")
    module = UnlearningModule({"forget": objective("d2o", samples="own")}, base=base)
    with pytest.raises(UserError, match=r"cannot be written: No space left on device"):
        train(module, data, max_epochs=1)
    own.file.unlink()
    # With room again the run goes on.
    train(module, _data(base), max_epochs=1)


def test_a_file_is_written_by_one_process_at_a_time(tmp_path) -> None:
    file = tmp_path / "own.jsonl"
    with lock_of(file), pytest.raises(Timeout):
        FileLock(file.with_suffix(".lock")).acquire(timeout=0)
    FileLock(file.with_suffix(".lock")).acquire(timeout=0).lock.release()
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot be written"), lock_of(tmp_path / "taken" / "f"):
        raise AssertionError("nothing is locked")


def test_a_torn_line_is_cut_off_and_the_rest_is_not_written_anew(tmp_path, monkeypatch) -> None:
    """A kill amid that would cost all answers."""
    file = tmp_path / "own.jsonl"
    file.write_bytes(b'{"a": 1}\n{"b')
    monkeypatch.setattr(Path, "write_bytes", None)
    drop_torn_line(file)
    assert file.read_bytes() == b'{"a": 1}\n'
