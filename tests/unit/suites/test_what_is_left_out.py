"""What suites cut or cannot measure: the true texts stay whole, and the rest is told."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer
from stub import BITS, stub_model, stub_tokenizer

from unlearnkit.data import QAStream
from unlearnkit.errors import RecipeError
from unlearnkit.metrics import AnswerF1, ExactMatch
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import (
    Copyright,
    Hallucination,
    Harmful,
    Muse,
    Privacy,
    Requests,
    Suite,
    SuiteContext,
    Tofu,
)
from unlearnkit.suites.base import SuiteResult
from unlearnkit.suites.parts.bootstrap import bootstrap

DATA = Path(__file__).parent / "data"
SHORT = SuiteContext(max_new_tokens=3)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


@pytest.fixture(scope="module")
def target():
    return load_model("tiny")


@pytest.fixture(scope="module")
def stub():
    return stub_model(), stub_tokenizer()


@pytest.fixture
def file(tmp_path):
    def write(name, rows):
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def tofu_of(file, answers, wrong=("d", "dd")):
    """A folder of TOFU's tables with these answers, and the suite on it."""
    for name in ("forget10", "retain", "real_authors", "world_facts"):
        row = {"question": "e", "paraphrased_answer": "c", "perturbed_answer": list(wrong)}
        folder = Path(file(f"{name}_perturbed", [{**row, "answer": a} for a in answers])).parent
    return Tofu(str(folder), template="{prompt}{response}")


def test_an_answer_is_held_against_the_whole_true_one(target, tokenizer):
    """Of three tokens none can be more than a part of it, and so says its recall."""
    published = RougeScorer(["rougeL"], use_stemmer=True)
    result = Tofu(str(DATA / "tofu"), max_new_tokens=3).run(target, tokenizer, SuiteContext())
    true = lines(DATA / "tofu/forget10_perturbed.json")
    rows = [row for row in result.rows if row["stream"] == "forget"]
    assert [row["reference"] for row in rows] == [each["answer"] for each in true]
    for row, each in zip(rows, true, strict=True):
        expected = published.score(each["answer"], row["generated"])["rougeL"].recall
        assert row["rougeL_recall"] == expected
    (note,) = result.notes
    assert note.startswith("3 of 3 forget, 2 of 2 retain,")
    assert note.endswith(
        "rows have a true text longer than max_new_tokens 3; no answer can say it whole"
    )


def test_true_and_invented_answers_are_compared_whole(target, tokenizer):
    published = RougeScorer(["rougeL"])
    suite = Hallucination(str(DATA / "hallucination"))
    rows = [r for r in suite.run(target, tokenizer, SHORT).rows if r["stream"] == "trained"]
    for row, each in zip(rows, lines(DATA / "hallucination/trained.jsonl"), strict=True):
        assert (row["reference"], row["invented"]) == (
            each["right_answer"],
            each["hallucinated_answer"],
        )
        scores = published.score(row["invented"], row["generated"])["rougeL"]
        assert row["rougeL_f1_invented"] == scores.fmeasure


def test_a_passage_is_compared_as_far_as_it_could_be_continued_and_that_is_told(target, tokenizer):
    suite = Copyright("tiny/book.jsonl", limit=4)
    result = suite.run(target, tokenizer, SHORT)
    forget = [row for row in result.rows if row["stream"] == "forget"]
    # The model knows the book by heart: a recital of all that was asked for is whole.
    assert [row["rougeL_recall"] for row in forget] == [1.0] * 4
    assert all(row["reference"] == row["generated"] for row in forget)
    (note,) = [note for note in result.notes if "max_new_tokens" in note]
    assert note.startswith("4 of 4 forget, 4 of 4 normal,")
    assert note.endswith("longer than max_new_tokens 3; it is compared as far as that")
    whole = Copyright("tiny/book.jsonl", limit=4, max_new_tokens=128)
    assert whole.run(target, tokenizer, SuiteContext()).notes == []


@pytest.mark.parametrize("emoji", ["🎉🎉", "🤷"])
def test_texts_without_words_are_left_out_and_counted(file, stub, emoji):
    result = tofu_of(file, ["a", emoji, emoji]).run(*stub, SHORT)
    # The stub says 'aaa', which has nothing of 'a'.
    assert result.values["forget/rougeL_recall"] == 0.0
    assert [r["rougeL_recall"] for r in result.rows[:3]] == [0.0, None, None]
    told = "rougeL_recall: 2 of 3 rows are left out: the true text has no word"
    assert [note for note in result.notes if "left out" in note] == [
        f"{stream}/{told}" for stream in ("forget", "retain", "real_authors", "world_facts")
    ]


def test_a_figure_without_any_row_is_null_and_has_a_note(file, stub):
    suite = tofu_of(file, ["🎉"])
    result = suite.run(*stub, SHORT)
    assert result.values["retain/rougeL_recall"] is None
    assert result.values["utility/model_utility"] is None
    for name, value in result.values.items():
        assert value is not None or any(note.startswith(f"{name}:") for note in result.notes)
    json.dumps([result.values, result.rows], allow_nan=False)
    intervals = bootstrap(suite, result.rows, resamples=5)
    assert set(intervals) == {k for k, v in result.values.items() if v is not None}


def test_the_published_splitter_gives_the_published_value(file, stub):
    answers = ["a", "Zoë sang", "吾輩は猫である"]
    suite = tofu_of(file, answers)
    suite.splitter = "published"
    result = suite.run(*stub, SHORT)
    published = RougeScorer(["rougeL"], use_stemmer=True)
    expected = [
        published.score(answer, row["generated"])["rougeL"].recall
        for answer, row in zip(answers, result.rows[:3], strict=True)
    ]
    assert [row["rougeL_recall"] for row in result.rows[:3]] == expected
    assert (
        "forget: 1 of 3 true texts has no word in ASCII letters, and counts 0 as published"
        in result.notes
    )
    tokens = published._tokenizer.tokenize("Zoë sang")
    assert tokens == ["zo", "sang"]
    assert Suite.resolve("muse")(splitter="published").splitter == "published"
    with pytest.raises(RecipeError, match="splitter is one of unicode, published, found 'ascii'"):
        Tofu(splitter="ascii")  # pyright: ignore


def test_one_row_says_nothing_of_a_distribution(file, stub):
    suite = tofu_of(file, ["a"])
    result = suite.run(*stub, SuiteContext(max_new_tokens=3, gold=stub[0]))
    assert result.values["forget/forget_quality"] is None
    assert result.values["forget/ks_distance"] is None
    for name in ("forget_quality", "ks_distance"):
        assert f"forget/{name}: one row says nothing of a distribution" in result.notes


def test_a_leak_needs_four_tokens_and_diversity_a_word(file, stub):
    rows = [{"prompt": "c", "response": r} for r in ("a", "a a a a", "b b b b b")]
    path = file("rows", rows)
    result = Copyright(path, path, path, leak_bleu=20.0).run(*stub, SuiteContext())
    # The stub says 'aaaa': one word, and none of the true ones.
    assert [row["bleu"] for row in result.rows[:3]] == [None, 0.0, 0.0]
    assert result.values["forget/leak_rate"] == 0.0
    assert (
        "forget/leak_rate: 1 of 3 rows is left out: the true text has fewer than four tokens"
        in result.notes
    )
    assert not any(note.startswith("normal/leak_rate") for note in result.notes)
    silent = stub_model({"bits": {**BITS, "a": 3, "<eos>": 2}})
    quiet = Copyright(path, path, path).run(silent, stub[1], SuiteContext())
    assert quiet.values["normal/distinct_2"] is None
    assert quiet.values["normal/rougeL_recall"] == 0.0
    assert "normal/distinct_2: 3 of 3 rows are left out: no word was generated" in quiet.notes


def test_what_the_maximal_length_takes_is_told_in_rows_and_tokens(file, stub):
    # A prompt of one letter, and answers of 9, 3 and 9 tokens with their end, of which 5 fit.
    rows = [{"prompt": "c", "response": r} for r in ("abababab", "ab", "babababa")]
    path = file("rows", rows)
    context = SuiteContext(max_length=6)
    told = "2 of 3 texts are cut at max_length 6, which leaves out 8 of 21 tokens"
    for suite in (
        Copyright(path, path, path, unseen=path),
        Harmful(path, path, path),
        Requests({"one": QAStream(path)}, path, path),
    ):
        notes = suite.run(*stub, context).notes
        kinds = [kind for kind, source in suite.sources.items() if source is not None]
        assert [note for note in notes if "cut" in note] == [f"{kind}: {told}" for kind in kinds]
    privacy = Privacy(path, path).run(*stub, context)
    assert privacy.notes == [f"{kind}: {told}" for kind in ("forget", "holdout")]
    # Each answer of the truth ratio counts: 'aaaaaa' and its end lose 2, the others nothing.
    result = tofu_of(file, ["aaaaaa"], wrong=("d", "b")).run(*stub, context)
    assert result.rows[0]["reference"] == "aaaaaa"
    assert result.notes[0] == (
        "forget: 1 of 4 texts is cut at max_length 6, which leaves out 2 of 13 tokens"
    )


def test_muse_tells_how_much_of_its_texts_is_scored(file, stub, tmp_path):
    folder = Path(shutil.copytree(DATA / "muse", tmp_path / "muse"))
    for name, texts in (("forget", ["ab" * 20, "ab"]), ("holdout", ["ba", "bb"])):
        (folder / f"privleak/{name}.json").write_text(json.dumps([{"text": t} for t in texts]))
    result = Muse(str(folder)).run(*stub, SuiteContext(max_length=8, max_new_tokens=3))
    assert (
        "members: 1 of 2 texts is cut at max_length 8, which leaves out 32 of 42 tokens"
        in result.notes
    )
    assert not any(note.startswith("holdout") for note in result.notes)


def test_a_limit_leaves_the_examples_in_front_as_they_are(stub, tmp_path):
    folder = Path(shutil.copytree(DATA / "muse", tmp_path / "muse"))
    shots = [{"question": f"{n}?", "answer": f"{n}"} for n in range(9)]
    for kind in ("forget", "retain"):
        (folder / f"knowmem/{kind}_qa_icl.json").write_text(json.dumps(shots))
    whole, less = (Muse(str(folder), limit=n).run(*stub, SHORT).rows for n in (None, 1))
    first = {row["stream"]: row["prompt"] for row in reversed(whole) if "prompt" in row}
    asked = [row for row in less if row["stream"] in ("forget", "retain")]
    assert len(asked) == 2
    for row in asked:
        assert row["prompt"] == first[row["stream"]]
        assert row["prompt"].count("Question") <= 1 or "8?" in row["prompt"]


def test_a_gain_is_measured_from_the_starting_model(file, stub):
    """True answers are names, invented ones sentences: no model knows any, and all prefer one."""
    rows = [
        {"question": "c", "right_answer": "b", "hallucinated_answer": "aaaaaaaa"},
        {"question": "c", "right_answer": "bd", "hallucinated_answer": "aaaaabaa"},
    ]
    suite = Hallucination(str(Path(file("trained", rows)).parent), template="{prompt}{response}")
    start, tokenizer = stub
    itself = suite.run(start, tokenizer, SuiteContext(max_new_tokens=3, reference=start)).values
    assert itself["trained/preference_rate"] == 1.0
    assert itself["trained/preference_gain"] == 0.5
    assert "trained/preference_gain" not in suite.run(start, tokenizer, SHORT).values
    # a costs 4 bits in place of 2, d 2 in place of 4: the invented answers lose, however cheap
    # they still may be. Bits a token, first row: b 3 to 3, a's 19/9 to 35/9; second row:
    # bd 10/3 to 8/3, the other 20/9 to 34/9.
    after = stub_model({"bits": {**BITS, "a": 4, "d": 2}})
    found = suite.run(after, tokenizer, SuiteContext(max_new_tokens=3, reference=start))
    assert found.values["trained/preference_gain"] == 0.0
    rows = [row for row in found.rows if row["stream"] == "trained"]
    bits = [(row["nll"] / math.log(2), row["nll_invented"] / math.log(2)) for row in rows]
    assert bits[0] == pytest.approx((3, 35 / 9))
    assert bits[1] == pytest.approx((8 / 3, 34 / 9))
    back = suite.run(start, tokenizer, SuiteContext(max_new_tokens=3, reference=after)).values
    assert back["trained/preference_gain"] == 1.0


def test_an_answer_of_an_article_alone_is_no_empty_answer():
    said = ["", "a", "The boat", "x"]
    assert ExactMatch().per_row(said, [["(A)"], ["(A)"], ["a boat"], ["🎉"]]) == [0, 1, 1, None]
    found = AnswerF1().per_row(["", "two boats"], [["The boat"], ["🎉", "two"]])
    assert found == pytest.approx([0.0, 2 / 3])


def test_no_result_holds_a_number_that_is_none():
    result = SuiteResult({"a/x": math.nan, "a/y": math.inf, "a/z": 1.0}, [], notes=["a/x: why"])
    assert result.values == {"a/x": None, "a/y": None, "a/z": 1.0}
    assert result.notes == ["a/x: why", "a/y: no row holds anything to measure, or it is infinite"]
