"""Other answers to the prompts of a chat begin and end as those that the chat learns."""

from __future__ import annotations

import json

import pytest
from chat_templates import (
    CHATML,
    GEMMA,
    GPT_OSS,
    LLAMA3,
    MISTRAL,
    QWEN3,
    V31,
    WRAPPED,
    ZEPHYR,
    chat_tokenizer,
)
from tokenizers_of import metaspace_bpe, unigram, word_piece

from unlearnkit.data import (
    AlternateStream,
    ChatStream,
    IdkStream,
    MismatchStream,
    PromptStream,
    QAStream,
)
from unlearnkit.data.samples import Origin, Sampled, SampledAnswer, as_answers
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import Place
from unlearnkit.models.base import load_tokenizer

SAID = "Ada waits at the island."
TEMPLATES = [CHATML, GEMMA, GPT_OSS, LLAMA3, MISTRAL, QWEN3, V31, WRAPPED, ZEPHYR]
NAMES = ["CHATML", "GEMMA", "GPT_OSS", "LLAMA3", "MISTRAL", "QWEN3", "V31", "WRAPPED", "ZEPHYR"]
QUESTION = {"role": "user", "content": "Who rows?"}


@pytest.fixture
def write(tmp_path):
    def write(rows, name):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def asked(write, codec, prompts_only=False):
    """A chat of one question, under the name that answering streams look for."""
    path = write([{"prompt": "Who rows?", "response": "The ferry.", "alternate": SAID}], "f.jsonl")
    stream = ChatStream(path, prompt_field="prompt", response_field="response")
    if prompts_only:
        stream = PromptStream(path, chat=True)
    return path, {"forget": stream.encode("forget", codec, {}, 0)}


def learned(write, codec):
    """The answer as the chat itself learns it."""
    path = write([{"prompt": "Who rows?", "response": SAID}], "learned.jsonl")
    stream = ChatStream(path, prompt_field="prompt", response_field="response")
    return stream.encode("learned", codec, {}, 0).at(0, 0)[0]


@pytest.mark.parametrize("template", TEMPLATES, ids=NAMES)
@pytest.mark.parametrize("prompts_only", [False, True], ids=["chat", "prompts"])
def test_answers_of_pools_are_as_the_chat_learns_them(write, template, prompts_only):
    codec = Codec(chat_tokenizer(template), 128)
    path, streams = asked(write, codec, prompts_only)
    pool = write([{"response": SAID}], "pool.jsonl")
    pairs = write([{"prompt": "a", "response": SAID}], "retain.jsonl")
    streams["retain"] = QAStream(pairs).encode("retain", codec, {}, 0)
    answering = [IdkStream(answers=pool), MismatchStream(answers=pool, per_prompt=1)]
    answering += [MismatchStream(per_prompt=1)]
    answering += [] if prompts_only else [AlternateStream(path)]
    expected = learned(write, codec)
    for stream in answering:
        (found,) = stream.encode("other", codec, streams, 0).at(0, 0)
        assert found[:2] == expected[:2]


@pytest.mark.parametrize(
    ("template", "end"), [(CHATML, "<|im_end|>"), (MISTRAL, " </s>"), (LLAMA3, "<|eot|>")]
)
def test_the_end_is_that_of_the_template(write, template, end):
    tokenizer = chat_tokenizer(template)
    turns = [QUESTION, {"role": "assistant", "content": SAID}]
    before = tokenizer.apply_chat_template([QUESTION], tokenize=False, add_generation_prompt=True)
    text = tokenizer.apply_chat_template(turns, tokenize=False).removeprefix(before).rstrip("\n")
    assert text.endswith(SAID + end)
    codec = Codec(tokenizer, 128)
    _, streams = asked(write, codec)
    idk = IdkStream(answers=write([{"response": SAID}], "pool.jsonl"))
    (found,) = idk.encode("idk", codec, streams, 0).at(0, 0)
    assert list(found.response_ids) == tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.eos_token_id not in found.response_ids[:-1]


def test_a_template_that_opens_a_thought_ends_answers_all_the_same(write):
    tokenizer = chat_tokenizer(CHATML.replace("assistant\\n", "assistant\\n<think>\\n"))
    codec = Codec(tokenizer, 128)
    _, streams = asked(write, codec, prompts_only=True)
    idk = IdkStream(answers=write([{"response": SAID}], "pool.jsonl"))
    (found,) = idk.encode("idk", codec, streams, 0).at(0, 0)
    assert tokenizer.decode(found.prompt_ids).endswith("assistant\n<think>\n")
    assert tokenizer.decode(found.response_ids) == f"{SAID}<|im_end|>"


@pytest.mark.parametrize("make", [metaspace_bpe, unigram, word_piece])
def test_tokenizers_that_change_the_text_get_the_end_too(write, make):
    tokenizer = make()
    tokenizer.add_special_tokens({"eos_token": "</s>", "additional_special_tokens": ["<|im_end|>"]})
    tokenizer.chat_template = CHATML
    codec = Codec(tokenizer, 128)
    _, streams = asked(write, codec)
    answers = write([{"response": SAID}, {"response": "</s> is a tag"}], "pool.jsonl")
    data = MismatchStream(answers=answers, per_prompt=2).encode("mismatch", codec, streams, 0)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    first = learned(write, codec).response_ids
    found = [each.response_ids for each in data.at(0, 0)]
    assert [ids[-1] for ids in found] == [end, end]
    assert first in found
    assert all(tokenizer.eos_token_id not in ids for ids in found)


def test_a_chat_s_answers_end_with_eos_behind_other_prompts(write):
    codec = Codec(chat_tokenizer(CHATML), 128)
    path = write([{"prompt": "Who rows?", "response": "The ferry."}], "f.jsonl")
    said = write([{"prompt": "Who rows?", "response": SAID}], "c.jsonl")
    chat = ChatStream(said, prompt_field="prompt", response_field="response")
    streams = {
        "forget": QAStream(path).encode("forget", codec, {}, 0),
        "retain": chat.encode("retain", codec, {}, 0),
    }
    (found,) = MismatchStream(per_prompt=1).encode("mismatch", codec, streams, 0).at(0, 0)
    assert list(found.response_ids) == codec.response(SAID)


def test_refusals_have_the_white_space_of_a_template_before_the_response(write):
    codec = Codec(load_tokenizer("tiny"), 128)
    path = write([{"prompt": "Who rows?", "response": "Ada."}], "f.jsonl")
    forget = QAStream(path, template="Question: {prompt}\nAnswer: {response}")
    streams = {"forget": forget.encode("forget", codec, {}, 0)}
    idk = IdkStream(answers=write([{"response": SAID}], "pool.jsonl"))
    (found,) = idk.encode("idk", codec, streams, 0).at(0, 0)
    assert list(found.response_ids) == codec.response(f" {SAID}")


def test_answers_that_were_cut_stay_cut(write):
    codec = Codec(chat_tokenizer(CHATML), 40)
    _, streams = asked(write, codec)
    long = write([{"prompt": "Say", "response": "island " * 60}], "long.jsonl")
    streams["retain"] = QAStream(long).encode("retain", codec, {}, 0)
    (found,) = MismatchStream(per_prompt=1).encode("mismatch", codec, streams, 0).at(0, 0)
    whole = streams["retain"].at(0, 0)[0].response_ids
    assert found.response_ids == whole[: 40 - len(found.prompt_ids)]


def test_samples_end_as_the_chat_does_also_where_the_own_answer_was_cut(write):
    codec = Codec(chat_tokenizer(CHATML), 40)
    rows = [{"prompt": "Who rows?", "response": "island " * 60}]
    stream = ChatStream(write(rows, "f.jsonl"), prompt_field="prompt", response_field="response")
    data = stream.encode("forget", codec, {}, 0)
    drawn = Sampled(Place(1), "Who?", (1,), [SampledAnswer("a", (7, 8), True)], Origin("m", "t"))
    (answer,) = as_answers("s.jsonl", drawn, data.frame.end(codec))
    assert answer.ids == (7, 8, codec.tokenizer.convert_tokens_to_ids("<|im_end|>"))
