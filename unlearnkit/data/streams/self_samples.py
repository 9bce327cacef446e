"""Answers that the model itself gave before it was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.rows.reader import find_file
from unlearnkit.data.samples import SampleTable, as_answers, read_samples
from unlearnkit.data.streams.base import Stream
from unlearnkit.data.streams.mismatch import stream_of_rows
from unlearnkit.data.streams.paired import PairedData
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.models.fingerprint import model_fingerprint, tokenizer_fingerprint

_COMMAND = "unlearnkit sample --recipe RECIPE"
_HINT = f"Sample from the recipe's model first, with the same overrides: {_COMMAND}"


class SelfSamplesStream(Stream, name="self_samples"):
    """Answers to another stream's prompts, sampled from the model before it is trained.

    ``unlearnkit sample`` writes them, once for a model and its prompts; the file names the model
    and the tokenizer, and is refused for others. Of more answers than are asked for, the draws
    take each equally often over the epochs.

    Args:
        path: The file of samples.
        prompts: The stream whose prompts are answered.
        per_prompt: Answers per prompt and draw; the file needs as many to each prompt.

    Raises:
        RecipeError: If ``per_prompt`` is below 1.

    References:
        Duan et al., 2024, arXiv:2403.03419 (D2O). Mekala et al., 2024, arXiv:2409.13474 (AltPO).
    """

    def __init__(
        self, path: str = "self_samples.jsonl", prompts: str = "forget", per_prompt: int = 5
    ) -> None:
        super().__init__()
        if per_prompt < 1:
            raise RecipeError(f"per_prompt: expected at least 1, found {per_prompt}")
        self.file, self.prompts, self.per_prompt = path, prompts, per_prompt
        self._table: SampleTable | None = None

    def depends_on(self) -> tuple[str, ...]:
        """The stream of prompts."""
        return (self.prompts,)

    def check(self) -> None:
        """Reads the file.

        Raises:
            DataError: If it is missing, or with every line that cannot be read.
        """
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
        """Gives each prompt its answers.

        Raises:
            RecipeError: If the stream of prompts is not there.
            DataError: If the answers are another model's, or some prompt lacks them.
        """
        if self._table is None:
            self.check()
        table, self._table = self._table, None
        assert table is not None
        prompts = stream_of_rows(name, "prompts", self.prompts, others)
        problems = [*self._of_others(table, codec), *self._lacking(table, prompts, codec)]
        if problems:
            raise DataError(problems, hint=_HINT)
        end = prompts.frame.end(codec)
        answers = [
            [as_answers(self.file, table.by_prompt[own.prompt_ids], end) for own in row]
            for row in (prompts.at(index, 0) for index in range(len(prompts)))
        ]
        return PairedData(
            name,
            self.file,
            prompts,
            answers,
            self.per_prompt,
            codec.max_length,
            seed,
            keep_own=True,
        )

    def _of_others(self, table: SampleTable, codec: Codec) -> Iterator[Problem]:
        """Models and tokenizers other than the recipe's."""
        ours = {"tokenizer": tokenizer_fingerprint(codec.tokenizer)}
        if codec.base is not None:
            ours["model"] = model_fingerprint(codec.base)
        origins = [(each.place, each.origin) for each in table.by_prompt.values()]
        for what, own in ours.items():
            other = next((each for each in origins if getattr(each[1], what) != own), None)
            if other is not None:
                place, origin = other
                found = f"answers of {what} {getattr(origin, what)}"
                yield Problem(self.file, place, what, found, f"{own}, this recipe's {what}")

    def _lacking(self, table: SampleTable, prompts: EncodedRows, codec: Codec) -> Iterator[Problem]:
        """Prompts without enough answers."""
        end = prompts.frame.end(codec)
        for row in range(len(prompts)):
            for own in prompts.at(row, 0):
                sampled = table.by_prompt.get(own.prompt_ids)
                count = len(as_answers(self.file, sampled, end)) if sampled else 0
                if count < self.per_prompt:
                    place = sampled.place if sampled else None
                    found = f"{count} answers to the prompt of {own.source}"
                    yield Problem(self.file, place, None, found, f"at least {self.per_prompt}")
