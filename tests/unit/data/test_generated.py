from __future__ import annotations

from importlib.metadata import version

import pytest

from unlearnkit.data.generated import HF, GenerationBackend, generated_by, generating
from unlearnkit.errors import RecipeError


def test_a_block_has_its_backend_and_the_one_before_is_back_after_an_error() -> None:
    assert generating() == HF
    seen = []

    def failing() -> None:
        with generated_by(GenerationBackend("continuous")):
            seen.append(generating().name)
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert seen == ["continuous"]
    assert generating() == HF


def test_a_backend_says_which_package_of_which_version_it_is() -> None:
    found = version("transformers")
    assert GenerationBackend("continuous").label == f"continuous (transformers {found})"
    assert HF.as_json() == {"backend": "hf", "package": "transformers", "version": found}


def test_another_word_is_refused() -> None:
    with pytest.raises(RecipeError, match="one of hf, continuous, vllm, found 'tgi'"):
        GenerationBackend("tgi")  # pyright: ignore
