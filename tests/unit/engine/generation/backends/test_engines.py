from __future__ import annotations

import pytest
from architectures import tiny_model

from unlearnkit.data.generated import GenerationBackend, generated_by
from unlearnkit.engine.generation.backends.continuous import Continuous
from unlearnkit.engine.generation.backends.engines import engine_of
from unlearnkit.errors import RecipeError


def test_the_block_says_which_engine_a_model_gets() -> None:
    model = tiny_model("llama")
    assert engine_of(model, 4) is None
    with generated_by(GenerationBackend("continuous")):
        found = engine_of(model, 4)
    assert isinstance(found, Continuous)
    assert found.rows == 64, "the same calls on any number of processes"
    with generated_by(GenerationBackend("vllm")), pytest.raises(RecipeError, match="vllm"):
        engine_of(model, 4)
