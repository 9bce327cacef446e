"""The classifier of tokens that an edit trains on terms."""

from __future__ import annotations

import json

import pytest
import torch
from encoders import save_encoder

from unlearnkit.data.example import Example
from unlearnkit.edits import EcoTokens
from unlearnkit.edits.eco.token_classifier import labels_of, places, read_terms
from unlearnkit.errors import DataError, UserError
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.composite.classifiers import load_token_classifier

TEXTS = ["a bb c", "bb d", "c e a", "d bb", "e c a bb", "c a"]


def edit(encoder, tmp_path, terms=("bb",), **options):
    tokenizer = load_tokenizer("tiny")
    rows = [Example(tuple(tokenizer(t).input_ids), (5,), i, t) for i, t in enumerate(TEXTS)]
    file = tmp_path / "terms.jsonl"
    file.write_text("".join(json.dumps({"term": each}) + "\n" for each in terms))
    given = {"epochs": 40, "lr": 1e-2, "batch_size": 3, **options}
    return EcoTokens(encoder, "tiny", rows, str(file), **given)


@pytest.mark.parametrize("kind", ["roberta", "llama"])
def test_it_finds_the_terms_and_is_read_back(kind, tmp_path) -> None:
    made = edit(save_encoder(kind, tmp_path / "encoder"), tmp_path)
    made.write(tmp_path / "out")
    letters = sum(map(len, TEXTS))
    assert made.checkpoints == [{"step": 80, "wrong": 0, "tokens": letters}]
    assert f"0 of {letters} tokens labelled wrongly" in made.remark
    record = json.loads((tmp_path / "out/tokens.json").read_text())
    assert record["checkpoints"] == made.checkpoints
    tokenizer = load_tokenizer(str(tmp_path / "out"))
    found = load_token_classifier(BaseModel(str(tmp_path / "out")), tokenizer)
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text).input_ids])
        (labelled,) = found(ids, torch.ones_like(ids))
        assert labelled.tolist() == [letter == "b" for letter in text]


def test_terms_are_whole_words_and_the_longest_counts() -> None:
    assert places("Ann Lee met Lee, not Annabel.", ["Lee", "Ann", "Ann Lee"]) == [(0, 7), (12, 15)]
    assert places("C++ (or C)", ["C++", "C"]) == [(0, 3), (8, 9)]


def test_a_token_has_a_label_where_it_has_width() -> None:
    offsets = torch.tensor([[[0, 0], [0, 3], [3, 7], [8, 9]], [[0, 2], [2, 4], [0, 0], [0, 0]]])
    found = labels_of(offsets, [[(4, 7)], [(0, 4)]])
    assert found.tolist() == [[-100, 0, 1, 0], [1, 1, -100, -100]]


def test_mistakes_are_told(tmp_path) -> None:
    with pytest.raises(UserError, match="no term stands in a prompt"):
        edit("nowhere", tmp_path, terms=("zz",)).write(tmp_path / "out")
    with pytest.raises(UserError, match="nowhere"):
        edit("nowhere", tmp_path).write(tmp_path / "out")
    with pytest.raises(UserError, match="--epochs: expected at least 1"):
        edit("nowhere", tmp_path, epochs=0)
    (tmp_path / "bad.jsonl").write_text('{"term": "a"}\n{"term": 3}\n{"name": "b"}\n')
    with pytest.raises(DataError) as caught:
        read_terms(str(tmp_path / "bad.jsonl"))
    assert len(caught.value.problems) == 2
    assert not (tmp_path / "out").exists()


def test_a_file_of_something_else_is_told_by_its_columns(tmp_path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "response": "b"}\n' * 60)
    with pytest.raises(DataError, match="found the fields 'prompt', 'response', expected 'term'"):
        read_terms(str(tmp_path / "rows.jsonl"))


def test_a_tokenizer_without_offsets_is_told_before_the_encoder_is_loaded(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("unlearnkit.edits.eco.token_classifier.new_classifier", None)
    monkeypatch.setattr(type(load_tokenizer("tiny")), "is_fast", False)
    with pytest.raises(UserError, match=r"expected a tokenizer with offsets \(tiny\)"):
        edit("tiny", tmp_path).write(tmp_path / "out")
