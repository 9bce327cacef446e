from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy

from unlearnkit.cli.main import main
from unlearnkit.engine.preflight import refuse
from unlearnkit.engine.training.fsdp2 import FSDP2Strategy
from unlearnkit.errors import RecipeError
from unlearnkit.runs.preflight import FILES, TRAINER


def _run(checkpoints: str, module: str) -> SimpleNamespace:
    strategy = FSDP2Strategy(checkpoints=checkpoints)  # pyright: ignore
    own = type("AdamW8bit", (torch.optim.AdamW,), {"__module__": module})
    made = SimpleNamespace(make_optimizer=lambda parameters: own(parameters))
    return SimpleNamespace(trainer=SimpleNamespace(strategy=strategy), module=made)


def test_sharded_checkpoints_of_quantised_states_are_refused() -> None:
    rules = [rule for rule in TRAINER if "quantised in blocks" in (rule.message or "")]
    assert len(rules) == 1
    for library in ("torchao.optim.adam", "bitsandbytes.optim.adamw"):
        with pytest.raises(RecipeError, match="do not hold the states of AdamW8bit"):
            refuse(rules, _run("sharded", library))  # pyright: ignore
        refuse(rules, _run("whole", library))  # pyright: ignore
    refuse(rules, _run("sharded", "torch.optim.adamw"))  # pyright: ignore


def test_gradients_of_a_model_that_is_in_parts_are_refused() -> None:
    (rule,) = [each for each in TRAINER if "gradnorm" in (each.message or "")]

    def run(evaluation: str = "sharded", world: int = 2, **changed: object) -> SimpleNamespace:
        strategy = FSDP2Strategy(evaluation=evaluation)  # pyright: ignore
        trainer = SimpleNamespace(strategy=strategy, world_size=world)
        suite = SimpleNamespace(name="privacy", gradnorm=True)
        given = {"trainer": trainer, "suites": [suite], "evaluate_every": []}
        return SimpleNamespace(**given | changed)

    for each in (run(), run("copies", evaluate_every=[object()])):
        with pytest.raises(RecipeError, match="gradnorm of suite privacy takes the gradients"):
            refuse([rule], each)  # pyright: ignore
    for each in (run("copies"), run(world=1), run(suites=[SimpleNamespace(name="copyright")])):
        refuse([rule], each)  # pyright: ignore


def test_every_stage_of_deepspeed_is_refused() -> None:
    rules = [rule for rule in TRAINER if "DeepSpeed" in (rule.message or "")]
    run = SimpleNamespace(strategy=object.__new__(DeepSpeedStrategy))
    with pytest.raises(RecipeError, match="its checkpoints are pickles"):
        refuse(rules, run)  # pyright: ignore
    refuse(rules, SimpleNamespace(strategy=FSDP2Strategy()))  # pyright: ignore


@pytest.mark.parametrize(
    ("gold", "words"),
    [
        ("nowhere", "gold: 'nowhere' is neither a folder nor a model"),
        ("./nowhere", "gold: there is no folder ./nowhere"),
        ("runs/nowhere", "gold: 'runs/nowhere' is neither"),  # runs/ is a folder here
        ("tiny/nowhere", "gold: 'tiny/nowhere' is neither"),
        ("owner/model", None),
        ("tiny/gold", None),
    ],
)
def test_a_gold_model_that_no_suite_reads_is_there_too(here, gold, words) -> None:
    (here / "runs").mkdir()
    (rule,) = [each for each in FILES if "_unread_gold" in each.broken.__code__.co_names]
    run = SimpleNamespace(gold=gold, compared=None)
    if words is None:
        refuse([rule], run)  # pyright: ignore
        return
    with pytest.raises(RecipeError, match=words):
        refuse([rule], run)  # pyright: ignore
    refuse([rule], SimpleNamespace(gold=None, compared=None))  # pyright: ignore


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--trainer.callbacks", "[{name: redraw_samples}]"], "redraw_samples: no stream is"),
        (["--trainer.callbacks", "[{name: extraction_stop}]"], "unseen"),
    ],
)
def test_validate_asks_callbacks_whether_they_go_with_the_streams(capsys, words, told) -> None:
    assert main(["validate", "--recipe", "copyright", *words]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_stream_that_a_callback_reads_is_not_told_as_unread(capsys) -> None:
    assert main(["validate", "--recipe", "tiny_tofu/gradient_ascent"]) == 0
    assert "reads this stream" not in " ".join(capsys.readouterr().err.split())
