"""Labels from a file in the place of a row's tokens."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import DataError, RecipeError, UserError
from unlearnkit.objectives import GenericLabels


class Given:
    """Logits of three tokens over a vocabulary of four."""

    def __init__(self) -> None:
        # Probabilities 1/2, 1/4, 1/8, 1/8 at each token.
        row = torch.tensor([4.0, 2.0, 1.0, 1.0]).log()
        self.values = row.repeat(3, 1).requires_grad_()

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.values[tokens]


def view(source: Any, **given: Any) -> StreamView:
    return StreamView(
        source,
        None,
        tokens=torch.arange(3),
        target=torch.tensor([0, 1, 0]),
        sequence=torch.tensor([0, 0, 1]),
        rows=(4, 5),
        counts=(2, 1),
        **given,
    )


def labels(tmp_path: Path, *rows: dict[str, Any]) -> str:
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


FIRST = {"row": 4, "tokens": [0, 1], "labels": [1, None]}
SECOND = {"row": 5, "tokens": [0], "labels": [2]}


def test_the_mean_over_tokens_of_what_the_labels_cost(tmp_path: Path) -> None:
    source = Given()
    loss = GenericLabels(labels(tmp_path, FIRST, SECOND))({"forget": view(source)})
    assert loss.item() == pytest.approx((math.log(4) + 0 + math.log(8)) / 3)
    loss.backward()
    slope = source.values.grad
    assert slope is not None
    # p - e of the label, over three tokens; nothing where there is none.
    assert torch.allclose(slope[0] * 3, torch.tensor([0.5, -0.75, 0.125, 0.125]))
    assert not slope[1].any()


def test_labels_that_are_the_tokens_cost_what_nll_does(tmp_path: Path) -> None:
    own = ({**FIRST, "labels": [0, 1]}, {**SECOND, "labels": [0]})
    loss = GenericLabels(labels(tmp_path, *own))({"forget": view(Given())})
    assert loss.item() == pytest.approx((math.log(2) + math.log(4) + math.log(2)) / 3)


def test_rows_that_are_tokenised_otherwise_are_refused(tmp_path: Path) -> None:
    path = labels(tmp_path, FIRST, {**SECOND, "tokens": [1]})
    with pytest.raises(UserError, match="has no labels for a row of the stream 'forget'"):
        GenericLabels(path)({"forget": view(Given())})
    path = labels(tmp_path, FIRST, {**SECOND, "tokens": [0, 1], "labels": [2, 2]})
    with pytest.raises(UserError, match="has no labels for row 5 of the stream 'forget'"):
        GenericLabels(path)({"forget": view(Given())})


def test_two_responses_of_one_length_in_a_row_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="another response of row 4 with 2 tokens"):
        GenericLabels(labels(tmp_path, FIRST, {**FIRST, "tokens": [1, 1]}))


@pytest.mark.parametrize("change", [{"row": "4"}, {"labels": [1]}, {"labels": [1, -1]}])
def test_lines_of_another_form_are_told_before_a_model_is_loaded(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match="expected `row`, and as many `labels` as `tokens`"):
        GenericLabels(labels(tmp_path, {**FIRST, **change}))


@pytest.mark.parametrize("line", ["[1, 2]", "7", "null", "{", "text"])
def test_lines_that_are_no_row_at_all_are_told_too(tmp_path: Path, line: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(DataError, match="expected `row`, and as many `labels` as `tokens`"):
        GenericLabels(str(path))


def test_a_run_without_labels_is_refused() -> None:
    with pytest.raises(RecipeError, match="generic_labels: path is missing"):
        GenericLabels().attach(torch.nn.Linear(1, 1))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl"):
        GenericLabels(str(tmp_path / "nowhere.jsonl"))
