"""What a recipe reads of the Hub."""

from __future__ import annotations

import json

import pytest

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.streams.base import Stream
from unlearnkit.engine.reference.other import OtherModel
from unlearnkit.models.base import BaseModel, Offset
from unlearnkit.models.hub import OnHub
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.base import Objective
from unlearnkit.runs.planning import downloads
from unlearnkit.runs.planning.downloads import asked_of_hub, harness_tasks, looked_up
from unlearnkit.suites import Copyright, LmEval, Muse, Tofu


def module(base="tiny", **options) -> UnlearningModule:
    return UnlearningModule({"forget": Objective.resolve("npo")()}, base=base, **options)


def streams(**paths: str) -> UnlearningDataModule:
    """Texts of these paths; what follows a colon is the configuration."""
    text = Stream.resolve("text")
    made = {
        name: text(path=path.partition(":")[0], config=path.partition(":")[2] or None)
        for name, path in paths.items()
    }
    return UnlearningDataModule(made)


def uses(*given, **more) -> dict[str, str]:
    return {each.use: each.repo for each in asked_of_hub(*given, **more)}


def test_what_stands_on_this_machine_is_none_of_it(here) -> None:
    (here / "rows").mkdir()
    data = streams(forget="tiny/book.jsonl", retain="rows", other="none.jsonl")
    assert uses(module(), data, [Copyright(), Tofu(data=str(here))], "tiny/gold") == {}


def test_models_and_data_sets_have_their_keys() -> None:
    base = BaseModel("a/base", offset=Offset("a/small"))
    data = streams(forget="a/rows:raw", retain="wikitext")
    other = module(base, reference=OtherModel("a/teacher"))
    assert uses(other, data, [Tofu()], "a/gold") == {
        "model.base": "a/base", "model.base.offset.small": "a/small",
        "model.reference": "a/teacher", "gold": "a/gold", "data.streams.forget": "a/rows",
        "data.streams.retain": "wikitext", "suite tofu": "locuslab/TOFU",
    }  # fmt: skip


def test_an_own_stream_may_mean_something_else_by_config() -> None:
    data = streams(forget="a/rows:raw")
    data.streams["forget"].config = {"a": 1}  # pyright: ignore
    (found,) = asked_of_hub(module(), data)
    assert found.tables == {None: True}


def test_a_gold_model_is_read_by_suites_alone() -> None:
    data = streams(forget="tiny/book.jsonl")
    assert uses(module(), data, gold="a/gold") == {}
    assert uses(module(), data, [Copyright()], "a/gold") == {"gold": "a/gold"}


def test_the_model_of_a_phase_before_is_none_of_it() -> None:
    data = streams(forget="tiny/book.jsonl")
    assert uses(module(reference=OtherModel(phase="first")), data) == {}


def test_judges_are_models() -> None:
    suite = Copyright()
    judge = downloads.Judged.named("semantic_similarity")("a/judge")
    suite.metrics = {**suite.metrics, "alike": judge}
    found = uses(module(), streams(forget="tiny/book.jsonl"), [suite])
    assert found == {"suite copyright, semantic_similarity": "a/judge"}


def test_below_an_adapter_stands_a_model(here) -> None:
    adapter = {"base_model_name_or_path": "a/base", "peft_type": "LORA", "task_type": "CAUSAL_LM"}
    (here / "run").mkdir()
    (here / "run/adapter_config.json").write_text(json.dumps(adapter))
    assert uses(module("run"), streams(forget="tiny/book.jsonl")) == {"model.base": "a/base"}


def test_a_model_that_cannot_be_named_is_left_to_the_checks(here) -> None:
    (here / "file").write_text("")
    assert uses(module(), streams(forget="tiny/book.jsonl"), [Copyright()], "file") == {}


@pytest.fixture
def looks(monkeypatch) -> list:
    """What is looked up; nothing is in the cache."""
    seen: list = []
    monkeypatch.setattr(downloads, "find_model", lambda *given: seen.append(given) or OnHub(False))
    monkeypatch.setattr(
        downloads, "find_dataset", lambda *given: seen.append(given) or OnHub(False, 7)
    )
    return seen


def test_each_repository_is_looked_up_once_for_all_its_uses(looks) -> None:
    data = streams(forget="locuslab/TOFU:forget10", retain="locuslab/TOFU:retain90")
    asked = list(asked_of_hub(module("a/base"), data, [Tofu(split="forget01")], "a/base"))
    found = looked_up([*asked, *asked])  # as of two phases
    assert [(each.repo, each.uses) for each in found] == [
        ("a/base", ("model.base", "gold")),
        ("locuslab/TOFU", ("data.streams.forget", "data.streams.retain", "suite tofu")),
    ]
    tables = dict.fromkeys(
        ("forget10", "retain90", "forget01_perturbed", "retain_perturbed",
         "real_authors_perturbed", "world_facts_perturbed"), True,
    )  # fmt: skip
    assert looks == [("a/base", None, None), ("locuslab/TOFU", {**tables, "holdout01": False})]


def test_two_revisions_are_two_downloads(looks) -> None:
    bases = (BaseModel("a/base", revision=each) for each in ("one", "two"))
    data = streams(forget="tiny/book.jsonl")
    looked_up(each for base in bases for each in asked_of_hub(module(base), data))
    assert looks == [("a/base", "one", None), ("a/base", "two", None)]


def test_a_suite_that_does_not_say_what_it_reads_may_read_all(looks) -> None:
    class Own(Muse):
        def hub_tables(self):
            return {}

    data = streams(forget="muse-bench/MUSE-News:raw")
    looked_up(asked_of_hub(module(), data, [Own()]))
    assert looks == [("muse-bench/MUSE-News", {})]


def test_tasks_of_the_harness_are_named() -> None:
    suites = [Copyright(), LmEval(["mmlu", "wmdp_bio"]), LmEval(["mmlu"])]
    assert harness_tasks(suites) == ["mmlu", "wmdp_bio"]
