"""Suites and `generate` ask as the chat stream trains: one border of the answer everywhere."""

import copy
import json

import pytest
import torch
from chat_templates import GEMMA, LLAMA3, QWEN3, R1, chat_tokenizer
from stub import save_stub
from transformers import LlamaConfig, LlamaForCausalLM

from unlearnkit.cli.verbs import generate as continuations
from unlearnkit.data import ChatStream
from unlearnkit.data.streams.prompts import PromptStream
from unlearnkit.engine.generation.generate import Generation
from unlearnkit.errors import DataError, RecipeError, UserError
from unlearnkit.suites import (
    Copyright,
    Hallucination,
    LmEval,
    MultipleChoice,
    Rwku,
    SuiteContext,
    Tofu,
)
from unlearnkit.suites.parts.asking import Asking
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.published import Item, Prompting

ITEM = Item(0, "f.jsonl:1", {})
CONTEXT = SuiteContext(max_length=200)
EMPTY = "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps({"prompt": "Who?", "response": "Ada."}) + "\n")
    return str(path)


@pytest.mark.parametrize("template", [QWEN3, GEMMA])
def test_suites_score_the_ids_that_are_trained(rows, template):
    codec = CONTEXT.codec(chat_tokenizer(template))
    stream = ChatStream(rows, prompt_field="prompt", response_field="response")
    (trained,) = stream.encode("forget", codec, {}, 0).at(0, 0)
    asking = Prompting(codec, chat=Chat.chosen(True, None, None))
    scored = asking.examples([(ITEM, "Who?", "Ada.")])[0]
    assert scored[:2] == trained[:2]
    rwku = Asking(None, codec, CONTEXT, Chat.chosen(True, None, None))
    assert tuple(rwku.prompts([("Who?", "")])[0]) == trained.prompt_ids
    asked = PromptStream(rows, chat=True).encode("trained", codec, {}, 0)
    assert asked.at(0, 0)[0].prompt_ids == trained.prompt_ids


@pytest.mark.parametrize("template", [QWEN3, LLAMA3])
def test_a_system_turn_stands_in_front_as_in_training(rows, template):
    codec = CONTEXT.codec(chat_tokenizer(template))
    columns = {"prompt_field": "prompt", "response_field": "response"}
    stream = ChatStream(rows, system="Be brief.", **columns)
    (trained,) = stream.encode("forget", codec, {}, 0).at(0, 0)
    assert "Be brief." in codec.tokenizer.decode(trained.prompt_ids)
    chat = Chat.chosen(True, None, None, "Be brief.")
    scored = Prompting(codec, chat=chat).examples([(ITEM, "Who?", "Ada.")])[0]
    assert scored[:2] == trained[:2]
    assert tuple(Asking(None, codec, CONTEXT, chat).prompts([("Who?", "")])[0]) == (
        trained.prompt_ids
    )
    asked = PromptStream(rows, chat=True, system="Be brief.").encode("trained", codec, {}, 0)
    assert asked.at(0, 0)[0].prompt_ids == trained.prompt_ids


def test_the_template_s_words_are_no_part_of_what_is_compared(tmp_path, monkeypatch):
    # The block was counted as recited: ROUGE-L 0.5, exact memorization 12 of 16, leaks 1.0.
    tokenizer = chat_tokenizer(QWEN3)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )  # fmt: skip
    path = tmp_path / "sailor.jsonl"
    path.write_text(json.dumps({"prompt": "Who?", "response": "A sailor of the sea"}) + "\n")
    stream = ChatStream(str(path), prompt_field="prompt", response_field="response")
    data = {"forget": stream.encode("forget", CONTEXT.codec(tokenizer), {}, 0)}
    said = "I do not know"
    monkeypatch.setattr(
        "unlearnkit.suites.parts.continuations.generate",
        lambda *_, **__: [Generation(said, (), hit_limit=False)],
    )
    suite = Copyright(normal=stream, heldout=stream, neighbour=stream)
    found = suite.run(LlamaForCausalLM(config), tokenizer, SuiteContext(data=data, max_length=200))
    row = found.rows[0]
    assert (row["prompt"], row["reference"]) == (
        "user\nWho?\nassistant\n<think>\n\n</think>\n\n",
        "A sailor of the sea",
    )
    assert (row["rougeL_recall"], row["bleu"]) == (0.0, 0.0)
    assert (found.values["forget/leak_rate"], found.values["forget/rougeL_recall"]) == (0, 0)


def test_arguments_of_a_suite_reach_the_template():
    codec = CONTEXT.codec(chat_tokenizer("{{ greeting }}" + QWEN3))
    chat = Chat.chosen(True, None, {"greeting": "Hey! "})
    found = Prompting(codec, chat=chat).examples([(ITEM, "Who?", "Ada.")])[0]
    assert codec.tokenizer.decode(found.prompt_ids) == "Hey! " + EMPTY
    with pytest.raises(RecipeError, match="does not read 'thinking'"):
        Prompting(codec, chat=Chat.chosen(True, None, {"thinking": True}))


@pytest.mark.parametrize(
    "make",
    [
        Tofu,
        lambda **given: Hallucination("halueval", **given),
        Rwku,
        lambda **given: MultipleChoice("questions.json", **given),
        lambda **given: LmEval(["letters"], **given),
        lambda **given: PromptStream("f.jsonl", **given),
    ],
    ids=["tofu", "hallucination", "rwku", "multiple_choice", "lm_eval", "prompts"],
)
def test_a_template_without_chat_is_refused(make):
    assert make(chat=True, chat_template="rag", template_arguments={"a": 1}) is not None
    with pytest.raises(RecipeError, match="chat_template: without `chat: true`"):
        make(chat_template="rag")
    with pytest.raises(RecipeError, match="template_arguments: without `chat: true`"):
        make(template_arguments={"a": 1})
    assert make(chat=True, system="Be brief.") is not None
    with pytest.raises(RecipeError, match="system: without `chat: true`"):
        make(system="Be brief.")


def test_the_harness_gets_the_arguments_with_its_tokenizer():
    suite = LmEval(["letters"], chat=True, template_arguments={"enable_thinking": False})
    tokenizer = chat_tokenizer(QWEN3)
    own = suite._asking(tokenizer)
    ask = [{"role": "user", "content": "Who?"}]
    options = {"tokenize": False, "add_generation_prompt": True}
    assert own.apply_chat_template(ask, **options) == EMPTY
    assert copy.deepcopy(own).apply_chat_template(ask, **options) == EMPTY
    assert tokenizer.apply_chat_template(ask, **options) != EMPTY, "the caller's is left alone"


def test_a_question_that_a_template_refuses_is_named_by_row():
    codec = CONTEXT.codec(chat_tokenizer(R1))
    with pytest.raises(DataError, match=r"f\.jsonl:1: found a chat template whose generation"):
        Prompting(codec, chat=Chat.chosen(True, None, None)).examples([(ITEM, "Who?", "Ada.")])[0]


def test_the_date_and_control_tokens_of_the_recipe_are_the_suite_s():
    context = SuiteContext(date="2030-02-01", control_tokens="keep")
    codec = context.codec(chat_tokenizer("{{ date_string }}" + GEMMA))
    asking = Prompting(codec, chat=Chat.chosen(True, None, None))
    prompt = asking.examples([(ITEM, "Who?</s>", "Ada.")])[0].prompt_ids
    assert codec.tokenizer.decode(prompt).startswith("01 Feb 2030<s>")
    assert codec.tokenizer.eos_token_id in prompt
    asking = Prompting(CONTEXT.codec(codec.tokenizer), "<s>{prompt}</s>: {response}")
    prompt = asking.examples([(ITEM, "Who?</s>", "Ada.")])[0].prompt_ids
    assert prompt.count(codec.tokenizer.eos_token_id) == 1


def test_generate_asks_as_training_does(tmp_path, monkeypatch):
    template = "{{ greeting }}{% for m in messages %}{% if m.role == 'assistant' %}eb{% else %}d"
    template += "{% endif %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}e{% endif %}"
    folder = str(save_stub({"chat_template": template}, tmp_path / "model"))
    seen = []
    monkeypatch.setattr(continuations, "_continue", lambda base, ids, n: seen.append(ids) or "")

    def asked(prompt, **given):
        seen.clear()
        continuations.continuations(folder, prompt, None, 4, **given)
        return seen[0]

    assert asked("ab", chat=True, template_arguments={"greeting": "c"}) == [6, 7, 4, 5, 8, 5]
    assert asked("ab<eos>", chat=False) == [4, 5, 3]  # typed, not read from a file
    assert 3 not in asked("ab<eos>", chat=True)
    for given, found in (
        ({"chat": False, "template": "x"}, "--template: has no effect without --chat"),
        ({"chat": True, "template": "x"}, "no chat template 'x'"),
        ({"chat": True, "template_arguments": {"mood": 1}}, "does not read 'mood'"),
    ):
        with pytest.raises(UserError, match=found):
            asked("ab", **given)
