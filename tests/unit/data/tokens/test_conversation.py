from __future__ import annotations

import pytest

from unlearnkit.data.tokens.conversation import (
    further_keys,
    learned_turns,
    message_fault,
    tools_of,
    without_flags,
)

U = {"role": "user", "content": "a"}
A = {"role": "assistant", "content": "b"}


def test_the_last_or_all_turns_of_the_assistant_are_learned() -> None:
    assert learned_turns([U, A, U, A], "all") == [1, 3]
    assert learned_turns([U, A, U, A], "last") == [3]
    assert learned_turns([U, A, U], "last") == []
    assert learned_turns([U, {**A, "weight": 0}, U, {**A, "train": True}], "all") == [3]


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("text", "text"),
        ({"content": "a"}, "a message with 'content'"),
        ({**A, "weight": 0.5}, "0.5 as `weight`"),
        ({**A, "weight": 1, "train": False}, "`weight` and `train` that disagree"),
        ({**U, "weight": 1}, "`weight` 1 in a turn of the role user"),
        ({**A, "content": ""}, "empty text as `content`"),
        ({"role": "assistant"}, "a message with 'role'"),
    ],
)
def test_messages_that_cannot_be_learned_are_named(message, found) -> None:
    fault = message_fault(message, learned=True)
    assert fault is not None
    assert fault[0] == found


def test_a_context_turn_may_be_empty_and_a_call_needs_no_text() -> None:
    assert message_fault({**A, "content": ""}, learned=False) is None
    assert message_fault({"role": "assistant", "tool_calls": [{}]}, learned=True) is None


def test_what_a_template_reads() -> None:
    message = {**A, "weight": 0, "thinking": "hm", "id": "7", "name": ""}
    assert "weight" not in without_flags(message)
    assert further_keys(without_flags(message)) == ["thinking"]
    assert tools_of('[{"name": "f"}]') == [{"name": "f"}]
    assert tools_of(" ") is tools_of([]) is None
    with pytest.raises(ValueError, match="text that is no JSON"):
        tools_of("{")


def test_a_further_key_may_say_zero_and_may_be_empty() -> None:
    message = {"role": "user", "content": "a", "Weight": 0, "name": "", "calls": []}
    assert further_keys(message) == ["Weight"]
