from types import SimpleNamespace

import pytest
from chat_templates import (
    CHATML,
    GEMMA,
    GPT_OSS,
    LLAMA3,
    MISTRAL,
    QWEN3,
    R1,
    V31,
    WRAPPED,
    ZEPHYR,
    chat_tokenizer,
)

from unlearnkit.data.rows.same import keys_of
from unlearnkit.data.tokens.chat_template import ChatTemplate
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.turns import NoBorder, Turns
from unlearnkit.engine.generation.generate import _end_ids
from unlearnkit.engine.generation.stopping import decode
from unlearnkit.suites.parts.continuations import text_of

ASKED = [{"role": "user", "content": "Who rows?"}]
ANSWER = {"role": "assistant", "content": "Ada."}
THOUGHT = {**ANSWER, "reasoning_content": "The sailor."}
CALL = {"type": "function", "function": {"name": "look", "arguments": {"who": "Ada"}}}
SHOWN_CALL = '<tool_call>{"name": "look", "arguments": {"who": "Ada"}}</tool_call>'
QWEN3_ASKED = "<|im_start|>user\nWho rows?<|im_end|>\n<|im_start|>assistant\n"


def turns(template, **arguments):
    return Turns(ChatTemplate(chat_tokenizer(template), "2025-01-01", arguments=arguments))


@pytest.mark.parametrize(
    ("template", "prompt", "answer"),
    [
        (CHATML, QWEN3_ASKED, "Ada.<|im_end|>"),
        (QWEN3, f"{QWEN3_ASKED}<think>\n\n</think>\n\n", "Ada.<|im_end|>"),
        (V31, "<s><|User|>Who rows?<|Assistant|></think>", "Ada.</s>"),
        (
            GPT_OSS,
            "<|start|>user<|message|>Who rows?<|end|><|start|>assistant<|channel|>final<|message|>",
            "Ada.<|return|>",
        ),
        (
            LLAMA3,
            "<s><|head|>user<|/head|>\n\nWho rows?<|eot|><|head|>assistant<|/head|>\n\n",
            "Ada.<|eot|>",
        ),
        (GEMMA, "<s><turn>user\nWho rows?</turn>\n<turn>model\n", "Ada.</turn>"),
        (MISTRAL, "<s>[INST] Who rows? [/INST]", " Ada. </s>"),
        (ZEPHYR, "<|user|>\nWho rows?</s>\n<|assistant|>\n", "Ada.</s>"),
        (WRAPPED, "Question: Who rows?\nAnswer: <|begin|>", "Ada.<|end|>"),
    ],
    ids=["chatml", "qwen3", "v3.1", "gpt-oss", "llama3", "gemma", "mistral", "zephyr", "wrapped"],
)
def test_what_every_answer_begins_with_is_the_prompt_s(template, prompt, answer):
    found = turns(template)
    assert found.split([*ASKED, ANSWER], 1) == (prompt, answer)
    assert found.prompt(ASKED) == prompt, "generation begins where scoring does"
    whole = ChatTemplate(chat_tokenizer(template), "2025-01-01").render([*ASKED, ANSWER])
    assert whole.startswith(prompt)


@pytest.mark.parametrize(
    "said", ["A", "<", "<think>", "Zebras", "quiet moon", "\nAda", "n", "(end"]
)
@pytest.mark.parametrize("template", [QWEN3, GPT_OSS, WRAPPED, MISTRAL])
def test_the_border_does_not_depend_on_the_answer(template, said):
    found = turns(template)
    prompt, answer = found.split([*ASKED, {"role": "assistant", "content": said}], 1)
    usual, end = found.split([*ASKED, ANSWER], 1)
    assert (prompt, answer) == (usual, end.replace("Ada.", said))


def test_a_thought_is_learned_and_its_opening_is_the_prompt_s():
    assert turns(QWEN3).split([*ASKED, THOUGHT], 1) == (
        f"{QWEN3_ASKED}<think>\n",
        "The sailor.\n</think>\n\nAda.<|im_end|>",
    )
    prompt, answer = turns(GPT_OSS).split([*ASKED, THOUGHT], 1)
    assert prompt.endswith("<|start|>assistant<|channel|>")
    assert answer == (
        "analysis<|message|>The sailor.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Ada.<|return|>"
    )


def test_a_thought_within_the_text_is_one_too():
    answer = {"role": "assistant", "content": "<think>\nThe sailor.\n</think>\n\nAda."}
    assert turns(QWEN3).split([*ASKED, answer], 1) == turns(QWEN3).split([*ASKED, THOUGHT], 1)


def test_arguments_reach_the_template():
    empty = f"{QWEN3_ASKED}<think>\n\n</think>\n\n"
    off = turns(QWEN3, enable_thinking=False)
    assert off.template.render(ASKED, answer_next=True) == empty
    assert turns(QWEN3).template.render(ASKED, answer_next=True) == QWEN3_ASKED
    assert off.split([*ASKED, ANSWER], 1) == (empty, "Ada.<|im_end|>")
    with pytest.raises(NoBorder, match="generation prompt is not how turn 2 begins"):
        off.split([*ASKED, THOUGHT], 1)


def test_a_call_shares_with_other_answers_what_the_template_says():
    call = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert turns(QWEN3).split([*ASKED, call], 1) == (
        f"{QWEN3_ASKED}<think>\n\n</think>\n\n",
        f"{SHOWN_CALL}<|im_end|>",
    )
    # The mark of a call begins as that of a thought does: no half of it is the prompt's.
    bare = QWEN3.replace("(loop.last or thought)", "(loop.last or thought) and not m.tool_calls")
    assert turns(bare).split([*ASKED, call], 1) == (QWEN3_ASKED, f"{SHOWN_CALL}<|im_end|>")


def test_earlier_turns_end_as_the_template_ends_them():
    later = [*ASKED, ANSWER, *ASKED, ANSWER]
    assert turns(GEMMA).split(later, 1) == turns(GEMMA).split([*ASKED, ANSWER], 1)
    prompt, answer = turns(GEMMA).split(later, 3)
    assert prompt == (
        "<s><turn>user\nWho rows?</turn>\n<turn>model\nAda.</turn>\n"
        "<turn>user\nWho rows?</turn>\n<turn>model\n"
    )
    assert answer == "Ada.</turn>"


def test_an_opened_thought_without_a_thought_is_refused_with_what_differs():
    with pytest.raises(
        NoBorder, match=r"it ends in '<think>\\n', the turn goes on with 'Ada\."
    ) as e:
        turns(R1).split([*ASKED, ANSWER], 1)
    assert "`template` of a stream `qa`" in e.value.expected


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        (QWEN3, "<|im_end|>"),
        (GPT_OSS, "<|return|>"),
        (LLAMA3, "<|eot|>"),
        (MISTRAL, "</s>"),
        (R1, None),
        (None, None),
    ],
)
def test_generation_ends_with_the_turn(template, end):
    tokenizer = chat_tokenizer(template)
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=7))
    named = {"</s>", end} - {None}
    assert _end_ids(model, tokenizer) == {7, *tokenizer.convert_tokens_to_ids(named)}


def test_marks_of_turns_are_no_words_of_an_answer():
    tokenizer = chat_tokenizer(CHATML)
    ids = tokenizer("Ada.<|im_end|></s>", add_special_tokens=False)["input_ids"]
    # To transformers the mark is a word like any other, as it is not special.
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Ada.<|im_end|>"
    assert decode(tokenizer, ids) == text_of(tokenizer, ids) == "Ada."
    same, ended = keys_of(Codec(tokenizer, 9))([ids, ids[:-2]])
    assert same == ended
