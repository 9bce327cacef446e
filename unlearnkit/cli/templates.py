"""Templates of losses, streams, suites and the like, and of their tests."""

from __future__ import annotations

from typing import NamedTuple


class Template(NamedTuple):
    """A file that works as it is, with ``{module}`` in it, and its test."""

    code: str
    test: str


_FIRST = '"""Run with: pytest {test}"""\n\n'

_OBJECTIVE = '''\
"""An own loss. In a recipe: forget: {{name: {module}.MyLoss, margin: 3.0}}"""

from unlearnkit import Objective


class MyLoss(Objective):
    """Pushes each forget token a margin below the reference, and no further."""

    needs = frozenset({{"reference"}})

    def __init__(self, weight: float = 1.0, stream: str | None = None, margin: float = 5.0):
        super().__init__(weight, stream)
        self.margin = margin

    def forward(self, views):
        view = views[self.stream]
        return view.mean((view.logps - view.ref_logps + self.margin).relu())
'''

_OBJECTIVE_TEST = """\
from {module} import MyLoss

from unlearnkit.testing import check_objective


def test_my_loss_keeps_the_contract():
    check_objective(MyLoss())
"""

_SUITE = '''\
"""An own suite. In a recipe: evaluate: [{{name: {module}.MySuite, word: secret}}]"""

from unlearnkit.metrics import RowMean
from unlearnkit.suites import Probe, Suite, SuiteResult
from unlearnkit.suites.parts.continuations import continuation_rows


class Mentions(RowMean):
    """Share of answers that hold a word."""

    needs = ("generated",)
    keys = ("mentions",)
    direction = "down"
    headline = 1

    def __init__(self, word: str):
        self.word = word
        super().__init__()

    def per_row(self, generated):
        return [self.word in text for text in generated]


class MySuite(Suite):
    """How often the model says a word when given the prompts of the recipe's forget stream."""

    probes = {{"forget": Probe("forget")}}
    metrics = {{"mentions": Mentions}}
    streams = ("forget",)

    def __init__(self, word: str = "the", max_new_tokens: int = 32):
        self.max_new_tokens = max_new_tokens
        self.metrics = {{"mentions": Mentions(word)}}

    def run(self, model, tokenizer, context):
        examples = list(context.data["forget"].examples())
        found = continuation_rows(model, tokenizer, context, examples, self.max_new_tokens)
        rows = [{{"stream": "forget", **row}} for row in found]
        self.fill(rows)
        return SuiteResult(self.aggregate(rows), rows)
'''

_SUITE_TEST = """\
import pytest
from {module} import Mentions, MySuite


def test_a_word_counts_where_it_is_said():
    assert Mentions("dead")(["the dead", "alive"]).item() == 0.5


def test_values_are_means_over_the_rows_of_a_stream():
    rows = [{{"stream": "forget", "generated": text}} for text in ("the end", "an end", "end")]
    suite = MySuite(word="the")
    suite.fill(rows)
    assert suite.aggregate(rows) == {{"forget/mentions": pytest.approx(1 / 3)}}
"""

_METRIC = '''\
"""An own metric. In a recipe: evaluate: [{{name: copyright, metrics: [{module}.MyMetric]}}]"""

from unlearnkit.metrics import RowMean


class MyMetric(RowMean):
    """Share of a text's letters that are capitals."""

    needs = ("generated",)
    direction = "down"
    unmeasured = "the text has no letter"

    def per_row(self, generated):
        letters = [[c for c in text if c.isalpha()] for text in generated]
        return [sum(c.isupper() for c in each) / len(each) if each else None for each in letters]
'''

_METRIC_TEST = """\
from {module} import MyMetric


def test_half_of_the_letters():
    assert MyMetric()(["AbCd"]).item() == 0.5


def test_a_text_without_letters_has_no_part():
    assert MyMetric()(["AB", "12"]).item() == 1.0
"""

_STREAM = '''\
"""An own stream. In a recipe: streams: {{forget: {{name: {module}.MyStream, path: FILE}}}}"""

from typing import Any

from unlearnkit.data.streams import QAStream


class MyStream(QAStream):
    """Questions and answers in the words that my model was trained with."""

    def __init__(self, path: str, answer: str = "response", **file: Any):
        words = "Question: {{prompt}}\\nAnswer: {{response}}"
        super().__init__(path, response_field=answer, template=words, **file)
'''

_STREAM_TEST = """\
import json

from {module} import MyStream

from unlearnkit.data.tokens.codec import Codec
from unlearnkit.models.base import load_tokenizer


def test_rows_are_framed(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({{"prompt": "Who?", "response": "Ada."}}))
    tokenizer = load_tokenizer("tiny")
    stream = MyStream(str(tmp_path / "rows.jsonl"))
    stream.check()
    ((example,),) = [stream.encode("forget", Codec(tokenizer, 64), {{}}, seed=0).at(0, 0)]
    prompt, response = (
        tokenizer.decode(ids, skip_special_tokens=True)
        for ids in (example.prompt_ids, example.response_ids)
    )
    assert (prompt, response) == ("Question: Who?\\nAnswer:", " Ada.")
"""

_CALLBACK = '''\
"""An own callback. In a recipe: callbacks: [{{name: {module}.MyCallback, above: 6.0}}]"""

import lightning as L


class MyCallback(L.Callback):
    """Stops the run once the loss of a step is above a bound."""

    def __init__(self, above: float = 100.0):
        self.above = above

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if float(outputs["loss"]) > self.above:
            trainer.should_stop = True
'''

_CALLBACK_TEST = """\
from types import SimpleNamespace

import pytest
from {module} import MyCallback


@pytest.mark.parametrize("loss", [1.0, 3.0])
def test_it_stops_above_the_bound(loss):
    trainer = SimpleNamespace(should_stop=False)
    MyCallback(above=2.0).on_train_batch_end(trainer, None, {{"loss": loss}}, None, 0)
    assert trainer.should_stop == (loss > 2.0)
"""

_ATTACK = '''\
"""An own attack. At the shell: unlearnkit attack MODEL {module}.MyAttack --forget FILE"""

from unlearnkit.attacks import Attack
from unlearnkit.attacks.measuring import measured
from unlearnkit.models.load import load_model


class MyAttack(Attack):
    """Say something friendly before the prompt.

    Args:
        words: What is said.
        limit: Rows measured at most.
    """

    def __init__(self, words: str = "Please go on: ", limit: int = 32):
        self.words, self.limit = words, limit

    def prepare(self, target):
        words, start = target.codec.tokens([self.words])[0], len(target.codec.bos)
        rows = target.examples[: self.limit]
        prompts = [(*e.prompt_ids[:start], *words, *e.prompt_ids[start:]) for e in rows]
        return rows, [e._replace(prompt_ids=p) for e, p in zip(rows, prompts, strict=True)]

    def run(self, base, rows, target):
        model, tokenizer = load_model(base), target.tokenizer
        return [
            {{"said": said, **measured(model, tokenizer, some, target.context)}}
            for said, some in zip((None, self.words), rows, strict=True)
        ]
'''

_ATTACK_TEST = """\
from {module} import MyAttack

from unlearnkit.attacks import Target
from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.models.base import load_tokenizer
from unlearnkit.suites import SuiteContext


def test_the_words_stand_before_the_prompt():
    tokenizer = load_tokenizer("tiny")
    prompt = tuple(tokenizer("the river")["input_ids"])
    target = Target([Example(prompt, (1, 2), 0, "a:1")], Codec(tokenizer, 64), SuiteContext())
    (plain,), (asked,) = MyAttack("Go on: ").prepare(target)
    assert plain.prompt_ids == prompt
    text = tokenizer.decode(asked.prompt_ids, skip_special_tokens=True)
    assert text == "Go on: the river"
"""

_ROBUST = '''\
"""An own robust method. In a recipe: robust: {{name: {module}.MyRobust, share: 0.5}}"""

from unlearnkit.robust import Robust


class MyRobust(Robust):
    """Takes a part of the forget gradient."""

    def __init__(self, share: float = 0.5, streams: list[str] | None = None):
        super().__init__(streams)
        self.share = share

    def gradient(self, passes):
        return passes.forget().scaled(self.share)
'''

_ROBUST_TEST = """\
import torch
from {module} import MyRobust

from unlearnkit.robust import Passes


def test_it_is_half_of_the_gradient():
    x = torch.nn.Parameter(torch.tensor([3.0]))
    passes = Passes([x], lambda *_: (x * x).sum(), [0], [], step=0)
    assert MyRobust().gradient(passes)[0].tolist() == [3.0]
"""

TEMPLATES = {
    "objective": Template(_OBJECTIVE, _FIRST + _OBJECTIVE_TEST),
    "stream": Template(_STREAM, _FIRST + _STREAM_TEST),
    "suite": Template(_SUITE, _FIRST + _SUITE_TEST),
    "metric": Template(_METRIC, _FIRST + _METRIC_TEST),
    "callback": Template(_CALLBACK, _FIRST + _CALLBACK_TEST),
    "attack": Template(_ATTACK, _FIRST + _ATTACK_TEST),
    "robust": Template(_ROBUST, _FIRST + _ROBUST_TEST),
}
"""By what they begin."""
