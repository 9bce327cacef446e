"""Rows that choose, apart from rows that are reported."""

import random

import pytest

from unlearnkit.errors import RecipeError
from unlearnkit.search.folds import Folds


def row(prompt, stream="forget", **more):
    return {"stream": stream, "prompt": prompt, **more}


def halves(folds, rows):
    return [folds.of(rows, fold) for fold in ("choosing", "reporting")]


def test_every_stream_is_halved_and_no_row_is_in_both():
    rows = [row(f"question {n}", stream) for stream in ("forget", "retain") for n in range(7)]
    for n, each in enumerate(rows):
        each["prompt"] += f" of {n}"
    choosing, reporting = halves(Folds({"suite": rows}), rows)
    assert len(choosing) + len(reporting) == 14
    for stream in ("forget", "retain"):
        counts = [sum(r["stream"] == stream for r in part) for part in (choosing, reporting)]
        assert sorted(counts) == [3, 4]
    assert not {r["prompt"] for r in choosing} & {r["prompt"] for r in reporting}


def test_a_planted_leak_stays_in_one_fold():
    """The same text in another spelling, stream or suite chooses or is reported, never both."""
    passage = "one two three four five six seven eight nine"
    rows = {
        "first": [row(f"prompt {n}") for n in range(6)]
        + [row("Prompt  3", "heldout"), row("other", "heldout"), row("more", "heldout")],
        "second": [row("PROMPT 5"), row("x"), row("y"), row("c")]
        + [row(name, reference=text) for name, text in (("a", passage), ("b", passage.title()))],
        "third": [row("d", source="file:1"), row("e", source="file:1"), row("f"), row("g")],
    }
    folds = Folds(rows)
    everything = [each for found in rows.values() for each in found]
    choosing, reporting = halves(folds, everything)
    for one, other in (("prompt 3", "Prompt  3"), ("prompt 5", "PROMPT 5"), ("a", "b"), ("d", "e")):
        where = [
            {name for name, part in (("c", choosing), ("r", reporting))
             for each in part if each["prompt"] == prompt}
            for prompt in (one, other)
        ]  # fmt: skip
        assert where[0] == where[1]
        assert len(where[0]) == 1


def test_short_answers_that_recur_do_not_bind_rows():
    rows = [row(f"q{n}", reference="yes") for n in range(4)]
    choosing, reporting = halves(Folds({"suite": rows}), rows)
    assert (len(choosing), len(reporting)) == (2, 2)


def test_the_folds_do_not_depend_on_the_order_of_rows():
    rows = [row(f"question {n}") for n in range(20)]
    mixed = random.Random(0).sample(rows, len(rows))
    first, second = Folds({"suite": rows}), Folds({"suite": mixed})
    assert first.of(rows, "choosing") == second.of(rows, "choosing")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("same"), row("Same ")], "suite/forget: its rows share their texts"),
        ([row("one")], "suite/forget: its rows share their texts"),
        ([{"stream": "forget", "row": 1}, row("b")], "holds neither prompt nor reference"),
    ],
)
def test_rows_that_cannot_be_kept_apart_are_refused(rows, said):
    with pytest.raises(RecipeError, match=said):
        Folds({"suite": rows})


def test_a_row_that_was_not_halved_is_refused():
    folds = Folds({"suite": [row("a"), row("b")]})
    with pytest.raises(RecipeError, match="row 7 of 'forget' was not among the rows"):
        folds.of([row("new", row=7)], "choosing")
