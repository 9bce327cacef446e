"""The card of a model without a run."""

from __future__ import annotations

import pytest
from stub import save_stub

from unit.report.run_folder import write_run
from unit.runs.other.test_judged import evaluated, models, values
from unlearnkit.errors import UserError
from unlearnkit.runs.other.card import write_other_card

__all__ = ["models"]


def test_the_card_holds_verdict_and_values_of_both_models(models):
    save_stub({"random_init": 3}, models / "far" / "away" / "mine|1")
    evaluated("far/away/mine|1")
    card = write_other_card("far/away/mine|1", "card.md", before="base").read_text()
    # Where it lies is private, and a sign of Markdown is shown.
    assert "# mine\\|1\n" in card
    assert "far" not in card
    assert "## Verdict" in card
    before, after = (values(name)["forget/nll"] for name in ("base", "far/away/mine|1"))
    assert f"| forget/nll | {before:.3f} | {after:.3f} |" in card
    assert "No such model (gold) was evaluated" in card
    assert "The model before it was not evaluated" not in card
    with pytest.raises(UserError, match="exists and is not overwritten"):
        write_other_card("far/away/mine|1", "card.md", before="base")


def test_without_the_starting_model_the_card_says_so(models):
    card = write_other_card("base", "card.md").read_text()
    assert "The model before it was not evaluated beside it" in card
    assert "| Metric | after |" in card


def test_a_run_has_its_own_card(models):
    run = write_run(models / "runs" / "copyright" / "a")
    with pytest.raises(UserError, match=r"--card: .* is a run, whose card is .*README.md"):
        write_other_card(run, "card.md")
