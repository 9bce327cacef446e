"""Courses of losses beside a checkout that the tests write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import steps
from benchmarks.peers.methods import METHODS, Switch
from benchmarks.peers.open_unlearning import _Absent
from benchmarks.peers.positions import batch_at
from unlearnkit.data.example import Example
from unlearnkit.objectives.base import Objective

GRAD_DIFF = """
import copy
from deepspeed import DeepSpeedEngine

class GradDiff:
    def __init__(self, model, args, retain_loss_type="NLL"):
        assert not isinstance(model, DeepSpeedEngine)
        self.kind, self.before = retain_loss_type, copy.deepcopy(model).eval()

    def compute_loss(self, model, inputs, return_outputs=False):
        forget, retain = (model(**inputs[name]) for name in ("forget", "retain"))
        kept = retain.loss
        if self.kind == "KL":  # of the whole padded rows
            own = retain.logits.log_softmax(-1)
            other = self.before(**inputs["retain"]).logits.log_softmax(-1).detach()
            kept = (other.exp() * (other - own)).sum(-1).mean()
        return FACTOR * kept - forget.loss
"""


def checkout(folder: Path, factor: float) -> Path:
    """A folder of the other's form."""
    unlearn = folder / "src" / "trainer" / "unlearn"
    unlearn.mkdir(parents=True)
    for package in (unlearn.parent, unlearn):
        (package / "__init__.py").write_text("")
    (unlearn / "grad_diff.py").write_text(f"FACTOR = {factor}\n{GRAD_DIFF}")
    for name, cls in (("grad_ascent", "GradAscent"), ("npo", "NPO"), ("simnpo", "SimNPO")):
        (unlearn / f"{name}.py").write_text(f"class {cls}:\n    pass\n")
    return folder


def run(folder: Path, name: str, tmp_path: Path) -> dict:
    file = tmp_path / "figures.json"
    given = ["--methods", name, "--quick", "--lr", "1e-4", "--json", str(file)]
    code = steps.main([str(folder), *given])
    (row,) = json.loads(file.read_text())["rows"]
    assert code == (row["verdict"] == "open")
    return row


@pytest.fixture(autouse=True)
def _fresh_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each checkout's package has the same name."""
    import sys

    for name in [each for each in sys.modules if each.split(".")[0] == "trainer"]:
        monkeypatch.delitem(sys.modules, name)


def test_the_same_loss_stays_the_same_step_by_step(tmp_path: Path) -> None:
    row = run(checkout(tmp_path / "peer", 1.0), "GradDiff", tmp_path)
    assert row["verdict"] == "same"
    assert row["gap"] < 1e-5
    assert len(set(row["losses"]["theirs"])) == 3  # both sides moved


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """AdamW divides by small gradients: in float32 a processor's rounding moves a loss by 2e-5."""
    start = steps._start

    def doubled(setting: steps.Setting) -> tuple[Any, Any]:
        model, workload = start(setting)
        return model.double(), workload

    monkeypatch.setattr(steps, "_start", doubled)


@pytest.mark.usefixtures("in_float64")
def test_a_mean_over_all_positions_is_explained_by_its_switch(tmp_path: Path) -> None:
    row = run(checkout(tmp_path / "peer", 1.0), "GradDiff-KL", tmp_path)
    assert row["verdict"] == "explained"
    assert row["gap"] > 10 * row["gap_switched"]
    assert row["gap_switched"] < 1e-5
    assert steps.line(row).endswith("| positions of `retain`: every |")


def test_another_factor_is_left_open(tmp_path: Path) -> None:
    row = run(checkout(tmp_path / "peer", 2.0), "GradDiff", tmp_path)
    assert row["verdict"] == "open"
    assert steps.line(row).endswith("| none known |")


def test_the_gap_is_the_largest_over_theirs_where_that_is_above_one() -> None:
    assert steps.gap([1.0, 10.5, 0.5], [1.0, 10.0, 0.25]) == 0.25
    assert steps.gap([-21.0], [-20.0]) == pytest.approx(0.05)


def test_positions_of_padded_rows() -> None:
    rows = [Example((7, 8), (3, 4), 0, "toy"), Example((9,), (5,), 1, "toy")]
    every, shifted, holding = (
        batch_at("forget", at, rows, 200) for at in ("every", "shifted", "holding")
    )
    assert every.place.tolist() == list(range(8))
    # [7 8 3 4] predicts no label, 3, 4; [9 5 0 0] predicts 5 and twice padding.
    assert shifted.place.tolist() == [0, 1, 2, 4, 5, 6]
    assert shifted.target.tolist() == [100, 3, 4, 5, 100, 100]
    assert holding.place.tolist() == [2, 3, 5]
    assert holding.sequence.tolist() == [0, 0, 1]
    assert holding.streams["forget"].token_share == 3


def test_compat_is_laid_over_the_named_objectives_alone() -> None:
    pair = {"forget": {"name": "simnpo"}, "retain": {"name": "retain_nll"}}
    found = Switch(compat=("forget",)).laid_over(pair)
    assert found == {**pair, "forget": {"name": "simnpo", "compat": "open-unlearning"}}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_of_registered_objectives(name: str) -> None:
    method = METHODS[name]
    pairs = [method.pairing.ours]
    if method.switch is not None:
        pairs.append(method.switch.laid_over(method.pairing.ours))
    for stream, arguments in (item for pair in pairs for item in pair.items()):
        rest = {key: value for key, value in arguments.items() if key != "name"}
        assert Objective.resolve(arguments["name"])(stream=stream, **rest).weight > 0


def test_what_stands_in_for_a_package_cannot_be_used() -> None:
    with pytest.raises(ImportError, match="deepspeed is not installed, so there is no initialize"):
        _Absent("deepspeed").initialize(model=None)


def test_another_peer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    functions = ("compute_kl", "get_answer_loss", "get_rand_ans_loss")
    (tmp_path / "utils.py").write_text("".join(f"def {each}(): ...\n" for each in functions))
    with pytest.raises(SystemExit) as stopped:
        steps.main([str(tmp_path)])
    assert stopped.value.code == 2
    assert "is a checkout of llm_unlearn, not open-unlearning" in capsys.readouterr().err
