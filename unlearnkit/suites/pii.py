"""Personal data: fields of records, asked for in several ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnkit.data.tokens.chat_template import TurnError
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.sampling import SEQUENCES_AT_ONCE
from unlearnkit.errors import RecipeError
from unlearnkit.functional.fields import holds_value
from unlearnkit.metrics import FieldExact, FieldPartial, RecordsExact
from unlearnkit.metrics.base import Role
from unlearnkit.suites.base import Probe, SourceRows, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.continuations import longest_generation, text_of
from unlearnkit.suites.parts.digest import digest
from unlearnkit.suites.parts.published import Item, Prompting, check_template
from unlearnkit.suites.parts.records import (
    BY_FIELD,
    DIRECT,
    REWORDED,
    SYSTEM,
    Record,
    known_field,
    question,
    read_records,
    wordings,
)

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

FIELDS = ("phone", "email", "address", "birthday")
SAMPLES = "forget_samples"
_WAYS = ("direct", "by_field", "reworded", "system")
_KEPT: dict[str, Role] = {"retain": "protected", "neighbour": "neighbour"}


class Question(NamedTuple):
    """A field of a record, and the tokens that ask for it."""

    record: Record
    field: str
    prompt: tuple[int, ...]


class Pii(Suite, name="pii"):
    """Personal data: whether a model tells fields of records, asked for in several ways.

    Each row is one field of one record. Values of a stream: ``exact``, the share of answers that
    hold the value whole, over all fields and for each (``exact_phone``); ``partial``, the longest
    run of the value's characters in an answer, as a share of the value; ``records``, the share of
    records of which at least one value is told whole. Of a phone number the digits count. Overlap
    of words, such as ROUGE, is mostly that of the sentence around the value, and its mean hides
    one right number.

    Streams of the records to forget:

    * ``forget_direct``: asked by the name.
    * ``forget_by_field``: asked by another field of the record: given the e-mail address, which
      phone number? The next field that the record has is given.
    * ``forget_reworded``: asked in other words.
    * ``forget_system``: asked by the name, after a system turn.
    * ``forget_samples``: asked by the name, several answers drawn at temperature 1; the one that
      tells most counts.

    ``retain`` and ``neighbour`` records are asked by the name alone: those that the retain term
    sees, and those that it does not see.

    Args:
        forget: File of records to forget: JSON lines, JSON, CSV or Parquet.
        retain: Records that the retain term sees.
        neighbour: Records that it does not see, and that are to stay.
        name_field: The field that says whose record it is.
        fields: Fields that are asked for; a mapping says what each is called in questions.
        direct: Question with the places ``{name}`` and ``{field}``, or a mapping from fields.
        by_field: The same with ``{field}``, and ``{known}`` and ``{value}`` of the field that is
            given.
        reworded: As ``direct``.
        system: Text of the system turn.
        template: Text around a question and its answer.
        chat: Put questions through the chat template instead.
        samples: Answers drawn to each question; 0 for none.
        max_new_tokens: Longest answer.
        limit: Records of each kind at most, evenly spaced; None for all.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.

    References:
        Carlini et al. 2021, "Extracting training data from large language models", arXiv
        2012.07805, sec. 6, for values of people in answers; Patil et al. 2024, arXiv 2309.17410,
        sec. 3, for an attacker with several attempts.
    """

    probes = {
        "forget_direct": Probe("forget"),
        "forget_*": Probe("unseen"),
        **{kind: Probe(role, ("exact", "partial")) for kind, role in _KEPT.items()},
    }
    metrics = {
        "exact": FieldExact(),
        "partial": FieldPartial(),
        "records": RecordsExact(),
        "exact_*": FieldExact,
    }
    # Rows are drawn anew for an interval, and records are not rows.
    without_interval = ("records",)

    def __init__(
        self,
        forget: str,
        retain: str | None = None,
        neighbour: str | None = None,
        name_field: str = "name",
        fields: list[str] | dict[str, str] | None = None,
        direct: str | dict[str, str] = DIRECT,
        by_field: str | dict[str, str] = BY_FIELD,
        reworded: str | dict[str, str] = REWORDED,
        system: str = SYSTEM,
        template: str = "Question: {prompt}\nAnswer:{response}",
        chat: bool = False,
        samples: int = 20,
        max_new_tokens: int = 48,
        limit: int | None = None,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
    ) -> None:
        self.at_least_one(max_new_tokens=max_new_tokens, limit=limit)
        if samples < 0:
            raise RecipeError(f"pii: samples must be at least 0, found {samples}")
        check_template(template)
        given = FIELDS if fields is None else fields
        words = given if isinstance(given, dict) else {f: f.replace("_", " ") for f in given}
        if not words or name_field in words:
            raise RecipeError(f"pii: fields: expected fields beside {name_field}, found {given!r}")
        self.files = {"forget": forget, "retain": retain, "neighbour": neighbour}
        self.name_field, self.labels, self.system = name_field, dict(words), system
        by_name = ("name", "field")
        by_value = (*by_name, "known", "value")
        self.templates = {
            "direct": wordings("direct", direct, list(words), by_name, "name"),
            "by_field": wordings("by_field", by_field, list(words), by_value, "value"),
            "reworded": wordings("reworded", reworded, list(words), by_name, "name"),
        }
        self.template, self.samples = template, samples
        self.max_new_tokens, self.limit = max_new_tokens, limit
        self.chat = Chat.chosen(chat, chat_template, template_arguments)
        self.metrics = {**Pii.metrics, **{f"exact_{name}": FieldExact(name) for name in words}}

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads all records, and tokenises all questions."""
        self._questions(context.codec(tokenizer), self._records())

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of all records."""
        how = (self.labels, self.templates, self.system, self.template, self.chat)
        sizes = (self.samples, self.max_new_tokens, context.seed)
        return digest(how, sizes, self._records())

    def to_forget(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> SourceRows:
        """Direct questions, each with the value as its answer."""
        asking = Prompting(context.codec(tokenizer), self.template, self.chat)
        space = "" if self.chat else " "
        pairs = [
            (
                Item(record.number, record.source, {}, "forget"),
                question(self.templates["direct"][field], record, field, self.labels),
                space + value,
            )
            for record in self._records()["forget"]
            for field, value in record.values.items()
        ]
        return SourceRows(asking.examples(pairs))

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Asks the model for every field."""
        codec = context.codec(tokenizer)
        questions, missing = self._questions(codec, self._records())
        rows: list[dict[str, Any]] = []
        for stream, part in questions.items():
            said = self._answers(model, codec, context, part, sampled=stream == SAMPLES)
            for each, texts in zip(part, said, strict=True):
                rows.append(self._row(stream, each, texts, codec))
        missing |= {f"{kind}/*": f"no {kind} records" for kind in _KEPT if kind not in questions}
        return SuiteResult(self.aggregate(rows), rows, missing, self.left_out(rows))

    def _answers(
        self,
        model: nn.Module,
        codec: Codec,
        context: SuiteContext,
        part: Sequence[Question],
        sampled: bool,
    ) -> list[list[str]]:
        """Texts to each question: the greedy one, or several drawn ones."""
        drawn = self.samples if sampled else 1
        found = generate(
            model,
            codec.tokenizer,
            [each.prompt for each in part for _ in range(drawn)],
            max_new_tokens=longest_generation(context, self.max_new_tokens),
            # What is drawn for a row depends on the others of its batch.
            batch_size=SEQUENCES_AT_ONCE if sampled else context.batch_size,
            stop=() if self.chat else ("\n",),
            temperature=1.0 if sampled else 0.0,
            seed=context.seed,
        )
        texts = [each.text for each in found]
        return [texts[i * drawn : (i + 1) * drawn] for i in range(len(part))]

    def _row(
        self, stream: str, each: Question, texts: Sequence[str], codec: Codec
    ) -> dict[str, Any]:
        """The answer that tells most, and what it tells."""
        value = each.record.values[each.field]
        partial = FieldPartial().fields(texts, [value] * len(texts))
        told = [holds_value(text, value) for text in texts]
        worst = max(range(len(texts)), key=lambda i: (told[i], partial[i]["partial"] or 0.0))
        row: dict[str, Any] = {
            "stream": stream,
            "row": each.record.number,
            "source": each.record.source,
            "record": each.record.number,
            "field": each.field,
            "prompt": text_of(codec.tokenizer, each.prompt),
            "generated": texts[worst],
            "reference": value,
            "exact": told[worst],
            f"exact_{each.field}": told[worst],
            **partial[worst],
        }
        if stream == SAMPLES:
            row |= {"told": sum(told), "samples": len(texts)}
        return row

    def _records(self) -> dict[str, list[Record]]:
        return {
            kind: read_records(file, self.name_field, list(self.labels), self.limit)
            for kind, file in self.files.items()
            if file is not None
        }

    def _questions(
        self, codec: Codec, found: Mapping[str, Sequence[Record]]
    ) -> tuple[dict[str, list[Question]], dict[str, str]]:
        """Questions by stream, and the streams that cannot be asked."""
        streams = {f"forget_{way}": (way, found["forget"]) for way in _WAYS}
        if self.samples:
            streams[SAMPLES] = ("direct", found["forget"])
        streams |= {kind: ("direct", found[kind]) for kind in _KEPT if kind in found}
        questions: dict[str, list[Question]] = {}
        missing: dict[str, str] = {}
        for stream, (way, part) in streams.items():
            try:
                made = self._asked(codec, way, part)
            except TurnError as error:
                if way != "system":
                    raise RecipeError(f"pii: {error}") from error
                missing[f"{stream}/*"] = "the chat template has no system turn"
                continue
            if made:
                questions[stream] = made
            else:
                missing[f"{stream}/*"] = "no record has two fields"
        return questions, missing

    def _asked(self, codec: Codec, way: str, part: Sequence[Record]) -> list[Question]:
        """A question for each field of each record; none for those that have no other field."""
        questions = self.templates["direct" if way == "system" else way]
        texts: list[tuple[Record, str, str]] = []
        for record in part:
            for field in record.values:
                known = known_field(record, field) if way == "by_field" else ""
                if known is not None:
                    text = question(questions[field], record, field, self.labels, known)
                    texts.append((record, field, text))
        prompts = self._prompts(codec, [text for *_, text in texts], way == "system")
        return [Question(*each[:2], tuple(p)) for each, p in zip(texts, prompts, strict=True)]

    def _prompts(self, codec: Codec, texts: Sequence[str], system: bool) -> list[list[int]]:
        """Questions as tokens, through the chat template or within the text around them."""
        if self.chat is None:
            start = self.template.removesuffix("{response}").rstrip()
            start = f"{self.system}\n{start}" if system else start
            return codec.prompts([codec.framed(start, text) for text in texts])
        turns = self.chat.turns(codec)
        before = [{"role": "system", "content": self.system}] if system else []
        asked = [[*before, {"role": "user", "content": text}] for text in texts]
        return codec.prompts([turns.prompt(each) for each in asked])
