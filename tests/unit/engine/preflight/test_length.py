"""The warning of settings in steps that a run is too short for."""

from __future__ import annotations

import pytest

from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.callbacks.redraw_samples import RedrawSamples
from unlearnkit.cli.main import main
from unlearnkit.engine.preflight.length import tell_unreached
from unlearnkit.objectives.pdu import PDU
from unlearnkit.objectives.preference import NPO


def _told(caplog, *, warmup=0, objectives=None, callbacks=(), steps=10) -> list[str]:
    caplog.clear()
    tell_unreached(warmup, objectives or {}, callbacks, steps)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("of", "first"),
    [
        (lambda steps: {"objectives": {"forget": PDU(dual_warmup=steps)}}, 10),
        (lambda steps: {"callbacks": [RedrawSamples(steps)]}, 10),
        (lambda steps: {"callbacks": [EvaluateEvery(steps)]}, 11),
        (lambda steps: {"warmup": steps}, 10),
    ],
)
def test_it_is_told_from_the_first_number_that_is_too_large(caplog, of, first) -> None:
    assert not _told(caplog, **of(first - 1))
    (line,) = _told(caplog, **of(first))
    assert f": {first} optimiser steps, and the run has 10, so " in line
    assert not _told(caplog, **of(first), steps=None)


def test_each_is_named_as_a_recipe_names_it(caplog) -> None:
    objectives = {"forget": PDU(dual_warmup=70), "other": NPO()}
    lines = _told(caplog, warmup=10, objectives=objectives, callbacks=[RedrawSamples()])
    assert [line.partition(":")[0] for line in lines] == [
        "model.warmup", "model.objectives.forget.dual_warmup", "redraw_samples.steps",
    ]  # fmt: skip


def test_validate_tells(capsys) -> None:
    words = ["--trainer.max_epochs", "-1", "--trainer.max_steps"]
    for steps, told in (("70", True), ("71", False)):
        assert main(["validate", "--recipe", "methods/pdu", *words, steps]) == 0
        seen = "forget.dual_warmup: 70 optimiser steps, and the run has 70" in " ".join(
            capsys.readouterr().err.split()
        )
        assert seen is told
