"""The comparison with other repositories, on checkouts that the tests write."""

from __future__ import annotations

import json
from pathlib import Path

import processes
import pytest

from benchmarks.peers import measure
from benchmarks.peers.__main__ import line, main
from benchmarks.peers.checkout import NoCheckout, recognise
from benchmarks.peers.llm_unlearn import FRAME
from benchmarks.peers.measure import Setting, row, run_side
from benchmarks.peers.rows import Frame, Workload

# The same three terms as ours, written down with a padded pass each.
UTILS = """
import torch

def logps(model, batch, start_locs):
    ids = batch["input_ids"]
    logits = model(ids, attention_mask=batch["attention_mask"]).logits[:, :-1]
    found = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    places = torch.arange(1, ids.shape[1])
    mask = (places >= start_locs[:, None]) & batch["attention_mask"][:, 1:].bool()
    return found, mask, logits

def get_answer_loss(operation, batch, model, device):
    found, mask, _ = logps(model, batch, batch["start_locs"])
    means = (found * mask).sum(1) / mask.sum(1)
    return means.mean() if operation == "ga" else -means.mean()

def get_rand_ans_loss(bad_batch, tokenizer, normal_ans, model, K, device):
    rows, starts = [], []
    for ids, start in zip(bad_batch["input_ids"], bad_batch["start_locs"]):
        for answer in normal_ans:
            more = tokenizer(" " + answer, add_special_tokens=False)["input_ids"]
            rows.append(ids[:start].tolist() + more)
            starts.append(int(start))
    longest = max(map(len, rows))
    batch = {
        "input_ids": torch.tensor([r + [1] * (longest - len(r)) for r in rows]),
        "attention_mask": torch.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in rows]),
        "start_locs": torch.tensor(starts),
    }
    return get_answer_loss("gd", batch, model, device)

def compute_kl(pretrained_model, current_model, batch, device):
    return 0.0 * current_model(batch["input_ids"]).logits.sum()
"""
GRAD_DIFF = """
import deepspeed

class GradDiff:
    def __init__(self, model, args, retain_loss_type="NLL"):
        self.kind = retain_loss_type

    def compute_loss(self, model, inputs, return_outputs=False):
        forget, retain = (model(**inputs[name]).loss for name in ("forget", "retain"))
        return retain - forget
"""


@pytest.fixture
def open_unlearning(tmp_path: Path) -> Path:
    """A folder of the other's form, whose package imports what is not installed here."""
    unlearn = tmp_path / "src" / "trainer" / "unlearn"
    unlearn.mkdir(parents=True)
    (unlearn.parent / "__init__.py").write_text("from omegaconf import DictConfig\n")
    (unlearn / "__init__.py").write_text("")
    (unlearn / "grad_diff.py").write_text(GRAD_DIFF)
    for name, cls in (("grad_ascent", "GradAscent"), ("npo", "NPO"), ("simnpo", "SimNPO")):
        (unlearn / f"{name}.py").write_text(f"class {cls}:\n    pass\n")
    return tmp_path


@pytest.fixture
def llm_unlearn(tmp_path: Path) -> Path:
    """A folder of the other's form with the paper's formula, but for the KL."""
    (tmp_path / "utils.py").write_text(UTILS)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give the folder of a checkout of open-unlearning or llm_unlearn"),
        (["nowhere"], "there is no folder nowhere"),
        (["."], "is no checkout that is known here"),
        ([".", "--steps", "0"], "expected at least 1"),
    ],
)
def test_without_a_checkout_it_says_what_is_missing(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_folder_with_other_functions_is_no_checkout(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text("def compute_kl(): ...\nraise RuntimeError\n")
    with pytest.raises(NoCheckout, match=r"for llm_unlearn it lacks get_answer_loss in utils\.py"):
        recognise(tmp_path)


def test_an_unknown_loss_is_refused_by_name(
    open_unlearning: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(open_unlearning), "--losses", "NPOO"])
    assert stopped.value.code == 2
    assert "GradDiff, GradDiff-KL, NPO, SimNPO, not NPOO" in capsys.readouterr().err


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sides run in processes that have the libraries already."""

    def run(command: list[str], **_: object) -> processes.Done:
        return processes.run(main, command[3:])  # after python -m benchmarks.peers

    monkeypatch.setattr(measure.subprocess, "run", run)


@pytest.mark.usefixtures("forked")
def test_the_same_loss_gives_the_same_figures_on_both_sides(
    open_unlearning: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    arguments = ["--losses", "GradDiff", "NPO", "--steps", "3", "--quick", "--json", str(file)]
    main([str(open_unlearning), *arguments])
    (found,) = json.loads(file.read_text())["rows"]
    assert found["loss_gap"] == pytest.approx(0.0, abs=1e-5)
    assert found["forget_nll_ratio"] == pytest.approx(1.0, abs=1e-3)
    assert found["retain_nll_ratio"] == pytest.approx(1.0, abs=1e-3)
    assert found["forget_nll"][0] > 10 * found["retain_nll"][0]  # both trained, on forget rows
    assert "| GradDiff | tiny |" in capsys.readouterr().out


def test_both_sides_have_the_same_rows_and_random_answers(llm_unlearn: Path) -> None:
    setting = Setting(llm_unlearn, "LLMU", "tiny", steps=2, seed=0, lr=4e-4)
    mine, other = run_side(setting, "ours"), run_side(setting, "theirs")
    # Before the first update our KL is 0, as theirs is always here.
    assert mine["losses"][0] == pytest.approx(other["losses"][0], rel=1e-5)


def test_a_package_that_is_missing_is_named(
    llm_unlearn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (llm_unlearn / "utils.py").open("a") as file:
        file.write("import no_such_package\n")
    with pytest.raises(SystemExit) as stopped:
        main([str(llm_unlearn), "--side", "theirs", "--losses", "LLMU", "--steps", "1"])
    assert stopped.value.code == 2
    assert "cannot be imported: No module named 'no_such_package'" in capsys.readouterr().err


def test_rows_depend_on_the_seed_alone() -> None:
    first, again, other = (Workload(FRAME, 2, seed).steps for seed in (0, 0, 1))
    assert first == again
    assert first != other
    tokens = first[0].streams["forget"].examples[0]
    assert Workload(Frame(), 1, 0).steps[0].streams["forget"].examples[0] != tokens
    assert len(first[0].streams["mismatch"].examples) == 4 * 5


def test_a_row_pairs_the_rounds(tmp_path: Path) -> None:
    def run(seconds: float, nll: float) -> dict:
        return {
            "seconds": seconds,
            "memory_mb": None,
            "flops": 10 * nll,
            "losses": [nll],
            "forget_nll": nll,
            "retain_nll": nll,
        }

    setting = Setting(tmp_path, "NPO", "R", 1, 0, 1e-4)
    found = row(setting, [run(1, 2), run(3, 2), run(9, 2)], [run(2, 4), run(6, 4), run(1, 4)])
    assert found["cpu_ratio"] == 0.5
    assert found["cpu_range"] == [0.5, 9.0]
    assert found["flops_ratio"] == 0.5
    assert found["loss_gap"] == -0.5
    assert found["forget_nll_ratio"] == 0.5
    assert line(found).startswith("| NPO | R | 0.50 | 0.50 | - | -5.0e-01 | 2.000, 4.000 | 0.50 |")
