"""Writes the model card of a run."""

from __future__ import annotations

import re
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import lightning as L
from huggingface_hub import ModelCard, ModelCardData

from unlearnkit.files import write_text
from unlearnkit.models.base import BaseModel
from unlearnkit.module import UnlearningModule
from unlearnkit.plain import number
from unlearnkit.redact import printable, redacted
from unlearnkit.runs.folder import RunSummary, Suites
from unlearnkit.verdict import Verdict

TAGS = ("unlearnkit", "machine-unlearning")
WHENS = ("before", "after", "gold")


def write_card(
    model: Path,
    module: UnlearningModule,
    trainer: L.Trainer,
    summary: RunSummary,
    environment: dict[str, Any],
) -> None:
    """Writes ``README.md`` into a run's model folder, in place of PEFT's empty form.

    Args:
        model: The model folder.
        module: What was trained.
        trainer: What trained it.
        summary: What was found.
        environment: What `describe` gave.

    Raises:
        UserError: If it cannot be written.
    """
    optimizer = trainer.optimizers[0] if trainer.optimizers else None
    base = _base_name(module.base)
    card = ModelCard.from_template(
        _metadata(base, adapter=module.lora is not None),
        template_str=files("unlearnkit.runs").joinpath("card.md").read_text(encoding="utf-8"),
        title=escaped(f"{base}, unlearned by {summary.recipe}"),
        base=base.replace("`", "'"),
        version=version("unlearnkit"),
        adapter=None if module.lora is None else f"a LoRA adapter of rank {module.lora.r}",
        streams=_streams(module, environment["data"]),
        model_fingerprint=environment["model"]["fingerprint"],
        objectives=[
            {
                "name": escaped(name),
                "method": escaped(each.registered_name or type(each).__name__),
                "weight": each.weight,
                "streams": escaped(", ".join(each.streams)),
            }
            for name, each in module.active.items()
        ],
        steps=summary.steps,
        optimizer=type(optimizer).__name__ if optimizer else "no optimizer",
        lr=optimizer.defaults.get("lr", "unknown") if optimizer else "unknown",
        schedule=module.schedule,
        batch=environment["batches"]["effective_batch"],
        precision=trainer.precision,
        seed=summary.seed,
        stopped_by=escaped(summary.stopped_by or ""),
        suites=metric_tables(summary.suites),
        verdict=verdict_lines(summary.conclusion.get("verdict") or {}),
        gold=any("gold" in each for each in summary.suites.values()),
        generation=escaped("{backend} ({package} {version})".format(**summary.generation))
        if summary.generation
        else "",
    )
    write_text(model / "README.md", str(card))


def card_of_merged(run_model: Path, merged: Path) -> None:
    """Writes a run's card into a folder that holds the adapter merged into its base."""
    if not (run_model / "README.md").is_file():
        return
    card = ModelCard.load(run_model / "README.md", ignore_metadata_errors=True)
    card.data = _metadata(str(card.data.to_dict()["base_model"]), adapter=False)
    card.text = re.sub(
        r"This folder holds (a LoRA adapter of rank \d+); .*",
        r"It was trained as \1, which is merged into the weights here.",
        card.text,
    )
    write_text(merged / "README.md", str(card))


def card_with_verdict(model: Path, verdict: Verdict) -> None:
    """Puts a verdict into a card in place of the one that stands there."""
    if not (model / "README.md").is_file():
        return
    card = ModelCard.load(model / "README.md", ignore_metadata_errors=True)
    section = "\n\n".join(["## Verdict", *verdict_lines(verdict.as_json())])
    text = re.sub(r"## Verdict\n.*?(?=\n## )", lambda _: f"{section}\n", card.text, flags=re.S)
    if text != card.text:
        card.text = text
        write_text(model / "README.md", str(card))


def escaped(text: str) -> str:
    r"""One line of text that Markdown shows as it is.

    Example:
        >>> escaped("<b>*a*|b</b>")
        '&lt;b&gt;\\*a\\*\\|b&lt;/b&gt;'
    """
    line = escape(" ".join(printable(redacted(text)).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|~$!])", r"\\\1", line)


def _base_name(base: str | BaseModel) -> str:
    """A hub id or short name as it is; of a folder its last part, since paths are private."""
    given = base if isinstance(base, str) else base.path
    name = given if given.count("/") <= 1 and not Path(given).exists() else Path(given).name
    return " ".join(printable(redacted(name)).split())


def _metadata(base: str, *, adapter: bool) -> ModelCardData:
    tags = [f"base_model:adapter:{base}", "lora", "transformers"] if adapter else []
    return ModelCardData(
        base_model=base,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=[*tags, *TAGS],
        ignore_metadata_errors=True,
    )


def _streams(module: UnlearningModule, data: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for name, each in data.items():
        readers = [key for key, objective in module.active.items() if name in objective.streams]
        found.append(
            {
                "name": escaped(name),
                "rows": each["rows"],
                "readers": escaped(", ".join(readers)) or "no objective",
                "fingerprint": each["fingerprint"],
            }
        )
    return found


def verdict_lines(verdict: dict[str, Any]) -> list[str]:
    """Paragraphs of a verdict as it stands in ``summary.json``; its own words first."""
    sentence, what = verdict.get("sentence", ""), verdict.get("next", "")
    lines = [f"**{escaped(sentence)}**" if sentence else "", f"Next: {what}." if what else ""]
    return [line for line in [*lines, *map(escaped, verdict.get("notes", ()))] if line]


def metric_tables(suites: Suites) -> list[dict[str, Any]]:
    """A table for each suite; nothing stands where nothing was measured."""
    found = []
    for name, by_when in suites.items():
        whens = [when for when in WHENS if when in by_when]
        metrics = dict.fromkeys(metric for when in whens for metric in by_when[when])
        rows = [
            {"metric": escaped(m), "figures": [number(by_when[when].get(m), "") for when in whens]}
            for m in metrics
        ]
        found.append({"name": escaped(name), "whens": whens, "rows": rows})
    return found
