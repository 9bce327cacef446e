from __future__ import annotations

import math

import torch

from unlearnkit.metrics import AnswerLength
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import Copyright, SuiteContext
from unlearnkit.suites.base import SuiteResult
from unlearnkit.suites.fluency import fluency


def result(**said):
    """What a suite found: generations by stream."""
    rows = [
        {"stream": stream, "prompt": "It was a dark night", "generated": text}
        for stream, texts in said.items()
        for text in texts
    ]
    return {"copyright": SuiteResult({}, rows)}


def measured(found, model="tiny"):
    tokenizer = load_tokenizer(model)
    return fluency([Copyright()], found, load_model(model), tokenizer, SuiteContext())


def test_a_full_stop_has_no_word_and_no_pair_of_words():
    values = measured(result(normal=[".", "."], forget=["a long text of seven words here"]))
    assert values["kept/answer_length"] == 0.0
    assert values["kept/distinct_2"] is None
    assert values["kept/answer_perplexity"] > 1


def test_length_and_repetition_are_of_the_rows_to_keep():
    values = measured(result(normal=["no no no no", "we saw him"], heldout=["x"], forget=["y"]))
    # (4 + 3) / 2 words; of 3 pairs 1 is different, of 2 both.
    assert values["kept/answer_length"] == 3.5 == AnswerLength()(["no no no no", "we saw him"])
    assert math.isclose(values["kept/distinct_2"], (1 / 3 + 1) / 2)


def test_the_perplexity_is_that_of_plain_transformers():
    values = measured(result(normal=["The old house stood"], forget=["y"]))
    tokenizer, model = load_tokenizer("tiny"), load_model("tiny").eval()
    prompt = tokenizer("It was a dark night")["input_ids"]
    answer = tokenizer("The old house stood", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([prompt + answer])).logits[0].float()
    logps = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    nll = -logps.gather(1, torch.tensor(answer)[:, None]).mean()
    assert math.isclose(values["kept/answer_perplexity"], nll.exp(), rel_tol=1e-4)


def test_nothing_is_measured_where_no_row_to_keep_is_answered():
    assert measured(result(forget=["a text"])) == {}
    assert measured({}) == {}


def test_an_empty_answer_has_no_perplexity():
    values = measured(result(normal=[""]))
    assert values["kept/answer_length"] == 0.0
    assert values["kept/answer_perplexity"] is None
