import json

import pytest
from stub import stub_tokenizer

from unlearnkit.data import ChatStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, RecipeError

TEMPLATE = (
    "{% for m in messages %}{% if m['role']=='assistant' %}e{{ m['content'] }}{{ eos_token }}"
    "{% else %}d{{ m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}e{% endif %}"
)
USER = {"role": "user", "content": "ab"}
ANSWER = {"role": "assistant", "content": "c"}


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def encode(stream, template=TEMPLATE, **spec):
    tokenizer = stub_tokenizer({"chat_template": template, **spec})
    data = stream.encode("forget", Codec(tokenizer, 64), {}, 0)
    return [
        (tokenizer.decode(e.prompt_ids), tokenizer.decode(e.response_ids))
        for row in range(len(data))
        for e in data.at(row, 0)
    ]


def test_white_space_after_the_end_of_turn_is_not_learned(write):
    path = write({"messages": [USER, ANSWER]})
    spaced = TEMPLATE.replace("{{ eos_token }}", "{{ eos_token }} \n")
    assert encode(ChatStream(path), spaced) == [("dabe", "c<eos>")]


def test_a_template_without_an_end_of_turn_gets_eos(write):
    path = write({"messages": [USER, ANSWER]})
    assert encode(ChatStream(path), TEMPLATE.replace("{{ eos_token }}", " ")) == [
        ("dabe", "c<eos>")
    ]


def test_an_end_of_turn_that_is_not_eos_ends_the_response(write):
    path = write({"messages": [USER, ANSWER]})
    template = TEMPLATE.replace("{{ eos_token }}", "<pad>")
    assert encode(ChatStream(path), template) == [("dabe", "c<pad>")]


def test_prompts_and_responses_become_turns(write):
    path = write({"q": "ab", "a": "c"})
    stream = ChatStream(path, prompt_field="q", response_field="a", system="e")
    assert encode(stream) == [("dedabe", "c<eos>")]


def test_a_system_turn_is_put_only_where_there_is_none(write):
    system = {"role": "system", "content": "a"}
    path = write({"messages": [system, USER, ANSWER]}, {"messages": [USER, ANSWER]})
    assert encode(ChatStream(path, system="e")) == [("dadabe", "c<eos>"), ("dedabe", "c<eos>")]


def test_one_of_the_two_columns_alone_is_refused():
    with pytest.raises(RecipeError, match="expected both or neither"):
        ChatStream("a.jsonl", prompt_field="q")


def test_a_generation_prompt_that_no_answer_begins_with_is_refused(write):
    path = write({"messages": [USER, ANSWER]})
    template = TEMPLATE.replace("%}e{% endif %}", "%}eb{% endif %}")
    with pytest.raises(DataError, match="generation prompt is not how turn 2 begins"):
        encode(ChatStream(path), template)


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        (None, "null"),
        ("ab", "text"),
        ([], "an empty array"),
        (["ab"], "turn 1: text"),
        ([USER, {"from": "gpt", "text": "c"}], "turn 2: a message with 'from', 'text'"),
        ([USER, {"role": "assistant", "content": None}], "turn 2: null as `content`"),
        ([USER, {"role": "assistant", "content": " "}], "turn 2: blank text as `content`"),
        ([{"role": "user", "content": {"text": "a"}}, ANSWER], "turn 1: object as `content`"),
        ([{"role": 3, "content": "a"}, ANSWER], "turn 1: number as `role`"),
    ],
)
def test_what_is_no_conversation_is_named_by_turn(write, messages, found):
    path = write({"messages": [USER, ANSWER]}, {"messages": messages})
    with pytest.raises(DataError) as caught:
        ChatStream(path).check()
    (problem,) = caught.value.problems
    assert (problem.line, problem.field, problem.found) == (2, "messages", found)


def test_a_row_without_messages_is_named(write):
    path = write({"messages": [USER, ANSWER]}, {"mesages": [USER, ANSWER]})
    with pytest.raises(DataError, match="line 2, field 'messages': found the fields 'mesages'"):
        ChatStream(path).check()


def test_a_file_without_messages_is_told_the_key(write):
    with pytest.raises(DataError, match="`messages_field: conversations`"):
        ChatStream(write({"conversations": [USER, ANSWER]})).check()


def sharegpt(*turns):
    return [{"from": role, "value": text} for role, text in turns]


def test_sharegpt_turns_are_read_with_their_own_names_of_roles(write):
    path = write(
        {"conversations": sharegpt(("human", "ab"), ("gpt", "c"), ("human", "d"), ("gpt", "a"))},
        {"conversations": sharegpt(("system", "e"), ("User", "ab"), ("Assistant", "c"))},
    )
    stream = ChatStream(path, messages_field="conversations", turns="all")
    assert encode(stream) == [
        ("dabe", "c<eos>"),
        ("dabec<eos>dde", "a<eos>"),
        ("dedabe", "c<eos>"),
    ]


def test_content_parts_of_text_are_joined_by_line_breaks(write):
    parts = [{"type": "text", "text": "ab"}, {"type": "text", "text": "c"}]
    path = write({"messages": [{"role": "user", "content": parts}, ANSWER]})
    stream = ChatStream(path)
    (conversation,), problems = stream.parse(stream.read())
    assert (conversation.messages, problems) == ([{"role": "user", "content": "ab\nc"}, ANSWER], [])
    answer = {"role": "assistant", "content": [{"type": "text", "text": "c"}]}
    assert encode(ChatStream(write({"messages": [USER, answer]}))) == [("dabe", "c<eos>")]


def test_layouts_that_are_not_read_are_named_by_row_and_turn(write):
    image = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}
    path = write(
        {"messages": [image, ANSWER]},
        {"messages": sharegpt(("human", "ab"), ("function_call", "c"))},
        {"messages": [{"role": "user", "content": []}, ANSWER]},
        {"messages": [{"role": "user", "content": [3]}, ANSWER]},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}, ANSWER]},
        {"messages": sharegpt(("human", "ab"), ("gpt", ""))},
        {"messages": [{"text": "ab"}]},
    )
    with pytest.raises(DataError) as caught:
        encode(ChatStream(path))
    assert [(each.line, each.found) for each in caught.value.problems] == [
        (1, "turn 1: part 2: the type 'image_url' in `content`"),
        (2, "turn 2: 'function_call' as `from`"),
        (3, "turn 1: an empty array in `content`"),
        (4, "turn 1: part 1: number in `content`"),
        (5, "turn 1: part 1: null in `content`"),
        (6, "turn 2: empty text as `content`"),
        (7, "turn 1: a message with 'text'"),
    ]
