"""Writes the parts of the documentation that the code knows better.

They stand between ``<!-- generated: ... -->`` and ``<!-- end -->``; the rest of the pages is
written by hand and left alone:

    python docs/generate.py
"""

from __future__ import annotations

import ast
import inspect
import io
import os
import re
import textwrap
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from benchmarks.attacks import table as attacks_table
from benchmarks.fair import depth as fair_depth
from benchmarks.fair import table as fair
from benchmarks.fair import wordings
from benchmarks.meta.table import table as meta_table
from benchmarks.meta.table import zoo_table
from benchmarks.preference import table as preference
from benchmarks.preference.settings import SMOLLM2
from benchmarks.real import depth as real_depth
from benchmarks.systems.table import SMALL, SMALL_FIGURES, by_metric, read_results, without_row
from benchmarks.systems.table import table as systems_table
from unlearnkit import functional
from unlearnkit.attacks import PASSAGES, QUESTIONS, Attack
from unlearnkit.cli import verbs as all_verbs
from unlearnkit.cli.main import run
from unlearnkit.cli.recipe.names import split_entry
from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.cli.verbs.list import first_line
from unlearnkit.data import Stream
from unlearnkit.edits import Edit
from unlearnkit.metrics import UnlearningMetric
from unlearnkit.objectives import Objective
from unlearnkit.robust import Robust
from unlearnkit.verdict.rules import Rule, rules

DOCS = Path(__file__).parent
PAGES = (
    "edits.md",
    "cli.md",
    "methods.md",
    "papers.md",
    "compat.md",
    "comparison.md",
    "fair.md",
    "depth.md",
    "recipes.md",
    "metrics.md",
    "evaluation.md",
    "verdict.md",
    "how-to/lora.md",
    "how-to/own-data.md",
    "how-to/tune.md",
)
_SHOWN_RECIPES = 4
_IN_SHORT = (
    "forget/probability",
    "forget/rougeL_recall",
    "forget/exact_memorization",
    "forget/ks_distance",
    "retain/rougeL_recall",
    "neighbour/rougeL_recall",
    "real_authors/rougeL_recall",
    "world_facts/rougeL_recall",
    "utility/model_utility",
)
"""What tables of many systems on the tiny TOFU show."""
_PART = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)

# The maths of an objective whose function has another name.
_FUNCTIONS = {
    "ilu": functional.dummy_slope,
    "l2_to_reference": functional.l2,
    "negative_kl": functional.forward_kl,
    "retain_hidden": functional.rmu,
    "retain_js": functional.jensen_shannon,
    "retain_kl": functional.forward_kl,
    "weighted_gradient_ascent": functional.wga,
}


def generated(text: str) -> str:
    """A page with its generated parts made anew."""
    return _PART.sub(lambda part: f"{part[1]}\n{_made(part[2])}\n{part[3]}", text)


def objectives_table() -> str:
    """All objectives, as ``unlearnkit list objectives`` has them."""
    recipes = _recipes_by_objective()
    rows = []
    for name, cls in _own(Objective).items():
        read = ", ".join(f"`{stream}`" for stream in cls().streams) or "none"
        needs = ", ".join(sorted(cls().needs)) or "nothing"
        linked = [_recipe_link(each) for each in recipes.get(name, [])[:_SHOWN_RECIPES]]
        more = len(recipes.get(name, [])) - _SHOWN_RECIPES
        used = (", ".join(linked) or "none") + (f" and {more} more" if more > 0 else "")
        rows.append((f"`{name}`", first_line(cls), read, needs, _cost(cls()), cls.paper, used))
    headings = ("Objective", "What it is", "Streams", "Needs", "Cost", "Paper", "Recipes")
    return _table(headings, rows)


def ranges_table() -> str:
    """Ranges of objectives' settings, beside that of the weight."""
    rows = [
        (f"`{name}`", ", ".join(f"`{key}`: `{_flow(each)}`" for key, each in cls.ranges.items()))
        for name, cls in _own(Objective).items()
        if cls.ranges
    ]
    return _table(("Objective", "Ranges"), rows)


def compat_table() -> str:
    """All values of ``compat``."""
    rows = [
        (f"`{name}`", f"`{value}`", f"{departure[0].upper()}{departure[1:]}.")
        for name, cls in _own(Objective).items()
        for value, departure in cls.compat_values.items()
    ]
    return _table(("Objective", "`compat`", "What the repository computes"), rows)


def recipes_table() -> str:
    """All shipped recipes."""
    return _table(
        ("Recipe", "What it does"),
        [(f"`{name}`", _head(path)[0]) for name, path in shipped().items()],
    )


def verbs() -> str:
    """What each verb says to ``--help``."""
    sections = []
    commands = [[verb] for verb in all_verbs.names()]
    commands += [["attack", "RUN", name] for name in _own(Attack)]
    commands += [["edit", name] for name in _own(Edit)]
    for words in commands:
        said = io.StringIO()
        # argparse leaves after it has printed.
        with (
            redirect_stdout(said),
            mock.patch.dict(os.environ, COLUMNS="96"),
            suppress(SystemExit),
        ):
            run([*words, "--help"])
        sections.append(f"## {' '.join(words)}\n\n```text\n{said.getvalue().strip()}\n```\n")
    return "\n".join(sections)


def streams_table() -> str:
    """All streams."""
    rows = [(f"`{name}`", first_line(cls)) for name, cls in _own(Stream).items()]
    return _table(("Stream", "What it is"), rows)


def robust_table() -> str:
    """All robust methods."""
    rows = [(f"`{name}`", first_line(cls), cls.paper) for name, cls in _own(Robust).items()]
    return _table(("`model.robust`", "What it does", "Paper"), rows)


def papers() -> str:
    """A section for each recipe of a published method: its paper, and the published settings."""
    sections = []
    for name, path in shipped().items():
        if name.startswith(("methods/", "paper/")):
            title, *text = _head(path)
            command = next(part for part in text if "unlearnkit fit" in part)
            settings = " ".join(part for part in text if part != command)
            entries = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["objectives"]
            lines = "\n".join(f"{key}: {_flow(value)}" for key, value in entries.items())
            sections.append(
                f"### {name} {{#{_anchor(name)}}}\n\n{title}\n\n"
                f"```yaml\n{lines}\n```\n\n{settings}\n\n"
                f"```\n{textwrap.dedent(command)}\n```\n"
            )
    return "\n".join(sections)


def metrics() -> str:
    """A section for each metric, from its class."""
    sections = []
    for name, cls in _own(UnlearningMetric).items():
        rows = [
            ("Range", cls.value_range),
            ("Direction", str(cls.direction or "none")),
            ("What is good", cls.good),
            ("Source", cls.source),
            ("Class", f"`{cls.__module__}.{cls.__name__}`"),
        ]
        sections.append(
            f"### {name} {{#{name}}}\n\n{first_line(cls)}\n\n$${cls.formula}$$\n\n"
            + _table(("", ""), rows)
        )
    return "\n".join(sections)


def verdicts_table() -> str:
    """All verdicts in their precedence."""
    rows = [(f"**{kind.name}**", f"{kind.means}.") for kind in rules().kinds]
    return _table(("Verdict", "It means that"), rows)


def rules_table() -> str:
    """The rules behind the verdicts."""
    rows = [
        (
            kind.name,
            _looks_at(rule),
            f"`{rule.when}`" + _lifted(rule),
        )
        for kind in rules().kinds
        for rule in kind.rules
    ]
    return _table(("Verdict", "Looks at", "Given if"), rows)


def _lifted(rule: Rule) -> str:
    """What lifts a rule."""
    lifting = [f"`{rule.unless}`"] if rule.unless else []
    lifting += [f"it is {rule.yields}"] if rule.yields else []
    return f", unless {' or '.join(lifting)}" if lifting else ""


def looked_at_table() -> str:
    """What the verdicts look at, which values are good, and what to change."""
    everything = [rule for kind in rules().kinds for rule in kind.rules]
    rows = [(rule.look, rule.good, rule.advice()) for rule in (*everything, *rules().remarks)]
    return _table(("Look at", "Good", "If not"), rows)


def _looks_at(rule: Rule) -> str:
    names = ", ".join(f"`{name}`" for name in rule.metric) or "metrics that speak for their rows"
    if rule.attack:
        where = "the attack " + ", ".join(f"`{name}`" for name in rule.attack)
    else:
        where = ", or else ".join(f"{', '.join(group)} rows" for group in rule.roles)
    lacking = "; without a gold model" if rule.without_gold else ""
    teaching = {True: "; of a run of `nll` alone", False: "; not of a run of `nll` alone"}
    return f"{names} of {where}{lacking}{teaching.get(rule.teaching, '')}"


def frames() -> str:
    """What the attack `paraphrase` puts around prompts."""
    kinds = {"question": QUESTIONS, "passage": PASSAGES}
    rows = [(kind, f"`{frame}`") for kind, frames in kinds.items() for frame in frames]
    return _table(("Prompt", "Frame"), rows)


def method(names: list[str]) -> str:
    """The code of some recipes' objectives, and what each recipe takes."""
    codes: dict[str, str] = {}
    rows = []
    for name in names:
        path = shipped()[f"methods/{name}"]
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = {k: _split(k, v) for k, v in recipe["model"]["objectives"].items()}
        made = [_family(Objective).resolve(n)(**arguments) for n, arguments in entries.values()]
        codes |= {str(each.registered_name): _code(each) for each in made}
        read = list(dict.fromkeys(stream for each in made for stream in each.streams))
        needs_reference = any("reference" in each.needs for each in made)
        cost = sum(_responses(key, recipe["data"]["streams"]) for key in read)
        rows.append(
            (
                _recipe_link(f"methods/{name}"),
                ", ".join(f"`{stream}`" for stream in read),
                "yes" if needs_reference else "no",
                f"{cost * (4 / 3 if needs_reference else 1):.3g}",
                _source(_head(path)[0]),
            )
        )
    code = "\n".join(f"# {name}\n{body}" for name, body in codes.items())
    table = _table(("Recipe", "Streams", "Reference", "Cost", "Source"), rows)
    return f"```python\n{code}\n```\n\n{table}"


def _made(what: str) -> str:
    kind, _, names = what.partition(" ")
    if kind == "method":
        return method(names.split())
    makers: Mapping[str, Callable[[], str]] = {
        "attacks": attacks_table,
        "compat": compat_table,
        "fair": fair.table,
        "fair_depth": fair_depth.table,
        "real_depth": real_depth.published,
        "fair_settings": fair.settings,
        "fair_wordings": wordings.table,
        "frames": frames,
        "looked_at": looked_at_table,
        "meta": meta_table,
        "metrics": metrics,
        "objectives": objectives_table,
        "papers": papers,
        "preference": preference.table,
        "preference_shares": preference.shares,
        "preference_smollm2": lambda: preference.table(SMOLLM2.results, SMOLLM2),
        "preference_smollm2_shares": lambda: preference.shares(SMOLLM2.results),
        "preference_smollm2_trials": lambda: preference.trials(SMOLLM2.results),
        "preference_trials": preference.trials,
        "ranges": ranges_table,
        "recipes": recipes_table,
        "robust": robust_table,
        "rules": rules_table,
        "streams": streams_table,
        "systems": lambda: systems_table(read_results()),
        "systems_small": lambda: systems_table(read_results(SMALL), shown=SMALL_FIGURES),
        "systems_without_row": lambda: without_row(read_results()),
        "systems_by_metric": lambda: by_metric(read_results(), names.split()),
        "systems_in_short": lambda: by_metric(read_results(), names.split(), _IN_SHORT),
        "verbs": verbs,
        "verdicts": verdicts_table,
        "zoo": zoo_table,
    }
    return makers[kind]()


def _own(family: Any) -> dict[str, Any]:
    """The registered classes of the package; of plugins that happen to be installed none."""
    return {
        name: cls
        for name, cls in family.registered().items()
        if cls.__module__.startswith("unlearnkit.")
    }


def _family(root: Any) -> Any:
    """The base class itself: what its `resolve` gives is never abstract, which no type says."""
    return root


def _code(objective: Objective) -> str:
    """The body of the function that an objective is a shell over, without its docstring."""
    name = str(objective.registered_name)
    function = _FUNCTIONS.get(name) or getattr(functional, name, None)
    source = inspect.getsource(function or type(objective).token_losses)  # pyright: ignore
    source = textwrap.dedent(source)
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef)
    documented = ast.get_docstring(definition) is not None
    first = definition.body[1 if documented else 0].lineno - 1
    body = textwrap.dedent("\n".join(source.splitlines()[first:]))
    return body.replace("self.sign * ", "-" if getattr(objective, "sign", 1) < 0 else "")


def _cost(objective: Objective) -> str:
    """Passes over response tokens, as multiples of gradient ascent's three."""
    each = 4 / 3 if "reference" in objective.needs else 1
    several = [name for name in objective.streams if name in ("mismatch", "self_samples")]
    once = len(objective.streams) - len(several)
    terms = [f"{once * each:.3g}"] if once else []
    terms += [f"{each:.3g} K"] if several else []
    return " + ".join(terms) or "0"


def _responses(stream: str, streams: Mapping[str, Any]) -> int:
    """Responses of a stream to each row of the anchor."""
    name, arguments = _split(stream, streams[stream])
    return getattr(_family(Stream).resolve(name)(**arguments), "per_prompt", 1)


def _split(key: str, value: Any) -> tuple[str, dict[str, Any]]:
    name, arguments = split_entry(value)
    return name or key, arguments


def _recipes_by_objective() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for recipe, path in shipped().items():
        if not recipe.startswith("methods/"):
            continue
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["objectives"]
        for key, value in entries.items():
            name, _ = _split(key, value)
            found.setdefault(str(Objective.resolve(name).registered_name), []).append(recipe)
    return found


def _head(path: Path) -> list[str]:
    """Paragraphs of the comment that a recipe begins with."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return [part.strip("\n") for part in "\n".join(lines).split("\n\n")]


def _source(title: str) -> str:
    found = re.search(r"\(([^()]*arXiv[^()]*)\)", title)
    assert found is not None, title
    return found[1]


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).strip()


def _anchor(recipe: str) -> str:
    return recipe.replace("/", "-")


def _recipe_link(recipe: str) -> str:
    return f"[`{recipe}`](papers.md#{_anchor(recipe)})"


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    escaped = ((cell.replace("|", "\\|") for cell in line) for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + "\n"


def main() -> None:
    """Rewrites the pages."""
    for name in PAGES:
        page = DOCS / name
        page.write_text(generated(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
