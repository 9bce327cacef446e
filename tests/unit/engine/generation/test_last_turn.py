"""The last user turn of prompts, by the templates of several families."""

import pytest
from chat_templates import CHATML, GEMMA, LLAMA3, MISTRAL, QWEN3, ZEPHYR, chat_tokenizer
from stub import stub_tokenizer

from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.last_turn import add_last_turns, last_user_turn
from unlearnkit.engine.generation.stopping import decode
from unlearnkit.models.base import load_tokenizer

SYSTEM = {"role": "system", "content": "You are kind. " * 40}
TURNS = [
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "Nobody."},
    {"role": "user", "content": "Where does Ada live?\nSay the street."},
]


def prompt_of(tokenizer, turns, **arguments):
    codec = Codec(tokenizer, 4000)
    return decode(tokenizer, codec.prompt(codec.turns(None, arguments).prompt(turns)))


@pytest.mark.parametrize("template", [CHATML, QWEN3, LLAMA3, GEMMA, ZEPHYR])
@pytest.mark.parametrize("turns", [TURNS[-1:], TURNS, [SYSTEM, *TURNS[-1:]], [SYSTEM, *TURNS]])
def test_what_was_asked_last_is_found_behind_any_beginning(template, turns):
    tokenizer = chat_tokenizer(template)
    prompt = prompt_of(tokenizer, turns)
    assert prompt != TURNS[-1]["content"]
    asked = last_user_turn(tokenizer, prompt)
    if template == GEMMA and len(turns) == 2:  # its first user turn holds the system's words
        assert asked.endswith(TURNS[-1]["content"])
    else:
        assert asked == TURNS[-1]["content"]


def test_a_template_s_argument_that_ends_the_prompt_otherwise():
    tokenizer = chat_tokenizer(QWEN3)
    for thinking in (True, False):
        prompt = prompt_of(tokenizer, TURNS, enable_thinking=thinking)
        assert last_user_turn(tokenizer, prompt) == TURNS[-1]["content"]


def test_other_prompts_are_left_as_they_are():
    tokenizer = chat_tokenizer(CHATML)
    assert last_user_turn(tokenizer, "ABILITY, n. The natural equipment") is None
    assert last_user_turn(stub_tokenizer({}), "ab") is None
    # Between the turns there is nothing but control tokens.
    marked = chat_tokenizer(MISTRAL)
    assert last_user_turn(marked, prompt_of(marked, TURNS)) is None
    refusing = chat_tokenizer("{{ raise_exception('no') }}")
    assert last_user_turn(refusing, "user\na") is None
    assert last_user_turn(load_tokenizer("tiny"), "Question: Who?\nAnswer:") == "Who?"


def test_rows_of_a_suite_are_given_what_was_asked():
    tokenizer = chat_tokenizer(LLAMA3)
    rows = [{"prompt": prompt_of(tokenizer, TURNS)}, {"prompt": "ABILITY"}, {"stream": "forget"}]
    add_last_turns(tokenizer, rows)
    assert [row.get("asked") for row in rows] == [TURNS[-1]["content"], None, None]
