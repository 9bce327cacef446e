"""Hooks of the site's build."""

from __future__ import annotations

import re
from typing import Any


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Leads links of a notebook to the pages of the site.

    mkdocs-jupyter leaves them as they are in the file, where a reader of the repository needs them.
    """
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    return re.sub(r'href="\.\./([\w/-]+)\.md', r'href="../../\1/', html)
