"""Writes the model card of a model without a run."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from unlearnkit.errors import UserError
from unlearnkit.files import refuse_existing, write_text
from unlearnkit.runs.card import TAGS, escaped, metric_tables, verdict_lines
from unlearnkit.runs.conclude import conclusion_of
from unlearnkit.runs.other.judged import Judged, judged


def write_other_card(name: str | Path, out: str | Path, before: str | Path | None = None) -> Path:
    """Writes what was found of a model as a model card.

    Args:
        name: A model that `evaluate` has results of; see `judged`.
        out: The file.
        before: The starting model; see `judged`.

    Raises:
        UserError: If it is a run, which has a card, or was not evaluated; if the file exists.
    """
    model = judged(name, before)
    if not isinstance(model, Judged):
        raise UserError(
            f"--card: {name} is a run, whose card is {model.model / 'README.md'}", title="usage"
        )
    target = refuse_existing(Path(out))
    suites = model.summary["suites"]
    stages = {when for by_when in suites.values() for when in by_when}
    card = ModelCard.from_template(
        ModelCardData(
            library_name="transformers",
            pipeline_tag="text-generation",
            tags=list(TAGS),
            ignore_metadata_errors=True,
        ),
        template_str=files("unlearnkit.runs.other").joinpath("card.md").read_text(encoding="utf-8"),
        # Where it lies is private.
        title=escaped(model.name if model.name.count("/") <= 1 else Path(model.name).name),
        version=version("unlearnkit"),
        verdict=verdict_lines(conclusion_of(model).as_json()["verdict"]),
        suites=metric_tables(suites),
        before="before" in stages,
        gold="gold" in stages,
    )
    write_text(target, str(card))
    return target
