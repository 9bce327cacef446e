from __future__ import annotations

from stub import stub_tokenizer

from unlearnkit.data.tokens.twin import twin_of
from unlearnkit.models.base import load_tokenizer


def test_a_twin_has_the_same_ids_and_takes_no_text_for_control() -> None:
    tokenizer = load_tokenizer("tiny")
    end = tokenizer.eos_token
    twin = twin_of(tokenizer, [end])
    assert twin is not None
    plain, spelled, usual = twin.encode(["a cat", f"a{twin.spelling[end]}", f"a{end}"])
    assert plain == tokenizer.encode("a cat", add_special_tokens=False)
    assert spelled[-1] == tokenizer.eos_token_id
    assert tokenizer.eos_token_id not in usual
    assert tokenizer.decode(usual) == f"a{end}"


def test_a_tokenizer_in_python_has_none() -> None:
    class Python:
        pass

    assert twin_of(Python(), ["<eos>"]) is None  # pyright: ignore
    assert twin_of(stub_tokenizer(), []) is not None
