"""`unlearnkit generate`: says when a model wants its chat template."""

import json

import chat_templates
import pytest
from stub import save_stub, stub_model, stub_tokenizer
from tokenizers import AddedToken

from unlearnkit.cli.verbs.generate import wants_template
from unlearnkit.models.base import load_tokenizer
from unlearnkit.runs.folder import RunSummary


@pytest.fixture
def chat_model(folder):
    """A stub whose turns begin and end with control tokens."""
    tokenizer = stub_tokenizer({"chat_template": chat_templates.CHATML})
    marks = [AddedToken(mark, special=True) for mark in ("<|im_start|>", "<|im_end|>")]
    tokenizer.add_tokens(marks, special_tokens=True)
    tokenizer.save_pretrained(folder / "chatty")
    model = stub_model({"random_init": 1})
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder / "chatty")
    return "chatty"


def test_a_chat_model_that_is_asked_without_its_template_is_told_of_it(command, chat_model):
    bare = command("generate", chat_model, "ab", "--max_new_tokens", "2")
    assert bare.code == 0, bare.err
    assert "chatty has a chat template" in bare.err
    assert "--chat puts it through the template" in bare.err
    asked = command("generate", chat_model, "ab", "--max_new_tokens", "2", "--chat")
    assert asked.code == 0, asked.err
    assert "has a chat template" not in asked.err


def test_of_two_models_it_is_said_once(command, chat_model):
    done = command("generate", chat_model, "ab", "--against", chat_model, "--max_new_tokens", "2")
    assert done.code == 0, done.err
    assert " ".join(done.err.split()).count("the prompt is given bare") == 1


def test_a_run_on_turns_says_so_where_its_template_is_of_plain_words(command, folder):
    save_stub({"random_init": 1}, folder / "run" / "model")
    summary = RunSummary("r", 0, 1, None, folder / "run").as_json()
    (folder / "run" / "summary.json").write_text(json.dumps(summary))
    recipe = folder / "run" / "recipe.yaml"
    for stream, told in (("chat", True), ("qa", False)):
        recipe.write_text(f"data: {{streams: {{forget: {{name: {stream}}}}}}}\n")
        done = command("generate", "run", "ab", "--max_new_tokens", "2")
        assert done.code == 0, done.err
        assert ("went through the chat template" in " ".join(done.err.split())) is told


def test_a_template_of_plain_words_is_not_missed():
    assert not wants_template(load_tokenizer("tiny"))
    assert not wants_template(stub_tokenizer())
    words = "{% for m in messages %}{{ bos_token }}{{ m.content }}<eos>{% endfor %}"
    assert not wants_template(stub_tokenizer({"chat_template": words}))
