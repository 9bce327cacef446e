"""Hooks of the site's build: formulas as MathML, and nothing loaded from elsewhere."""

from __future__ import annotations

import html as markup
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">(?P<open>\\[(\[])(?P<tex>.*?)\\[)\]]</(?P=tag)>',
    re.DOTALL,
)
# Diagrams that no notebook here has, and formulas of MathJax, which the site does not load.
_NOTEBOOK_SCRIPTS = re.compile(
    r'<script (?:type="module"|type="text/x-mathjax-config"|src="")>.*?</script>', re.DOTALL
)
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|link)\b[^>]*?\s(?:src|srcset|href)=["']?
    (?P<url>(?:https?:)?//[^"'\s>]+)[^>]*>
    |(?:url\(|@import\s)\s*["']?(?P<style>(?:https?:)?//[^"'\s)]+)
    |\bimport\(\s*["'](?P<module>(?:https?:)?//[^"']+)""",
    re.VERBOSE,
)
_NAMED_ONLY = re.compile(r"""\srel=["']?(?:canonical|next|prev|edit|alternate)\b""")


def outside(text: str) -> list[str]:
    """Addresses from which a page or a style would load a script, style, font or picture.

    A link that a reader may follow is none of them.

    Example:
        >>> outside('<img src="https://a.example/b.png"> <a href="https://c.example">c</a>')
        ['https://a.example/b.png']
    """
    return [
        found["url"] or found["style"] or found["module"]
        for found in _LOADED.finditer(text)
        if not _NAMED_ONLY.search(found[0])
    ]


def on_post_build(config: Any, **_: Any) -> None:
    """Refuses a site of which a page would load anything from elsewhere."""
    for file in sorted(Path(config.site_dir).rglob("*")):
        if file.suffix in (".html", ".css"):
            text = file.read_text(encoding="utf-8")
            if found := outside(text):
                raise PluginError(f"{file}: it loads {', '.join(found)}")
            if 'class="arithmatex"' in text:
                raise PluginError(f"{file}: it holds a formula that is not MathML")


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Writes formulas as MathML, and leads links of a notebook to the pages of the site.

    A browser shows MathML by itself, so that the site loads no script from elsewhere.
    mkdocs-jupyter leaves links as they are in the file, where a reader of the repository needs
    them.
    """
    html = _FORMULA.sub(_as_mathml, html)
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    html = _NOTEBOOK_SCRIPTS.sub("", html)
    return re.sub(r'href="\.\./([\w/-]+)\.md', r'href="../../\1/', html)


def _as_mathml(found: re.Match[str]) -> str:
    tex = markup.unescape(found["tex"]).strip()
    block = found["open"] == r"\["
    formula = convert(tex, display="block" if block else "inline")
    if unknown := re.findall(r">(\\\w+)<", formula):
        raise PluginError(f"no MathML for {', '.join(unknown)} in the formula {tex}")
    # Those who copy the page, or hear it read, get the formula's source.
    named = formula.replace("<math ", f'<math alttext="{markup.escape(tex)}" ', 1)
    return f'<{found["tag"]} class="formula">{named}</{found["tag"]}>'
