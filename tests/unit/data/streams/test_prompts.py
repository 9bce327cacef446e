"""Prompts without responses: read, answered by other streams, refused by losses."""

import json
import re

import pytest
from stub import stub_tokenizer

from unlearnkit.data import IdkStream, MismatchStream, PromptStream
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.packer import Packer
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, RecipeError

TEMPLATE = (
    "{% for m in messages %}d{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}e{% endif %}"
)
CODEC = Codec(stub_tokenizer({"chat_template": TEMPLATE}), 8)


def write(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def prompts(stream):
    data = stream.encode("forget", CODEC, {}, 0)
    assert not data.answered
    found = [data.at(row, row)[0] for row in range(len(data))]
    assert {each.response_ids for each in found} == {()}
    return [CODEC.tokenizer.decode(each.prompt_ids) for each in found]


@pytest.mark.parametrize(
    ("name", "content", "keys"),
    [
        ("a.json", ["ab", "c"], {}),
        ("a.jsonl", '{"prompt": "ab"}\n{"prompt": "c"}', {}),
        ("a.csv", "goal,target\nab,e\nc,e\n", {"prompt_field": "goal"}),
        ("a.json", [{"turns": ["ab", "d"]}, {"turns": ["c"]}], {"prompt_field": "turns.0"}),
    ],
)
def test_prompts_are_read_from_whatever_holds_them(tmp_path, name, content, keys):
    assert prompts(PromptStream(write(tmp_path, name, content), **keys)) == ["ab", "c"]


def test_prompts_stand_in_a_template_or_in_a_turn_of_the_user(tmp_path):
    path = write(tmp_path, "a.json", ["ab"])
    assert prompts(PromptStream(path, template="c{prompt}d")) == ["cabd"]
    assert prompts(PromptStream(path, chat=True)) == ["dabe"]


def test_a_prompt_without_room_for_an_answer_is_refused(tmp_path):
    path = write(tmp_path, "a.json", ["a" * 7, "a" * 8])
    with pytest.raises(DataError) as caught:
        prompts(PromptStream(path))
    (problem,) = caught.value.problems
    assert (problem.found, problem.expected) == (
        "a prompt of 8 tokens",
        "fewer than max_length, 8",
    )


def test_other_streams_answer_prompts(tmp_path):
    forget = PromptStream(write(tmp_path, "a.json", ["ab"])).encode("forget", CODEC, {}, 0)
    pool = write(tmp_path, "b.json", ["dd", "ee"])
    data = IdkStream(answers=pool).encode("idk", CODEC, {"forget": forget}, 0)
    drawn = {CODEC.tokenizer.decode(data.at(0, n)[0].response_ids) for n in range(2)}
    assert drawn == {"dd<eos>", "ee<eos>"}


def test_a_pool_of_prompts_is_refused(tmp_path):
    forget = PromptStream(write(tmp_path, "a.json", ["ab"])).encode("forget", CODEC, {}, 0)
    with pytest.raises(RecipeError, match="'forget' is not a stream with answers"):
        MismatchStream(answers="forget").encode("mismatch", CODEC, {"forget": forget}, 0)


def test_a_loss_on_prompts_is_refused(tmp_path):
    module = UnlearningDataModule({"forget": PromptStream(write(tmp_path, "a.json", ["ab"]))})
    module.check()
    with pytest.raises(RecipeError, match=re.escape("'forget' has prompts alone")):
        module.use(Packer("rows", frozenset({"forget"})))
