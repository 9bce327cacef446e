"""Files of attacks: none is lost, none is overwritten, and what is no such file is not taken."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from stub import save_stub, stub_tokenizer

from unlearnkit.attacks import Attack, Result, Target, attack_and_keep, read_attack
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import UserError
from unlearnkit.suites import SuiteContext

CURVE = [{"step": 0, "forget/rougeL_recall": 0.5}]


@pytest.fixture
def keep(tmp_path):
    base = str(save_stub({"random_init": 1}, tmp_path / "base"))

    target = Target([], Codec(stub_tokenizer(), 8), SuiteContext(max_length=8))

    def run(*, out=None, meanwhile=lambda: None, rows="rows"):
        class Relearn(Attack):
            def prepare(self, target):
                return rows

            def run(self, base, rows, target):
                meanwhile()
                return CURVE

        Relearn.registered_name = "relearn"
        folder = tmp_path / "attacks"
        return attack_and_keep(Relearn(), target, {"unlearned": base}, folder, out=out)

    return run


@pytest.mark.parametrize("named", [False, True])
def test_a_file_that_came_while_the_attack_ran_is_left_alone(keep, tmp_path, named):
    folder = tmp_path / ("mine" if named else "attacks")
    place = folder / ("curve.json" if named else "relearn.json")

    def meanwhile():
        folder.mkdir(exist_ok=True)
        place.write_text("another's")

    kept = keep(out=place if named else None, meanwhile=meanwhile)
    assert place.read_text() == "another's"
    assert kept.path == place.with_name(f"{place.stem}-2.json")
    assert read_attack(kept.path) == kept.attack
    assert {each.name for each in folder.iterdir()} == {place.name, kept.path.name}


def test_an_out_that_cannot_be_is_refused_before_the_attack(keep, tmp_path):
    (tmp_path / "file").write_text("kept")
    ran = []
    with pytest.raises(UserError, match="cannot write to the folder"):
        keep(out=tmp_path / "file" / "curve.json", meanwhile=lambda: ran.append(1))
    assert not ran
    assert (tmp_path / "file").read_text() == "kept"


def test_a_write_that_fails_leaves_no_empty_file(keep, tmp_path, monkeypatch):
    written = Path.write_text

    def full(path, text, **arguments):
        written(path, text[: len(text) // 2], **arguments)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space"):
        keep()
    assert not any((tmp_path / "attacks").iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"models": None}, {"settings": []}, {"curves": {}}, {"curves": {"unlearned": []}},
        {"curves": {"unlearned": None}}, {"curves": {"unlearned": [None]}},
        {"curves": {"unlearned": [{}]}}, {"created": None}, {"attack": 3}, {"more": 1},
    ],
)  # fmt: skip
def test_what_is_no_attack_is_none(tmp_path, change):
    good = asdict(Result("relearn", {}, {"unlearned": "x"}, "f", {}, "2026", 1.0, {"gold": CURVE}))
    file = tmp_path / "relearn.json"
    file.write_text(json.dumps(good))
    assert read_attack(file) is not None
    file.write_text(json.dumps(good | change))
    assert read_attack(file) is None
