from __future__ import annotations

import pytest

from unlearnkit.data.tokens.arguments import ReadByTemplate, check_arguments, check_chat
from unlearnkit.errors import RecipeError

READ = ReadByTemplate(
    "{% for m in messages %}{% generation %}{{ m.content }}{{ m['name'] }}{% endgeneration %}"
    "{% endfor %}{% if enable_thinking %}{{ raise_exception('no') }}{% endif %}"
)


def test_names_that_a_template_looks_up() -> None:
    assert READ.arguments >= {"messages", "enable_thinking", "raise_exception"}
    assert READ.keys >= {"content", "name"}
    assert "enable_thinking" not in READ.keys


def test_arguments_that_none_reads_are_refused() -> None:
    check_arguments({"enable_thinking": False}, [READ])
    with pytest.raises(RecipeError, match="Did you mean 'enable_thinking'"):
        check_arguments({"enable_thinkin": False}, [READ])
    with pytest.raises(RecipeError, match="cannot be given"):
        check_arguments({"messages": []}, [READ])
    with pytest.raises(RecipeError, match="broken"):
        check_arguments({"a": 1}, [ReadByTemplate("{% if %}")])


def test_a_template_needs_chat() -> None:
    check_chat(True, "tool_use", {"a": 1})
    with pytest.raises(RecipeError, match="chat_template: without"):
        check_chat(False, "tool_use", None)
