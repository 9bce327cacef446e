"""Answers sampled from the model before training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnkit.data.cut import Cut
from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.example import Example
from unlearnkit.data.pool import Answer
from unlearnkit.data.rows.reader import find_file
from unlearnkit.data.samples import (
    Ids,
    Origin,
    Sampled,
    SampledAnswer,
    SampleTable,
    Sampling,
    as_answers,
    check_sampling,
    read_samples,
)
from unlearnkit.data.streams.answering import AnsweringStream
from unlearnkit.data.streams.paired import PairedData
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.files import digest_of
from unlearnkit.models.fingerprint import model_fingerprint, tokenizer_fingerprint

if TYPE_CHECKING:
    from unlearnkit.models.base import BaseModel

logger = logging.getLogger(__name__)
_COMMAND = "unlearnkit sample --recipe RECIPE"
_HINT = f"Sample from the recipe's model first, with the same overrides: {_COMMAND}"


class SampledStream(AnsweringStream, name="sampled"):
    """Answers to another stream's prompts that the model gives before it is trained.

    The run samples them in batches and keeps them in ``cache``, one file per model, tokenizer and
    settings. Stored answers are not sampled again, so an interrupted run continues exactly; the
    run folder has a copy of those it used.

    With ``path`` they are those that ``unlearnkit sample`` wrote. The file names its model and
    tokenizer, and is refused for others; its sampling settings hold.

    Args:
        prompts: The stream whose prompts are answered.
        per_prompt: Answers per prompt and draw; ``d2o`` takes several, ``dpo`` takes 1.
        pool: Answers to each prompt that are sampled, ``per_prompt`` by default. If there are
            more, training takes each equally often over the epochs.
        least_alike: Of the answers to a prompt train on so many alone, those with the lowest
            self-BLEU of tokens, such as 5 of a pool of 20 (Safe Unlearning); None for all.
        top_k: Number of the likeliest tokens that are sampled from; None for all.
        template: Text around the prompt while sampling, with ``{prompt}`` in it.
        temperature: Sampling temperature.
        top_p: Share of the probability that is sampled from.
        max_new_tokens: Longest answer, in tokens.
        seed: Seed of the sampling.
        cache: Folder of the answers.
        path: File of stored answers, instead of sampling.

    Raises:
        RecipeError: For a value that cannot be sampled with, or that ``path`` makes idle.

    References:
        Duan et al., 2024, arXiv:2403.03419 (D2O). Mekala et al., 2024, arXiv:2409.13474 (AltPO).
    """

    def __init__(
        self,
        prompts: str = "forget",
        per_prompt: int = 5,
        pool: int | None = None,
        template: str = "{prompt}",
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_new_tokens: int = 200,
        seed: int = 0,
        cache: str = "samples",
        path: str | None = None,
        least_alike: int | None = None,
        top_k: int | None = None,
    ) -> None:
        super().__init__(prompts, per_prompt)
        if least_alike is not None and least_alike < per_prompt:
            raise RecipeError(
                f"least_alike: expected at least {per_prompt} (per_prompt), found {least_alike}"
            )
        if pool is not None and pool < per_prompt:
            raise RecipeError(
                f"pool: expected at least {per_prompt} (per_prompt), found {pool}",
                hint="Leave it out to sample as many answers as the training takes at a time.",
            )
        self.sampling = Sampling(temperature, top_p, max_new_tokens, seed, template, top_k)
        if (wrong := check_sampling(self.sampling)) is not None:
            raise RecipeError(wrong)
        if path is not None and (self.sampling, pool, cache) != (Sampling(), None, "samples"):
            raise RecipeError(
                "path: the answers are in a file, and sampling settings are given too",
                hint="Leave out pool, cache, template, temperature, top_p, top_k, max_new_tokens, "
                "seed.",
            )
        self.pool, self.least_alike = pool or per_prompt, least_alike
        if path is None and least_alike is not None and least_alike >= self.pool:
            raise RecipeError(
                f"least_alike: expected less than the pool of {self.pool}, found {least_alike}"
            )
        # Not `path`: a stream that has one is read before the model has answered.
        self.cache, self.file = cache, path
        self._table: SampleTable | None = None

    def check(self) -> None:
        """Reads the file, if ``path`` names one.

        Raises:
            DataError: If it is missing, or with every line that cannot be read.
        """
        if self.file is None:
            return
        if find_file(self.file) is None:
            expected = f"answers of the model to the prompts of '{self.prompts}'"
            raise DataError([Problem(self.file, None, None, "no such file", expected)], hint=_HINT)
        table = read_samples(self.file)
        if table.problems:
            raise DataError(table.problems, hint=_HINT)
        self._table = table

    def encode(
        self, name: str, codec: Codec, others: Mapping[str, StreamData], seed: int
    ) -> StreamData:
        """The prompts with the answers of the file, or with those that the run will sample.

        Raises:
            RecipeError: If the stream of prompts is not there.
            DataError: If the file's answers are another model's, or some prompt lacks them.
        """
        prompts = self.prompt_rows(name, others)
        if self.file is None:
            return SampledData(name, self, prompts, codec, seed)
        if self._table is None:
            self.check()
        table, self._table = self._table, None
        assert table is not None
        ours = {"tokenizer": tokenizer_fingerprint(codec.tokenizer)}
        if codec.base is not None:
            ours["model"] = model_fingerprint(codec.base)
        end = prompts.frame.end(codec)
        problems = list(table.of_others(self.file, ours))
        problems += table.lacking(self.file, prompts.examples(), end, self.per_prompt)
        if problems:
            raise DataError(problems, hint=_HINT)
        return self.paired(name, self.file, prompts, table.by_prompt, codec, seed)

    def paired(
        self,
        name: str,
        file: str,
        prompts: EncodedRows,
        known: Mapping[Ids, Sampled],
        codec: Codec,
        seed: int,
    ) -> PairedData:
        """The prompts with their answers, of each the first ``pool`` if the run sampled them."""
        end = prompts.frame.end(codec)
        most = None if self.file is not None else self.pool

        def answers_to(prompt: Ids) -> list[Answer]:
            kept = known[prompt].apart(most, self.least_alike, codec.tokens)
            return as_answers(file, kept, end)[:most]

        answers = [
            [answers_to(own.prompt_ids) for own in prompts.at(row, 0)]
            for row in range(len(prompts))
        ]
        pairs = (prompts, answers, self.per_prompt, codec.max_length, seed)
        return PairedData(name, file, *pairs, keep_own=True)


class SampledData(StreamData):
    """Prompts with the answers of a model, once it has given them.

    Args:
        name: The stream's name.
        stream: How answers are sampled.
        prompts: The stream whose prompts are answered.
        codec: Tokenizer and longest sequence.
        seed: Seed of the draws.
    """

    def __init__(
        self, name: str, stream: SampledStream, prompts: EncodedRows, codec: Codec, seed: int
    ) -> None:
        super().__init__(name, f"answers of the model to '{prompts.name}'", follows=prompts.name)
        self.sampling, self.pool, self.codec = stream.sampling, stream.pool, codec
        self._stream, self._prompts, self._seed = stream, prompts, seed
        self._base: str | BaseModel | None = codec.base
        self._origin: Origin | None = None
        self._paired: PairedData | None = None
        self._known: tuple[tuple[object, ...], Mapping[Ids, Sampled]] | None = None

    @property
    def prompt_ids(self) -> list[Ids]:
        """The prompts, each once."""
        return list(dict.fromkeys(own.prompt_ids for own in self._prompts.examples()))

    @property
    def origin(self) -> Origin:
        """What the answers depend on.

        Raises:
            RecipeError: If the model that answers is unknown.
        """
        if self._origin is not None:
            return self._origin
        if self._base is None:
            raise RecipeError(
                f"data.streams.{self.name}: it is not known which model is to answer",
                hint="Give data.tokenizer by name, or fit with an UnlearningModule.",
            )
        self._origin = Origin.here(
            model_fingerprint(self._base),
            tokenizer_fingerprint(self.codec.tokenizer),
            self.sampling,
        )
        return self._origin

    @property
    def file(self) -> Path:
        """Where the answers are kept, one file for each origin."""
        # As earlier versions wrote it, where they could have written the same.
        origin = repr(self.origin).replace(", backend=None)", ")").replace(", top_k=None", "")
        key = digest_of(origin.encode()).partition(":")[2]
        return Path(self._stream.cache) / f"{key}.jsonl"

    def use_base(self, base: str | BaseModel) -> None:
        """Sets the model that answers; in a later phase it is not the recipe's own."""
        if base != self._base:
            self._base, self._origin, self._paired = base, None, None

    def known(self) -> Mapping[Ids, Sampled]:
        """What the file has so far; it is read again only once it has changed.

        Raises:
            DataError: With every line that cannot be read.
        """
        file = self.file
        if not file.is_file() or not (found := file.stat()).st_size:
            return {}
        version = (str(file), found.st_ino, found.st_size, found.st_mtime_ns)
        if self._known is None or self._known[0] != version:
            table = read_samples(str(file))
            if table.problems:
                raise DataError(table.problems, hint="Remove the file to sample its answers anew.")
            self._known = version, table.by_prompt
        return self._known[1]

    @property
    def drawn(self) -> bool:
        """Whether each prompt has its answers."""
        known = self.known()
        return all(p in known and len(known[p].answers) >= self.pool for p in self.prompt_ids)

    def __len__(self) -> int:
        """Rows in one pass: the prompts'."""
        return len(self._prompts)

    def at(self, row: int, occurrence: int) -> list[Example]:
        """The row's prompt with ``per_prompt`` of its answers.

        Raises:
            LookupError: If they have not been sampled.
        """
        if self._paired is None:
            self._paired = self._paired_with(self.known())
        return self._paired.at(row, occurrence)

    def answer_anew(self, answers: Mapping[Ids, list[SampledAnswer]]) -> None:
        """Puts other answers to all prompts in the place of those that are drawn from."""
        known = self.known()
        self._paired = self._paired_with(
            {ids: known[ids]._replace(answers=given) for ids, given in answers.items()}
        )

    def cuts(self) -> Cut | None:
        """How much the maximal length takes from answers; None before they are sampled."""
        return self._paired.cuts() if self._paired else None

    def _paired_with(self, known: Mapping[Ids, Sampled]) -> PairedData:
        if not all(prompt in known for prompt in self.prompt_ids):
            raise LookupError(f"the answers of '{self.name}' have not been sampled")
        pairs = (self._prompts, known, self.codec, self._seed)
        return self._stream.paired(self.name, str(self.file), *pairs)
