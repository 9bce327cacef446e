"""RWKU's probes of general ability: five benchmarks, each with its own rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.control import Rendered
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.errors import DataError, Problem
from unlearnkit.functional.core import row_sum
from unlearnkit.metrics import Accuracy, AnswerF1, BestAnswer, Entropy, ExactMatch, TrueShare
from unlearnkit.suites.base import SuiteContext
from unlearnkit.suites.chat import Chat
from unlearnkit.suites.continuations import text_of
from unlearnkit.suites.published import Item, Part

if TYPE_CHECKING:
    from torch import nn

PARTS = tuple(
    Part(f"utility_{name}", f"utility_{name}", texts, lists, "test", optional=True, file=file)
    for name, texts, lists, file in (
        ("general", ("question",), ("choices",), "retain_mmlu"),
        ("reason", ("question", "cot"), ("answer",), "retain_bbh"),
        ("truthfulness", ("question",), (), "truthful"),
        ("factuality", ("question",), ("answers",), "triviaqa"),
        ("fluency", ("instruction",), (), "fluency"),
    )
)
_LETTERS = "ABCDEFGH"
_ANSWER_IS = re.compile(r"[Tt]he answer is (.*?)\.")


class Asking(NamedTuple):
    """A model, and the form in which it is asked."""

    model: nn.Module
    codec: Codec
    context: SuiteContext
    chat: Chat | None

    def framed(self, template: str, query: str) -> str:
        """A query within the text that the recipe puts around it."""
        if self.chat is None:
            query = self.codec.as_text(query)
        text = template.replace("{query}", query)
        return text if self.chat else Rendered(text)

    def prompts(self, asked: Sequence[tuple[str, str]]) -> list[list[int]]:
        """Ids of prompts, each with how its answer begins."""
        return self.codec.prompts([self._prompt(text, lead) for text, lead in asked])

    def _prompt(self, text: str, lead: str) -> str:
        if self.chat is None:
            whole = f"{text}{lead}".rstrip(" ")
            return Rendered(whole) if isinstance(text, Rendered) else whole
        asked = self.chat.turns(self.codec).prompt([{"role": "user", "content": text}])
        return Rendered(asked + lead)

    def answers(
        self,
        stream: str,
        items: Sequence[Item],
        prompts: Sequence[Sequence[int]],
        tokens: int,
        figures: Callable[[Item, str], dict[str, float | None]],
        stop: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """A row an item: its prompt, the greedy answer and the answer's figures."""
        bound = min(tokens, self.context.max_new_tokens or tokens)
        found = generate(
            self.model,
            self.codec.tokenizer,
            prompts,
            max_new_tokens=bound,
            batch_size=self.context.batch_size,
            stop=stop,
        )
        return [
            {
                **_row(stream, item),
                "prompt": text_of(self.codec.tokenizer, prompt),
                "generated": new.text,
                "figures": figures(item, new.text.strip()),
            }
            for item, prompt, new in zip(items, prompts, found, strict=True)
        ]

    def logps(self, pairs: Sequence[tuple[Sequence[int], str]]) -> list[float]:
        """Log-probability of each text after its prompt, in nats."""
        texts = self.codec.tokens([text for _, text in pairs])
        examples = [
            Example(tuple(prompt), tuple(ids), i, "")
            for i, ((prompt, _), ids) in enumerate(zip(pairs, texts, strict=True))
        ]
        scores = score(self.model, examples, batch_size=self.context.batch_size)
        return row_sum(scores.logps, scores.sequence, len(examples)).tolist()


def check(items: Mapping[str, Sequence[Item]]) -> None:
    """Checks the fields that are neither text nor a list of texts.

    Raises:
        DataError: With all bad rows.
    """
    problems: list[Problem] = []
    for item in items.get("utility_general", ()):
        if not _is_choice(item.fields):
            expected = f"the number, from 0, of one of at most {len(_LETTERS)} choices"
            problems.append(_problem(item, "answer", item.fields.get("answer"), expected))
        if not all(map(_is_choice, item.fields.get("examples") or ())):
            expected = "rows of question, choices and answer"
            problems.append(_problem(item, "examples", item.fields["examples"], expected))
    for item in items.get("utility_truthfulness", ()):
        for field in ("mc1_targets", "mc2_targets"):
            targets = item.fields.get(field)
            if not _has_true_and_false(targets):
                expected = "choices and as many labels, 1 and 0, of either at least one"
                problems.append(_problem(item, field, targets, expected))
    if problems:
        raise DataError(problems)


def rows(asking: Asking, items: Mapping[str, Sequence[Item]]) -> list[dict[str, Any]]:
    """Rows of those benchmarks that there are."""
    makers = {
        "utility_general": _general,
        "utility_reason": _reason,
        "utility_truthfulness": _truthfulness,
        "utility_factuality": _factuality,
        "utility_fluency": _fluency,
    }
    return [row for name, make in makers.items() if name in items for row in make(asking, items)]


Items = Mapping[str, Sequence[Item]]


def _general(asking: Asking, items: Items) -> list[dict[str, Any]]:
    """MMLU: the likeliest letter, after the row's own examples."""
    stream = "utility_general"
    asked: list[tuple[str, str]] = []
    for item in items[stream]:
        shown = item.fields.get("examples") or ()
        texts = [f"{_with_choices(each)}\nAnswer: {_LETTERS[each['answer']]}" for each in shown]
        text = "\n\n".join([*texts, _with_choices(item.fields)])
        asked.append((f"{text}\n", "Answer:"))
    prompts = asking.prompts(asked)
    pairs = [
        (prompt, f" {letter}")
        for item, prompt in zip(items[stream], prompts, strict=True)
        for letter in _LETTERS[: len(item.fields["choices"])]
    ]
    logps = iter(asking.logps(pairs))
    found: list[dict[str, Any]] = []
    for item in items[stream]:
        each = [next(logps) for _ in item.fields["choices"]]
        chosen = each.index(max(each))
        right = Accuracy().fields([chosen], [item.fields["answer"]])[0]
        found.append({**_row(stream, item), "chosen": chosen, "figures": right})
    return found


def _reason(asking: Asking, items: Items) -> list[dict[str, Any]]:
    """BBH: the answer at the end of a chain of thought."""

    def figures(item: Item, said: str) -> dict[str, float | None]:
        named = _ANSWER_IS.search(said)
        answer = named[1] if named else said
        return ExactMatch().fields([answer], [item.fields["answer"]])[0]

    stream = "utility_reason"
    asked = [
        (f"{item.fields['cot'].strip()}\n\nQ: {item.fields['question']}\n", "A:")
        for item in items[stream]
    ]
    prompts = asking.prompts(asked)
    return asking.answers(stream, items[stream], prompts, 256, figures)


def _truthfulness(asking: Asking, items: Items) -> list[dict[str, Any]]:
    """TruthfulQA: is the best answer the likeliest, and how likely are the true ones together?"""
    stream = "utility_truthfulness"
    fields = ("mc1_targets", "mc2_targets")
    asked = [(f"Q: {item.fields['question']}\n", "A:") for item in items[stream]]
    pairs = [
        (prompt, f" {choice}")
        for item, prompt in zip(items[stream], asking.prompts(asked), strict=True)
        for field in fields
        for choice in item.fields[field]["choices"]
    ]
    logps = iter(asking.logps(pairs))
    found: list[dict[str, Any]] = []
    for item in items[stream]:
        first, second = (
            _split([(next(logps), label) for label in item.fields[field]["labels"]])
            for field in fields
        )
        figures = BestAnswer().fields(*first)[0] | TrueShare().fields(*second)[0]
        found.append({**_row(stream, item), "figures": figures})
    return found


def _factuality(asking: Asking, items: Items) -> list[dict[str, Any]]:
    """TriviaQA: the best match with one of the answers."""

    def figures(item: Item, said: str) -> dict[str, float | None]:
        pair = ([said], [item.fields["answers"]])
        return ExactMatch().fields(*pair)[0] | AnswerF1().fields(*pair)[0]

    stream = "utility_factuality"
    asked = [
        (f"Answer in a few words.\nQ: {item.fields['question']}\n", "A:") for item in items[stream]
    ]
    prompts = asking.prompts(asked)
    return asking.answers(stream, items[stream], prompts, 30, figures, stop=("\n",))


def _fluency(asking: Asking, items: Items) -> list[dict[str, Any]]:
    """How varied the words of a long answer are."""
    stream = "utility_fluency"
    asked = [(f"Instruction: {item.fields['instruction']}\n", "") for item in items[stream]]
    return asking.answers(
        stream,
        items[stream],
        asking.prompts(asked),
        256,
        lambda _, said: Entropy().fields([said])[0],
    )


def _with_choices(fields: Mapping[str, Any]) -> str:
    choices = zip(_LETTERS, fields["choices"], strict=False)
    listed = "".join(f"\n{letter}. {choice}" for letter, choice in choices)
    return f"Question: {fields['question']}{listed}"


def _split(pairs: Sequence[tuple[float, int]]) -> tuple[list[list[float]], list[list[float]]]:
    """Log-probabilities of the true answers of one row, and those of the false ones."""
    return [[p for p, label in pairs if label]], [[p for p, label in pairs if not label]]


def _is_choice(fields: Any) -> bool:
    if not isinstance(fields, Mapping) or not isinstance(fields.get("question"), str):
        return False
    choices, answer = fields.get("choices"), fields.get("answer")
    if not isinstance(choices, list) or not isinstance(answer, int):
        return False
    return 0 <= answer < len(choices) <= len(_LETTERS)


def _has_true_and_false(targets: Any) -> bool:
    if not isinstance(targets, Mapping):
        return False
    choices, labels = targets.get("choices"), targets.get("labels")
    if not isinstance(choices, list) or not isinstance(labels, list):
        return False
    texts = all(isinstance(choice, str) and choice.strip() for choice in choices)
    return texts and len(choices) == len(labels) and set(labels) == {0, 1}


def _row(stream: str, item: Item) -> dict[str, Any]:
    return {"stream": stream, "row": item.row, "source": item.source}


def _problem(item: Item, field: str, found: object, expected: str) -> Problem:
    return Problem(item.source, None, field, repr(found)[:60], expected)
