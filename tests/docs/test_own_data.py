"""The page of own data: its recipes are valid on files in the published schemas, rows and all."""

from __future__ import annotations

import re
from pathlib import Path

import published
import pytest
import yaml
from fences import ROOT

from unlearnkit.cli.main import main

PAGE = (ROOT / "docs/how-to/own-data.md").read_text("utf-8")
SECTION = PAGE.partition("## Published files")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```yaml\n(.*?)```", SECTION, re.S)
COMMON = """\
model: {base: tiny, objectives: {forget: {name: gradient_ascent}}}
data: {streams: {forget: {name: qa, path: tiny/normal.jsonl}}}
trainer: {max_steps: 1, accelerator: cpu, enable_progress_bar: false, callbacks: []}
"""


def test_each_of_the_files_has_its_recipe():
    assert len(BLOCKS) == 8


@pytest.mark.parametrize("block", BLOCKS, ids=map(str, range(len(BLOCKS))))
def test_published_files_are_read_as_the_page_says(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    published.write_all(tmp_path)
    Path("mine.yaml").write_text(yaml.safe_dump(yaml.safe_load(COMMON) | yaml.safe_load(block)))
    assert main(["validate", "--recipe", "mine.yaml"]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    for stream, given in yaml.safe_load(block).get("data", {}).get("streams", {}).items():
        assert given["name"] == "idk" or f"{stream}: {given['path']}" in shown
