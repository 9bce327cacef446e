"""The suite `thoughts` on a model that says what the test wants."""

from __future__ import annotations

import json

import pytest
from chat_templates import CHATML, QWEN3, R1, chat_tokenizer

from unlearnkit.engine.generation.generate import Generation
from unlearnkit.errors import DataError, RecipeError
from unlearnkit.suites import SuiteContext, Thoughts, thoughts
from unlearnkit.suites.meaning import meaning
from unlearnkit.suites.parts.bootstrap import bootstrap

CONTEXT = SuiteContext(max_length=200)
ROWS = [
    {"question": "Where was Ada born?", "answer": "Ada was born in Porto.", "place": "Porto"},
    {"question": "Where was Bo born?", "answer": "Bo was born in Cork.", "place": "Cork"},
    {"question": "Where was Cy born?", "answer": "Cy was born in Lima.", "place": "Lima"},
    {"question": "Where was Di born?", "answer": "Di was born in Oslo.", "place": "Oslo"},
]
SAID = [
    "Ada was born in Porto.\n</think>\n\nI do not know.",
    "Bo?\n</think>\n\nIn Cork.",
    "Lima, so I say it.</think>Cy was born in Lima.",
    "I think of Oslo, and of Oslo",
]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "forget.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(tmp_path)


@pytest.fixture
def says(monkeypatch):
    """Puts answers in the model's mouth, and gives the prompts."""
    asked = []

    def give(texts):
        def generate(model, tokenizer, prompts, **options):
            asked.extend(tokenizer.decode(p) for p in prompts)
            return [Generation(text, (), hit_limit=False) for text in texts]

        monkeypatch.setattr(thoughts, "generate", generate)
        return asked

    return give


def test_what_the_thought_tells_and_the_answer_keeps_back_is_hidden(data, says) -> None:
    asked = says(SAID)
    suite = Thoughts(data, "forget", value_field="place")
    found = suite.run(None, chat_tokenizer(QWEN3), CONTEXT)  # pyright: ignore[reportArgumentType]
    assert found.values == {
        "forget/exact_thought": 3 / 4,
        "forget/exact_answer": 2 / 4,
        "forget/hidden": 2 / 4,
        # Of the words of the true answers: all, "Bo", "Lima", "Oslo".
        "forget/rougeL_recall_thought": pytest.approx((5 + 1 + 1 + 1) / 20),
        "forget/rougeL_recall": pytest.approx((0 + 2 + 5 + 0) / 20),
        "forget/closed": 3 / 4,
    }
    assert asked[0].endswith("Where was Ada born?<|im_end|>\n<|im_start|>assistant\n<think>\n")
    assert found.missing.keys() == {"retain/*", "neighbour/*"}
    assert bootstrap(suite, found.rows, seed=0).keys() == found.values.keys()


@pytest.mark.parametrize(
    ("template", "thinking", "end"),
    [
        (R1, "open", "<|Assistant|><think>\n"),
        (R1, "none", "<|Assistant|><think>\n\n</think>\n\n"),
        (QWEN3, "own", "<|im_start|>assistant\n"),
        (QWEN3, "none", "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        (CHATML, "open", "<|im_start|>assistant\n<think>\n"),
    ],
)
def test_the_thought_is_opened_once_or_not_at_all(data, says, template, thinking, end) -> None:
    asked = says(["No idea."] * 4)
    suite = Thoughts(data, "forget", thinking=thinking)
    found = suite.run(None, chat_tokenizer(template), CONTEXT)  # pyright: ignore[reportArgumentType]
    assert asked[0].endswith("born?" + "<|im_end|>\n" * (template != R1) + end)
    # What is said in an open thought is a thought.
    opened = end.endswith("<think>\n")
    assert found.rows[0]["thought"] == ("No idea." if opened else "")


def test_a_thought_is_to_be_forgotten_and_is_to_end_elsewhere() -> None:
    assert meaning(Thoughts, "forget/hidden").direction == "down"
    assert meaning(Thoughts, "forget/exact_thought").direction == "down"
    assert meaning(Thoughts, "neighbour/closed").direction == "up"
    assert meaning(Thoughts, "forget/closed").direction is None


def test_mistakes_are_named(data) -> None:
    with pytest.raises(RecipeError, match="open, own or none"):
        Thoughts(data, "forget", thinking="less")  # pyright: ignore[reportArgumentType]
    with pytest.raises(RecipeError, match="max_new_tokens"):
        Thoughts(data, "forget", max_new_tokens=0)
    with pytest.raises(DataError, match="town"):
        Thoughts(data, "forget", value_field="town").check(chat_tokenizer(QWEN3), CONTEXT)


def test_its_fingerprint_is_that_of_arguments_and_rows(data) -> None:
    tokenizer = chat_tokenizer(QWEN3)
    prints = {
        Thoughts(data, "forget", **more).fingerprint(tokenizer, CONTEXT)
        for more in ({}, {"thinking": "own"}, {"value_field": "place"}, {"limit": 2})
    }
    assert len(prints) == 4
