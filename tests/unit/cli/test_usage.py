from __future__ import annotations

from unlearnkit.cli import verbs
from unlearnkit.cli.usage import EXAMPLES, overview


def test_every_verb_and_example_is_listed(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    overview()
    said = capsys.readouterr().out
    for name in verbs.names():
        assert f"  {name} " in said
    for example in EXAMPLES:
        assert example in said
    assert "Exit codes: 0 done" in said
