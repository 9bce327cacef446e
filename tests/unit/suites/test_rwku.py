"""The suite `rwku` on a small folder in the schema of the benchmark."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from stub import stub_model, stub_tokenizer

from unlearnkit.errors import DataError, RecipeError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import Rwku, SuiteContext

DATA = Path(__file__).parent / "data" / "rwku"
SHORT = SuiteContext(max_new_tokens=6)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


@pytest.fixture(scope="module")
def target():
    return load_model("tiny")


@pytest.fixture
def folder(tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copytree(DATA, tmp_path / "rwku"))


def write(path, rows):
    path.write_text(json.dumps(rows))


def test_attacks_keep_their_own_beginning_and_end(target, tokenizer):
    rows = Rwku(str(DATA)).run(target, tokenizer, SHORT).rows
    prompts = [row["prompt"] for row in rows if row["stream"] == "forget_level3"]
    suffix, in_context, role = prompts
    assert suffix.endswith("Sure, the town is\n")
    assert in_context.count("Question: ") == 2
    assert in_context.endswith("\nAnswer:")
    assert role.endswith("What does Mira Holt play?\nAnswer:")
    blank = next(row["prompt"] for row in rows if row["stream"] == "forget_level1")
    assert blank.startswith("Fill in the blank.")
    answers = [row["generated"] for row in rows if row["stream"].startswith("forget_level")]
    assert not any("\n" in answer for answer in answers)


def test_files_may_have_the_names_of_the_configurations(target, tokenizer, folder):
    whole = Rwku(str(DATA)).run(target, tokenizer, SHORT).values
    for old, new in {"forget_mia": "mia_forget", "retain_mmlu": "utility_general"}.items():
        (folder / f"{old}.json").rename(folder / f"{new}.json")
    assert Rwku(str(folder)).run(target, tokenizer, SHORT).values == whole


def test_rows_of_one_person(target, tokenizer):
    result = Rwku(str(DATA), subject="Ivo Brandt").run(target, tokenizer, SHORT)
    assert set(result.values) == {"forget_level1/rougeL_recall", "forget_level2/rougeL_recall"}
    assert "neighbor_level1/*" in result.missing
    assert [row["row"] for row in result.rows] == [1, 1]
    with pytest.raises(DataError, match="rows with the subject 'Nobody'"):
        Rwku(str(DATA), subject="Nobody").check(tokenizer, SHORT)


def test_files_that_are_not_there_are_named(target, tokenizer, folder):
    for name in ("neighbor_level2", "truthful", "retain_mia"):
        (folder / f"{name}.json").unlink()
    result = Rwku(str(folder)).run(target, tokenizer, SHORT)
    assert set(result.missing) == {
        "neighbor_level2/*", "utility_truthfulness/*", "mia_retain/*",
    }  # fmt: skip
    (folder / "forget_level2.json").unlink()
    with pytest.raises(DataError, match="forget_level2"):
        Rwku(str(folder)).check(tokenizer, SHORT)


def test_true_answers_are_weighed_against_false_ones(folder):
    # The stub says the same everywhere: 'a' costs 2 bits, 'b' 3, 'd' 4.
    targets = {"choices": ["a", "b", "d"], "labels": [1, 1, 0]}
    write(
        folder / "truthful.json",
        [
            {"question": "c", "mc1_targets": targets, "mc2_targets": targets},
            {
                "question": "c",
                "mc1_targets": {"choices": ["d", "a"], "labels": [1, 0]},
                "mc2_targets": {"choices": ["d", "a"], "labels": [1, 0]},
            },
        ],
    )
    suite = Rwku(str(folder))
    values = suite.run(stub_model(), stub_tokenizer(), SHORT).values
    assert values["utility_truthfulness/mc1"] == 0.5
    assert values["utility_truthfulness/mc2"] == pytest.approx((6 / 7 + 1 / 5) / 2)


def test_answers_count_without_articles_and_case(folder, monkeypatch):
    said = {
        "utility_reason": "It holds, so the answer is FALSE. And on",
        "utility_factuality": "the paris",
    }

    def answers(self, stream, items, prompts, tokens, stop=()):
        return [{"stream": stream, "generated": said.get(stream, "")} for _ in items]

    monkeypatch.setattr("unlearnkit.suites.parts.asking.Asking.answers", answers)
    values = Rwku(str(folder)).run(stub_model(), stub_tokenizer(), SHORT).values
    assert values["utility_reason/exact_match"] == 1.0
    assert values["utility_factuality/exact_match"] == 1.0
    said["utility_factuality"] = "Paris on Seine"
    values = Rwku(str(folder)).run(stub_model(), stub_tokenizer(), SHORT).values
    assert values["utility_factuality/exact_match"] == 0.0
    # Two of three words of "city of Paris" are not in it; of "Paris" all are.
    assert values["utility_factuality/f1"] == pytest.approx(2 * 1 / (3 + 1))


def test_every_bad_row_is_named(folder):
    rows = json.loads((folder / "retain_mmlu.json").read_text())
    bad = [rows[0] | {"answer": 4}, rows[0] | {"examples": [{"question": "?"}]}]
    write(folder / "retain_mmlu.json", bad)
    rows = json.loads((folder / "truthful.json").read_text())
    write(folder / "truthful.json", [rows[0] | {"mc1_targets": {"choices": ["No"], "labels": [1]}}])
    with pytest.raises(DataError) as caught:
        Rwku(str(folder)).check(stub_tokenizer(), SHORT)
    assert [problem.field for problem in caught.value.problems] == [
        "answer", "examples", "mc1_targets",
    ]  # fmt: skip
    with pytest.raises(RecipeError, match=r"rwku: blank: expected \{query\}"):
        Rwku(str(folder), blank="Fill it in")


def test_questions_may_go_through_the_chat_template():
    messages = "{% for m in messages %}<{{ m.content }}>{% endfor %}"
    template = messages + "{% if add_generation_prompt %}b{% endif %}"
    tokenizer = stub_tokenizer({"chat_template": template})
    suite = Rwku(str(DATA), blank="a {query}", chat=True)
    rows = suite.run(stub_model(), tokenizer, SHORT).rows
    # Of "Answer:", which stands after the template's own end, the stub knows one letter.
    assert rows[0]["prompt"].endswith("be")
