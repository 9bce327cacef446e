"""A wording that a suite measures is refused before anything is trained."""

import json

import pytest
from stub import stub_tokenizer

from unlearnkit.data import ParaphraseStream, QAStream, TextStream
from unlearnkit.data.leaks import refuse_leaks
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError
from unlearnkit.suites import Copyright, SuiteContext, Tofu

CODEC = Codec(stub_tokenizer(), 64)
ROWS = [{"prompt": "a b", "response": "aa", "asked": ["B a.", "c"]}]


def refused(stream, measured):
    stream.check()
    data = stream.encode("forget", CODEC, {}, 0)
    with pytest.raises(DataError) as error:
        refuse_leaks({"forget": stream}, {"forget": data}, measured, CODEC.tokenizer)
    return [(p.place.row, p.found) for p in error.value.problems]


def test_texts_are_compared_without_case_and_punctuation():
    stream = ParaphraseStream(ROWS, prompts="asked", template="e{prompt}")
    assert refused(stream, {"ba": "the suite"}) == [(1, "'B a.', which the suite has too")]


def test_a_prompt_is_compared_with_its_template_too():
    stream = ParaphraseStream(ROWS, prompts="asked", template="e{prompt}")
    assert refused(stream, {"ec": "the suite"}) == [(1, "'ec', which the suite has too")]


def test_the_own_wording_is_no_leak():
    stream = ParaphraseStream(ROWS, prompts="asked")
    data = stream.encode("forget", CODEC, {}, 0)
    refuse_leaks({"forget": stream}, {"forget": data}, {"ab": "s", "aa": "s"}, CODEC.tokenizer)


def test_a_cut_that_a_suite_asks_at():
    passages = [{"text": "abcde"}]
    unseen = TextStream(passages, prompt_tokens=3)
    kept = QAStream([{"prompt": "a", "response": "b"}])
    suite = Copyright(TextStream(passages, prompt_tokens=1), kept, kept, unseen=unseen)
    context = SuiteContext(max_length=64)
    measured = suite.wordings(CODEC.tokenizer, context)
    assert measured == {"abc": "the suite copyright (unseen rows)"}
    stream = TextStream(passages, cuts=[1, 3])
    assert refused(stream, measured)[0][0] == 1
    other = TextStream(passages, cuts=[1, 2])
    data = other.encode("forget", CODEC, {}, 0)
    refuse_leaks({"forget": other}, {"forget": data}, measured, CODEC.tokenizer)


def test_tofu_names_questions_answers_and_paraphrases(tmp_path):
    row = {"question": "A?", "answer": "B.", "paraphrased_answer": "C.", "perturbed_answer": ["d"]}
    (tmp_path / "forget10_perturbed.jsonl").write_text(json.dumps(row) + "\n")
    found = Tofu(str(tmp_path), limit=1).wordings(CODEC.tokenizer, SuiteContext())
    assert set(found) == {"a", "b", "c"}
    assert found["c"].startswith("the suite tofu (paraphrased_answer of ")
