from __future__ import annotations

import json

import pytest

from unlearnkit.data.samples import (
    Origin,
    SampledAnswer,
    Sampling,
    as_answers,
    check_sampling,
    read_samples,
    sample_row,
)

ORIGIN = Origin("model", "tokenizer", seed=3)


def test_a_file_is_read_as_it_was_written_and_the_last_row_of_a_prompt_counts(here) -> None:
    rows = [
        sample_row("a", [4], [SampledAnswer(text, ids, True)], ORIGIN)
        for text, ids in (("b", (5,)), ("c", (6, 7)))
    ]
    (here / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_samples("s.jsonl")
    assert not found.problems
    (sampled,) = found.by_prompt.values()
    assert (sampled.prompt, sampled.origin) == ("a", ORIGIN)
    assert [a.ids for a in as_answers("s.jsonl", sampled, (3,))] == [(6, 7, 3)]
    assert as_answers("s.jsonl", sampled, (3,))[0].source == "s.jsonl:2"


def test_what_earlier_versions_did_not_have_is_written_where_it_is_set_alone(here) -> None:
    origins = [ORIGIN, Origin("model", "tokenizer", top_k=40)]
    rows = [sample_row(str(i), (i,), [], origin) for i, origin in enumerate(origins)]
    assert [row.get("top_k", "not there") for row in rows] == ["not there", 40]
    (here / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_samples("s.jsonl").by_prompt
    assert [each.origin for each in found.values()] == origins


def test_an_answer_that_the_limit_ended_gets_no_end(here) -> None:
    row = sample_row(
        "a", [4], [SampledAnswer("b", (5,), False), SampledAnswer("", (), False)], ORIGIN
    )
    (here / "s.jsonl").write_text(json.dumps(row))
    (sampled,) = read_samples("s.jsonl").by_prompt.values()
    assert [a.ids for a in as_answers("s.jsonl", sampled, (3,))] == [(5,)]


def test_rows_of_another_kind_are_named(here) -> None:
    good = sample_row("a", [4], [], ORIGIN)
    rows = [{"prompt": "a"}, {**good, "prompt_ids": [True]}, {**good, "samples": [{"text": "b"}]}]
    (here / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_samples("s.jsonl")
    assert [(p.line, p.field) for p in found.problems] == [
        (1, None),
        (2, "prompt_ids"),
        (3, "samples"),
    ]
    assert not found.by_prompt


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": 0}, "top_k"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"template": "no"}, "template"),
    ],
)
def test_what_nothing_can_be_sampled_with(wrong, key) -> None:
    assert check_sampling(Sampling()) is None
    assert (check_sampling(Sampling(**wrong)) or "").startswith(f"{key}: expected")
