"""`unlearnkit chat`: lines of the input as questions, and answers side by side."""

import io

import pytest
from stub import save_stub, stub_model, stub_tokenizer

from unlearnkit.cli.conversation import Conversation
from unlearnkit.engine.generation.generate import generate
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model


@pytest.fixture
def lines(monkeypatch):
    def give(text):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return give


@pytest.fixture
def chatty(folder):
    """A stub with a template that spells its turns out in letters."""
    template = (
        "{% for m in messages %}{{ {'system': 'e', 'user': 'a', 'assistant': 'b'}[m.role] }}"
        "{{ m.content }} {% endfor %}{% if add_generation_prompt %}b{% endif %}"
    )
    stub_model({"random_init": 4}).save_pretrained(folder / "chatty")
    stub_tokenizer({"chat_template": template}).save_pretrained(folder / "chatty")
    return "chatty"


def test_an_answer_in_pieces_is_the_answer_at_once_and_is_remembered(chatty):
    model, tokenizer = load_model(chatty), load_tokenizer(chatty)
    talk = Conversation(chatty, system="dd", max_new_tokens=20)

    def expected(text):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        return generate(model, tokenizer, [ids], max_new_tokens=20)[0].text.strip()

    first = list(talk.answer("ab"))
    assert first[-1] == expected("edd aab b")
    assert all(first[-1].startswith(piece) for piece in first)
    second = list(talk.answer("c"))
    assert second[-1] == expected(f"edd aab b{first[-1]} ac b")


def test_each_line_is_a_question_to_both_models(command, folder, chatty, lines):
    save_stub({"random_init": 2}, folder / "plain")
    lines("ab\n\nc\n/exit\nnever\n")
    done = command("chat", chatty, "--against", "plain", "--max_new_tokens", "3")
    assert done.code == 0, done.err
    assert [line for line in done.out.splitlines() if line.startswith("you")] == [
        "you: ab", "you: c",
    ]  # fmt: skip
    heads = [line for line in done.out.splitlines() if "chatty" in line]
    assert len(heads) == 2
    assert all(line.index("plain") < line.index("chatty") for line in heads)
    assert "plain has no chat template" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max_new_tokens", "0"), "--max_new_tokens: expected at least 1"),
        (("--against", "base"), "is not a finished run"),
        (("--template", "other"), "other"),
    ],
)
def test_what_is_wrong_is_said(command, chatty, lines, words, said):
    lines("ab\n")
    done = command("chat", chatty, *words)
    assert (done.code, said in done.err) == (2, True), done.err


def test_a_system_turn_needs_a_template(command, folder, lines):
    save_stub({"random_init": 2}, folder / "plain")
    lines("ab\n")
    done = command("chat", "plain", "--system", "d")
    assert (done.code, "--system: plain has no chat template" in done.err) == (2, True)
