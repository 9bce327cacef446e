"""File of sampled answers, written by ``unlearnkit sample`` and read by streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from unlearnkit.data.example import Example
from unlearnkit.data.generated import HF, generating
from unlearnkit.data.pool import Answer
from unlearnkit.data.rows.reader import Row, Table, read_rows
from unlearnkit.data.rows.values import quoted
from unlearnkit.errors import Place, Problem
from unlearnkit.functional.self_bleu import least_alike

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Origin:
    """What samples depend on beside their prompt.

    Args:
        model: Fingerprint of the model.
        tokenizer: Fingerprint of the tokenizer.
        temperature: Sampling temperature.
        top_p: Share of the probability that is sampled from.
        max_new_tokens: Longest sample, in tokens.
        seed: Seed of the sampling.
        template: Text around the prompt while sampling, with ``{prompt}`` in it.
        top_k: Number of the likeliest tokens that are sampled from; None for all.
        backend: What generated them, with its version; None for transformers batch by batch, the
            only one of earlier versions.
    """

    model: str
    tokenizer: str
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 200
    seed: int = 0
    template: str = "{prompt}"
    top_k: int | None = None
    backend: str | None = None

    @classmethod
    def here(cls, model: str, tokenizer: str, sampling: Sampling) -> Origin:
        """The origin of what is sampled now, by the backend that generates here."""
        backend = generating()
        label = None if backend == HF else backend.label
        return cls(model, tokenizer, **sampling._asdict(), backend=label)

    def as_json(self) -> dict[str, Any]:
        """Fields of a row; of what earlier versions did not have nothing is said, as in theirs.

        Example:
            >>> "backend" in Origin("m", "t").as_json()
            False
        """
        return {key: value for key, value in asdict(self).items() if value is not None}


class Sampling(NamedTuple):
    """Sampling settings; the fields are those of `Origin`."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 200
    seed: int = 0
    template: str = "{prompt}"
    top_k: int | None = None


def check_sampling(sampling: Sampling) -> str | None:
    """The fault of sampling settings in a sentence, or None.

    Example:
        >>> check_sampling(Sampling(temperature=0.0))
        'temperature: expected above 0, found 0.0'
    """
    if sampling.temperature <= 0:
        return f"temperature: expected above 0, found {sampling.temperature}"
    if not 0 < sampling.top_p <= 1:
        return f"top_p: expected above 0 and at most 1, found {sampling.top_p}"
    if sampling.top_k is not None and sampling.top_k < 1:
        return f"top_k: expected at least 1, or null for all tokens, found {sampling.top_k}"
    if sampling.max_new_tokens < 1:
        return f"max_new_tokens: expected at least 1, found {sampling.max_new_tokens}"
    if "{prompt}" not in sampling.template:
        return f"template: expected {{prompt}} somewhere, found {sampling.template!r}"
    return None


class SampledAnswer(NamedTuple):
    """One answer that a model gave."""

    text: str
    """For readers only; training uses the ids."""
    ids: Ids
    """Without the token that ended it."""
    ended: bool
    """Whether the model ended it, rather than the limit."""


class Sampled(NamedTuple):
    """A prompt and the answers that a model gave to it."""

    place: Place
    prompt: str
    prompt_ids: Ids
    answers: list[SampledAnswer]
    origin: Origin

    def apart(
        self, most: int | None, count: int | None, tokens: Callable[[list[str]], list[list[int]]]
    ) -> Sampled:
        """The same with the answers that are least alike.

        Args:
            most: Looks at the first answers alone; None for all.
            count: How many are kept; None for all. Empty ones are not.
            tokens: Splits texts into the tokens that are compared.
        """
        if count is None:
            return self
        said = [each for each in self.answers[:most] if each.ids]
        kept = least_alike(tokens([each.text for each in said]), count)
        return self._replace(answers=[said[i] for i in kept])


class SampleTable(NamedTuple):
    """A file of samples: the last row of each prompt, and the lines that cannot be read."""

    by_prompt: dict[Ids, Sampled]
    problems: list[Problem]

    def of_others(self, file: str, ours: Mapping[str, str]) -> Iterator[Problem]:
        """Models and tokenizers other than ours, by fingerprint."""
        origins = [(each.place, each.origin) for each in self.by_prompt.values()]
        for what, own in ours.items():
            other = next((each for each in origins if getattr(each[1], what) != own), None)
            if other is not None:
                place, origin = other
                found = f"answers of {what} {getattr(origin, what)}"
                yield Problem(file, place, what, found, f"{own}, this recipe's {what}")

    def lacking(
        self, file: str, prompts: Iterable[Example], end: Ids, count: int
    ) -> Iterator[Problem]:
        """Prompts with fewer than ``count`` answers."""
        for own in prompts:
            sampled = self.by_prompt.get(own.prompt_ids)
            answers = len(as_answers(file, sampled, end)) if sampled else 0
            if answers < count:
                place = sampled.place if sampled else None
                found = f"{answers} answers to the prompt of {own.source}"
                yield Problem(file, place, None, found, f"at least {count}")


def read_samples(path: str) -> SampleTable:
    """Reads a file of samples.

    Raises:
        DataError: If there is no such file, or it has no rows.
    """
    table = read_rows(path)
    found = SampleTable({}, list(table.problems))
    for row in table.rows:
        problems = list(_problems(table, row))
        found.problems.extend(problems)
        if not problems:
            sampled = _sampled(row)
            found.by_prompt[sampled.prompt_ids] = sampled
    return found


def sample_row(
    prompt: str, prompt_ids: Ids, answers: list[SampledAnswer], origin: Origin
) -> dict[str, Any]:
    """One row of the file, as JSON types."""
    return {
        "prompt": prompt,
        "samples": [
            {"text": each.text, "ids": list(each.ids), "ended": each.ended} for each in answers
        ],
        "prompt_ids": list(prompt_ids),
        **origin.as_json(),
    }


def as_answers(file: str, sampled: Sampled, end: Ids) -> list[Answer]:
    """The samples as responses; those that the model ended get the token that ends them."""
    source = f"{file}:{sampled.place}"
    responses = (each.ids + end if each.ended else each.ids for each in sampled.answers)
    return [Answer(ids, source) for ids in responses if ids]


def _sampled(row: Row) -> Sampled:
    values = row.fields
    return Sampled(
        row.place,
        str(values["prompt"]),
        tuple(values["prompt_ids"]),
        [SampledAnswer(s["text"], tuple(s["ids"]), s["ended"]) for s in values["samples"]],
        Origin(**{each.name: values[each.name] for each in fields(Origin) if each.name in values}),
    )


def _problems(table: Table, row: Row) -> Iterator[Problem]:
    known = [each.name for each in fields(Origin) if each.name not in ("backend", "top_k")]
    names = ["prompt", "prompt_ids", "samples", *known]
    missing = [name for name in names if name not in row.fields]
    if missing:
        expected = f"{quoted(missing)} too, as `unlearnkit sample` writes them"
        yield Problem(table.file, row.place, None, f"the fields {quoted(row.fields)}", expected)
    elif not _are_ids(row.fields["prompt_ids"]):
        yield Problem(
            table.file, row.place, "prompt_ids", "something else", "an array of token ids"
        )
    elif not _are_samples(row.fields["samples"]):
        expected = "an array of objects with `text`, `ids` and `ended`"
        yield Problem(table.file, row.place, "samples", "something else", expected)


def _are_samples(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, Mapping)
        and isinstance(each.get("text"), str)
        and _are_ids(each.get("ids"))
        and isinstance(each.get("ended"), bool)
        for each in value
    )


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)
