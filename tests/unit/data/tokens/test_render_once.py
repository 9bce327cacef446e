from __future__ import annotations

import io
import json

import pytest

from unlearnkit.data.tokens import render_once
from unlearnkit.data.tokens.render_once import RAN_AWAY, render

ASKED = [{"messages": [{"role": "user", "content": "é"}]}]


def test_what_is_written_is_counted() -> None:
    render("{{ messages[0].content }}" * 5, ASKED, 5)
    with pytest.raises(MemoryError):
        render("{{ messages[0].content }}" * 6, ASKED, 5)
    render("{{ 'ab' | tojson(indent=2) }}{% generation %}a{% endgeneration %}", ASKED, 5)


def test_errors_of_a_template_are_told_where_it_is_read() -> None:
    render("{{ raise_exception('no system') }}", ASKED, 5)
    render("{% if %}", ASKED, 5)
    render("{{ strftime_now('%Y') }}", ASKED, 4)


def test_the_status_says_what_became_of_it(monkeypatch) -> None:
    monkeypatch.setattr(render_once.resource, "setrlimit", lambda which, limits: None)
    for template, status in (("a", 0), ("aaaa", RAN_AWAY)):
        given = {"template": template, "conversations": ASKED, "most": 3, "seconds": 5}
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(given)))
        assert render_once.main() == status
