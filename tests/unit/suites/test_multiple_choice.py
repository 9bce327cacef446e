"""Multiple-choice questions in the schemas of WMDP, MMLU and ARC."""

from __future__ import annotations

import json

import pytest
import torch
from stub import stub_model, stub_tokenizer

from unlearnkit.errors import DataError, RecipeError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import MultipleChoice, SuiteContext
from unlearnkit.suites.meaning import stored_meaning
from unlearnkit.suites.parts.bootstrap import bootstrap

# A is half as long again as B and C in bits, wherever it stands.
BITS = {"<pad>": 4, "<unk>": 3, "<bos>": 4, "<eos>": 3, "A": 2, "B": 3, "C": 3, " ": 4, "a": 4}
ROWS = [
    {"question": "What is it? ", "choices": ["one", "two"], "answer": 0},
    {"question": "What is it?", "choices": ["one", "two"], "answer": 1},
    {"question": "What is it?", "choices": ["one", "two", "three"], "answer": 2},
]
CONTEXT = SuiteContext()


def write(folder, name, content):
    path = folder / name
    path.write_text(json.dumps(content))
    return str(path)


def test_the_likeliest_letter_is_the_choice(tmp_path):
    suite = MultipleChoice(write(tmp_path, "bio_questions.json", ROWS))
    result = suite.run(stub_model({"bits": BITS}), stub_tokenizer({"bits": BITS}), CONTEXT)
    # A is always chosen. Among A and B it has 1/4 of 3/8, among A, B and C 1/4 of 4/8.
    assert result.values == pytest.approx(
        {
            "forget/accuracy": 1 / 3,
            "forget/probability": (2 / 3 + 1 / 3 + 1 / 4) / 3,
            "forget/chance": (1 / 2 + 1 / 2 + 1 / 3) / 3,
        }
    )
    assert [row["generated"] for row in result.rows] == ["A", "A", "A"]
    assert result.rows[2]["prompt"] == "What is it?\nA. one\nB. two\nC. three\nAnswer:"
    assert set(result.missing) == {"heldout/*"}
    assert set(bootstrap(suite, result.rows, seed=0)) == set(result.values)


@pytest.mark.parametrize("chat", [False, True])
def test_probabilities_are_those_of_the_model_itself(tmp_path, chat):
    model, tokenizer = load_model("tiny"), load_tokenizer("tiny")
    suite = MultipleChoice(None, write(tmp_path, "a.json", ROWS), intro="Choose.\n\n", chat=chat)
    result = suite.run(model, tokenizer, CONTEXT)
    for row, found in zip(ROWS, result.rows, strict=True):
        listed = "\n".join(f"{a}. {b}" for a, b in zip("ABC", row["choices"], strict=False))
        text = f"Choose.\n\n{row['question'].strip()}\n{listed}\n"
        if chat:
            turns = [{"role": "user", "content": text}]
            text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        logps = []
        for letter in "ABC"[: len(row["choices"])]:
            start = tokenizer(f"{text}Answer:", add_special_tokens=not chat)["input_ids"]
            end = tokenizer(f" {letter}", add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logits = model(torch.tensor([start + end])).logits[0].double().log_softmax(-1)
            places = range(len(start) - 1, len(start) + len(end) - 1)
            logps.append(sum(logits[at, to].item() for at, to in zip(places, end, strict=True)))
        shares = torch.tensor(logps).softmax(-1)
        assert found["probability"] == pytest.approx(shares[row["answer"]].item(), rel=1e-4)
        assert found["right"] == (shares.argmax().item() == row["answer"])


def test_letters_texts_and_numbers_name_the_right_choice(tmp_path):
    choices = {"text": ["one", "two"], "label": ["A", "B"]}
    rows = [
        {"q": {"stem": "What?"}, "choices": choices, "key": key} for key in ("B", 1, "two", "1")
    ]
    path = write(tmp_path, "a.json", {"data": rows})
    suite = MultipleChoice(
        path,
        question_field="q.stem",
        choices_field="choices.text",
        answer_field="key",
        rows_at="data",
    )
    assert [each.answer for each in suite._questions()["forget"]] == [1, 1, 1, 1]


def test_every_bad_question_of_every_file_is_named(tmp_path):
    wrong = [
        {"question": " ", "choices": ["a", "b"], "answer": 0},
        {"question": "a", "choices": "a; b", "answer": 0},
        {"question": "a", "choices": ["a", 2], "answer": 0},
        {"question": "a", "choices": ["a"], "answer": 0},
        {"question": "a", "choices": ["a", "b"], "answer": 2},
        {"question": "a", "choices": ["a", "A"], "answer": "A"},
    ]
    path = write(tmp_path, "a.json", wrong)
    with pytest.raises(DataError) as caught:
        MultipleChoice(path, heldout="nowhere.json").check(stub_tokenizer(), CONTEXT)
    assert [(each.field, each.found) for each in caught.value.problems] == [
        ("question", "blank text"),
        ("choices", "text"),
        ("choices", "an array with other things"),
        ("choices", "1 choices"),
        ("answer", "2"),
        ("answer", "'A'"),
        (None, "no such file"),
    ]


def test_columns_of_other_names_are_to_be_mapped(tmp_path):
    path = write(tmp_path, "a.json", [{"q": "a", "choices": ["a", "b"], "answer": 0}])
    with pytest.raises(DataError, match="set `question_field`"):
        MultipleChoice(path).check(stub_tokenizer(), CONTEXT)


def test_a_limit_takes_questions_evenly(tmp_path):
    suite = MultipleChoice(write(tmp_path, "a.json", ROWS * 4), limit=3)
    assert [each.row for each in suite._questions()["forget"]] == [0, 4, 8]


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(RecipeError, match="no file of questions"):
        MultipleChoice()
    with pytest.raises(RecipeError, match="limit must be at least 1"):
        MultipleChoice("a.json", limit=0)


def test_accuracy_should_fall_on_what_is_forgotten_alone():
    found = [
        stored_meaning("multiple_choice", key)[:2]
        for key in ("forget/accuracy", "heldout/accuracy", "forget/chance")
    ]
    assert found == [("forget", "down"), ("heldout", "up"), ("forget", None)]


@pytest.mark.extra("lm_eval")
def test_accuracy_is_that_of_the_harness(tmp_path, monkeypatch):
    from unlearnkit.suites import LmEval

    monkeypatch.chdir(tmp_path)
    rows = [{**row, "choices": [*row["choices"], "x", "y"][:4]} for row in ROWS * 3]
    rows += [{**row, "answer": 3} for row in rows]
    (tmp_path / "wmdp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    letters = "".join(f"\\n{a}. {{{{choices[{n}]}}}}" for n, a in enumerate("ABCD"))
    (tmp_path / "wmdp_own.yaml").write_text(
        "task: wmdp_own\ndataset_path: json\n"
        "dataset_kwargs: {data_files: {test: wmdp.jsonl}}\n"
        "output_type: multiple_choice\ntest_split: test\n"
        f'doc_to_text: "{{{{question.strip()}}}}{letters}\\nAnswer:"\n'
        'doc_to_choice: ["A", "B", "C", "D"]\ndoc_to_target: answer\n'
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    model, tokenizer = load_model("tiny"), load_tokenizer("tiny")
    harness = LmEval(["wmdp_own"], task_folder=".").run(model, tokenizer, CONTEXT)
    ours = MultipleChoice("wmdp.jsonl").run(model, tokenizer, CONTEXT)
    assert ours.values["forget/accuracy"] == harness.values["wmdp_own/acc"]
    right = [row["figures"]["acc"] for row in harness.rows]
    assert [float(row["right"]) for row in ours.rows] == right
