"""The forget rows of a suite, as attacks take them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from unlearnkit.attacks.base import Target
from unlearnkit.suites.base import Suite, SuiteContext
from unlearnkit.suites.parts.continuations import ContinuationSuite
from unlearnkit.suites.parts.probes import read_source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def target_of(suite: Suite, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> Target:
    """What an attack on any model tries to bring back.

    Rows to keep that the suite was given can be named ``normal``, as the streams of a recipe are.

    Args:
        suite: Holds the rows.
        tokenizer: Of the model.
        context: Sizes, and the streams of a recipe.

    Raises:
        DataError: With all bad rows.
        RecipeError: If the suite has no rows to forget.
    """
    codec = context.codec(tokenizer)
    rows = suite.to_forget(tokenizer, context)
    own = {} if rows.data is None else {"forget": rows.data}
    normal = suite.sources.get("normal") if isinstance(suite, ContinuationSuite) else None
    if normal is not None:
        kept = read_source("normal", normal, codec, context)
        own |= {} if kept.data is None else {"normal": kept.data}
    context = replace(context, data={**context.data, **own})
    return Target(rows.examples, codec, context, rows.stream)
