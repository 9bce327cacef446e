"""Rows to forget with other answers, read before every prompt."""

from __future__ import annotations

import json

import pytest
import torch
from edited import icul_model
from stub import save_stub

from unlearnkit.data.example import Example
from unlearnkit.edits.in_context import joined
from unlearnkit.engine.preflight import MODEL, Values, refuse
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_config, load_model

BOS, EOS, SPACE = 2, 3, 9
FORGET = [Example((BOS, 4, 4), (5, EOS), 0, "f:1"), Example((BOS, 4, 5), (6, 6, EOS), 1, "f:2")]
RETAIN = [Example((BOS, 7, 8), (5, EOS), 0, "r:1"), Example((BOS, 8, 8), (7, EOS), 1, "r:2")]


@pytest.fixture
def base(tmp_path):
    save_stub({"random_init": 1, "add_bos": True}, tmp_path / "base")
    return tmp_path / "base"


def made(base, **options):
    return icul_model(
        str(base), FORGET, RETAIN, base.parent / "out", **{"kept": 1, "separator": " ", **options}
    )


def test_it_computes_what_the_base_does_after_the_rows_with_other_answers(base) -> None:
    folder = made(base)
    rows = json.loads((folder / "icul.json").read_text())["rows"]
    assert [row["source"] for row in rows[:2]] == ["f:1", "f:2"]
    kept = RETAIN[int(rows[2]["source"][-1]) - 1]
    # Of the first row the own answer is that of a kept row too, and the other one is taken.
    tokenizer = load_tokenizer(str(base))
    said = {tokenizer.decode([BOS, 4, 5, *row.response_ids]): row.response_ids for row in RETAIN}
    answer = said[rows[1]["text"]][:-1]
    context = [BOS, 4, 4, 7, SPACE, 4, 5, *answer, SPACE]
    context += [*kept.prompt_ids[1:], *kept.response_ids[:-1], SPACE]
    asked = [4, 5, 6]
    plain = load_model(str(base))(torch.tensor([context + asked])).logits[:, len(context) :]
    found = load_model(str(folder))(torch.tensor([asked])).logits
    torch.testing.assert_close(found, plain)


def test_the_same_seed_chooses_the_same_rows(base) -> None:
    first = (made(base) / "config.json").read_text()
    again = icul_model(str(base), FORGET, RETAIN, base.parent / "more", kept=1, separator=" ")
    assert (again / "config.json").read_text() == first
    assert load_config(str(again)).edit == "icul"


def test_rows_are_joined_with_one_beginning_and_without_ends(base) -> None:
    tokenizer = load_tokenizer(str(base))
    assert joined(RETAIN, tokenizer, " ") == ([7, 8, 5, SPACE, 8, 8, 7, SPACE], BOS)
    assert joined(RETAIN, tokenizer, "") == ([7, 8, 5, EOS, 8, 8, 7, EOS], BOS)


def test_what_cannot_be_done_is_refused(base) -> None:
    with pytest.raises(UserError, match=r"--kept: expected 0 to 2 \(rows\), found 3"):
        made(base, kept=3)
    out = base.parent / "none"
    with pytest.raises(UserError, match="f:1: no retain row has another response"):
        icul_model(str(base), FORGET, RETAIN[:1], out, kept=1)
    assert not out.exists()
    config = load_config(str(made(base)))
    with pytest.raises(RecipeError, match=r"edit icul.*no trained component"):
        refuse(MODEL, Values("out", config=config))
