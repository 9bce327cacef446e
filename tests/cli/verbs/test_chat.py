"""`unlearnkit chat`: lines of the input as questions, and answers side by side."""

import io
import re

import pytest
from rich.console import Console
from stub import save_stub, stub_model, stub_tokenizer

from unlearnkit.cli import console
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


def test_pieces_of_the_answers_come_in_turn():
    answers = [["a", "ab", "abc"], ["x"], [], ["1", "12"]]
    assert list(console._in_turn(answers)) == [
        (0, "a"), (1, "x"), (3, "1"), (0, "ab"), (3, "12"), (0, "abc"),
    ]  # fmt: skip
    # Nothing is asked of an answer before its turn.
    asked = []

    def answer(name):
        for number in range(2):
            asked.append(f"{name}{number}")
            yield name

    list(console._in_turn([answer("a"), answer("b")]))
    assert asked == ["a0", "b0", "a1", "b1"]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(("width", "beside"), [(120, True), (80, True), (79, False)])
def test_two_columns_where_there_is_room(monkeypatch, terminal, width, beside):
    written = io.StringIO()
    shown = Console(file=written, force_terminal=terminal, width=width, highlight=False)
    monkeypatch.setattr(console, "out", lambda: shown)
    console.show_answers([("base", ["one", "one [red]two"]), ("mine", ["three"])])
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue())
    lines = re.split(r"[\r\n]+", text)
    assert max(map(len, lines)) <= width
    heads = [line for line in lines if "base" in line]
    assert all(("mine" in line) is beside for line in heads)
    assert "one [red]two" in text
    last = [line for line in lines if "three" in line][-1]
    assert ("[red]two" in last) is beside
