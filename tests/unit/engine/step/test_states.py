"""States of decoder blocks, against what transformers gives."""

from __future__ import annotations

import pytest
import torch
from architectures import CONFIGS
from rounding import near
from transformers import AutoModelForCausalLM

from unlearnkit.data.example import Example
from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.states import block_states, final_norm
from unlearnkit.errors import UserError

ROWS = (Example((3, 4), (20, 21, 22), 0, "f:1"), Example((5, 6, 7, 8), (23,), 1, "f:2"))


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3", "opt"])
def test_states_are_those_that_predict_the_response_tokens(name):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]()).double().eval()
    batch = pack({"probe": StreamBatch(ROWS, 1.0, 1.0)}, "rows")
    norm = final_norm(model, "a test")
    with torch.no_grad():
        found = block_states(model, batch, norm, "a test")
        for place, row in ((slice(0, 3), ROWS[0]), (slice(3, 4), ROWS[1])):
            ids = torch.tensor([[*row.prompt_ids, *row.response_ids]])
            whole = model(ids, output_hidden_states=True).hidden_states
            asked = slice(len(row.prompt_ids) - 1, ids.shape[1] - 1)
            assert len(found) == len(whole) - 1
            for ours, theirs in zip(found[:-1], whole[1:-1], strict=True):
                assert ours[place].flatten().tolist() == [
                    near(value) for value in theirs[0, asked].flatten().tolist()
                ]
            # The last state of transformers is normed.
            assert norm(found[-1])[place].flatten().tolist() == [
                near(value) for value in whole[-1][0, asked].flatten().tolist()
            ]


def test_a_model_without_a_norm_that_is_known_is_refused(monkeypatch):
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]())
    model.model.norm = torch.nn.Identity()
    with pytest.raises(UserError, match="a test: LlamaForCausalLM has no final norm"):
        final_norm(model, "a test")


def test_a_model_that_does_more_behind_its_last_block_is_refused():
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]())
    batch = pack({"probe": StreamBatch(ROWS, 1.0, 1.0)}, "rows")
    norm = final_norm(model, "a test")
    norm.register_forward_hook(lambda _module, given, out: out + given[0].shape[1])
    with pytest.raises(UserError, match="more after its last layer"):
        block_states(model, batch, norm, "a test")
