"""The shipped recipe of what was found: ``python -m benchmarks.fair.found``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.fair.methods import METHODS, SHARED, Method
from benchmarks.fair.running import SHIPPED
from benchmarks.fair.table import DISTANCE, NEIGHBOURS, RESULTS, Row, keeps, read_rows
from benchmarks.systems.table import spread
from unlearnkit.families import path_of

RECIPE = Path(__file__).parents[2] / "recipes" / "tiny_tofu_power" / "found.yaml"
_HEAD = """\
# Settings that a search found for each method, on the tiny TOFU with power.
#
#   unlearnkit fit --recipe tiny_tofu_power/found --method {first}
#
# Each block holds the best of twelve trials of that method; docs/fair.md says how they were chosen
# and what they give with three seeds, and a comment here says D to gold on unseen wordings (before:
# {before:.2f}), exact memorisation, and the ROUGE-L of neighbours. The nearest to gold is the
# first. A method is here if its settings kept 0.95 of utility and 0.9 of the neighbours on the rows
# that chose them, or keep them on the rows that are reported. They hold for these rows and this
# length: on others, search again (unlearnkit tune).
"""
_TAIL = """\
evaluate:
  - name: tofu
    data: tiny/tofu_power
    split: forget50_unseen
    neighbour: neighbour_perturbed
    heldout: holdout50
    max_new_tokens: 40
gold: tiny/tofu_power/gold        # never saw the twenty authors
choices:
  method:
"""


def recipe(path: Path = RESULTS) -> str:
    """The text of the recipe, a choice a method."""
    stages, rows = read_rows(path)
    chosen = [row for row in rows if not METHODS[row.name].edit and _good(row, stages["before"])]
    chosen.sort(key=lambda row: sum(row.values(DISTANCE)) / len(row.measured))
    head = _HEAD.format(first=chosen[0].name, before=stages["before"][DISTANCE])
    shared = SHARED.read_text(encoding="utf-8").partition("seed_everything")
    text = "".join(shared[1:]).partition("evaluate:")[0]
    blocks = "".join(
        f"    # {_told(row)}\n    {row.name}:\n{_text(block(METHODS[row.name], _settings(row)))}"
        for row in chosen
    )
    return head + text + _TAIL + blocks


def block(method: Method, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is laid over the recipe for a method: its sections of ``model``, and single values."""
    model: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for path, value in [
        *((override.path, override.value) for override in method.laid()),
        *((path_of(key), value) for key, value in settings.items()),
    ]:
        if path[0] != "model" or path[1] == "optimizer":
            if value is not None:
                values[".".join(map(str, path))] = value
            continue
        place = model
        for part in path[1:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    return {"model": model, **values}


def _good(row: Row, before: dict[str, Any]) -> bool:
    return bool(row.runs[-1]["feasible"]) or keeps(row, before)


def _settings(row: Row) -> dict[str, Any]:
    return {
        key: float(f"{value:.6g}") if isinstance(value, float) else value
        for key, value in row.runs[-1]["settings"].items()
    }


def _told(row: Row) -> str:
    known = (("D", DISTANCE), ("known", "exact_memorization"), ("neighbours", NEIGHBOURS))
    told = ", ".join(f"{word} {spread(row.values(key), 2)}" for word, key in known)
    return told + ("; as shipped" if row.runs[-1]["trial"] == SHIPPED else "")


def _text(found: Mapping[str, Any]) -> str:
    lines: list[str] = []
    for key, value in found.items():
        if key == "model":
            lines.append("model:")
            for name, section in value.items():
                if name == "objectives":
                    lines.append("  objectives:")
                    lines += [f"    {term}: {_flow(each)}" for term, each in section.items()]
                else:
                    lines.append(f"  {name}: {_flow(section)}")
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "".join(f"      {line}\n" for line in lines)


def _flow(value: Any) -> str:
    made = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return made.removesuffix("...\n").strip()


if __name__ == "__main__":
    RECIPE.write_text(recipe(), encoding="utf-8")
