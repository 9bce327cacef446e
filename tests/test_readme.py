"""The README's Python runs, and its commands are the Makefile's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_run(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_the_own_objective_keeps_the_contract() -> None:
    from unlearnkit.testing import check_objective

    names: dict = {"__name__": "readme"}
    exec(PYTHON[0], names)
    check_objective(names["Hinge"](margin=3.0))


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_exist(target: str) -> None:
    assert f"\nmake {target} " in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("application", ["Copyright", "Harmful answers"])
def test_the_results_are_those_of_the_page(application: str) -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {application}\n")[2].partition("\n## ")[0]

    def row(text: str, name: str) -> list[str]:
        found = re.search(rf"^\| {re.escape(name)} \| (.+) \|$", text, flags=re.MULTILINE)
        assert found, name
        return found[1].split(" | ")

    before, after = row(section, "before unlearning"), row(section, "GA + mismatch + KL")
    gold = row(section, "gold: never taught")
    both = [
        f"{was.split()[0]} → {now} ({never.split()[0]})"
        for was, now, never in zip(before[:2], after[:2], gold[:2], strict=True)
    ]
    assert row(README, application.lower()) == [*both, *after[2:5]]


def test_the_cost_of_a_step_is_that_of_the_page() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    models = re.compile(r"^\| [RSV] \(.*$", flags=re.MULTILINE)
    assert len(models.findall(README)) == 3
    assert models.findall(README) == models.findall(page)
