"""The suite `copyright` on the embedded models, and its probes."""

from __future__ import annotations

import json
import warnings
from itertools import pairwise

import pytest

from unlearnkit.data.streams.qa import QAStream
from unlearnkit.data.streams.text import TextStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.reference.kinds import frozen_copy
from unlearnkit.errors import DataError, RecipeError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import Copyright, Suite, SuiteContext
from unlearnkit.suites.parts.probes import KEPT

CONTEXT = SuiteContext()
SHARED = {"rougeL_recall", "distinct_2"}
OF_FORGET = SHARED | {"leak_rate", "extraction_strength", "exact_memorization", "nll"}


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


@pytest.fixture(scope="module")
def target():
    return load_model("tiny")


@pytest.fixture(scope="module")
def gold():
    return load_model("tiny/gold")


@pytest.fixture
def own_file(tmp_path):
    """A file of rows that the embedded models have not seen."""
    path = tmp_path / "own.jsonl"
    rows = [{"prompt": f"The ferry of {x} is rowed", "response": f" by {x}."} for x in "ABC"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_it_tells_the_model_that_recites_from_the_one_that_cannot(tokenizer, target, gold):
    suite = Suite.resolve("copyright")(limit=6)
    recites = suite.run(target, tokenizer, CONTEXT).values
    cannot = suite.run(gold, tokenizer, CONTEXT).values
    assert recites["forget/rougeL_recall"] > 0.95
    assert recites["forget/leak_rate"] == 1.0
    assert recites["forget/extraction_strength"] > 0.9
    assert cannot["forget/rougeL_recall"] < 0.5
    assert cannot["forget/leak_rate"] == 0.0
    assert cannot["forget/extraction_strength"] < 0.2
    assert cannot["forget/nll"] > recites["forget/nll"] + 1
    for values in (recites, cannot):
        assert values["normal/rougeL_recall"] > 0.95
        assert values["heldout/rougeL_recall"] > 0.95
        assert values["neighbour/rougeL_recall"] > 0.95


def test_keys_are_the_public_ones(tokenizer, target, gold):
    plain = Copyright(limit=2, max_new_tokens=4).run(target, tokenizer, CONTEXT)
    of_normal = SHARED | {"perplexity"}
    assert set(plain.values) == {
        *(f"forget/{key}" for key in OF_FORGET),
        *(f"{kind}/{key}" for kind in KEPT for key in of_normal),
    }
    context = SuiteContext(reference=gold)
    compared = Copyright(limit=2, max_new_tokens=4).run(target, tokenizer, context)
    added = set(compared.values) - set(plain.values)
    assert added == {f"{kind}/kl_to_reference" for kind in KEPT}


def test_divergence_is_zero_from_itself_alone(tokenizer, target, gold):
    suite = Copyright(limit=2, max_new_tokens=1)
    key = "normal/kl_to_reference"
    itself = suite.run(target, tokenizer, SuiteContext(reference=frozen_copy(target)))
    other = suite.run(target, tokenizer, SuiteContext(reference=gold))
    assert itself.values[key] == 0.0
    assert other.values[key] > 0.0


def test_rows_hold_the_texts(tokenizer, target):
    result = Copyright(limit=3, max_new_tokens=5).run(target, tokenizer, CONTEXT)
    kinds = ("forget", *KEPT)
    assert [row["stream"] for row in result.rows] == [kind for kind in kinds for _ in range(3)]
    row = result.rows[0]
    assert row["prompt"]
    assert row["generated"] == row["reference"]
    assert len(tokenizer(row["reference"], add_special_tokens=False).input_ids) <= 6
    assert row["hit_limit"]
    assert row["source"] == "tiny/book.jsonl:1"
    assert json.loads(json.dumps(result.rows)) == result.rows


def test_figures_do_not_depend_on_the_batch(tokenizer, target):
    suite = Copyright(limit=5, max_new_tokens=24)
    one = suite.run(target, tokenizer, SuiteContext(batch_size=1))
    eight = suite.run(target, tokenizer, SuiteContext(batch_size=8))
    assert one.values == pytest.approx(eight.values, rel=1e-5)
    assert [r["generated"] for r in one.rows] == [r["generated"] for r in eight.rows]


def test_the_model_is_left_as_it_was(tokenizer, target):
    target.train()
    try:
        Copyright(limit=1).run(target, tokenizer, CONTEXT)
        assert target.training
    finally:
        target.eval()


def test_streams_of_the_recipe_come_first(tokenizer, target, own_file):
    stream = QAStream(own_file)
    data = {"forget": stream.encode("forget", Codec(tokenizer, 64), {}, seed=0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = Copyright().run(target, tokenizer, SuiteContext(data=data))
    assert [row["source"] for row in result.rows] == [f"{own_file}:{n}" for n in (1, 2, 3)]


def test_shipped_rows_are_not_held_against_own_data(tokenizer, own_file):
    suite = Copyright(forget=own_file, normal=own_file)
    with pytest.warns(UserWarning, match="no heldout rows"):
        suite.check(tokenizer, CONTEXT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Copyright(forget="tiny/book.jsonl").check(tokenizer, CONTEXT)
        Copyright(own_file, own_file, own_file).check(tokenizer, CONTEXT)


def test_other_prompts_for_the_passages_are_measured_as_the_trained_ones(tokenizer, target):
    elsewhere = TextStream(path="tiny/book.jsonl", prompt_tokens=40, limit=2)
    found = Copyright(limit=2, unseen=elsewhere).run(target, tokenizer, CONTEXT)
    assert {k.partition("/")[2] for k in found.values if k.startswith("unseen/")} == OF_FORGET
    assert found.values["unseen/rougeL_recall"] > 0.9
    prompts = {row["prompt"] for row in found.rows if row["stream"] == "unseen"}
    assert not prompts & {row["prompt"] for row in found.rows if row["stream"] == "forget"}


def test_neighbour_rows_may_be_given_and_are_missed_quietly(tokenizer, target, own_file):
    given = Copyright(*[own_file] * 4, max_new_tokens=2).run(target, tokenizer, CONTEXT)
    assert "neighbour/perplexity" in given.values
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        without = Copyright(*[own_file] * 3, max_new_tokens=2).run(target, tokenizer, CONTEXT)
    assert not any(key.startswith("neighbour/") for key in without.values)
    assert "neighbour: FILE" in without.missing["neighbour/*"]


def test_rows_are_spread_over_a_file(tokenizer, target):
    rows = Copyright(limit=4, max_new_tokens=1).run(target, tokenizer, CONTEXT).rows
    normal = [row["row"] for row in rows if row["stream"] == "normal"]
    assert normal[0] == 0
    assert len({b - a for a, b in pairwise(normal)}) <= 2
    assert normal[-1] > 100


def test_a_stream_may_be_given_in_full(tokenizer, target, own_file):
    stream = QAStream(own_file, template="Q: {prompt}")
    result = Copyright(stream, stream, stream).run(target, tokenizer, CONTEXT)
    assert result.rows[0]["prompt"].startswith("Q: The ferry")


def test_mistakes_are_found_before_a_model_is_needed(tokenizer, tmp_path):
    with pytest.raises(
        RecipeError, match=r"'no\.jsonl' is neither a stream of the recipe nor a file"
    ):
        Copyright(forget="no.jsonl").check(tokenizer, CONTEXT)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a"}\n{"prompt": "b", "response": 3}\n', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        Copyright(*[str(bad)] * 3).check(tokenizer, CONTEXT)
    # A column of numbers is one mistake a source.
    assert len(caught.value.problems) == 3
    for field in ("limit", "prompt_tokens", "max_new_tokens"):
        with pytest.raises(RecipeError, match=f"{field} must be at least 1"):
            Copyright(**{field: 0})
