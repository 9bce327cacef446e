"""HTML pages in one file: escaped, scripts inside, nothing loaded."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unlearnkit.redact import printable
from unlearnkit.report.bundle import bundle
from unlearnkit.report.charts import Chart
from unlearnkit.verdict.judge import values_of
from unlearnkit.verdict.rules import rules
from unlearnkit.verdict.values import number


def render(template: str, **values: Any) -> str:
    """A page of ``templates/``; all texts are escaped, control characters written out."""
    environment = _environment()
    scripts = [Markup(text) for text in (bundle(), _source("report.js"))]
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    return environment.get_template(template).render(
        scripts=scripts,
        style=Markup(_source("report.css")),
        policy=f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        **values,
    )


class Charts:
    """Hands out places for charts, and keeps their specifications for the end of the page."""

    def __init__(self) -> None:
        self.specs: dict[str, Any] = {}

    def place(self, charts: Sequence[Chart | None]) -> list[dict[str, str]]:
        """Ids and captions for the template."""
        found = []
        for chart in charts:
            if chart is not None:
                name = f"chart-{len(self.specs) + 1}"
                self.specs[name] = chart.spec
                found.append({"id": name, "caption": chart.caption})
        return found


def embedded(value: Any) -> Any:
    """A value for the page's scripts: every text fit to be shown, and no number that is none."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): embedded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [embedded(each) for each in value]
    return value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("unlearnkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {"number": number, "embedded": embedded, "values_of": values_of}
    environment.filters["status_of"] = lambda name: rules().kind(name).status
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _shown(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _source(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
