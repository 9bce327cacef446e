"""The classifier of prompts that an edit trains."""

from __future__ import annotations

import json

import pytest
import torch
from encoders import save_encoder
from torch import nn

from unlearnkit.data.example import Example
from unlearnkit.edits import EcoClassifier
from unlearnkit.edits.eco.prompt_classifier import around_of
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.composite.classifiers import load_prompt_classifier, tokens_of


def rows(texts):
    tokenizer = load_tokenizer("tiny")
    return [
        Example(tuple(tokenizer(text).input_ids), (5,), i, text) for i, text in enumerate(texts)
    ]


FORGET = rows(["aab", "aba", "baa", "aabb"])
RETAIN = rows(["ddc", "dcd", "cdd", "ddcc", "dccd", "ccdd", "cdcd", "dcdc"])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder("roberta", tmp_path_factory.mktemp("encoder"))


def edit(encoder, **options):
    given = {"epochs": 20, "lr": 1e-2, "batch_size": 6, "every": 10, "threshold": 0.9}
    return EcoClassifier(encoder, "tiny", FORGET, RETAIN, **{**given, **options})


def test_it_tells_the_prompts_apart_and_is_read_back_bit_for_bit(encoder, tmp_path) -> None:
    made = edit(encoder)
    made.write(tmp_path / "out")
    record = json.loads((tmp_path / "out/classifier.json").read_text())
    assert [each["step"] for each in record["checkpoints"]] == [10, 20, 30, 40]
    assert made.kept["missed"] == made.kept["taken"] == 0
    assert record["kept"] == made.kept["step"]
    assert f"step {record['kept']} of 40: 0 prompts to forget missed" in made.remark
    assert (tmp_path / "out/model.safetensors").is_file()
    read = load_tokenizer("tiny")
    found = load_prompt_classifier(BaseModel(str(tmp_path / "out")), read)
    again = load_prompt_classifier(BaseModel(str(tmp_path / "out")), read)
    for row in (*FORGET, *RETAIN):
        ids = torch.tensor([row.prompt_ids])
        probability = found(ids, torch.ones_like(ids))
        assert (probability > 0.9).item() == (row in FORGET)
        assert probability.equal(again(ids, torch.ones_like(ids)))


def test_a_class_weighs_as_much_as_it_is_rarer(encoder, monkeypatch, tmp_path) -> None:
    losses, seen = [], []
    true = nn.functional.cross_entropy

    def noted(logits, kinds, weight):
        seen.append(weight.tolist())
        found = true(logits, kinds, weight=weight)
        each = true(logits, kinds, reduction="none") * weight[kinds]
        losses.append((found.item(), (each.sum() / weight[kinds].sum()).item()))
        return found

    monkeypatch.setattr(nn.functional, "cross_entropy", noted)
    edit(encoder, epochs=1).write(tmp_path / "out")
    assert seen == [[12 / 8, 12 / 4]] * 2
    assert [a for a, _ in losses] == pytest.approx([b for _, b in losses])


def test_checkpoints_are_told_apart_by_other_rows(encoder, tmp_path) -> None:
    made = edit(encoder, check=RETAIN[:3])  # they are never found once the two are told apart
    made.write(tmp_path / "out")
    assert made.checkpoints[-1]["missed"] == 3


def test_it_sees_the_prompts_without_the_text_around_them(encoder, tmp_path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "aab", "response": "b"}\n')
    file = str(tmp_path / "rows.jsonl")
    made = EcoClassifier(
        encoder, "tiny", file, file, template="Question: {prompt}\nAnswer: {response}"
    )
    assert made._texts(file) == ["aab"]
    assert around_of("{prompt}") == ("", "")


def test_the_same_seed_gives_the_same_and_leaves_the_process_as_it_was(encoder, tmp_path) -> None:
    found = []
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        before = torch.get_rng_state()
        edit(encoder, epochs=1, seed=seed).write(tmp_path / name)
        assert torch.equal(before, torch.get_rng_state())
        found.append((tmp_path / name / "model.safetensors").read_bytes())
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_mistakes_are_told_before_anything_is_read(tmp_path) -> None:
    with pytest.raises(UserError, match="--lr: expected above 0"):
        EcoClassifier("nowhere", "tiny", FORGET, RETAIN, lr=0)
    with pytest.raises(UserError, match="--threshold: expected 0 to below 1"):
        EcoClassifier("nowhere", "tiny", FORGET, RETAIN, threshold=1.0)
    with pytest.raises(UserError, match="nowhere"):
        edit("nowhere").write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_batch_is_cut_and_padded_for_the_classifier(encoder) -> None:
    tokenizer = load_tokenizer(encoder)
    given = tokens_of(tokenizer, ["a" * 600, "b"])
    assert given["input_ids"].shape == (2, 512)
    assert given["attention_mask"].sum(1).tolist() == [512, 1]
    assert set(given) == {"input_ids", "attention_mask"}
