from __future__ import annotations

import pytest

from unlearnkit.redact import printable, redacted, redacted_words


def test_control_characters_are_written_out() -> None:
    assert printable("a\x1b[2J\u202eb\nc\td") == "a\\x1b[2J\\u202eb\nc\td"
    assert printable("🛶\u200dé") == "🛶\u200dé"  # joins an emoji


def test_values_of_secret_variables_and_shapes_of_tokens_are_hidden(monkeypatch) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "correct-horse")
    monkeypatch.setenv("MONKEY", "correct-horse-2")  # no secret by its name
    monkeypatch.setenv("SHORT_KEY", "abc")
    assert redacted("x correct-horse abc") == "x *** abc"
    assert redacted("hf_" + "a" * 20) == "***"
    assert redacted("https://me:pass@host/x") == "https://***@host/x"
    assert redacted("hf_short sk-no") == "hf_short sk-no"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--token", "abc", "x"], ["--token", "***", "x"]),
        (["--hub.api_key=abc"], ["--hub.api_key=***"]),
        (["--password", "--verbose"], ["--password", "--verbose"]),
        (["--max_tokens", "5"], ["--max_tokens", "5"]),
    ],
)
def test_values_of_options_named_for_secrets_are_hidden(words, shown) -> None:
    assert redacted_words(words) == shown
