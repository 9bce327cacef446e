"""The notebook runs from its first cell to its last, and its outputs are stored with it."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from processes import PATIENCE

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "quickstart.ipynb"


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """A copy with the outputs of a new run; an error in any cell is raised."""
    fresh = copy.deepcopy(notebook)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(fresh, timeout=PATIENCE, kernel_name="python3", resources=where).execute()
    return fresh


def kinds(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """Of each output of each code cell, the richest thing that it holds."""
    return [
        [sorted(each.get("data", {"text": ""}))[0] for each in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def untrained(notebook: nbformat.NotebookNode) -> list[str]:
    """Text of the outputs that no training changes: what models said before, names of figures."""
    texts = [
        each.get("text") or each.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for each in cell.outputs
    ]
    lines = [line for text in texts for line in text.splitlines()]
    prose = [line for line in lines if line.startswith(("prompt ", "before "))]
    return [*prose, *(line.split()[0] for line in lines if re.match(r"\w+/\w+ ", line))]


def test_it_runs_and_shows_what_is_stored(notebook, tmp_path) -> None:
    fresh = execute(notebook, tmp_path)
    assert kinds(fresh) == kinds(notebook)
    assert len(untrained(notebook)) > 10
    assert untrained(fresh) == untrained(notebook)
    assert (tmp_path / fresh.cells[-2].outputs[0].text.strip()).is_file()


def test_an_error_in_a_cell_is_one_here(notebook, tmp_path) -> None:
    notebook.cells = [nbformat.v4.new_code_cell("1 / 0")]
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(notebook, tmp_path)


def test_what_is_stored_is_one_whole_run(notebook) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    stored = [output for cell in code for output in cell.outputs]
    # Neither warnings nor errors, nor where it ran.
    assert {(each.output_type, each.get("name")) for each in stored} <= {
        ("stream", "stdout"),
        ("execute_result", None),
    }
    assert not re.search(r"/(home|root|tmp|Users)/", str(stored))
    assert any("image/png" in each.get("data", {}) for each in stored)
    assert any(
        "neighbour/rougeL_recall" in each.get("data", {}).get("text/plain", "") for each in stored
    )
    assert NOTEBOOK.stat().st_size < 300_000


def test_its_links_lead_to_pages(notebook) -> None:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert links
    for link in links:
        assert (NOTEBOOK.parent / link).is_file(), link
