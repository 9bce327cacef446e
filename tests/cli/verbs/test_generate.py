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


@pytest.fixture
def run_on(folder):
    """Writes a run whose forget rows are of a stream, on a template that takes a greeting."""
    template = "{{ greeting }}{% for m in messages %}d{{ m.content }}{% endfor %}e"
    save_stub({"chat_template": template}, folder / "run" / "model")
    save_stub({}, folder / "plain")
    summary = RunSummary("r", 0, 1, None, folder / "run").as_json()
    (folder / "run" / "summary.json").write_text(json.dumps(summary))

    def write(stream: str) -> None:
        recipe = f"data: {{streams: {{forget: {stream}}}}}\n"
        (folder / "run" / "recipe.yaml").write_text(recipe)

    return write


def test_a_prompt_goes_the_way_that_the_rows_of_the_run_went(command, run_on, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "unlearnkit.cli.verbs.generate._continue", lambda base, ids, n: asked.append(ids) or ""
    )
    bare, turn, greeted = [4, 5], [7, 4, 5, 8], [6, 7, 4, 5, 8]
    chat = "{name: chat, template_arguments: {greeting: c}}"
    for stream, words, told, prompt in (
        (chat, "run ab", True, greeted),
        (chat, "run/model ab --against run", True, greeted),
        (chat, "plain ab --against run", False, bare),  # a model without a template
        (chat, "run ab --chat false", False, bare),
        (chat, "run ab --chat", False, turn),
        ("{name: qa}", "run ab", False, bare),
    ):
        run_on(stream)
        asked.clear()
        done = command("generate", *words.split())
        said = " ".join(done.err.split())
        assert ("as the rows of run did; --chat false gives it bare" in said) is told, words
        assert done.code == 0, done.err
        assert asked[0] == prompt, words


def test_a_template_of_plain_words_is_not_missed():
    assert not wants_template(load_tokenizer("tiny"))
    assert not wants_template(stub_tokenizer())
    words = "{% for m in messages %}{{ bos_token }}{{ m.content }}<eos>{% endfor %}"
    assert not wants_template(stub_tokenizer({"chat_template": words}))
