"""Classifiers of prompts and of their tokens, in front of a corrupted model."""

from __future__ import annotations

import pytest
import torch
from encoders import save_encoder, save_namer
from stub import stub_tokenizer
from transformers import AutoModelForSequenceClassification

from unlearnkit.edits.eco.training import new_classifier
from unlearnkit.engine.generation.generate import left_pad
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.composite.classifiers import (
    bare,
    load_prompt_classifier,
    load_token_classifier,
    spans,
    texts_of,
)


def save_classifier(kind, folder, labels=("retain", "forget")):
    encoder = save_encoder(kind, folder / "encoder")
    torch.manual_seed(0)
    model, tokenizer = new_classifier(
        AutoModelForSequenceClassification, BaseModel(encoder), labels
    )
    for each in model.parameters():  # far from a half
        each.data.mul_(8)
    model.save_pretrained(folder / "classifier")
    tokenizer.save_pretrained(folder / "classifier")
    return str(folder / "classifier")


def right_pad(rows):
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask


@pytest.mark.parametrize("kind", ["roberta", "distilbert", "llama"])
def test_thirty_two_prompts_are_as_each_alone_on_either_side(kind, tmp_path) -> None:
    folder = save_classifier(kind, tmp_path)
    found = load_prompt_classifier(BaseModel(folder), stub_tokenizer())
    torch.manual_seed(2)
    rows = [torch.randint(4, 9, (1 + i % 9,)).tolist() for i in range(32)]
    alone = torch.cat([found(*right_pad([row])) for row in rows])
    assert alone.std() > 0.05
    for ids, mask in (left_pad(rows, 0, torch.device("cpu")), right_pad(rows)):
        torch.testing.assert_close(found(ids, mask), alone, atol=1e-5, rtol=0)


def test_the_probability_is_the_second_class_of_the_bare_text(tmp_path) -> None:
    folder = save_classifier("roberta", tmp_path)
    tokenizer = stub_tokenizer()
    found = load_prompt_classifier(BaseModel(folder), tokenizer, ("ab", "e "))
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    for text, seen in (("abcde", "cd"), ("bcde", "bcde")):
        given = tokenizer([seen], return_tensors="pt")
        wanted = model(given.input_ids, attention_mask=given.attention_mask).logits.softmax(-1)
        ids = torch.tensor([tokenizer(text).input_ids])
        torch.testing.assert_close(found(ids, torch.ones_like(ids)), wanted[:, 1])


def test_a_prompt_without_text_is_never_found(tmp_path) -> None:
    found = load_prompt_classifier(
        BaseModel(save_classifier("roberta", tmp_path)), stub_tokenizer()
    )
    ids, mask = torch.tensor([[0, 2], [4, 5], [4, 5]]), torch.tensor([[1, 1], [1, 1], [0, 0]])
    assert (found(ids, mask) > 0).tolist() == [False, True, False]
    assert found(ids[:1], mask[:1]).tolist() == [0.0]


def test_tokens_that_overlap_a_labelled_one_are_found_on_either_side(tmp_path) -> None:
    namer = load_token_classifier(BaseModel(save_namer(tmp_path / "namer")), stub_tokenizer())
    a, b = 4, 5
    rows = [[a, b, a], [b], [b, b, a, 2, b]]  # 2 is a special token, without width
    expected = [[1, 0, 1], [0], [0, 0, 1, 0, 0]]
    for ids, mask in (left_pad(rows, 0, torch.device("cpu")), right_pad(rows)):
        found = namer(ids, mask)
        assert [row[kept.bool()].int().tolist() for row, kept in zip(found, mask, strict=True)] == (
            expected
        )
        assert not found[mask == 0].any()


def test_labels_of_letters_reach_the_longer_tokens_of_another_tokenizer(tmp_path) -> None:
    """``Hilma Bastow`` in tokens of several letters, of which those with an ``a`` are meant."""
    tokenizer = load_tokenizer("tiny/tofu_power")
    namer = load_token_classifier(BaseModel(save_namer(tmp_path / "namer")), tokenizer)
    ids = tokenizer("Question: Where was Hilma Bastow born?").input_ids
    given = torch.tensor([ids])
    (found,) = namer(given, torch.ones_like(given))
    (text,) = texts_of(tokenizer, given, torch.ones_like(given))
    assert text == "Question: Where was Hilma Bastow born?"
    assert found.tolist() == ["a" in text[start:end] for start, end in spans(tokenizer, ids)]
    assert 0 < found.sum() < len(ids)


def test_spans_are_those_of_the_tokenizer_itself() -> None:
    tokenizer = load_tokenizer("tiny/tofu_power")
    text = "Where was Émile Zoë born, in Zürich?"
    given = tokenizer(text, return_offsets_mapping=True)
    pairs = zip(spans(tokenizer, given.input_ids), given.offset_mapping, strict=True)
    for (start, end), (own_start, own_end) in pairs:
        # A token of a part of a letter, or of the space before a word, may differ by that.
        assert abs(start - own_start) <= 1
        assert abs(end - own_end) <= 1


def test_a_prompt_without_both_ends_is_left_as_it_is() -> None:
    assert bare("Question: Who?\nAnswer:", "Question: ", "\nAnswer: ") == "Who?"
    assert bare("Question: Who?", "Question: ", "\nAnswer: ") == "Question: Who?"
    assert bare("Q: A:", "Q: ", " A:") == "Q: A:"  # nothing is left
    assert bare(" Who? ", "", "") == "Who?"


def test_what_is_no_such_classifier_is_refused(tmp_path) -> None:
    three = save_classifier("roberta", tmp_path, ("a", "b", "c"))
    with pytest.raises(RecipeError, match="expected a classifier of two classes, found 3"):
        load_prompt_classifier(BaseModel(three), stub_tokenizer())
    other = save_namer(tmp_path / "other", ("N", "P"))
    with pytest.raises(RecipeError, match="expected a label O, found N, P"):
        load_token_classifier(BaseModel(other), stub_tokenizer())
    encoder = save_encoder("roberta", tmp_path / "plain")
    with pytest.raises(RecipeError, match=r"a classifier of texts .*, found Roberta"):
        load_prompt_classifier(BaseModel(encoder), stub_tokenizer())
    # In some families the heads of both tasks have one name.
    with pytest.raises(RecipeError, match=r"of texts .*, found [A-Za-z]*ForTokenClassification"):
        load_prompt_classifier(BaseModel(other), stub_tokenizer())


def test_a_long_prompt_is_cut_where_the_classifier_ends(tmp_path) -> None:
    folder = save_classifier("roberta", tmp_path)
    found = load_prompt_classifier(BaseModel(folder), stub_tokenizer())
    places = found.model.config.max_position_embeddings
    ids = torch.randint(4, 9, (1, 4 * places))
    assert places < 128
    assert 0 < found(ids, torch.ones_like(ids)).item() < 1
