"""Where a thought ends, in rows and in what a model says."""

from __future__ import annotations

import pytest

from unlearnkit.data.tokens.control import Rendered
from unlearnkit.data.tokens.thoughts import placed, taken_apart

PROMPT = Rendered("Where?<think>\n")


@pytest.mark.parametrize("thoughts", ["learned", "given", "alone"])
def test_no_text_is_lost_or_doubled(thoughts) -> None:
    said = Rendered("Porto.\n</think>\n\n In Porto.</s>")
    found = placed(PROMPT, said, thoughts)
    assert found is not None
    whole = PROMPT + said
    assert "".join(found) == (
        whole[: whole.index("</think>") + 8] if thoughts == "alone" else whole
    )
    # Spaces stay with the first word, and both parts stay what a template wrote.
    assert thoughts != "given" or found[1] == " In Porto.</s>"
    assert all(isinstance(part, Rendered) for part in found)


def test_a_row_without_a_thought_is_given_whole_and_never_alone() -> None:
    said = Rendered("In Porto.</s>")
    assert placed(PROMPT, said, "given") == (PROMPT, said)
    assert placed(PROMPT, said, "alone") is None


@pytest.mark.parametrize(
    ("text", "opened", "thought", "answer", "closed"),
    [
        ("Porto.</think>\nNo idea.", True, "Porto.", "No idea.", True),
        ("<think>\nPorto.</think>No idea.", False, "Porto.", "No idea.", True),
        # A template may have opened it where nobody sees it.
        ("Porto.</think>No idea.", False, "Porto.", "No idea.", True),
        ("Porto, or", True, "Porto, or", "", False),
        ("No idea.", False, None, "No idea.", False),
        ("", True, "", "", False),
    ],
)
def test_a_text_is_taken_apart_at_the_end_of_its_thought(
    text, opened, thought, answer, closed
) -> None:
    assert taken_apart(text, opened) == (thought, answer, closed)
