from __future__ import annotations

import itertools
import json
import re
import shutil
from dataclasses import asdict
from html.parser import HTMLParser

import altair
import pytest
from jsonschema import ValidationError

from unit.report.run_folder import HOSTILE, SUITES, TRUE, stages, write_run
from unlearnkit.attacks import Result
from unlearnkit.errors import UserError
from unlearnkit.report.charts import attack_curves, losses, request_curves
from unlearnkit.report.page import embedded
from unlearnkit.report.words import mark_recited
from unlearnkit.runs import conclude
from unlearnkit.runs import report as reporting


class Page(HTMLParser):
    """Tags with attributes, headings, and the text outside scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.scripts, self.within = [], "", [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.within = tag

    def handle_endtag(self, tag):
        self.within = ""

    def handle_data(self, data):
        if self.within == "script":
            self.scripts.append(data)
        elif self.within != "style":
            self.text += data


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "copyright" / "a")


@pytest.fixture
def html(run):
    return reporting.report(run).read_text(encoding="utf-8")


def changed(when, **figures):
    by_when = {key: dict(value) for key, value in SUITES["copyright"].items()}
    by_when[when] |= {name.replace("__", "/"): value for name, value in figures.items()}
    return {"copyright": by_when}


def test_hostile_text_is_shown_and_never_becomes_markup(html):
    page = Page(html)
    assert "<script>alert(1)</script></script>" in page.text
    tags = [tag for tag, _ in page.tags]
    # Two blocks of data, the charting library and the page's own script.
    assert tags.count("script") == 4
    assert "img" not in tags
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    for character in "\x00\x1b\u202e\ud800":
        assert character not in html
    assert r"\x00\x1b[31m\u202e\ud800" in page.text


def test_data_of_scripts_is_whole_and_cannot_end_its_script(html):
    page = Page(html)
    found = [json.loads(text) for text in page.scripts if text[0] in "{["]
    specs, tokens = sorted(found, key=lambda value: isinstance(value, list))
    assert tokens[0]["tokens"][1].startswith("<script>alert(1)</script>")
    assert tokens[0]["logps"]["after"] == [-1.0, -3.0, None]
    assert all(spec["description"] for spec in specs.values())


def test_charts_are_of_the_schema(html):
    found = [json.loads(text) for text in Page(html).scripts if text[0] == "{"]
    specs = list(found[0].values())
    assert len(specs) >= 4
    for spec in specs:
        altair.Chart.from_dict(spec)  # validates
    with pytest.raises(ValidationError, match="tall"):
        altair.Chart.from_dict(specs[0] | {"height": "tall"})


def test_nothing_is_loaded_from_anywhere(html):
    page = Page(html)
    for tag, attrs in page.tags:
        for name in ("src", "srcset", "href", "action", "data", "poster"):
            target = attrs.get(name)
            assert target is None or target.startswith(("#", "data:,")), (tag, target)
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert styles
    assert not any("url(" in style or "@import" in style for style in styles)
    policy = next(attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs)
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]


def test_sections_stand_in_order_under_headings_without_gaps(html):
    headings = re.findall(r'<h2 id="([\w-]+)"', html)
    assert headings == [
        "h-verdict", "h-figures", "h-trade", "h-losses", "h-said", "h-heat", "h-tokens", "h-how",
        "h-limits",
    ]  # fmt: skip
    levels = [int(tag[1]) for tag, _ in Page(html).tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_a_file_that_is_not_there_leaves_its_section_out_and_is_named(run):
    for name in ("rows.jsonl", "metrics.csv", "tokens.jsonl", "intervals.json"):
        (run / name).unlink()
    html = reporting.report(run).read_text(encoding="utf-8")
    for name in ("rows.jsonl", "metrics.csv", "tokens.jsonl", "intervals.json"):
        assert f"no {name}" in html
    assert not re.findall(r'id="h-(?:losses|said|heat|tokens)"', html)
    assert 'id="h-figures"' in html


def test_a_broken_file_is_named_too(run):
    (run / "rows.jsonl").write_text('{"suite": ')
    assert "rows.jsonl cannot be read" in reporting.report(run).read_text(encoding="utf-8")


PHASES = [
    {"name": name, "folder": folder, "trained": True, "steps": 2}
    for name, folder in (("</script><b>first", "first"), ("last", "last-2"))
]
BROKEN = {
    "rows.jsonl": ["[]", '{"suite": "copyright"}', "\udcff"],
    "tokens.jsonl": ["{}", "3"],
    "intervals.json": ["[]", "{"],
    "last-2/environment.json": ["[]", "nul"],
    "first/metrics.csv": ["", "epoch,step,train/loss\n", "step,train/loss\n0,high\n", "\udcff"],
    "first/recipe.yaml": ["model: [", "- 1", "model: 7", "model: {objectives: [1]}", "\udcff"],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in BROKEN.items() for text in texts]
)
def test_of_a_run_of_phases_each_broken_file_is_named(tmp_path, name, text):
    run = write_run(tmp_path / "copyright" / "a", phases=PHASES)
    for phase in PHASES:
        (run / phase["folder"]).mkdir()
        for file in ("metrics.csv", "recipe.yaml", "environment.json"):
            shutil.copyfile(run / file, run / phase["folder"] / file)
    html = reporting.report(run).read_text(encoding="utf-8")
    assert "Left out of this report" not in html
    assert "<b>first" not in html
    (run / name).write_text(text, errors="surrogateescape")
    html = reporting.report(run).read_text(encoding="utf-8")
    assert f"{name} cannot be read" in html
    assert html.count("cannot be read") == 1
    assert 'id="h-figures"' in html


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("summary.json", "{", "summary.json cannot be read"),
        ("summary.json", "[1]", "summary.json cannot be read"),
        ("summary.json", "{}", "it has no recipe, seed, suites"),
        ("recipe.yaml", "model: [", "recipe.yaml cannot be read"),
        ("recipe.yaml", "- 1", "recipe.yaml cannot be read: expected a mapping"),
    ],
)
def test_a_run_whose_own_files_are_broken_is_refused(run, name, text, message):
    (run / name).write_text(text)
    with pytest.raises(UserError, match=message):
        reporting.report(run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("phases", [{}, [{"name": "a"}], [{**PHASES[0], "folder": "../other"}]])
def test_phases_are_below_the_run(tmp_path, phases):
    run = write_run(tmp_path / "copyright" / "a", phases=phases)
    with pytest.raises(UserError, match="phases: expected"):
        reporting.report(run)


def test_only_the_own_report_is_overwritten(run, tmp_path):
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    with pytest.raises(UserError, match="exists and is not overwritten"):
        reporting.report(run, mine)
    assert mine.read_text() == "mine"
    assert reporting.report(run) == reporting.report(run, run / "report.html")
    assert reporting.report(run, tmp_path / "other.html").is_file()


def test_attacks_of_another_model_are_left_out(run, monkeypatch):
    curve = [{"step": 0, "others/rougeL_recall": 0.1}, {"step": 5, "others/rougeL_recall": 0.4}]
    (run / "attacks").mkdir()
    for name, model in (("relearn", "now"), ("quantize", "then")):
        attack = Result(
            attack=name,
            settings={"steps": 5, "data": None},
            models={"unlearned": model},
            fingerprint="",
            inputs={},
            created="2026-01-02",
            seconds=1.0,
            curves={"unlearned": curve},
        )
        (run / "attacks" / f"{name}.json").write_text(json.dumps(asdict(attack)))
    (run / "attacks" / "odd.json").write_text("[]")
    monkeypatch.setattr(conclude, "fingerprint_of", lambda model: "now")
    html = reporting.report(run).read_text(encoding="utf-8")
    assert "<h3>relearn</h3>" in html
    assert '<p class="note">steps 5, 2026-01-02</p>' in html
    assert "<h3>quantize</h3>" not in html
    assert "attacks/quantize.json: it does not belong to this model" in html
    assert "attacks/odd.json: it is not what" in html


def test_the_verdict_comes_first_with_what_decides_and_what_is_next(run, tmp_path):
    page = Page(reporting.report(run).read_text(encoding="utf-8"))
    # 0.9 is not less than 0.9 times 1.0.
    assert "near gold: it says of the forget set" in page.text
    assert "copyright/forget/rougeL_recall: 0.100, before 1.000, gold 0.120" in page.text
    assert "Relearning not tested." in page.text
    lost = write_run(tmp_path / "lost", suites=changed("after", normal__rougeL_recall=0.5))
    html = reporting.report(lost).read_text(encoding="utf-8")
    assert '<p class="verdict bad"><strong class="status bad">damaged</strong>' in html
    assert "Next: give the retain term a larger weight" in html
    (lost / "recipe.yaml").write_text(
        "goals: {copyright/normal/rougeL_recall: {at_least: 0.9 * before}}"
    )
    text = Page(reporting.report(lost).read_text(encoding="utf-8")).text
    assert "missed: copyright/normal/rougeL_recall: 0.500, at least 0.900 (0.9 * before)" in text


def test_a_run_of_a_program_without_a_recipe_has_a_report(run):
    (run / "recipe.yaml").write_text("")
    assert "</html>" in reporting.report(run).read_text(encoding="utf-8")


def test_a_run_without_suites_has_a_report(tmp_path):
    run = write_run(tmp_path / "run", suites={})
    html = reporting.report(run).read_text(encoding="utf-8")
    assert "no suite measured forgetting before and after" in html
    assert 'id="h-figures"' not in html


@pytest.mark.parametrize(
    ("generated", "true", "recited"),
    [
        (TRUE, TRUE, [TRUE]),
        ("so the cat sat there", TRUE, ["the cat sat"]),
        ("the dog on it", TRUE, []),
        ("It is twelve.", "twelve", ["twelve"]),
        ("天地玄黄", "宇宙地玄黄", ["地玄黄"]),
        ("", TRUE, []),
        ("the cat", "", []),
        (HOSTILE, HOSTILE, [HOSTILE]),
    ],
)
def test_recited_words_are_marked(generated, true, recited):
    pieces = mark_recited(generated, true)
    assert "".join(piece.text for piece in pieces) == generated
    assert [piece.text for piece in pieces if piece.recited] == recited


def test_long_runs_are_thinned_and_values_that_are_none_left_out():
    lines = [{"step": i, "train/loss": float("nan") if i == 3 else i} for i in range(2000)]
    (chart,) = losses(lines, [])
    points = chart.spec["layer"][0]["data"]["values"] if "layer" in chart.spec else None
    points = points or chart.spec["data"]["values"]
    assert 100 < len(points) <= 500
    assert all(point["value"] == point["value"] for point in points)


def test_embedded_values_are_json_and_printable():
    value = embedded({"a": ["\x1b", float("nan"), (1, None)]})
    assert value == {"a": ["\\x1b", None, [1, None]]}


def test_a_failing_report_is_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="the run itself is complete") as warned:
        assert reporting.report_after_fit(tmp_path / "none", stages()) is None
    assert len(warned) == 1


def test_requests_are_drawn_in_their_order():
    curve = [
        {"after": None, "figures": {"b/rougeL_recall": 1.0, "normal/rougeL_recall": 1.0}},
        {"after": "b", "figures": {"b/rougeL_recall": 0.1, "normal/rougeL_recall": None}},
    ]
    (chart,) = request_curves(curve)
    assert chart.spec["data"]["values"] == [
        {"model": "b", "after": "original", "value": 1.0},
        {"model": "normal", "after": "original", "value": 1.0},
        {"model": "b", "after": "b", "value": 0.1},
    ]
    assert chart.spec["encoding"]["x"]["sort"] == ["original", "b"]


def test_many_measurements_of_an_attack_stand_below_each_other():
    """25 of them are too many side by side, 24 are not; a metric without values has no chart."""

    def drawn(count):
        curve = [{"cell": f"c{i}", "forget/a": i / 100, "forget/b": None} for i in range(count)]
        (chart,) = attack_curves({"attack": "grid", "curves": {"unlearned": curve, "gold": curve}})
        altair.Chart.from_dict(chart.spec)
        return chart.spec

    tall, wide = drawn(25), drawn(24)
    assert (tall["encoding"]["y"]["field"], wide["encoding"]["x"]["field"]) == ("at", "at")
    assert tall["encoding"]["x"]["field"] == "value"
    assert tall["height"] > 25 * 10
