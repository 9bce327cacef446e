from __future__ import annotations

import importlib
import runpy
import sys

import pytest
import torch
from short_fits import objective

from unlearnkit.runs.resume.own import own_code


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a module and imports it anew."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def written(name: str, text: str):
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return written


def test_files_of_own_classes_alone_are_read(write) -> None:
    mine = write("own_part", "class Mine:\n    pass\n").Mine()
    parts = [mine, objective("npo"), torch.optim.SGD([torch.zeros(1)])]
    before = own_code(parts)
    assert list(before) == ["own_part.Mine (own_part.py)"]
    write("own_part", "class Mine:\n    size = 1\n")
    assert own_code(parts) != before


def test_what_own_code_imports_counts_and_what_is_installed_does_not(write) -> None:
    write("own_deep", "def deep(): return 1\n")
    write("own_base", "import own_deep\nimport json\n\ndef used(): return 1\n\nclass Base: pass\n")
    text = "import torch\nfrom own_base import Base, used\n\nclass Mine(Base): pass\n"
    found = own_code([write("own_top", text).Mine()])
    assert set(found) == {
        "own_top.Mine (own_top.py)",
        "own_base.Base (own_base.py)",
        "own_base (own_base.py)",
        "own_deep (own_deep.py)",
    }


def test_what_a_part_holds_counts(write) -> None:
    module = write("own_held", "class Metric: pass\n\nclass Suite: pass\n")
    suite = torch.nn.Module()
    suite.metrics = [module.Metric()]  # pyright: ignore
    assert list(own_code([suite])) == ["own_held.Metric (own_held.py)"]


def test_of_a_program_its_classes_alone_count(tmp_path, monkeypatch) -> None:
    """It also names the checkpoint, which changes when it goes on."""
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    found = []
    for number, text in enumerate(("a = 1\n", "a = 2\n", "a = 2\n\n# pass\n")):
        file = tmp_path / str(number) / "train.py"
        file.parent.mkdir()
        body = "2" if number == 2 else "1"
        file.write_text(f"{text}class Mine:\n    size = {body}\n")
        program = type(sys)("__main__")
        program.__file__ = str(file)
        vars(program).update(runpy.run_path(str(file), run_name="__main__"))
        monkeypatch.setitem(sys.modules, "__main__", program)
        found.append(own_code([program.Mine()]))
    assert [list(each) for each in found] == [["Mine (train.py)"]] * 3
    assert found[0] == found[1] != found[2]
