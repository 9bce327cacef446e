"""What a run writes about its command holds no secret."""

from __future__ import annotations

import json
import sys

import pytest

from unlearnkit.models.base import load_tokenizer
from unlearnkit.redact import redacted_words
from unlearnkit.runs.facts import describe

TOKEN = "hf_" + "abcDEF123" * 3


@pytest.mark.parametrize(
    "words",
    [
        ["--hub_token", TOKEN],
        [f"--api-key={TOKEN}"],
        ["--model.base", f"https://someone:{TOKEN}@example.org/model"],
        ["--anything", TOKEN],
    ],
)
def test_no_secret_of_the_command_line_is_written(words, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["unlearnkit", "fit", *words])
    facts = json.dumps(describe("tiny", {}, load_tokenizer("tiny"), {}))
    assert TOKEN not in facts
    assert "***" in facts


def test_values_of_secret_variables_are_taken_out(monkeypatch) -> None:
    monkeypatch.setenv("MY_SERVICE_KEY", "plainlooking")
    assert redacted_words(["fit", "--run_dir", "plainlooking/x"]) == ["fit", "--run_dir", "***/x"]


def test_ordinary_words_stay() -> None:
    words = ["fit", "-r", "mine.yaml", "--data.streams.forget.prompt_tokens", "32", "--lr=1e-4"]
    assert redacted_words(words) == words
