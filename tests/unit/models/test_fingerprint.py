from __future__ import annotations

import shutil

from stub import save_stub, stub_tokenizer

from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.fingerprint import model_fingerprint, tokenizer_fingerprint


def test_weights_and_config_tell_models_apart(tmp_path) -> None:
    one = save_stub({"random_init": 1}, tmp_path / "one")
    other = save_stub({"random_init": 2}, tmp_path / "other")
    assert model_fingerprint(str(one)) != model_fingerprint(str(other))
    shutil.copytree(one, tmp_path / "copy")
    assert model_fingerprint(str(tmp_path / "copy")) == model_fingerprint(str(one))


def test_the_first_blocks_are_another_model(tmp_path) -> None:
    path = str(save_stub({"random_init": 1}, tmp_path / "one"))
    found = {model_fingerprint(BaseModel(path, first_blocks=n)) for n in (None, 1)}
    assert len(found) == 2


def test_a_hub_id_is_its_name_and_revision() -> None:
    assert model_fingerprint("org/name") == "org/name@main"
    assert model_fingerprint(BaseModel("org/name", revision="v1")) == "org/name@v1"


def test_padding_makes_no_other_tokenizer() -> None:
    tokenizer = load_tokenizer("tiny")
    before = tokenizer_fingerprint(tokenizer)
    tokenizer(["a", "a cat"], padding=True, truncation=True, max_length=4)
    assert tokenizer_fingerprint(tokenizer) == before
    assert before != tokenizer_fingerprint(stub_tokenizer())
