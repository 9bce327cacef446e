from __future__ import annotations

from unlearnkit.cli import versions


def test_a_library_outside_the_range_is_told_and_a_missing_one_is_not(monkeypatch) -> None:
    wanted = ["one>=2,<3", "two>=1", "three>=1", 'extra>=9; extra == "more"']
    found = {"one": "3.0.1", "two": "1.5rc1", "extra": "1"}

    def version(name: str) -> str:
        if name not in found:
            raise versions.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(versions, "requires", lambda package: wanted)
    monkeypatch.setattr(versions, "version", version)
    (sentence,) = versions.outside_range()
    assert sentence.startswith("one is 3.0.1; supported is <3,>=2.")
