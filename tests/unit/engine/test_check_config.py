"""A model that a recipe cannot be run with is found by its config."""

import pytest
from stub import stub_model

from unlearnkit.errors import RecipeError
from unlearnkit.models.load import check_config


def test_a_block_that_the_model_does_not_have():
    config = stub_model({"random_init": 0, "layers": 3}).config
    check_config(config, None, 512, 10, layers=(0, 2))
    with pytest.raises(RecipeError, match="layer 3 is read, but the model has 3 decoder blocks"):
        check_config(config, None, 512, 10, layers=(0, 3))
