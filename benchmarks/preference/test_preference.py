"""The comparison with preference training."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks.preference import __main__ as command
from benchmarks.preference import methods, watch
from benchmarks.preference.data import is_rude, make
from benchmarks.preference.measure import Goal, cheapest, flops_of_a_step, looker, ratios, run


def test_the_rule_tells_the_answers_apart() -> None:
    rows = make(seed=0)
    assert all(is_rude(row["response"]) for row in rows["trained"] + rows["unseen"])
    kind = rows["chosen"] + rows["normal"] + rows["heldout"]
    assert not any(is_rude(row["response"]) for row in kind)


def test_unseen_prompts_are_not_trained_and_pairs_share_a_prompt() -> None:
    rows = make(seed=0)
    prompts = {name: {row["prompt"] for row in each} for name, each in rows.items()}
    assert not prompts["trained"] & prompts["unseen"]
    assert not prompts["normal"] & prompts["heldout"]
    assert [r["prompt"] for r in rows["trained"]] == [r["prompt"] for r in rows["chosen"]]
    assert make(seed=0) == rows
    assert make(seed=1) != rows


def test_the_clock_stands_still_while_answers_are_looked_at(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(watch.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(watch.time, "process_time", lambda: now[0] / 2)
    rates = iter([0.5, 0.0])

    def look(_: Any) -> dict[str, float]:
        now[0] += 100.0
        return {"trained": 0.0, "unseen": next(rates)}

    clock = watch.Watch(look, target=0.1, every=2)
    ends = []
    for _ in range(4):
        now[0] += 3.0
        ends.append(clock.after_step(None))
    assert ends == [False, False, False, True]  # unseen prompts count too
    assert [(each["step"], each["wall"], each["cpu"]) for each in clock.looks] == [
        (2, 6.0, 3.0),
        (4, 12.0, 6.0),
    ]


def _run(method: str, cpu: float, *, reached: bool = True, kept: bool = True) -> dict[str, Any]:
    costs = {"cpu": cpu, "wall": cpu, "flops": 10 * cpu, "step": 1}
    return {"method": method, "seed": 0, "reached": reached, "kept": kept, **costs}


def test_ratios_are_of_the_cheapest_runs_that_reached_the_goal_and_kept_the_rest() -> None:
    runs = [
        _run("llmu", 2.0),
        _run("llmu", 1.0, kept=False),
        _run("dpo", 8.0),
        _run("dpo", 4.0, reached=False),
        _run("grpo", 1.0, reached=False),
    ]
    assert cheapest(runs, "llmu") == runs[0]
    (found,) = ratios(runs)
    assert found == {
        "seed": 0,
        "method": "dpo",
        "cpu": 0.25,
        "wall": 0.25,
        "flops": 0.25,
        "step": 1,
    }


def test_without_trl_it_says_how_to_install_it(monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        command.main([])
    assert stopped.value.code == 2
    assert "pip install trl" in capsys.readouterr().err


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> methods.Task:
    return methods.taught(0, tmp_path_factory.mktemp("taught"), epochs=8)


def test_unlearning_lowers_both_rates(task: methods.Task) -> None:
    before = looker(task)(task.model)
    assert before["trained"] > 0.5
    found = run(task, "llmu", 1e-3, Goal(target=0.2, every=2, max_steps=10), before)
    assert found["reached"]
    assert found["trained"] <= 0.2
    assert found["unseen"] <= 0.2
    assert looker(task)(task.model) == before  # each method trains a copy
    assert flops_of_a_step(task, "llmu", 1e-3) > 1e9
    shown = command.line({**found, "flops": 2e9})
    assert shown.count("|") == command.heading().splitlines()[0].count("|")


@pytest.mark.extra("trl")
def test_preference_training_starts_from_the_taught_model_as_its_reference(
    task: methods.Task,
) -> None:
    clock = watch.Watch(lambda model: {"trained": 1.0, "unseen": 1.0}, target=0.0, every=1)
    result = methods.dpo_trainer(task, 1e-3, 1, clock).train()
    assert result.training_loss == pytest.approx(math.log(2), abs=1e-4)
    assert clock.step == 1
    judge = methods.grpo_trainer(task, 1e-3, 1, clock).reward_funcs[0]
    assert judge(completions=[" Hah, you goat!", " Yes."]) == [0.0, 1.0]
