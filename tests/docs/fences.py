"""Code in the pages: which blocks there are, and which commands stand in them."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("", "bash")
LANGUAGES = {*SHELL, "python", "yaml", "toml", "text"}
"""Of these each block is looked at; ``text`` is what a program prints."""
PLACE = re.compile(r"(?:.*[/\[])?(?:[A-Z]{2,}\d?|\$[A-Z]+)(?:[/\]].*)?")
"""A word of a command that the reader fills in, or that holds one: ``RUN``, ``runs/mine/RUN``."""


def written(page: Path) -> str:
    """The text without the parts that are made from code, which are tested as code."""
    return re.sub(r"<!-- generated.*?<!-- end -->", "", page.read_text("utf-8"), flags=re.S)


def every_block(page: Path) -> list[tuple[str, str]]:
    """Language and code of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", written(page), flags=re.M | re.S)


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced code of these languages."""
    return [code for word, code in every_block(page) if word in languages]


def shell_lines(page: Path) -> list[str]:
    """Commands of the page, with loops unrolled: the first and the last value of each."""
    return [line for code in blocks(page, *SHELL) for line in unrolled(code)]


def unrolled(code: str) -> list[str]:
    r"""The commands of a shell script that knows comments, continued lines and ``for``.

    >>> unrolled("for a in x y z; do\n  run $a \\\n   --fast\ndone  # all")
    ['run x --fast', 'run z --fast']
    """
    lines = [re.sub(r"(^|\s+)#.*", "", line) for line in code.replace("\\\n", "").splitlines()]
    lines = [re.sub(r"\s+", " ", line).strip() for line in lines if line.strip()]
    loop = next((i for i, line in enumerate(lines) if line.startswith("for ")), None)
    if loop is None:
        return lines
    end = len(lines) - 1 - lines[::-1].index("done")
    head = re.fullmatch(r"for (\w+) in (.+); do", lines[loop])
    assert head, f"only loops over words are understood: {lines[loop]}"
    name, values = head[1], head[2].split()
    inner = "\n".join(lines[loop + 1 : end])
    turns = [unrolled(inner.replace(f"${name}", value)) for value in (values[0], values[-1])]
    return [*lines[:loop], *chain(*turns), *unrolled("\n".join(lines[end + 1 :]))]
