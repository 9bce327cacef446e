"""The unlearning depth score, on planted cases."""

from __future__ import annotations

import copy

import pytest
import torch
from architectures import CONFIGS, VOCABULARY
from rounding import near
from transformers import AutoModelForCausalLM, LlamaConfig

from unlearnkit.data.example import Example
from unlearnkit.errors import UserError
from unlearnkit.inspection import Depth, depth

ROWS = [
    Example(tuple(range(3, 3 + prompt)), tuple(range(20, 20 + answer)), row, f"f.jsonl:{row + 1}")
    for row, (prompt, answer) in enumerate([(1, 4), (5, 2), (3, 1), (7, 6)])
]


def _model(name: str, seed: int):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]()).double().eval()
    for parameter in model.parameters():  # of random weights a block carries next to nothing
        parameter.data.mul_(3)
    return model


def test_the_score_by_hand():
    gold = [[0.5, 1.0, 0.02], [0.01, 0.04, 0.0]]
    found = Depth(gold, after=[[0.25, 2.0, 0.5], [1, 1, 1]], lost=[1.0, 1.0])
    # The third block is below tau; of the second block no more can be gone than was there.
    assert found.scores == [near((0.25 + 1.0) / 1.5), None]
    assert found.score == near(1.25 / 1.5)
    assert found.by_block == [near(0.5), near(1.0), None]


@pytest.mark.parametrize(
    ("after", "lost", "sentence"),
    [
        ([1.0, 1.0, 1.0], 1.0, "Gone:"),
        ([0.0, 0.1, 1.0], 1.0, "Suppressed before the head:"),
        ([0.0, 0.0, 0.1], 1.0, "Redirected:"),
        ([0.0, 0.0, 0.1], 0.01, "Still there:"),
        ([1.0, 0.5, 0.5], 1.0, "Gone in part:"),
    ],
)
def test_what_became_of_the_rows_in_a_sentence(after, lost, sentence):
    assert Depth([[1.0, 1.0, 1.0]], [after], [lost]).sentence.startswith(sentence)
    assert Depth([[0.0, 0.0, 0.0]], [after], [lost]).sentence.startswith("No block")


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "gpt2", "opt", "granite"])
def test_gold_scores_one_and_the_model_before_nought(name):
    before, gold = _model(name, 0), _model(name, 1)
    found = depth(before, gold, gold, ROWS)
    assert [each for each in found.scores if each is not None]
    assert all(each == near(1.0) for each in found.scores if each is not None)
    same = depth(before, copy.deepcopy(before), gold, ROWS)
    assert all(value == near(0.0, size=10.0) for row in same.after for value in row)
    assert same.score == near(0.0)
    assert same.lost == [near(0.0, size=10.0)] * len(ROWS)
    assert same.sentence.startswith("Still there")


def test_a_model_that_only_answers_otherwise_scores_nought():
    before, gold = _model("llama", 0), _model("llama", 1)
    filtered = copy.deepcopy(before)
    answers = torch.zeros(VOCABULARY, dtype=torch.float64)
    answers[20:30] = 10.0
    filtered.lm_head.register_forward_hook(lambda _module, _given, logits: logits - answers)
    found = depth(before, filtered, gold, ROWS)
    assert found.score == near(0.0)
    assert found.sentence.startswith("Redirected")


def test_the_states_of_another_model_go_through_the_blocks_that_follow():
    before, gold = _model("llama", 0), _model("llama", 1)
    row = ROWS[3]
    ids = torch.tensor([[*row.prompt_ids, *row.response_ids]])
    answers = slice(len(row.prompt_ids) - 1, ids.shape[1] - 1)

    def of_answer(logits):
        logps = logits[0, answers].log_softmax(-1)
        return logps.gather(1, ids[0, len(row.prompt_ids) :, None]).mean()

    with torch.no_grad():
        whole = of_answer(before(ids).logits)
        # hidden_states: the embeddings, then each block's output; the last is normed already.
        states = gold(ids, output_hidden_states=True).hidden_states[1]
        place = before.model.rotary_emb(states, torch.arange(ids.shape[1])[None])
        mask = torch.full((ids.shape[1],) * 2, -1e9, dtype=states.dtype).triu(1)[None, None]
        after_second = before.model.layers[1](
            states, attention_mask=mask, position_embeddings=place
        )
        expected = whole - of_answer(before.lm_head(before.model.norm(after_second)))
    found = depth(before, gold, gold, ROWS, batch_size=2)
    assert found.gold[3][0] == near(float(expected), size=10.0)
    assert abs(float(expected)) > 0.01


def test_a_batch_of_32_rows_gives_what_single_rows_give():
    before, after, gold = (_model("llama", seed) for seed in range(3))
    rows = [each._replace(row=i) for i, each in enumerate(ROWS * 8)]
    one, all_at_once = (depth(before, after, gold, rows, batch_size=n) for n in (1, 32))
    for ours, theirs in ((one.gold, all_at_once.gold), (one.after, all_at_once.after)):
        assert [near(value, size=10.0) for row in theirs for value in row] == [
            value for row in ours for value in row
        ]


def test_models_of_other_blocks_are_refused():
    before = _model("llama", 0)
    config = LlamaConfig(**{**CONFIGS["llama"]().to_dict(), "num_hidden_layers": 3})
    other = AutoModelForCausalLM.from_config(config)
    with pytest.raises(UserError, match="before 2 of width 32, after 2 of width 32, gold 3 of"):
        depth(before, before, other, ROWS)
