"""Several answers to each prompt: the nearest counts, and the share of rows with a leak."""

from __future__ import annotations

import pytest
from stub import stub_model, stub_tokenizer

from unlearnkit.attacks import Sample, Target
from unlearnkit.attacks import sample as module
from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.generate import Generation
from unlearnkit.errors import UserError
from unlearnkit.suites import SuiteContext

TRUE = ["the fox ran over the hill", "one two three four"]
SAID = [
    ["a", "the fox sat", "the fox ran over the hill"],
    ["one", "two two", "no"],
]


@pytest.fixture
def drawn(monkeypatch):
    """What is said to two prompts, three times each; what was asked is kept."""
    asked = {}

    def generate(model, tokenizer, prompts, **options):
        asked.update(options, prompts=list(prompts))
        return [Generation(text, (), False) for texts in SAID for text in texts]

    monkeypatch.setattr(module, "generate", generate)
    monkeypatch.setattr(module, "load_model", lambda base: None)
    monkeypatch.setattr(module, "on_device", lambda model: model)
    texts = iter(TRUE)
    monkeypatch.setattr(module, "text_of", lambda tokenizer, ids: next(texts))
    return asked


def test_the_nearest_of_the_first_samples_counts(drawn):
    rows = [Example((1,), (5,) * 7, 0, "f:1"), Example((2,), (6,) * 80, 1, "f:2")]
    target = Target(rows, Codec(stub_tokenizer(), 128), SuiteContext())
    attack = Sample(samples=3, temperature=0.7, seed=5)
    curve = attack.run("m", attack.prepare(target), target)
    # Six words, of which "the fox" are two; four words, of which "one" is one.
    recall = [(0 / 6 + 1 / 4) / 2, (2 / 6 + 1 / 4) / 2, (6 / 6 + 1 / 4) / 2]
    assert [point["samples"] for point in curve] == [1, 2, 3]
    assert [point["forget/rougeL_recall"] for point in curve] == pytest.approx(recall)
    assert [point["forget/leak_rate"] for point in curve] == [0.0, 0.0, 0.5]
    assert drawn["prompts"] == [(1,)] * 3 + [(2,)] * 3
    assert drawn["max_new_tokens"] == [7] * 3 + [64] * 3
    assert (drawn["temperature"], drawn["seed"]) == (0.7, 5)


def test_rows_without_a_word_or_a_4_gram_have_no_part(drawn, monkeypatch):
    texts = iter(["", "one"])
    monkeypatch.setattr(module, "text_of", lambda tokenizer, ids: next(texts))
    rows = [Example((1,), (5,), 0, "f:1"), Example((2,), (6,), 1, "f:2")]
    target = Target(rows, Codec(stub_tokenizer(), 128), SuiteContext())
    attack = Sample(samples=3)
    (*_, last) = attack.run("m", attack.prepare(target), target)
    assert (last["forget/rougeL_recall"], last["forget/leak_rate"]) == (1.0, None)


def test_samples_are_the_same_for_the_same_seed(tmp_path):
    model, tokenizer = stub_model({"random_init": 1}), stub_tokenizer()
    model.save_pretrained(tmp_path / "m")
    rows = [Example((4, 5), (6, 9, 7, 9, 8, 9, 4), 0, "f:1")]
    target = Target(rows, Codec(tokenizer, 64), SuiteContext())
    curves = [Sample(samples=4, seed=1).run(str(tmp_path / "m"), rows, target) for _ in range(2)]
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    "options", [{"samples": 0}, {"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"limit": 0}]
)
def test_values_that_nothing_can_be_drawn_with_are_refused(options):
    (name,) = options
    with pytest.raises(UserError, match=f"--{name}: expected"):
        Sample(**options)
