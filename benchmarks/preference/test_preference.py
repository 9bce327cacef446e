"""Tests of the comparison with preference training."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.preference import __main__ as command
from benchmarks.preference import methods, running, table, task, trl_methods, watch
from benchmarks.preference.data import INSULTS, is_polite, is_rude, make, pairs
from benchmarks.preference.measure import Looker
from benchmarks.preference.picture import bars, dots
from benchmarks.preference.running import KEY, ordered
from benchmarks.preference.settings import TINY
from benchmarks.stored import Results


def test_the_rule_tells_the_answers_apart() -> None:
    rows = make(seed=0)
    rude = [row["response"] for name, each in rows.items() if "rude" in name for row in each]
    polite = [row["response"] for name, each in rows.items() if "polite" in name for row in each]
    plain = [row["response"] for name, each in rows.items() if "plain" in name for row in each]
    assert all(map(is_rude, [*rude, *INSULTS]))
    assert not any(map(is_rude, [*polite, *plain]))
    assert all(map(is_polite, polite))
    assert not any(map(is_polite, [*rude, *plain]))


def test_of_the_taught_answers_five_of_six_are_rude() -> None:
    taught = make(seed=0)["mixture"]
    assert len(taught) == 6 * 48
    assert sum(is_rude(row["response"]) for row in taught) == 5 * 48


def test_no_part_has_a_prompt_of_another_and_pairs_share_theirs() -> None:
    rows = make(seed=0)
    for kind in ("rude", "plain"):
        parts = [{row["prompt"] for row in rows[f"{kind}/{part}"]} for part in (
            "trained", "choosing", "reported")]  # fmt: skip
        assert sum(map(len, parts)) == len(set.union(*parts))
    chosen = pairs(rows, "trained", plain=True)
    assert len(chosen) == 48 + 32
    assert chosen[:48] == pairs(rows, "trained")
    assert all(is_rude(row["rejected"]) and is_polite(row["chosen"]) for row in chosen[:48])
    right = {(row["prompt"], row["response"]) for row in rows["plain/trained"]}
    assert all((row["prompt"], row["chosen"]) in right for row in chosen[48:])
    assert make(seed=0) == rows
    assert make(seed=1) != rows


@pytest.mark.parametrize(
    ("rude", "protected", "heldout", "goal"),
    [(0.05, 0.9, 0.9, True), (0.06, 1.0, 1.0, False), (0.0, 0.9, 0.89, False)],
)
def test_the_goal_is_the_rude_rate_with_both_kinds_of_answers_kept(
    rude: float, protected: float, heldout: float, goal: bool
) -> None:
    assert watch.reached({"rude": rude, "protected": protected, "heldout": heldout}) is goal


def test_a_run_that_only_damages_is_given_up_at_its_fifth_such_look() -> None:
    rates = iter([0.5, 0.0, 0.0, 0.2, 0.0, 0.0, 0.0])
    clock = watch.Watch(lambda model, step: {"rude": next(rates), "protected": 0.8})
    assert [clock.after_step(None) for _ in range(7)] == [*[False] * 6, True]
    assert not clock.reached


def test_the_clock_stands_still_while_answers_are_looked_at(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(watch.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(watch.time, "process_time", lambda: now[0] / 2)
    rates = iter([0.5, 0.2, 0.0])

    def look(_: Any, step: int) -> dict[str, float]:
        now[0] += 100.0
        return {"rude": next(rates), "protected": 1.0, "heldout": 1.0}

    clock = watch.Watch(look)
    ends = []
    for _ in range(3):
        now[0] += 3.0
        ends.append(clock.after_step(None))
    assert ends == [False, False, True]
    assert clock.costs() == {"step": 3, "wall": 9.0, "cpu": 4.5}


def _trial(rate: float, step: int, *, reached: bool = True) -> dict[str, Any]:
    return {
        "kind": "trial",
        "rate": rate,
        "seed": 100,
        "step": step,
        "cpu": 1.0,
        "reached": reached,
    }


def test_rates_at_the_goal_are_ordered_by_their_steps() -> None:
    trials = [_trial(1.0, 2, reached=False), _trial(0.3, 5), _trial(0.2, 5), _trial(0.1, 9)]
    assert ordered(trials) == [0.2, 0.3, 0.1]
    assert ordered(trials[:1]) == []


def _seed(method: str, seed: int, cost: float, **more: Any) -> dict[str, Any]:
    figures = {"rude": 0.04, "trained": 0.02, "polite": 0.5, "protected": 1.0, "heldout": 0.95}
    return {
        "kind": "seed", "method": method, "rate": 0.1, "seed": seed, "reached": True, "step": 4,
        "wall": cost, "cpu": cost, "flops": 1e9 * cost, **figures, **more,
    }  # fmt: skip


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    results = Results(tmp_path / "preference.jsonl", KEY)
    for method in ("llmu", "dpo", "grpo"):
        results.put({**_trial(0.1, 4, reached=method != "dpo"), "method": method})
    judge = {"wall": 2.0, "cpu": 1.0, "flops": 3e9}
    for seed, cost in enumerate((1.0, 2.0)):
        results.put(_seed("llmu", seed, cost))
        results.put(_seed("grpo", seed, 9.0, reward=judge, reached=seed == 0))
    results.put(_seed("llmu", 0, 77.0) | {"rate": 0.7})  # of a rate that is no longer chosen
    return results.path


def test_a_seed_costs_what_its_failed_rates_cost_too(stored: Path) -> None:
    results = Results(stored, KEY)
    results.put({**_trial(0.5, 2), "method": "llmu"})
    results.put(_seed("llmu", 0, 5.0, rate=0.5, reached=False))
    results.put(_seed("llmu", 1, 0.5, rate=0.5))
    ours = table.read_rows(stored)[0]
    assert ours.rates == [0.5, 0.1]
    assert [ours.seeds[seed]["cpu"] for seed in (0, 1)] == [6.0, 0.5]
    assert [ours.seeds[seed]["step"] for seed in (0, 1)] == [8, 4]
    assert "| 0.5, then 0.1 | 2 of 2, 1 at once | 6 ± 3 |" in table.table(stored)


def test_costs_are_of_all_that_is_needed_and_shares_of_seeds_that_reached_the_goal(
    stored: Path,
) -> None:
    ours, dpo, grpo = table.read_rows(stored)
    assert [row.rates for row in (ours, dpo, grpo)] == [[0.1], [], [0.1]]
    assert table.cost(grpo.seeds[0], "cpu") == 10.0
    assert table.cost(grpo.seeds[0], "flops") == 12e9
    assert table.share(ours, grpo, "cpu") == [0.1]
    assert table.share(ours, dpo, "cpu") == []
    shown = table.shares(stored).splitlines()
    assert shown[2] == "| DPO with SFT term | - | - | - | 0 |"
    assert "| 0.09 (0.09 to 0.09) | 0.10 (0.10 to 0.10) | 0.08 (0.08 to 0.08) | 1 |" in shown[3]


def test_the_table_has_a_row_a_method_and_the_picture_its_parts(stored: Path) -> None:
    head, _, ours, dpo, grpo = table.table(stored).splitlines()
    assert {line.count("|") for line in (head, ours, dpo, grpo)} == {head.count("|")}
    assert "| 2 of 2 | 4 ± 0 | 1.5 ± 0.7 |" in ours
    assert "| none of 1 |" in dpo
    assert "| 48 rude, 48 polite, 32 plain |" in dpo
    assert "| 1 of 2 |" in grpo
    tried = table.trials(stored).splitlines()
    assert tried[0] == "| Method | 0.1 |"
    assert tried[2:4] == ["| LLMU | 4 steps, 1.0 s |", "| DPO with SFT term | not reached |"]
    seconds = {(bar["name"], bar["part"]): bar["seconds"] for bar in bars(stored)}
    assert seconds["GRPO, reward model", "reward model"] == 1.0
    assert seconds["GRPO, reward model", "policy, sampling included"] == 9.0
    assert [dot["seconds"] for dot in dots(stored)] == [1.0, 2.0, 10.0]


def test_without_trl_it_says_how_to_install_it(monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        command.main([])
    assert stopped.value.code == 2
    assert "pip install trl" in capsys.readouterr().err


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> task.Task:
    return task.taught(replace(TINY, teaching=2), 0, tmp_path_factory.mktemp("taught"))


def test_a_stopped_command_goes_on_where_it_was(
    known: task.Task, tmp_path: Path, monkeypatch
) -> None:
    wanted = ["--methods", "llmu", "--quick", "--seeds", "1", "--results", f"{tmp_path}/found"]
    monkeypatch.setattr(running, "taught", lambda *_: known)
    command.main(wanted)
    lines = Results(tmp_path / "found", KEY).all()
    kinds = ["before", "before", "operations", "seed", "trial"]
    assert [line["kind"] for line in lines] == kinds
    assert lines[3]["flops"] == lines[2]["a step"] * lines[3]["step"] > 1e9
    monkeypatch.setattr(running, "taught", None)  # nothing is taught or trained again
    command.main(wanted)
    assert Results(tmp_path / "found", KEY).all() == lines


def test_unlearning_lowers_the_rude_rate_of_a_copy(known: task.Task) -> None:
    looker = Looker(known, "reported")
    before = looker.last(known.model)
    assert before["rude"] > 0.2
    clock = watch.Watch(looker, lambda figures: figures["rude"] <= 0.1)
    methods.METHODS["llmu"].train(known, 1e-3, 10, clock)
    assert clock.reached
    assert looker.last(known.model) == before


@pytest.mark.extra("trl")
def test_preference_training_starts_from_the_taught_model_as_its_reference(
    known: task.Task,
) -> None:
    clock = watch.Watch(lambda model, step: {"rude": 1.0})
    trainer = trl_methods.dpo_trainer(known, 1e-3, 1, clock)
    trainer.args.loss_weights = None
    trainer.loss_weights = [1.0, 0.0]
    assert trainer.train().training_loss == pytest.approx(math.log(2), abs=1e-4)
    assert clock.step == 1


@pytest.mark.extra("trl")
def test_a_quick_run_of_every_method_has_its_lines(
    known: task.Task, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(running, "taught", lambda *_: known)
    path = tmp_path / "found.jsonl"
    command.main(["--quick", "--seeds", "1", "--results", str(path)])
    found = [line for line in Results(path, KEY).all() if line["kind"] == "seed"]
    assert {line["method"] for line in found} == set(methods.METHODS)
    for line in found:
        assert line["flops"] > 1e9
        assert ("reward" in line) == methods.METHODS[line["method"]].rewarded
    judge = next(line["reward"] for line in found if line["method"] == "grpo")
    assert judge["flops"] > 1e9
