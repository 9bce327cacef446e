from __future__ import annotations

import json
import shutil

from unlearnkit.models.base import as_base_model
from unlearnkit.suites.parts.digest import code_fingerprint, digest, file_digest, fingerprint_of


def test_equal_values_and_files_have_equal_digests(tmp_path) -> None:
    assert digest(1, "a") == digest(1, "a") != digest(1, "b")
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b")
    (tmp_path / "b").write_text("y")
    assert file_digest(tmp_path / "a") != file_digest(tmp_path / "b")


def test_a_model_is_its_files_and_not_its_place(tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(as_base_model("tiny").path, copy)
    assert fingerprint_of(str(copy)) == fingerprint_of("tiny") != fingerprint_of("tiny/gold")
    file = copy / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"temperature": 0.5}))
    assert fingerprint_of(str(copy)) != fingerprint_of("tiny")


def test_further_code_changes_the_fingerprint() -> None:
    assert code_fingerprint() == code_fingerprint() != code_fingerprint("attacks")
