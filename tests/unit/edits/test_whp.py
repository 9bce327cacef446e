"""Generic labels of Who's Harry Potter, worked out by hand."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unlearnkit.data.anchors import Tokens
from unlearnkit.data.example import Example
from unlearnkit.edits import WhpLabels
from unlearnkit.edits.whp import labels_of
from unlearnkit.errors import UserError
from unlearnkit.models.base import load_tokenizer

TERM, PLAIN = Tokens([(0, (5, 6), (9,))]), Tokens([])
ROW = Example((1,), (5, 6, 7, 5, 6, 2), 0, "toy")


class Last(nn.Module):
    """A model whose prediction depends on the last token: logits by token and next token."""

    def __init__(self, logits: dict[int, dict[int, float]]) -> None:
        super().__init__()
        table = torch.zeros(10, 10)
        for token, given in logits.items():
            for other, value in given.items():
                table[token, other] = value
        self.table = nn.Parameter(table)

    def forward(self, input_ids: Tensor) -> Any:
        return SimpleNamespace(logits=self.table[input_ids])


BASE = Last({1: {5: 3.0, 9: 2.5}, 9: {7: 2.0, 8: 1.0}, 6: {7: 4.0}, 7: {9: 1.0}, 5: {6: 1.0}})
REINFORCED = Last({1: {5: 8.0}, 6: {7: 2.4, 2: 9.0}, 7: {5: 5.0}, 5: {6: 7.0}})


def test_labels_of_a_row_with_a_term() -> None:
    # Token 5 behind 1: 3 - 5·5 loses to 2.5 of token 9. 6 is within the term. 7 is predicted by
    # what follows the generic 9: 2 - 5·0.4 = 0 loses to 8, which behind 6 itself would be 7's.
    # The second 5 begins the term again, 6 is within it, and 2 behind it is 8 once more.
    found = labels_of(BASE, REINFORCED, ROW, TERM, 5.0)
    assert found == [9, None, 8, None, None, 8]


def test_without_a_dictionary_every_token_has_a_label() -> None:
    found = labels_of(BASE, Last({}), ROW, PLAIN, 5.0)
    assert found == [5, 6, 7, 9, 6, 7]  # what the base says by itself


def test_the_raise_counts_by_its_factor() -> None:
    one = Example((1,), (5,), 0, "toy")
    assert labels_of(BASE, REINFORCED, one, PLAIN, 0.0) == [5]
    assert labels_of(BASE, REINFORCED, one, PLAIN, 0.09) == [5]  # 3 - 0.45 is above 2.5
    assert labels_of(BASE, REINFORCED, one, PLAIN, 0.11) == [9]


def test_an_expression_that_was_named_before_is_lowered() -> None:
    row = Example((5, 6), (7, 3), 0, "toy")
    base = Last({9: {7: 2.0}, 6: {7: 4.0}, 7: {9: 1.0, 4: 0.4}})
    found = {
        lowered: labels_of(base, Last({}), row, TERM, 5.0, lowered)[1]
        for lowered in (0.0, 0.5, 0.7, math.inf)
    }
    assert found == {0.0: 9, 0.5: 9, 0.7: 4, math.inf: 4}  # behind 7: 1 less that, against 0.4
    # Of a term that has not come yet nothing is taken, nor without a dictionary.
    first = Example((7,), (3, 5, 6), 0, "toy")
    assert labels_of(base, Last({}), first, TERM, 5.0)[0] == 9
    assert labels_of(base, Last({}), row, PLAIN, 5.0) == [7, 9]


def test_an_amount_below_0_is_refused() -> None:
    with pytest.raises(UserError, match="--lowered: expected at least 0, found -1"):
        WhpLabels("tiny", "run", lowered=-1.0)


def test_the_files_of_a_run(tmp_path) -> None:
    tokenizer = load_tokenizer("tiny")
    prompt, response = (tokenizer.encode(each) for each in ("Tom sat", " on a wall."))
    edit = WhpLabels("tiny", "run", dictionary=str(tmp_path / "terms.jsonl"))
    (tmp_path / "terms.jsonl").write_text('{"term": "Tom", "generic": "Ada"}\n')
    rows = [Example(tuple(prompt), tuple(response), 3, "toy:1")]
    edit.read_runs(lambda run: ("tiny", rows))  # pyright: ignore
    edit.write(tmp_path / "out")
    (line,) = [json.loads(each) for each in (tmp_path / "out/labels.jsonl").open()]
    assert (line["row"], line["tokens"]) == (3, response)
    assert len(line["labels"]) == len(response)
    assert json.loads((tmp_path / "out/dictionary.jsonl").read_text())["generic"] == "Ada"
    assert "1 of 1 terms stand in the rows" in edit.remark


def test_two_prompts_with_one_response_in_a_row_are_refused(tmp_path) -> None:
    edit = WhpLabels("tiny", "run")
    edit.rows = [ROW, ROW._replace(prompt_ids=(2,))]
    with pytest.raises(UserError, match="the row has the same response twice"):
        edit.write(tmp_path / "out")
    assert not (tmp_path / "out").exists()
