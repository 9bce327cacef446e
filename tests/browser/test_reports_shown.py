"""The report in a real browser."""

from __future__ import annotations

import pytest
from unit.report.run_folder import write_run

from unlearnkit.cli.main import run
from unlearnkit.runs.report import report

pytestmark = [pytest.mark.slow, pytest.mark.browser]
DRAWN = "[...document.querySelectorAll('.chart')].every((each) => each.querySelector('svg'))"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    return report(write_run(tmp_path_factory.mktemp("runs") / "run", rows=200))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Reports of a short run with an attack, and of two such runs beside each other."""
    folder = tmp_path_factory.mktemp("real")
    for recipe in ("copyright", "methods/npo"):
        fit = ["fit", "-r", recipe, "--trainer.max_steps", "2", "--run_dir", str(folder / "runs")]
        run([*fit, "--evaluate", "[{name: copyright, limit: 4}]", "--attack", "[quantize]"])
    compared = folder / "compared.html"
    run(["compare", str(folder / "runs"), "--report", str(compared)])
    return [*sorted(folder.rglob("report.html")), compared]


@pytest.fixture(
    params=[(scheme, width) for scheme in ("light", "dark") for width in (390, 768, 1280)],
    ids=lambda each: f"{each[0]}-{each[1]}",
)
def page(request, browser, page_file):
    scheme, width = request.param
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    page.goto(page_file.as_uri())
    page.wait_for_function(DRAWN)
    yield page
    assert problems == []
    page.close()


def opened(page):
    """All charts are drawn, and what was folded is shown."""
    page.wait_for_function(DRAWN)
    page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")


def test_texts_that_mean_harm_fit_in_both_colours_and_ask_nobody(page_file, faults):
    assert faults(page_file.as_uri(), ready=opened) == []


def test_labels_of_a_run_that_lost_everything_fit_in_its_chart(tmp_path, faults):
    """All that it kept lies beyond the axes, at one place; long names stand in the comparison."""
    keys = ("forget/rougeL_recall", "normal/rougeL_recall", "heldout/rougeL_recall")
    stages = {
        "before": dict.fromkeys(keys, 1.0),
        "after": dict(zip(keys, (0.06, 0.061, 0.045), strict=True)),
        "gold": dict.fromkeys(keys, 1.0) | {keys[0]: 0.12},
    }
    folder = tmp_path / "runs"
    for i in range(9):
        path = write_run(folder / f"{i}", suites={"copyright": stages}, recipe=f"{i}" + "long" * 20)
        (path / "intervals.json").unlink()
    compared = tmp_path / "compared.html"
    run(["compare", str(folder), "--report", str(compared)])
    pages = [report(folder / "0"), compared]
    assert faults(*(page.as_uri() for page in pages), ready=opened) == []


def test_reports_of_real_runs_fit_in_both_colours_and_ask_nobody(real, faults):
    assert len(real) == 3
    assert faults(*(page.as_uri() for page in real), ready=opened) == []


def test_colours_are_those_of_the_system(page):
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    ground, ink, label = (
        page.evaluate(f"{what}.match(/\\d+/g).slice(0, 3).reduce((sum, each) => sum + +each, 0)")
        for what in (
            "getComputedStyle(document.body).backgroundColor",
            "getComputedStyle(document.body).color",
            "getComputedStyle(document.querySelector('.chart svg .role-axis-label text')).fill",
        )
    )
    assert (ground < 200 < 500 < min(ink, label)) if dark else (max(ink, label) < 200 < ground)


def test_charts_are_named(page):
    names = page.evaluate(
        "[...document.querySelectorAll('.chart svg')].map((each) => each.ariaLabel || "
        "each.querySelector('[aria-label]')?.ariaLabel || '')"
    )
    assert names
    assert all(names)


def test_the_search_box_filters_and_pages_turn(page):
    shown = page.locator("#generations article:visible")
    assert shown.count() == 10
    assert page.locator("#found").inner_text() == "1 to 10 of 400 rows"
    page.get_by_role("button", name="Next").click()
    assert page.locator("#found").inner_text() == "11 to 20 of 400 rows"
    page.get_by_label("Search prompts and texts").fill("FORGET prompt 17")
    assert shown.count() == 10
    assert "of 11 rows" in page.locator("#found").inner_text()
    page.get_by_label("Rows", exact=True).select_option("normal")
    assert shown.count() == 0
    assert page.locator("#found").inner_text() == "no row fits"


def test_model_text_does_nothing(page):
    page.get_by_label("Search prompts and texts").fill("<script>alert(1)")
    assert page.locator("#generations article:visible").count() == 10
    assert page.locator("#generations mark").first.inner_text() == "the cat sat on the mat"
    assert "alert(1)" in page.locator("#token-text").inner_text()
