"""What a row and its messages have beside role and text."""

import json
import logging

import pytest
from chat_templates import CHATML, GPT_OSS, MISTRAL, QWEN3, R1, chat_tokenizer

from unlearnkit.data import ChatStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, RecipeError

USER = {"role": "user", "content": "Weather in Oslo?"}
ANSWER = {"role": "assistant", "content": "It is cold."}
CALL = {"type": "function", "function": {"name": "look", "arguments": {"city": "Oslo"}}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "cold", "tool_call_id": "c1", "name": "look"}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"city": "string"}}}]
BEGIN = "<s>[INST] Weather in Oslo? [/INST]"


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / f"rows{len(list(tmp_path.iterdir()))}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def encode(stream, template, **codec):
    tokenizer = chat_tokenizer(template)
    data = stream.encode("forget", Codec(tokenizer, 300, **codec), {}, 0)
    return [
        (tokenizer.decode(e.prompt_ids), tokenizer.decode(e.response_ids))
        for row in range(len(data))
        for e in data.at(row, 0)
    ]


def problems(stream, template):
    with pytest.raises(DataError) as caught:
        encode(stream, template)
    return [(p.line, p.found) for p in caught.value.problems]


# Tools of a row.


@pytest.mark.parametrize("tools", [TOOLS, json.dumps(TOOLS)], ids=["array", "json text"])
@pytest.mark.parametrize("template", [QWEN3, MISTRAL])
def test_the_tools_of_a_row_reach_the_template(write, template, tools):
    path = write({"messages": [USER, ANSWER], "tools": tools}, {"messages": [USER, ANSWER]})
    (prompt, _), (bare, _) = encode(ChatStream(path), template)
    tokenizer = chat_tokenizer(template)
    shown = tokenizer.apply_chat_template(
        [USER], tools=TOOLS, tokenize=False, add_generation_prompt=True
    )
    assert prompt.startswith(shown)
    assert '"city": "string"' in prompt
    assert "city" not in bare


def test_another_column_of_tools_and_rows_of_prompts(write):
    path = write({"q": "Hi", "a": "Ho", "functions": TOOLS, "tools": 3})
    stream = ChatStream(path, prompt_field="q", response_field="a", tools_field="functions")
    ((prompt, answer),) = encode(stream, MISTRAL)
    assert (prompt, answer) == (
        f"<s>[TOOLS] {json.dumps(TOOLS)}[/TOOLS][INST] Hi [/INST]",
        " Ho </s>",
    )
    none = ChatStream(path, prompt_field="q", response_field="a", tools_field=None)
    assert encode(none, MISTRAL) == [("<s>[INST] Hi [/INST]", " Ho </s>")]


def test_tools_that_a_template_does_not_print_are_refused_by_row(write):
    row = {"messages": [USER, ANSWER], "tools": TOOLS}
    path = write({"messages": [USER, ANSWER], "tools": []}, row, row)
    found = "tools, which the chat template does not print"
    assert problems(ChatStream(path), CHATML) == [(2, found), (3, found)]
    # One that prints them within a system turn alone.
    picky = QWEN3.replace("if tools", "if tools and messages[0].role == 'system'")
    assert problems(ChatStream(path), picky) == [(2, found), (3, found)]
    assert len(encode(ChatStream(path, system="Be brief."), picky)) == 3
    assert len(encode(ChatStream(path, tools_field=None), CHATML)) == 3


@pytest.mark.parametrize(
    ("tools", "found"),
    [
        ("look it up", "text that is no JSON"),
        ({"name": "look"}, "object"),
        ([TOOLS], "an array with array"),
        (True, "boolean"),
    ],
)
def test_tools_that_are_none_are_named(write, tools, found):
    path = write({"messages": [USER, ANSWER], "tools": tools})
    with pytest.raises(DataError) as caught:
        ChatStream(path).check()
    (problem,) = caught.value.problems
    assert (problem.line, problem.field, problem.found) == (1, "tools", found)
    assert "tools_field: null" in problem.expected


# Turns that are not learned.


@pytest.mark.parametrize("flag", ["weight", "train", "training", "loss"])
def test_a_turn_of_weight_0_is_not_learned(write, flag):
    off, on = {**ANSWER, flag: 0}, {**ANSWER, flag: 1, "content": "Rain."}
    path = write({"messages": [USER, off, USER, on]}, {"messages": [USER, ANSWER, USER, on]})
    (prompt, answer), first, second = encode(ChatStream(path, turns="all"), MISTRAL)
    assert prompt == f"{BEGIN} It is cold. </s>[INST] Weather in Oslo? [/INST]"
    assert answer == " Rain. </s>"
    assert (first, second) == ((BEGIN, " It is cold. </s>"), (prompt, answer))


def test_a_row_of_which_nothing_is_learned_is_named(write):
    off = {**ANSWER, "weight": 0}
    path = write({"messages": [USER, ANSWER, USER, off]}, {"messages": [USER, off, USER, off]})
    assert problems(ChatStream(path), MISTRAL) == [
        (1, "weight 0 in the last turn"),
        (2, "weight 0 in the last turn"),
    ]
    assert problems(ChatStream(path, turns="all"), MISTRAL) == [
        (2, "weight 0 in every turn of the assistant")
    ]


def test_numbers_that_say_nothing_are_refused(write):
    path = write(
        {"messages": [USER, {**ANSWER, "weight": 0.5}]},
        {"messages": [USER, {**ANSWER, "train": "no"}]},
        {"messages": [USER, {**ANSWER, "train": True, "weight": 0}]},
        {"messages": [{**USER, "weight": 1}, ANSWER]},
        {"messages": [{**USER, "weight": 0}, {**ANSWER, "weight": 1.0, "loss": None}]},
    )
    assert problems(ChatStream(path), MISTRAL) == [
        (1, "turn 2: 0.5 as `weight`"),
        (2, "turn 2: 'no' as `train`"),
        (3, "turn 2: `weight` and `train` that disagree"),
        (4, "turn 1: `weight` 1 in a turn of the role user"),
    ]


# Text is needed in learned turns alone.


@pytest.mark.parametrize("nothing", [None, "", "absent"])
def test_an_earlier_call_needs_no_text(write, nothing):
    called = {key: value for key, value in CALLED.items() if key != "content"}
    if nothing != "absent":
        called["content"] = nothing
    path = write({"messages": [USER, called, RESULT, ANSWER]})
    ((prompt, answer),) = encode(ChatStream(path), MISTRAL)
    shown = json.dumps([CALL["function"]])
    assert prompt == f"{BEGIN}[CALLS] {shown}</s>[RESULTS] cold[/RESULTS]"
    assert answer == " It is cold. </s>"


def test_a_learned_turn_needs_text_or_a_call(write):
    path = write({"messages": [USER, CALLED]}, {"messages": [USER, {**ANSWER, "content": ""}]})
    assert problems(ChatStream(path), MISTRAL) == [(2, "turn 2: empty text as `content`")]
    ((prompt, answer),) = encode(ChatStream(write({"messages": [USER, CALLED]})), MISTRAL)
    assert (prompt, answer) == (BEGIN, f"[CALLS] {json.dumps([CALL['function']])}</s>")
    empty = {**ANSWER, "content": ""}
    path = write({"messages": [USER, empty, USER, ANSWER]})
    assert len(encode(ChatStream(path), MISTRAL)) == 1
    assert problems(ChatStream(path, turns="all"), MISTRAL) == [
        (1, "turn 2: empty text as `content`")
    ]
    path = write({"messages": [USER, {**ANSWER, "content": None}, USER, ANSWER]})
    assert problems(ChatStream(path), MISTRAL) == [(1, "turn 2: null as `content`")]


# Other keys reach the template, or are named.


def test_calls_and_thoughts_that_a_template_does_not_read_are_refused(write):
    path = write(
        {"messages": [USER, {**CALLED, "content": "Let me look."}, RESULT, ANSWER]},
        {"messages": [USER, {**ANSWER, "reasoning": "North."}]},
        {"messages": [USER, {**ANSWER, "reasoning_content": ""}]},
    )
    assert problems(ChatStream(path), CHATML) == [
        (1, "`tool_calls` in turn 2, which the chat template does not read"),
        (2, "`reasoning` in turn 2, which the chat template does not read"),
    ]


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
@pytest.mark.parametrize("template", [QWEN3, GPT_OSS])
def test_a_thought_is_learned_under_each_of_its_names(write, key, template):
    ((_, answer),) = encode(
        ChatStream(write({"messages": [USER, {**ANSWER, key: "North."}]})), template
    )
    assert answer.replace("\n", "").startswith(
        "North.</think>" if template == QWEN3 else "analysis<|message|>North."
    )


def test_a_part_of_an_answer_that_a_template_leaves_out_is_named(write):
    answer = {**ANSWER, "content": "<think>\nNorth.\n</think>\n\nIt is cold."}
    bare = R1.replace("<think>\\n", "")
    assert problems(ChatStream(write({"messages": [USER, answer]})), bare) == [
        (1, "a chat template that prints `content` of turn 2 otherwise, or in part")
    ]


def test_keys_that_nothing_reads_are_told_once(write, caplog):
    rows = [{"messages": [USER, {**ANSWER, "mood": "grim", "id": "m1"}]}] * 3
    with caplog.at_level(logging.WARNING):
        encode(ChatStream(write(*rows)), CHATML)
    assert caplog.text.count("messages have the key 'mood', which the chat template does not") == 1
    assert "'id'" not in caplog.text


# The choice of a template, and its arguments.


def named(templates):
    tokenizer = chat_tokenizer(None)
    tokenizer.chat_template = templates
    return tokenizer


def prompts(stream, tokenizer):
    data = stream.encode("forget", Codec(tokenizer, 300), {}, 0)
    return [tokenizer.decode(data.at(row, 0)[0].prompt_ids) for row in range(len(data))]


def test_one_of_several_templates_is_chosen_by_name(write):
    path = write({"messages": [USER, ANSWER]}, {"messages": [USER, ANSWER], "tools": TOOLS})
    tokenizer = named({"default": CHATML, "tool_use": MISTRAL, "rag": QWEN3})
    plain, with_tools = prompts(ChatStream(path), tokenizer)
    assert plain.startswith("<|im_start|>user\n")
    assert with_tools.startswith("<s>[TOOLS]")
    assert prompts(ChatStream(path, template="tool_use"), tokenizer)[0] == BEGIN
    with pytest.raises(RecipeError, match=r"no chat template 'tools'\. Did you mean") as caught:
        prompts(ChatStream(path, template="tools"), tokenizer)
    assert caught.value.hint == "Its chat templates: default, tool_use, rag."
    with pytest.raises(RecipeError, match="several chat templates and none for a default"):
        prompts(ChatStream(path), named({"a": CHATML, "b": MISTRAL}))
    with pytest.raises(RecipeError, match="no chat template 'rag'"):
        prompts(ChatStream(path, template="rag"), chat_tokenizer(CHATML))


def test_arguments_reach_the_template_or_are_refused(write):
    path = write({"messages": [USER, ANSWER]})
    off = ChatStream(path, template_arguments={"enable_thinking": False})
    assert encode(off, QWEN3) == encode(ChatStream(path), QWEN3)
    shouted = "{{ greeting }}" + QWEN3
    ((prompt, _),) = encode(ChatStream(path, template_arguments={"greeting": "Hey! "}), shouted)
    assert prompt.startswith("Hey! <|im_start|>")
    for arguments, found in (
        ({"enable_thinkin": False}, "does not read 'enable_thinkin'. Did you mean 'enable_thi"),
        ({"messages": []}, "'messages' cannot be given"),
        ({"date_string": "1 Jan 2020"}, "'date_string' cannot be given"),
        ({"asked": 1}, "does not read 'asked'"),
    ):
        with pytest.raises(RecipeError, match=found):
            encode(ChatStream(path, template_arguments=arguments), QWEN3)


# Control tokens in the text.


def test_data_is_text_in_every_part_of_a_conversation(write):
    evil = "a</s>b"
    call = {"function": {"name": f"look{evil}", "arguments": {evil: [evil]}}}
    rows = {
        "messages": [
            {"role": "user", "content": evil},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": evil},
            {"role": "assistant", "content": evil},
        ],
    }
    tools = {"messages": [USER, {**ANSWER, "content": evil}], "tools": [{"name": evil}]}
    path = write(rows, tools)
    tokenizer = chat_tokenizer(MISTRAL)
    data = ChatStream(path).encode("forget", Codec(tokenizer, 400), {}, 0)
    ends = [
        [ids.count(tokenizer.eos_token_id) for ids in (e.prompt_ids, e.response_ids)]
        for row in range(2)
        for e in data.at(row, 0)
    ]
    assert ends == [[1, 1], [0, 1]]  # those of the template
    (example,) = data.at(0, 0)
    assert tokenizer.decode(example.response_ids) == " a</s>b </s>"
    assert tokenizer.decode(example.prompt_ids).count(evil) == 5


def test_rows_with_control_tokens_are_told_or_refused(write, caplog):
    path = write(
        {"messages": [USER, ANSWER]},
        {"messages": [USER, {**ANSWER, "content": "Cold.</s>"}]},
        {"messages": [{**USER, "content": "<|eot|>"}, ANSWER]},
    )
    encode(ChatStream(path), MISTRAL)
    assert "2 rows spell out the control tokens '</s>', '<|eot|>', read as text" in caplog.text
    assert "(line 2, 3)" in caplog.text
    with pytest.raises(DataError) as caught:
        encode(ChatStream(path), MISTRAL, control_tokens="refuse")
    assert [(p.line, p.found) for p in caught.value.problems] == [
        (2, "text with the control token '</s>'"),
        (3, "text with the control token '<|eot|>'"),
    ]
    stream = ChatStream(path, on_bad_rows="drop")
    assert len(encode(stream, MISTRAL, control_tokens="refuse")) == 1
    caplog.clear()
    kept = encode(ChatStream(path), MISTRAL, control_tokens="keep")
    assert len(kept) == 3
    assert "control" not in caplog.text
