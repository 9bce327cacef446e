from __future__ import annotations

from unlearnkit.data.rows.messages import layout_fault, plain_messages


def test_sharegpt_messages_get_a_role_and_keep_other_keys() -> None:
    given = [{"from": "Human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 0}]
    assert plain_messages(given) == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "weight": 0},
    ]


def test_parts_are_joined_by_lines() -> None:
    parts = [{"type": "text", "text": "a"}, "b"]
    assert plain_messages([{"role": "user", "content": parts}])[0]["content"] == "a\nb"


def test_what_is_no_such_message_stays_and_is_named() -> None:
    for message, words in (
        ({"from": "nobody", "value": "a"}, "'nobody' as `from`"),
        ({"role": "user", "content": [{"type": "image"}]}, "part 1: the type 'image'"),
        ({"role": "user", "content": []}, "an empty array in `content`"),
        ({"role": "user", "content": ["a", 3]}, "part 2: number"),
    ):
        assert plain_messages([message]) == [message]
        fault = layout_fault(message)
        assert fault is not None
        assert words in fault[0]
    assert plain_messages("text") == "text"
    assert layout_fault({"role": "user", "content": "a"}) is None


def test_misspelt_keys_and_roles_are_named_with_what_was_meant() -> None:
    for message, found, expected in (
        ({"role": "assistant", "content": "a", "wieght": 0}, "the key 'wieght' beside", "'weight'"),
        ({"role": "assistant", "content": "a", "Weight": 0}, "the key 'Weight' beside", "'weight'"),
        ({"role": "user", "contents": "a"}, "the key 'contents' beside 'role'", "'content'"),
        ({"role": "asistant", "content": "a"}, "the role 'asistant'", "'assistant'"),
    ):
        fault = layout_fault(message)
        assert fault is not None
        assert found in fault[0]
        assert expected in fault[1]
    others = {"name": "n", "tool_call_id": "1", "reasoning_content": "r", "thinking": "t", "id": 3}
    assert layout_fault({"role": "developer", "content": "a", **others}) is None
