"""``unlearnkit sample``: the model's own answers, drawn before it is trained."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.progress import track

from unlearnkit.cli.console import err
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.rows.reader import find_file, read_rows
from unlearnkit.data.rows.values import check_fields
from unlearnkit.data.samples import Ids, Origin, Sampling, read_samples
from unlearnkit.data.streams.self_samples import SelfSamplesStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.sampling import draw, drop_torn_line, on_device
from unlearnkit.errors import DataError, RecipeError, UserError
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.fingerprint import model_fingerprint, tokenizer_fingerprint
from unlearnkit.models.load import load_model

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.data.streams.base import Stream


class Job(NamedTuple):
    """Prompts to be answered, and the file that the answers go to."""

    base: str | BaseModel
    codec: Codec
    prompts: list[Ids]
    per_prompt: int
    path: Path


def jobs_of_recipe(cli: RecipeCLI, out: str | None, per_prompt: int | None) -> list[Job]:
    """A job for each stream of self-samples.

    Raises:
        RecipeError: If the recipe has none, or has several and ``out`` is given.
        DataError: With every bad row of the prompts.
    """
    streams, base = cli.datamodule.streams, cli.model.base
    wanted = {k: s for k, s in streams.items() if isinstance(s, SelfSamplesStream)}
    if not wanted:
        raise RecipeError(
            "data.streams: none of them is named self_samples, so there is nothing to sample",
            hint="Add {name: self_samples, prompts: forget}, or give --model and --prompts.",
        )
    if out is not None and len(wanted) > 1:
        raise RecipeError(f"--out names one file, but {', '.join(wanted)} need one each")
    jobs: list[Job] = []
    for stream in wanted.values():
        given = cli.datamodule
        read = _with_what_it_needs(stream.prompts, streams)
        data = UnlearningDataModule(
            read, base, max_length=given.max_length, anchor=stream.prompts, date=given.date
        )
        data.check()
        rows = data.data[stream.prompts]
        prompts = [each.prompt_ids for row in range(len(rows)) for each in rows.at(row, 0)]
        codec = Codec(data.tokenizer, given.max_length, given.date)
        path = Path(out) if out else find_file(stream.file) or Path(stream.file)
        jobs.append(Job(base, codec, prompts, per_prompt or stream.per_prompt, path))
    return jobs


def job_of_file(model: str, prompts: str, field: str, out: str, per_prompt: int) -> Job:
    """A job for the prompts in a file.

    Raises:
        DataError: With every bad row.
    """
    table = read_rows(prompts)
    rows, problems = check_fields(table, {"prompt_field": field})
    problems = [*table.problems, *problems]
    if problems:
        raise DataError(problems)
    tokenizer = load_tokenizer(model)
    codec = Codec(tokenizer, max_length=2)  # prompts are not cut
    ids = codec.prompts([row.fields[field] for row in rows])
    return Job(model, codec, [tuple(each) for each in ids], per_prompt, Path(out))


def run(job: Job, sampling: Sampling) -> int:
    """Answers the prompts that the file does not have yet.

    Returns:
        Number of prompts that were answered.

    Raises:
        UserError: If the file holds answers of another model or other settings, or cannot be
            written.
        DataError: With every line of the file that cannot be read.
    """
    tokenizer = job.codec.tokenizer
    origin = Origin(
        model_fingerprint(job.base), tokenizer_fingerprint(tokenizer), **sampling._asdict()
    )
    done = _done(job.path, origin, job.per_prompt)
    return draw(
        lambda: on_device(load_model(job.base)),
        job.codec,
        job.prompts,
        job.per_prompt,
        job.path,
        origin,
        done,
        lambda groups: track(groups, description="sampling", console=err(), transient=True),
    )


def _with_what_it_needs(name: str, streams: dict[str, Stream]) -> dict[str, Stream]:
    needed = {name: streams[name]}
    for other in streams[name].depends_on():
        needed = _with_what_it_needs(other, streams) | needed
    return needed


def _done(path: Path, origin: Origin, per_prompt: int) -> set[Ids]:
    """Prompts that the file answers already."""
    if not path.is_file() or not path.stat().st_size:
        return set()
    drop_torn_line(path)
    if not path.stat().st_size:
        return set()
    table = read_samples(str(path))
    if table.problems:
        raise DataError(table.problems, hint="Give another file with --out.")
    for sampled in table.by_prompt.values():
        theirs, ours = asdict(sampled.origin), asdict(origin)
        other = [f"{k} {theirs[k]!r} and not {ours[k]!r}" for k in ours if theirs[k] != ours[k]]
        if other:
            raise UserError(
                f"{path} holds answers of other settings: {', '.join(other)}",
                hint="Give another file with --out, or remove this one.",
            )
    return {ids for ids, each in table.by_prompt.items() if len(each.answers) >= per_prompt}
