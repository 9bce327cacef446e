from __future__ import annotations

import pytest

from unlearnkit.redact import one_line, printable, redacted, redacted_values, redacted_words


def test_control_characters_are_written_out() -> None:
    assert printable("a\x1b[2J\u202eb\nc\td") == "a\\x1b[2J\\u202eb\nc\td"
    assert printable("a\u2028\U000e0041") == "a\\u2028\\U000e0041"
    assert one_line("a\nb\t\x1bc d") == "a\\nb\\t\\x1bc d"
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
        (["--x.opts.password.a", "abc"], ["--x.opts.password.a", "***"]),
        (["--x.passwords+", "abc"], ["--x.passwords+", "***"]),
        (["--x", "[{name: A, apiKey: abc}]"], ["--x", "[{name: A, apiKey: ***}]"]),
        (["--x", '{"api_key": "abc", "n": 1}'], ["--x", '{"api_key": ***, "n": 1}']),
        (["--x", "{prompt_tokens: 3}"], ["--x", "{prompt_tokens: 3}"]),
    ],
)
def test_values_of_options_named_for_secrets_are_hidden(words, shown) -> None:
    assert redacted_words(words) == shown


def test_keys_in_other_spellings_and_what_is_below_them_are_hidden() -> None:
    tree = {
        "apiToken": "a",
        "clientSecret": "a",
        "passwords": ["a"],
        "headers": {"secret": {"x": 1}},
    }
    hidden = {"apiToken": "***", "clientSecret": "***", "passwords": ["***"]}
    assert redacted_values(tree) == {**hidden, "headers": {"secret": {"x": "***"}}}
    assert redacted_values({"hf_" + "a" * 20: 1}) == {"***": 1}
    kept = {"control_tokens": "text", "prompt_tokens": 32, "monitor": "x", "keys": ["a"]}
    assert redacted_values(kept) == kept
