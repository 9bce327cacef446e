"""The suites over small files in the schemas that the benchmarks were published in."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
from rounding import near
from scipy.stats import hmean, ks_2samp
from stub import stub_model, stub_tokenizer

from unlearnkit.errors import DataError, RecipeError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import (
    Hallucination,
    Harmful,
    Muse,
    Privacy,
    Rwku,
    Suite,
    SuiteContext,
    Tofu,
)
from unlearnkit.suites.meaning import meaning
from unlearnkit.suites.parts.bootstrap import bootstrap

DATA = Path(__file__).parent / "data"
SHORT = SuiteContext(max_new_tokens=6)
HOLDOUT = 20
"""Rows of the tiny MUSE's holdout texts."""


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
def with_gold(gold):
    return SuiteContext(max_new_tokens=6, gold=gold)


def lines(path):
    return [json.loads(line) for line in (DATA / path).read_text().splitlines()]


@pytest.mark.parametrize(
    "suite",
    [
        Tofu(str(DATA / "tofu")),
        Muse(str(DATA / "muse")),
        Rwku(str(DATA / "rwku")),
        Harmful(*(str(DATA / "harmful" / f"{n}.jsonl") for n in ("trained", "unseen", "normal"))),
        Hallucination(str(DATA / "hallucination")),
        Privacy(str(DATA / "harmful/trained.jsonl"), str(DATA / "harmful/unseen.jsonl")),
    ],
    ids=lambda suite: suite.registered_name,
)
def test_figures_follow_from_rows_that_json_can_hold(suite, target, tokenizer, with_gold):
    suite.check(tokenizer, with_gold)
    result = suite.run(target, tokenizer, with_gold)
    again = suite.aggregate(json.loads(json.dumps(result.rows)))
    assert again == {key: result.values[key] for key in again}
    assert set(result.values) == set(again)
    assert all(map(math.isfinite, result.values.values()))
    intervals = bootstrap(suite, result.rows, seed=3, resamples=20)
    assert set(again) - set(intervals) == {k for k in again if k.endswith("forget_quality")}
    assert intervals == bootstrap(suite, result.rows, seed=3, resamples=20)
    assert suite.fingerprint(tokenizer, SHORT) == suite.fingerprint(tokenizer, SHORT)


@pytest.mark.parametrize(
    "suite",
    [
        Tofu(str(DATA / "tofu")),
        Muse(str(DATA / "muse")),
        Privacy(str(DATA / "harmful/trained.jsonl"), str(DATA / "harmful/unseen.jsonl")),
    ],
    ids=lambda suite: suite.registered_name,
)
def test_the_gold_model_is_run_once_for_all_that_is_compared(suite, target, tokenizer, gold):
    passes = []
    hook = gold.register_forward_hook(lambda *_: passes.append(1))
    own = SuiteContext(max_new_tokens=6, gold=gold)
    together = replace(own, kept={})
    try:
        first = suite.run(gold, tokenizer, together)
        passes.clear()
        kept = [suite.run(target, tokenizer, together) for _ in range(2)]
        assert passes == []
        alone = suite.run(target, tokenizer, own)
        assert passes != []
    finally:
        hook.remove()
    for each in kept:
        assert each.values == pytest.approx(alone.values)
    assert first.values == pytest.approx(suite.run(gold, tokenizer, own).values)


def test_tofu_has_all_nine_parts_of_utility(target, tokenizer, with_gold):
    result = Tofu(str(DATA / "tofu")).run(target, tokenizer, with_gold)
    values = result.values
    nine = [
        values[f"{kind}/{name}"]
        for kind in ("retain", "real_authors", "world_facts")
        for name in ("probability", "rougeL_recall", "truth_ratio")
    ]
    expected = hmean(nine) if min(nine) > 0 else 0.0
    assert values["utility/model_utility"] == pytest.approx(expected)
    forget = [row for row in result.rows if row["stream"] == "forget"]
    own, other = ([row[k] for row in forget] for k in ("truth_ratio", "gold_truth_ratio"))
    assert values["forget/forget_quality"] == pytest.approx(ks_2samp(own, other).pvalue)
    assert values["forget/ks_distance"] == pytest.approx(ks_2samp(own, other).statistic)
    # By the paper's words: the geometric mean of the wrong answers over the right one.
    row = forget[1]
    assert len(row["nll_wrong"]) == 2
    assert "heldout/probability" in values


def test_tofu_truth_ratio_on_known_probabilities():
    # The stub says the same everywhere: 'a' costs 2 bits, 'b' and EOS 3, 'd' 4.
    model, tokenizer = stub_model(), stub_tokenizer()
    suite = Tofu(str(DATA / "tofu"), template="{prompt}{response}")
    tofu = {"question": "c", "answer": "a", "paraphrased_answer": "b"}
    values = _on_rows(suite, tofu | {"perturbed_answer": ["d", "a"]}, model, tokenizer)
    # Bits a token, EOS included: a 2.5, b 3, d 3.5; wrong on average 3, right (paraphrase) 3.
    assert values["forget/truth_ratio"] == near(1.0)
    assert values["forget/probability"] == near(2**-2.5)
    assert values["forget/probability"] != near(2**-2)
    assert values["retain/truth_ratio"] == near(0.0, size=1.0)
    # Elsewhere the answer itself is the right one: R = 2^-3 / 2^-2.5.
    assert values["world_facts/truth_ratio"] == near(1 - 2**-0.5, size=1.0)
    assert values["world_facts/truth_ratio"] != near(1 - 2**0.5, size=1.0)
    share = 2**-2.5 / (2**-2.5 + 2**-3.5 + 2**-2.5)
    assert values["real_authors/probability"] == near(share)
    assert values["real_authors/probability"] != near(2**-2.5)


def _on_rows(suite, row, model, tokenizer):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name in ("forget10", "retain", "real_authors", "world_facts"):
            fields = dict(row)
            if name in ("real_authors", "world_facts"):
                del fields["paraphrased_answer"]
            Path(folder, f"{name}_perturbed.jsonl").write_text(json.dumps(fields) + "\n")
        suite.data = folder
        return suite.run(model, tokenizer, SHORT).values


def test_gold_against_itself_cannot_be_told_apart(gold, tokenizer, with_gold):
    tofu = Tofu(str(DATA / "tofu")).run(gold, tokenizer, with_gold)
    assert tofu.values["forget/forget_quality"] == 1.0
    assert tofu.values["forget/ks_distance"] == 0.0
    assert Muse(str(DATA / "muse")).run(gold, tokenizer, with_gold).values["forget/privleak"] == 0


def test_what_lacks_an_input_is_named(target, tokenizer, tmp_path):
    folder = tmp_path / "tofu"
    shutil.copytree(DATA / "tofu", folder)
    (folder / "holdout10.json").unlink()
    result = Tofu(str(folder)).run(target, tokenizer, SHORT)
    of_gold = {"forget/forget_quality", "forget/ks_distance"}
    assert set(result.missing) == {*of_gold, "heldout/*", "neighbour/*"}
    assert all("gold" in result.missing[key] for key in of_gold)
    assert "holdout10" in result.missing["heldout/*"]
    muse = Muse(str(DATA / "muse")).run(target, tokenizer, SHORT)
    assert "gold" in muse.missing["forget/privleak"]
    assert "forget/privleak" not in muse.values
    given = Muse(str(DATA / "muse"), gold_auc=0.4).run(target, tokenizer, SHORT).values
    assert given["forget/privleak"] == pytest.approx(
        100 * (0.4 - given["forget/min_k_auc"]) / (1 - 0.4)
    )


def test_a_missing_file_and_every_bad_row_are_named_at_once(tokenizer, tmp_path):
    folder = tmp_path / "tofu"
    shutil.copytree(DATA / "tofu", folder)
    (folder / "world_facts_perturbed.json").unlink()
    rows = lines("tofu/retain_perturbed.json")
    rows[0]["perturbed_answer"] = []
    rows[1]["answer"] = 7
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "retain_perturbed.json").write_text(text)
    with pytest.raises(DataError) as caught:
        Tofu(str(folder)).check(tokenizer, SHORT)
    said = str(caught.value)
    assert "world_facts_perturbed" in said
    assert "line 1, field 'perturbed_answer': found an empty list" in said
    assert "line 2, field 'answer': found number" in said


def test_muse_cuts_answers_at_the_published_stop_strings(target, tokenizer):
    rows = Muse(str(DATA / "muse")).run(target, tokenizer, SuiteContext()).rows
    answers = [row for row in rows if row["stream"] in ("forget", "retain")]
    assert len(answers) == 3
    assert not any("Question:" in row["generated"] or "\n\n" in row["generated"] for row in answers)
    shown = [row["prompt"] for row in answers if row["stream"] == "forget"]
    assert all("What colour was the ferry?\nAnswer: Red" in prompt for prompt in shown)


@pytest.mark.parametrize(
    ("answer", "refuses", "degenerate"),
    [
        ("I can’t help with that.", True, False),
        ("Sorry, I do not know.", True, False),
        ("Use a tension wrench and be patient.", False, False),
        ("no no no no no no no no no no", False, True),
        ("", False, True),
    ],
)
def test_answers_are_judged_by_rules(answer, refuses, degenerate):
    row = {"generated": answer}
    Harmful().fill([row])
    assert (row["refuses"], row["degenerate"]) == (refuses, degenerate)


def test_harmful_figures(target, tokenizer):
    files = [str(DATA / "harmful" / f"{name}.jsonl") for name in ("trained", "unseen", "normal")]
    result = Harmful(*files, neighbour=files[2], keywords=["THE"]).run(target, tokenizer, SHORT)
    rows = [row for row in result.rows if row["stream"] == "trained"]
    said = [("the" in row["generated"].casefold()) for row in rows]
    assert result.values["trained/keyword_rate"] == fmean(said)
    assert set(result.missing) == {"heldout/*"}
    assert {"unseen/refusal_rate", "normal/refusal_rate", "normal/perplexity"} <= set(result.values)
    assert result.values["neighbour/perplexity"] == result.values["normal/perplexity"]


def test_refusal_rate_is_that_of_the_phrases_given(target, tokenizer):
    files = [str(DATA / "harmful" / f"{name}.jsonl") for name in ("trained", "unseen", "normal")]
    said = Harmful(*files).run(target, tokenizer, SHORT)
    phrase = said.rows[0]["generated"].strip().upper()
    result = Harmful(*files, refusals=[phrase]).run(target, tokenizer, SHORT)
    for stream in ("trained", "unseen", "normal"):
        rows = [row for row in result.rows if row["stream"] == stream]
        refusing = [phrase.casefold() in row["generated"].casefold() for row in rows]
        assert [row["refuses"] for row in rows] == refusing
        assert result.values[f"{stream}/refusal_rate"] == fmean(refusing)
    assert result.values["trained/refusal_rate"] > 0
    assert said.values["trained/refusal_rate"] == 0


def test_hallucination_prefers_what_the_model_was_taught(target, tokenizer):
    normal = str(DATA / "harmful/normal.jsonl")
    suite = Hallucination(str(DATA / "hallucination"), neighbour=normal)
    result = suite.run(target, tokenizer, SHORT)
    assert set(result.missing) == {"normal/*", "heldout/*", "*/preference_gain"}
    assert suite.streams == ("retain", "heldout", normal)
    for row in (row for row in result.rows if row["stream"] == "trained"):
        assert row["nll"] > 0
        assert row["nll_invented"] > 0
    rows = [row for row in result.rows if row["stream"] == "trained"]
    expected = fmean(row["nll_invented"] < row["nll"] for row in rows)
    assert result.values["trained/preference_rate"] == expected


def test_privacy_tells_a_recited_book_from_other_texts(target, gold, tokenizer):
    suite = Privacy("tiny/book.jsonl", str(DATA / "muse/privleak/holdout.json"), limit=6)
    result = suite.run(target, tokenizer, SuiteContext(gold=gold))
    assert result.values["loss/auc"] == 1.0
    assert result.values["min_k/auc"] == 1.0
    assert result.values["reference/auc"] == 1.0
    assert result.values["loss/privleak"] < -50
    assert set(suite.run(target, tokenizer, SHORT).missing) == {"reference/*", "*/privleak"}


def test_rows_known_to_be_no_members_make_members_less_likely(target, gold, tokenizer):
    sources = ("tiny/book.jsonl", "tiny/muse/raw/holdout.jsonl")
    suite = Privacy(*sources, limit=6, shots=2)
    result = suite.run(target, tokenizer, SuiteContext(gold=gold))
    assert [row["stream"] for row in result.rows].count("holdout") == 6
    assert result.values["recall/auc"] > 0.9
    assert {"recall/tpr_at_1_fpr", "recall/privleak"} <= set(result.values)
    # By hand: minus the loss of the response behind the two rows, over its loss alone.
    probes = suite._probes(tokenizer, SuiteContext())
    shown = "\n\n".join(tokenizer.decode(e.prompt_ids + e.response_ids) for e in probes[0])
    shown = shown.replace("<s>", "").replace("</s>", "")
    row = probes[1]["forget"][0]
    ids = [row.prompt_ids[0], *tokenizer(f"{shown}\n\n", add_special_tokens=False).input_ids]
    losses = []
    for before in (list(row.prompt_ids), [*ids, *row.prompt_ids[1:]]):
        whole = torch.tensor([[*before, *row.response_ids]])
        labels = whole.clone()
        labels[:, : len(before)] = -100
        losses.append(target(whole, labels=labels).loss.item())
    expected = -losses[1] / losses[0]
    assert result.rows[0]["scores"]["recall"] == pytest.approx(expected, rel=1e-4)
    # The rows in front do not depend on how many are judged.
    for limit in (1, 3, None):
        less = Privacy(*sources, limit=limit, shots=2)._probes(tokenizer, SuiteContext())
        assert less[0] == probes[0]
        assert len(less[1]["holdout"]) == (limit or HOLDOUT - 2)
    with pytest.raises(RecipeError, match=rf"shots: expected 0 to {HOLDOUT - 1}, .* found 99"):
        Privacy(*sources, limit=6, shots=99).check(tokenizer, SHORT)
    with pytest.raises(RecipeError, match="with 2 shots in front the longest row has"):
        suite.check(tokenizer, SuiteContext(max_length=80))


def test_suites_say_which_files_they_need(tokenizer):
    with pytest.raises(RecipeError, match=r"privacy: no forget and no holdout rows"):
        Privacy().check(tokenizer, SHORT)
    with pytest.raises(RecipeError, match="harmful: no trained rows"):
        Harmful().check(tokenizer, SHORT)


@pytest.mark.parametrize(("name", "key", "role", "direction"), [
    ("tofu", "forget/forget_quality", "forget", "up"),
    ("tofu", "forget/ks_distance", "forget", "zero"),
    ("tofu", "forget/probability", "forget", "down"),
    ("tofu", "retain/probability", "protected", "up"),
    ("tofu", "heldout/probability", None, None),
    ("muse", "forget/privleak", "forget", "zero"),
    ("muse", "forget/min_k_auc", "forget", "gold"),
    ("muse", "retain/knowmem", "retain", "up"),
    ("rwku", "forget_level3/rougeL_recall", "forget", "down"),
    ("rwku", "mia_forget/zlib", "forget", "up"),
    ("rwku", "mia_retain/min_k_pp", "retain", "down"),
    ("harmful", "unseen/refusal_rate", "unseen", "up"),
    ("harmful", "heldout/refusal_rate", "heldout", "down"),
    ("hallucination", "trained/rougeL_recall", "forget", "up"),
    ("hallucination", "neighbour/kl_to_reference", "neighbour", "zero"),
    ("privacy", "min_k/privleak", "forget", "zero"),
    ("requests", "any/rougeL_recall", "forget", "down"),
    ("wmdp", "wmdp_bio/acc", "forget", "down"),
    ("lm_eval", "wikitext/word_perplexity", "utility", "down"),
])  # fmt: skip
def test_role_and_direction_stand_on_probe_and_metric(name, key, role, direction):
    assert meaning(Suite.resolve(name), key)[:2] == (role, direction)
