"""Report of a run, from the files of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unlearnkit.metrics.base import FORGETTING
from unlearnkit.plain import leaves
from unlearnkit.report import charts
from unlearnkit.report.contents import Contents
from unlearnkit.report.depth_map import by_block, depth_map, lens_curves
from unlearnkit.report.page import Charts, render
from unlearnkit.report.words import mark_recited
from unlearnkit.suites.meaning import stored_role
from unlearnkit.verdict.values import metric_rows

_MOST_ROWS = 600
_LONGEST_TEXT = 1500


def run_report(contents: Contents) -> str:
    """The page, as HTML."""
    stored = contents.summary.get("metrics")
    metrics = metric_rows(contents.summary["suites"], contents.intervals, stored)
    places = Charts()
    models = [
        when
        for when in charts.MODELS
        if any(when in row.values for rows in metrics.values() for row in rows)
    ]
    generations, total = _generations(contents.rows, stored)
    return render(
        "run.html.j2",
        contents=contents,
        verdict=contents.verdict,
        metrics=metrics,
        notes=_notes(contents.summary.get("notes") or {}),
        models=models,
        trade_offs=places.place([charts.trade_off(rows) for rows in metrics.values()]),
        requests=places.place(charts.request_curves(contents.summary.get("requests") or [])),
        losses=places.place(
            [
                chart
                for each in contents.trainings
                for chart in charts.losses(each.metrics, each.objectives, each.phase)
            ]
        ),
        generations=generations,
        generations_left_out=total - len(generations),
        streams=list(dict.fromkeys(row["stream"] for row in generations)),
        heat_maps=places.place(charts.heat_maps(contents.rows, stored)),
        depth_maps=places.place([depth_map(contents.inspection), *lens_curves(contents.inspection)])
        if contents.inspection
        else [],
        blocks=by_block(contents.inspection) if contents.inspection else [],
        attacks=[
            {"attack": attack, "charts": places.place(charts.attack_curves(attack))}
            for attack in contents.attacks
        ],
        environment={
            key: " ".join(map(str, value)) if isinstance(value, list) else str(value)
            for key, value in leaves(contents.environment or {})
        },
        token_rows=contents.tokens,
        token_chart=places.place([charts.token_chart(_token_models(contents.tokens))])
        if contents.tokens
        else [],
        specs=places.specs,
    )


def _generations(
    rows: Sequence[Mapping[str, Any]], stored: Any
) -> tuple[list[dict[str, Any]], int]:
    """Prompts with the generations of each model, forget rows first; and how many there are."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if not isinstance(row.get("generated"), str):
            continue
        key = (row["suite"], row["stream"], row.get("row"), row.get("source"), row.get("prompt"))
        entry = found.setdefault(
            key,
            {
                "suite": row["suite"],
                "stream": row["stream"],
                "source": row.get("source", ""),
                "prompt": _cut(row.get("asked", row.get("prompt", ""))),
                "true": _cut(row.get("reference") or ""),
                "said": {},
            },
        )
        entry["said"][row["when"]] = mark_recited(_cut(row["generated"]), entry["true"])
    pairs = {(each["suite"], each["stream"]): None for each in found.values()}
    kept = {pair: stored_role(*pair, stored) not in FORGETTING for pair in pairs}
    ordered = sorted(found.values(), key=lambda each: kept[each["suite"], each["stream"]])
    return ordered[:_MOST_ROWS], len(ordered)


def _notes(notes: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, list[str]]:
    """What was cut or left out, by suite; what holds of several models stands once."""
    return {
        suite: list(dict.fromkeys(note for each in by_when.values() for note in each))
        for suite, by_when in notes.items()
    }


def _token_models(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [when for when in charts.MODELS if any(when in row["logps"] for row in rows)]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …"
