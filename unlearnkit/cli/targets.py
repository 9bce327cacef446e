"""Forget rows of a run or a suite on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.cli.models import recipe_of_run
from unlearnkit.errors import UserError

if TYPE_CHECKING:
    from unlearnkit.attacks import Target
    from unlearnkit.suites import Suite


def target_of_suite(model: str, suite: Suite, max_length: int) -> Target:
    """The forget rows of a suite, in the tokens of a model.

    Raises:
        UserError: If the model cannot be loaded.
    """
    from unlearnkit.attacks.target import target_of
    from unlearnkit.models.base import load_tokenizer
    from unlearnkit.models.check import check_whole
    from unlearnkit.models.load import load_config
    from unlearnkit.suites import SuiteContext

    tokenizer = load_tokenizer(model)
    load_config(model)
    check_whole(model)
    return target_of(suite, tokenizer, SuiteContext(max_length=max_length))


def target_of_run(
    run: str, suites: Sequence[Suite], max_length: int | None
) -> tuple[Target, Path, str, Any]:
    """The forget rows of a run's recipe, or of a suite in its place; folder, model and gold.

    Raises:
        UserError: If there are none.
    """
    from unlearnkit.attacks import Target
    from unlearnkit.attacks.target import target_of
    from unlearnkit.runs import load_run
    from unlearnkit.suites import SuiteContext

    loaded, cli = load_run(run), recipe_of_run(run, "attack")
    data = cli.datamodule
    if max_length is not None:
        data.max_length = max_length
    data.check()
    if suites:
        target = target_of(suites[0], data.codec().tokenizer, SuiteContext.of(data))
    elif "forget" in data.data:
        target = Target.of(data)
    else:
        raise UserError(
            f"the recipe of {run} has no stream 'forget' to attack.", hint="Add --forget FILE."
        )
    return target, loaded.folder, str(loaded.model), cli.config.gold
