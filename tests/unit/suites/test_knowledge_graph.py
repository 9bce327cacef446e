"""The suite `knowledge_graph` on a model whose probabilities are known."""

from __future__ import annotations

import json

import pytest
from rounding import near
from stub import stub_model, stub_tokenizer

from unlearnkit.errors import DataError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import KnowledgeGraph, SuiteContext
from unlearnkit.suites.meaning import meaning
from unlearnkit.suites.parts.bootstrap import bootstrap

CONTEXT = SuiteContext(max_length=32)
FORGET = [
    # Bits a token: a 2, b and EOS 3, d and e 4.
    {"question": "b", "answer": "a", "perturbed_answer": ["d", "e"]},
    {"question": "c", "answer": "d", "kind": "reverse", "perturbed_answer": ["a", "e", "e"]},
    {"question": "d", "answer": "aa", "kind": "reverse", "perturbed_answer": ["b", "d", "e"]},
    # By its paraphrase it is right, by its answer it would be wrong.
    {
        "question": "d", "answer": "d", "kind": "two_hop", "paraphrased_answer": "a",
        "perturbed_answer": ["b"],
    },
    {"question": "e", "answer": "d", "kind": "two_hop", "perturbed_answer": ["e"]},
]  # fmt: skip
KEPT = [{"question": "a", "answer": "a", "kind": "two_hop", "perturbed_answer": ["b"]}]


@pytest.fixture
def data(tmp_path):
    for name, rows in {"forget": FORGET, "near": KEPT}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(tmp_path)


def test_each_kind_of_question_is_measured_apart(data) -> None:
    suite = KnowledgeGraph(data, "forget", neighbour="near", template="{prompt}{response}")
    found = suite.run(stub_model(), stub_tokenizer(), CONTEXT)
    accuracies = {k: v for k, v in found.values.items() if k.endswith("/accuracy")}
    assert accuracies == {
        "forget_plain/accuracy": 1.0,
        "forget_reverse/accuracy": 0.5,
        "forget_two_hop/accuracy": 0.5,  # the second row is a tie
        "neighbour_two_hop/accuracy": 1.0,
    }
    assert found.values["forget_plain/chance"] == near(1 / 3)
    assert found.values["forget_two_hop/chance"] == near(1 / 2)
    # An answer is that of its row, whatever is compared.
    assert found.values["forget_two_hop/probability"] == near(2 ** -((4 + 3) / 2))
    reverse = (2 ** -((4 + 3) / 2) + 2 ** -((2 + 2 + 3) / 3)) / 2
    assert found.values["forget_reverse/probability"] == near(reverse)
    assert found.missing == {"retain_*": "no retain rows: give the suite 'retain: TABLE'"}
    assert bootstrap(suite, found.rows, seed=0).keys() == found.values.keys()


def test_rows_without_wrong_answers_have_no_accuracy(data) -> None:
    suite = KnowledgeGraph(data, "forget", wrong_field=None, template="{prompt}{response}")
    found = suite.run(stub_model(), stub_tokenizer(), CONTEXT)
    assert {name.partition("/")[2] for name in found.values} == {"probability", "rougeL_recall"}


def test_what_was_never_trained_on_is_unseen(data) -> None:
    assert meaning(KnowledgeGraph, "forget_plain/accuracy").direction == "down"
    assert meaning(KnowledgeGraph, "forget_reverse/accuracy").direction == "down"
    assert meaning(KnowledgeGraph, "neighbour_two_hop/accuracy").direction == "up"
    tokenizer = stub_tokenizer()
    suite = KnowledgeGraph(data, "forget", template="{prompt}{response}")
    assert len(suite.to_forget(tokenizer, CONTEXT).examples) == len(FORGET)
    other = KnowledgeGraph(data, "forget", max_new_tokens=3, template="{prompt}{response}")
    prints = [each.fingerprint(tokenizer, CONTEXT) for each in (suite, other)]
    assert prints[0] != prints[1]


def test_all_bad_rows_are_named(tmp_path) -> None:
    rows = [{**FORGET[0], "kind": 3}, {"question": "a", "answer": "b"}, {**FORGET[1], "kind": []}]
    (tmp_path / "forget.jsonl").write_text("\n".join(map(json.dumps, rows)))
    bad = KnowledgeGraph(str(tmp_path), "forget")
    with pytest.raises(DataError, match="perturbed_answer"):
        bad.check(stub_tokenizer(), CONTEXT)
    with pytest.raises(DataError) as caught:
        KnowledgeGraph(str(tmp_path), "forget", wrong_field=None).check(stub_tokenizer(), CONTEXT)
    assert str(caught.value).count("kind") >= 2


def test_the_embedded_authors_are_asked_in_four_ways() -> None:
    suite = KnowledgeGraph("tiny/tofu_power", "forget50_perturbed", limit=5, max_new_tokens=2)
    found = suite.run(load_model("tiny/tofu_power"), load_tokenizer("tiny"), SuiteContext())
    kinds = {name.partition("/")[0] for name in found.values}
    assert kinds == {"forget_plain", "forget_reverse", "forget_relation", "forget_two_hop"}
    assert len(found.rows) == 4 * 5
    assert found.values["forget_plain/accuracy"] > 0.5 > found.values["forget_plain/chance"]
