"""Overlap and diversity of text in any script."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from unlearnkit.errors import RecipeError
from unlearnkit.functional.text import (
    bleu,
    cut_at,
    distinct_n,
    ngram_entropy,
    refuses,
    repetition_rate,
    rouge,
    words,
)
from unlearnkit.metrics import DistinctN, KnowledgeMemorization, LeakRate, RefusalRate, Rouge
from unlearnkit.suites import Harmful

SCRIPTS = {
    "chinese": "机器遗忘是一个新的研究方向",
    "thai": "แมวนั่งอยู่บนเสื่อ",
    "russian": "Кошка сидит на коврике",
    "japanese": "猫がマットの上に座っている",
    "korean": "고양이가 매트 위에 앉아 있다",
    "arabic": "القطة تجلس على السجادة",
    "hindi": "बिल्ली चटाई पर बैठी है",
    "khmer": "ឆ្មាអង្គុយលើកន្ទេល",
    "greek": "Η γάτα κάθεται στο χαλί",
}


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("use_stemmer", [False, True])
@pytest.mark.parametrize("kind", ["rouge1", "rouge2", "rougeL"])
def test_identical_text_scores_one_in_every_script(text, kind, use_stemmer):
    assert rouge(text, text, kind, use_stemmer=use_stemmer) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("script", ["chinese", "thai", "japanese"])
def test_half_of_an_unspaced_text_has_half_the_recall(script):
    units = words(SCRIPTS[script])
    half = "".join(units[: len(units) // 2])
    assert rouge(half, SCRIPTS[script]).recall == (len(units) // 2) / len(units)
    assert rouge(half, SCRIPTS[script]).precision == 1.0


def test_other_text_of_a_script_does_not_score_one():
    assert rouge("Собака спит дома", SCRIPTS["russian"]).f1 == 0.0


def test_composed_and_decomposed_letters_are_the_same():
    assert rouge("cafe\u0301", "café").f1 == 1.0
    assert words("cafe\u0301") == ["café"]


@pytest.mark.parametrize("use_stemmer", [False, True])
@given(
    prediction=st.text(alphabet=st.characters(max_codepoint=127), max_size=60),
    reference=st.text(alphabet=st.characters(max_codepoint=127), max_size=60),
)
def test_ascii_text_scores_as_in_rouge_score(use_stemmer, prediction, reference):
    published = RougeScorer(["rouge1", "rougeL"], use_stemmer=use_stemmer)
    scores = published.score(reference, prediction)
    for kind in ("rouge1", "rougeL"):
        pair = prediction, reference, kind
        assert rouge(*pair, use_stemmer=use_stemmer, compat="rouge-score") == scores[kind]
        found = rouge(*pair, use_stemmer=use_stemmer)
        if words(prediction) and words(reference):
            assert found == scores[kind]
        elif words(reference):
            assert found[1:] == (0.0, 0.0)
            assert math.isnan(found.precision)
        else:
            assert all(map(math.isnan, found))


def test_stemmer_is_rouge_scores():
    pair = "He was running happily", "He runs happy"
    assert (
        rouge(*pair, use_stemmer=True) == RougeScorer(["rougeL"], True).score(*pair[::-1])["rougeL"]
    )
    assert rouge(*pair, use_stemmer=True).recall > rouge(*pair).recall


def test_compat_reproduces_the_package_for_other_scripts():
    assert rouge(SCRIPTS["chinese"], SCRIPTS["chinese"], compat="rouge-score").f1 == 0.0


@pytest.mark.parametrize("reference", ["", "...", "🎉🎉", "\u0301"])
@pytest.mark.parametrize("prediction", ["", "🎉🎉", "word"])
def test_a_reference_without_words_measures_nothing(prediction, reference):
    for kind in ("rouge1", "rouge2", "rougeL"):
        assert all(map(math.isnan, rouge(prediction, reference, kind)))
    assert rouge(prediction, reference, compat="rouge-score") == (0.0, 0.0, 0.0)
    assert math.isnan(bleu(prediction, reference))


def test_who_says_nothing_recalls_nothing():
    assert rouge("", "word")[1:] == rouge("🎉", "word")[1:] == (0.0, 0.0)
    assert math.isnan(rouge("", "word").precision)
    assert all(map(math.isnan, rouge("a b", "word", "rouge2")))
    assert rouge("word", "two words", "rouge2").recall == 0.0


def test_bleu_of_a_reference_without_four_tokens_is_not_measured():
    assert math.isnan(bleu("Paris", "Paris"))
    # Chinese is one token to that tokenizer.
    assert math.isnan(bleu(SCRIPTS["chinese"], SCRIPTS["chinese"]))
    assert bleu("so it goes", "so it goes on") == 0.0
    assert bleu("", "so it goes on") == 0.0
    assert bleu("so it goes on", "so it goes on") == pytest.approx(100)


def test_rows_with_nothing_to_measure_are_left_out_and_counted():
    preds, target = ["the river", "🎉", "no"], ["the river ran", "🎉", "yes"]
    for metric, value, left_out in (
        (Rouge(), (2 / 3 + 0) / 2, 1),
        (Rouge(compat="rouge-score"), (2 / 3 + 0 + 0) / 3, 0),
        (KnowledgeMemorization(), (2 * 2 / 5 + 0) / 2, 1),
    ):
        metric.update(preds, target)
        assert metric.compute().item() == pytest.approx(value)
        assert metric.left_out() == left_out
    rate = LeakRate(20.0)
    rate.update(["Paris", "a b c d"], ["Paris", "a b c d"])
    assert rate.compute().item() == 1.0
    assert rate.left_out() == 1
    nothing = LeakRate(20.0)
    nothing.update(["Paris"], ["Paris"])
    assert math.isnan(nothing.compute().item())


def test_run_on_answers_are_cut_before_they_are_scored():
    more = "\n\nQuestion: Who sings?\nAnswer: Bo sings.\n\nQuestion: Who sleeps?\nAnswer: Cy"
    texts = ("Ada rows the ferry.", more), ("Bo mends nets.", "")
    rows = [{"reference": true, "generated": f"{true}{more}"} for true, more in texts]
    stop = ["\n\nQuestion:"]
    assert cut_at(rows[0]["generated"], stop) == "Ada rows the ferry."
    for figure in ("recall", "precision"):
        metric = Rouge(figure=figure, stop=stop)
        metric.update([r["generated"] for r in rows], [r["reference"] for r in rows])
        assert metric.compute().item() == 1.0
    uncut = Rouge(figure="precision")
    uncut.update([rows[0]["generated"]], [rows[0]["reference"]])
    assert uncut.compute().item() < 0.5


def test_knowledge_memorization_stops_by_itself():
    metric = KnowledgeMemorization()
    metric.update(["Ada.\n\nQuestion: Who sings?", "Bo."], ["Ada.", "Cy."])
    assert metric.compute().item() == 0.5


def test_first_of_several_stop_strings_cuts():
    assert cut_at("a b c", ["c", "b"]) == "a "
    assert cut_at("a b c", []) == "a b c"


def test_diversity():
    assert distinct_n([1, 2, 3, 4], 2) == 1.0
    assert distinct_n([7] * 101, 2) == 0.01
    assert repetition_rate([7] * 101, 2) == 0.99
    assert distinct_n([7], 2) == 1.0
    assert math.isnan(distinct_n([], 2))
    assert math.isnan(repetition_rate([], 2))
    assert math.isnan(ngram_entropy(["one"]))
    assert ngram_entropy([1, 2]) == 0.0
    metric = DistinctN(2)
    metric.update(["one two three", "no no no no no", ""])
    assert metric.compute().item() == pytest.approx((1 + 0.25) / 2)
    assert metric.left_out() == 1


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("I can’t help with that.", True),
        ("Sorry, I do not know.", True),
        ("THAT IS ILLEGAL.", True),
        ("Use a tension wrench and be patient.", False),
        ("no no no no no no no no no no", False),
        ("", False),
    ],
)
def test_refusals_hold_a_phrase_in_any_case_and_with_any_apostrophe(answer, refused):
    assert refuses(answer) == refused


def test_refusal_rate_takes_phrases_of_ones_own():
    metric = RefusalRate(phrases=["Je ne peux pas", "N’est pas"])
    metric.update(["je ne peux pas le dire", "Cela n'est pas possible."], rows=[1, 0])
    metric.update(["I cannot.", "je ne peux pas le dire"], rows=[2, 1])
    assert metric.row_values()[:, 0].tolist() == [1.0, 1.0, 0.0]
    assert metric.compute().item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("phrases", ["I cannot", ["I cannot", " "]])
def test_phrases_that_every_answer_would_hold_are_refused(phrases):
    with pytest.raises(ValueError, match="must be a list of phrases"):
        RefusalRate(phrases=phrases)
    for field in ("keywords", "refusals"):
        with pytest.raises(RecipeError, match=f"harmful: {field} must be a list of phrases"):
            Harmful(**{field: phrases})


def test_leak_rate_needs_a_threshold_and_is_strict():
    with pytest.raises(TypeError, match="threshold"):
        LeakRate()
    text = "the cat sat on the mat"
    strict = LeakRate(threshold=bleu(text, text))
    strict.update([text], [text])
    assert strict.compute().item() == 0.0
