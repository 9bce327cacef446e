from __future__ import annotations

import subprocess
import time

import pytest

from tests.chat_templates import chat_tokenizer
from unlearnkit.data.tokens import runaway
from unlearnkit.data.tokens.chat_template import ChatTemplate
from unlearnkit.data.tokens.runaway import refuse_runaway
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import load_tokenizer

TURNS = [{"role": "user", "content": "a"}]
TEN = "{% for x in range(99999) %}" * 3 + "{% endfor %}" * 3


@pytest.mark.parametrize(
    "template",
    [
        "{% for x in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",  # 100 MB
        "{{ 'a' * 10 ** 10 }}",
        "{% if tools %}{{ 'a' * 10 ** 10 }}{% endif %}",
    ],
)
def test_a_template_that_writes_without_end_is_refused(template) -> None:
    with pytest.raises(RecipeError, match="does not come to an end"):
        refuse_runaway(template, TURNS)


def test_a_template_that_loops_is_ended(monkeypatch) -> None:
    monkeypatch.setattr(runaway, "SECONDS", 1)
    began = time.monotonic()
    with pytest.raises(RecipeError, match="does not come to an end"):
        ChatTemplate(chat_tokenizer(TEN), "2025-01-01")
    assert time.monotonic() - began < 10


def test_nesting_and_length_have_bounds() -> None:
    with pytest.raises(RecipeError, match="nested too deeply"):
        refuse_runaway("{{ " + "(" * 10**5 + "1" + ")" * 10**5 + " }}", TURNS)
    with pytest.raises(RecipeError, match="has 2,000,000 characters"):
        refuse_runaway("a" * 2_000_000, TURNS)


def test_one_that_was_rendered_before_starts_no_process(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("UNLEARNKIT_CACHE", str(tmp_path))
    template = "{{ messages[0].content }}{# once #}"
    refuse_runaway(template, TURNS)
    runaway._refuse.cache_clear()
    monkeypatch.setattr(subprocess, "run", None)
    refuse_runaway(template, TURNS)
    shipped = load_tokenizer("tiny").chat_template
    refuse_runaway(shipped, TURNS)
