from __future__ import annotations

import resource
import shlex
import subprocess
import sys

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
    before = _of_children()
    with pytest.raises(RecipeError, match="does not come to an end"):
        ChatTemplate(chat_tokenizer(TEN), "2025-01-01")
    assert _of_children() - before < 3


def _of_children() -> float:
    """Seconds of the processor, on which no other process of the machine tells."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_one_that_waits_for_a_busy_machine_is_rendered(monkeypatch, tmp_path) -> None:
    late = tmp_path / "python"
    late.write_text(f'#!/bin/sh\nsleep 2\nexec {shlex.quote(sys.executable)} "$@"\n')
    late.chmod(0o755)
    monkeypatch.setattr(runaway, "SECONDS", 1)
    monkeypatch.setattr(sys, "executable", str(late))
    refuse_runaway("{{ messages[0].content }}{# late #}", TURNS)
    with pytest.raises(RecipeError, match="does not come to an end"):
        refuse_runaway(TEN + "{# late #}", TURNS)


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
