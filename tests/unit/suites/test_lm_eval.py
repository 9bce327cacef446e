"""lm-evaluation-harness as a suite, on a task of our own that needs no download."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from stub import stub_model, stub_tokenizer

from unlearnkit.errors import RecipeError
from unlearnkit.suites import LmEval, SuiteContext, Wmdp
from unlearnkit.suites.meaning import meaning

pytestmark = pytest.mark.extra("lm_eval")

DATA = Path(__file__).parent / "data" / "lm_eval"


@pytest.fixture(scope="module")
def result():
    # The task names its file relative to the working directory.
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(DATA)
        model, tokenizer = stub_model(), stub_tokenizer()
        torch.manual_seed(4)
        random.seed(4)
        before = torch.get_rng_state(), random.getstate(), dict(tokenizer.special_tokens_map)
        model.train()
        suite = LmEval(["letters"], task_folder=".")
        suite.check(tokenizer, SuiteContext())
        found = suite.run(model, tokenizer, SuiteContext())
        assert model.training
        assert torch.equal(torch.get_rng_state(), before[0])
        assert random.getstate() == before[1]
        assert dict(tokenizer.special_tokens_map) == before[2]
        return found


def test_figures_are_those_of_the_harness(result):
    # The stub prefers a (2 bits) and b (3) to d and e (4): right, right, wrong.
    assert result.values["letters/acc"] == pytest.approx(2 / 3)
    assert [row["figures"]["acc"] for row in result.rows] == [1.0, 1.0, 0.0]


def test_intervals_come_from_the_rows(result):
    rows = json.loads(json.dumps(result.rows))
    assert LmEval(["letters"]).aggregate(rows) == {"letters/acc": result.values["letters/acc"]}
    assert LmEval(["letters"]).aggregate(rows[:2]) == {"letters/acc": 1.0}


def test_tasks_are_checked_without_a_download():
    tokenizer = stub_tokenizer()
    Wmdp().check(tokenizer, SuiteContext())
    with pytest.raises(RecipeError, match=r"no task 'wmdp_boi'\. Did you mean 'wmdp_bio'"):
        Wmdp(["wmdp_boi"]).check(tokenizer, SuiteContext())
    with pytest.raises(RecipeError, match="there is no folder nowhere"):
        LmEval(["letters"], task_folder="nowhere").check(tokenizer, SuiteContext())
    with pytest.raises(RecipeError, match="lm_eval: tasks: expected at least one"):
        LmEval([])
    with pytest.raises(RecipeError, match="wmdp: limit must be at least 1"):
        Wmdp(limit=0)


def test_data_that_cannot_be_had_is_no_fault_of_ours():
    suite = Wmdp(["wmdp_bio"], limit=1)
    with pytest.raises(RecipeError, match=r"wmdp: the data of a task is not available .*cais/wmdp"):
        suite.run(stub_model(), stub_tokenizer(), SuiteContext())


def test_hazardous_knowledge_should_go_and_the_rest_stay():
    assert meaning(Wmdp, "wmdp_bio/acc").direction == "down"
    assert meaning(Wmdp, "mmlu/acc").direction == "up"
