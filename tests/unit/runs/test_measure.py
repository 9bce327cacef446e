from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from unlearnkit.errors import RecipeError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.report.run import _generations
from unlearnkit.runs.measure import Stages, measure, name_of
from unlearnkit.suites.base import Probe, Suite, SuiteContext, SuiteResult

NOTHING: Any = SimpleNamespace(
    data={}, tokenizer=None, max_length=8, date="", control_tokens="text"
)


class Seen(Suite):
    """Notes what it is given."""

    uses_gold = True

    def __init__(self) -> None:
        self.seen: list[tuple[Any, Any, Any]] = []

    def run(self, model, tokenizer, context):
        self.seen.append((model, context.reference, context.gold))
        row = {"stream": "forget", "prompt": "p", "reference": "r", "generated": f"by {model}"}
        return SuiteResult({"forget/x": float(len(self.seen))}, [row], notes=[f"of {model}"])


def test_each_stage_sees_what_it_is_compared_with() -> None:
    suite = Seen()
    stages = Stages([suite], NOTHING, 0, "g", lambda path: f"gold {path}")  # pyright: ignore
    stages.before(lambda: "old")  # pyright: ignore
    stages.after(lambda: "new", lambda: "start")  # pyright: ignore
    assert suite.seen == [
        ("gold g", None, "gold g"),
        ("old", None, "gold g"),
        ("new", "start", "gold g"),
    ]
    assert list(stages.metrics["Seen"]) == ["before", "after", "gold"]
    values = {stage: found["forget/x"] for stage, found in stages.metrics["Seen"].items()}
    assert values == {"before": 2.0, "after": 3.0, "gold": 1.0}
    (sample,) = stages.samples()
    assert (sample.before, sample.after) == ("by old", "by new")
    assert stages.notes == {
        "Seen": {"before": ["of old"], "after": ["of new"], "gold": ["of gold g"]}
    }


def test_without_suites_no_model_is_asked_for() -> None:
    stages = Stages([], NOTHING, 0, None, None)  # pyright: ignore
    stages.before(None)  # pyright: ignore
    stages.after(None, None)  # pyright: ignore
    assert stages.metrics == stages.notes == {}
    assert stages.samples() == []


def test_a_suite_is_measured_under_its_name() -> None:
    found = measure("m", None, [Seen()], SuiteContext())  # pyright: ignore
    assert list(found) == ["Seen"] == [name_of(Seen())]


class Asked(Suite):
    """Says what it was asked."""

    probes = {"forget": Probe("forget")}

    def run(self, model, tokenizer, context):
        prompt = "You are kind.\nQuestion: Who?\nAnswer: Ada.\nQuestion: Where is she?\nAnswer:"
        row = {"suite": "asked", "stream": "forget", "when": "before", "generated": "Bergen"}
        return SuiteResult({}, [row | {"prompt": prompt, "reference": "Lima"}])


def test_tables_of_terminal_and_report_show_the_last_user_turn():
    results = measure(None, load_tokenizer("tiny"), [Asked()], SuiteContext())
    (row,) = results["Asked"].rows
    assert row["asked"] == "Where is she?"
    assert row["prompt"].startswith("You are kind.")
    stages = object.__new__(Stages)
    stages.results = {"before": results, "after": results}
    assert stages.samples()[0].prompt == "Where is she?"
    (entry,), _ = _generations([row], None)
    assert entry["prompt"] == "Where is she?"


class Unsaid(Seen):
    """Reads the gold model without a word of it in its class."""

    uses_gold = False


def test_a_suite_that_reads_the_gold_model_has_to_say_so() -> None:
    stages = Stages([Unsaid()], NOTHING, 0, "g", lambda path: f"gold {path}")  # pyright: ignore
    # Before the training, where no suite has asked for the gold model to be loaded.
    with pytest.raises(RecipeError, match=r"'Unsaid' reads context\.gold") as refused:
        stages.before(lambda: "old")  # pyright: ignore
    assert "uses_gold: ClassVar[bool] = True" in str(refused.value.hint)
    alone = Stages([suite := Unsaid()], NOTHING, 0, None, None)  # pyright: ignore
    alone.before(lambda: "old")  # pyright: ignore
    assert suite.seen == [("old", None, None)]
