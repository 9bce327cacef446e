"""The site loads nothing from elsewhere, and cuts nothing without a cue."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
STYLE = (ROOT / "docs/stylesheets/site.css").read_text("utf-8")
TABLE, CODE = ".md-typeset table:not([class])", ".md-typeset pre > code"


def rule(selector):
    """All declarations of the rules that have this selector."""
    flat = re.sub(r"/\*.*?\*/", "", STYLE, flags=re.DOTALL)
    found = re.findall(r"([^{}]+)\{([^{}]*)\}", flat)
    return " ".join(body for names, body in found if selector in map(str.strip, names.split(",")))


@pytest.fixture
def hooks():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(hooks, html, source="methods.md"):
    page = SimpleNamespace(file=SimpleNamespace(src_uri=source))
    return hooks.on_page_content(html, page=page)


def test_the_settings_name_no_other_site():
    assert SITE["theme"]["font"] is False
    assert "extra_javascript" not in SITE
    assert SITE["extra_css"] == ["stylesheets/site.css"]
    assert not re.search(r"url\(|@import", STYLE)
    for page in (ROOT / "docs").rglob("*.md"):
        assert not re.search(r"!\[[^\]]*\]\((?:https?:)?//", page.read_text("utf-8")), page


def test_tables_keep_words_whole_and_what_is_wide_scrolls_with_a_shadow():
    cell = rule(f"{TABLE} td")
    assert cell == rule(f"{TABLE} th")
    assert "word-break: normal" in cell
    assert "overflow-wrap: normal" in cell
    assert "white-space: nowrap" in rule(".md-typeset table code")
    # The theme's script puts each table into a box, which scrolls in its place.
    assert "background: none" in rule(".md-typeset__scrollwrap table:not([class])")
    for box in (TABLE, CODE, ".md-typeset__scrollwrap", ".md-typeset .formula"):
        assert "overflow-x: auto" in rule(box)
        assert rule(box).count(" scroll,") == 2
        assert rule(box).count(" local,") == 2
        assert "--under" in rule(box)
    assert "overflow-x: hidden" not in STYLE


def test_the_nav_answers_what_the_verdict_means():
    assert {"What does the verdict mean": "verdict.md"} in SITE["nav"]
    text = (ROOT / "docs/verdict.md").read_text("utf-8")
    for name in ("taught", "collapsed", "damaged", "not known", "not enough", "relearns",
                 "near gold", "forgotten", "not judged"):  # fmt: skip
        assert f"| **{name}** |" in text


@pytest.mark.extra("latex2mathml")
def test_formulas_are_mathml_with_their_source(hooks):
    found = shown(hooks, r'a <span class="arithmatex">\(x_1 &lt; \frac{1}{2}\)</span> b')
    assert re.fullmatch(r'a <span class="formula"><math .*</math></span> b', found)
    assert r'alttext="x_1 &lt; \frac{1}{2}"' in found
    assert "<mfrac>" in found
    assert 'display="inline"' in found
    block = shown(hooks, '<div class="arithmatex">\\[\n\\sum_i x_i\n\\]</div>')
    assert 'display="block"' in block
    assert "arithmatex" not in block


@pytest.mark.extra("latex2mathml")
def test_a_formula_without_mathml_ends_the_build(hooks):
    with pytest.raises(Exception, match=r"no MathML for \\nosuch in the formula"):
        shown(hooks, r'<span class="arithmatex">\(\nosuch x\)</span>')


@pytest.mark.extra("latex2mathml")
def test_a_notebook_loses_the_scripts_that_load_others(hooks):
    scripts = (
        '<script type="module">const m = await import("https://a.example/m.mjs");</script>'
        '<script src=""> </script><script type="text/x-mathjax-config">\nx\n</script>'
    )
    html = f'<p><a href="../methods.md">m</a></p>{scripts}<script>kept()</script>'
    found = shown(hooks, html, "notebooks/quickstart.ipynb")
    assert found == '<p><a href="../../methods/">m</a></p><script>kept()</script>'


@pytest.mark.extra("latex2mathml")
@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://a.example/x"></script>',
        "<img alt=b src='//a.example/x'>",
        '<link rel="stylesheet" href="https://a.example/x">',
        '<link href="https://a.example/x" rel=preload>',
        "<style>@font-face {src: url(https://a.example/x)}</style>",
        '<style>@import "https://a.example/x";</style>',
        '<script type="module">await import("https://a.example/x")</script>',
        '<iframe src="https://a.example/x"></iframe>',
    ],
)
def test_a_page_that_loads_from_elsewhere_ends_the_build(hooks, tmp_path, text):
    page = tmp_path / "page" / "index.html"
    page.parent.mkdir()
    kept = '<a href="https://b.example">b</a><link rel="canonical" href="https://b.example/page">'
    page.write_text(kept + '<script src="../assets/x.js"></script>')
    config = SimpleNamespace(site_dir=str(tmp_path))
    hooks.on_post_build(config)
    page.write_text(kept + text)
    with pytest.raises(Exception, match=r"index.html: it loads (https:)?//a\.example/x$"):
        hooks.on_post_build(config)


@pytest.mark.extra("latex2mathml")
def test_a_page_with_a_formula_that_is_left_ends_the_build(hooks, tmp_path):
    (tmp_path / "index.html").write_text('<span class="arithmatex">\\(x\\)</span>')
    with pytest.raises(Exception, match="formula that is not MathML"):
        hooks.on_post_build(SimpleNamespace(site_dir=str(tmp_path)))
