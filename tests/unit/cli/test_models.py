"""Names of models on a command line."""

from __future__ import annotations

import json

import pytest

from unlearnkit.cli.models import model_of, rival_of
from unlearnkit.errors import UserError


@pytest.fixture
def run(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "recipe.yaml").write_text("model: {base: tiny/gold}\n")
    summary = {"recipe": "mine", "seed": 0, "suites": {}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    return tmp_path


def test_a_run_stands_for_its_model_and_other_names_for_themselves(run):
    assert model_of(str(run)) == str(run / "model")
    assert model_of("name/model") == "name/model"


def test_base_is_what_the_run_started_from(run):
    base = rival_of(str(run), "base")
    assert getattr(base, "path", None) == "tiny/gold"
    assert rival_of(str(run), "tiny") == "tiny"
    with pytest.raises(UserError, match="is not a finished run"):
        rival_of("name/model", "base")
