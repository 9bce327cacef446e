"""Rows of continuations: what a model is known to say is not generated again."""

from __future__ import annotations

from architectures import tiny_model
from stub import stub_tokenizer

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.generate import generate
from unlearnkit.suites.base import SuiteContext
from unlearnkit.suites.parts.continuations import continuation_rows

PROMPTS = ((5, 9), (7, 11, 30, 8), (40, 6, 12), (9, 10))


def test_texts_are_those_of_plain_generation_in_fewer_passes() -> None:
    model, tokenizer = tiny_model("llama"), stub_tokenizer()
    greedy = generate(model, tokenizer, PROMPTS, max_new_tokens=8)
    # The second departs from the model's first choice at its fourth token, the third at once.
    true = [
        greedy[0].ids,
        (*greedy[1].ids[:3], greedy[1].ids[3] + 1, *greedy[1].ids[4:]),
        tuple(i + 1 for i in greedy[2].ids),
        (),
    ]
    examples = [
        Example(prompt, ids, row, "a:1")
        for row, (prompt, ids) in enumerate(zip(PROMPTS, true, strict=True))
    ]
    passes: list[int] = []
    model.get_input_embeddings().register_forward_pre_hook(lambda *_: passes.append(1))
    answers = ["the true text"] * 4
    rows = continuation_rows(model, tokenizer, SuiteContext(batch_size=1), examples, 8, answers)
    assert [row["generated"] for row in rows] == [each.text for each in greedy]
    assert [row["hit_limit"] for row in rows] == [each.hit_limit for each in greedy]
    # One pass made the head and three scored. Of eight tokens each the first row generates none,
    # the second five, the others all.
    assert len(passes) == 1 + 3 + 5 + 8 + 8
