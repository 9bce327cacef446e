"""``unlearnkit sample``: samples a model's own answers before training."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unlearnkit.arguments import refuse_idle
from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.overrides import split_options
from unlearnkit.cli.verbs.base import call, recipe
from unlearnkit.errors import DataError, RecipeError, UserError

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.data.samples import Ids, Origin, Sampling
    from unlearnkit.data.streams.base import Stream
    from unlearnkit.data.tokens.codec import Codec
    from unlearnkit.models.base import BaseModel

HELP = "Sample a model's own answers to prompts, for sampled streams."


def command(argv: list[str]) -> None:
    """Samples for the recipe or the model that the words name."""
    options = ["-h", "--help", *(f"--{name}" for name in inspect.signature(sample).parameters)]
    own, rest = split_options(argv, options)
    cli = recipe(rest, "sample")[0] if rest else None
    if cli is not None and not hasattr(cli, "datamodule"):
        raise RecipeError(
            "sample draws from the model of one recipe, and this one has phases.",
            hint="Give --model, --prompts and --out.",
        )
    call(sample, own, "sample", cli=cli)


def sample(
    model: str | None = None,
    prompts: str | None = None,
    prompt_field: str | None = None,
    out: str | None = None,
    per_prompt: int | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new_tokens: int = 200,
    seed: int = 0,
    template: str = "{prompt}",
    top_k: int | None = None,
    cli: RecipeCLI | None = None,
) -> None:
    """Sample a model's own answers, for streams of self-samples.

    Of a recipe: unlearnkit sample --recipe RECIPE [--KEY VALUE ...] answers the prompts of its
    self_samples streams with its model. Else give --model, --prompts and --out. An existing
    file is continued.

    Args:
        model: Any model that a recipe's model.base can name.
        prompts: File or data set of prompts.
        prompt_field: Its column that holds the prompt, by default prompt.
        out: File of the answers; by default the one that the recipe's stream reads.
        per_prompt: Answers per prompt; by default as many as the recipe's stream draws, or 5.
        temperature: Sampling temperature.
        top_p: Share of the probability that is sampled from.
        max_new_tokens: Longest answer, in tokens.
        seed: Seed of the sampling.
        template: Text around the prompt while sampling, with {prompt} in it.
        top_k: Number of the likeliest tokens that are sampled from; by default all.
        cli: The recipe.

    Raises:
        UserError: If neither a recipe nor a model with prompts is given, or for values that
            nothing can be sampled with.
    """
    with heavy_imports():
        from unlearnkit.data.generated import HF, generated_by
        from unlearnkit.data.samples import Sampling, check_sampling
        from unlearnkit.runs.planning.backends import check_backend

    how = Sampling(temperature, top_p, max_new_tokens, seed, template, top_k)
    if (wrong := check_sampling(how)) is not None:
        raise UserError(f"--{wrong}")
    if per_prompt is not None and per_prompt < 1:
        raise UserError(f"--per_prompt: expected at least 1, found {per_prompt}")
    if cli is not None:
        asked = {"model": model, "prompts": prompts, "prompt_field": prompt_field}
        refuse_idle({name: "with --recipe" for name, each in asked.items() if each is not None})
        jobs = jobs_of_recipe(cli, out, per_prompt)
    elif model and prompts and out:
        jobs = [job_of_file(model, prompts, prompt_field or "prompt", out, per_prompt or 5)]
    else:
        raise UserError(
            "there is nothing to sample for.",
            title="usage",
            hint="unlearnkit sample --recipe RECIPE, or --model M --prompts FILE --out FILE",
        )
    backend = HF if cli is None else cli.generation
    for job in jobs:
        with generated_by(backend):
            check_backend({"model.base": job.base})
            answered = run(job, how)
        words = f"{job.path}: {answered} prompts answered, {job.per_prompt} answers each"
        console.out().print(words, soft_wrap=True)


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
    from unlearnkit.data.datamodule import UnlearningDataModule
    from unlearnkit.data.rows.reader import find_file
    from unlearnkit.data.streams.sampled import SampledStream

    streams, base = cli.datamodule.streams, cli.model.base
    sampled = {k: s for k, s in streams.items() if isinstance(s, SampledStream)}
    wanted = {k: (s, s.file) for k, s in sampled.items() if s.file is not None}
    if not wanted:
        raise RecipeError(
            "data.streams: none of them is `sampled` with a path, so there is nothing to sample",
            hint="Add {name: sampled, path: samples.jsonl}, or give --model and --prompts.",
        )
    if out is not None and len(wanted) > 1:
        raise RecipeError(f"--out names one file, but {', '.join(wanted)} need one each")
    jobs: list[Job] = []
    for stream, file in wanted.values():
        given = cli.datamodule
        read = _with_what_it_needs(stream.prompts, streams)
        data = UnlearningDataModule(
            read,
            base,
            max_length=given.max_length,
            anchor=stream.prompts,
            date=given.date,
            control_tokens=given.control_tokens,
        )
        data.check()
        rows = data.data[stream.prompts]
        prompts = [each.prompt_ids for each in rows.examples()]
        path = Path(out) if out else find_file(file) or Path(file)
        jobs.append(Job(base, data.codec(), prompts, per_prompt or stream.per_prompt, path))
    return jobs


def job_of_file(model: str, prompts: str, field: str, out: str, per_prompt: int) -> Job:
    """A job for the prompts in a file.

    Raises:
        DataError: With every bad row.
    """
    from unlearnkit.data.streams.prompts import PromptStream
    from unlearnkit.data.tokens.codec import Codec
    from unlearnkit.models.base import load_tokenizer

    stream = PromptStream(prompts, field)
    table = stream.read()
    asked, problems = stream.parse(table)
    problems = [*table.problems, *problems]
    if problems:
        raise DataError(problems)
    tokenizer = load_tokenizer(model)
    codec = Codec(tokenizer, max_length=2)  # prompts are not cut
    ids = codec.prompts([each.text for each in asked])
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
    from rich.progress import track

    from unlearnkit.data.samples import Origin
    from unlearnkit.engine.generation.backends.saved import saved_as
    from unlearnkit.engine.generation.sampling import draw, lock_of, on_device
    from unlearnkit.models.fingerprint import model_fingerprint, tokenizer_fingerprint
    from unlearnkit.models.load import load_model

    tokenizer = job.codec.tokenizer
    origin = Origin.here(model_fingerprint(job.base), tokenizer_fingerprint(tokenizer), sampling)
    # Another process that writes the same file waits, and then finds what is done.
    with lock_of(job.path):
        done = _done(job.path, origin, job.per_prompt)
        return draw(
            lambda: saved_as(on_device(load_model(job.base)), job.base),
            job.codec,
            job.prompts,
            job.per_prompt,
            job.path,
            origin,
            done,
            lambda groups: track(
                groups, description="sampling", console=console.err(), transient=True
            ),
        )


def _with_what_it_needs(name: str, streams: dict[str, Stream]) -> dict[str, Stream]:
    needed = {name: streams[name]}
    for other in streams[name].depends_on():
        needed = _with_what_it_needs(other, streams) | needed
    return needed


def _done(path: Path, origin: Origin, per_prompt: int) -> set[Ids]:
    """Prompts that the file answers already."""
    from unlearnkit.data.generated import HF
    from unlearnkit.data.samples import read_samples
    from unlearnkit.engine.generation.sampling import drop_torn_line

    if not path.is_file() or not path.stat().st_size:
        return set()
    drop_torn_line(path)
    if not path.stat().st_size:
        return set()
    table = read_samples(str(path))
    if table.problems:
        raise DataError(table.problems, hint="Give another file with --out.")
    for sampled in table.by_prompt.values():
        theirs, ours = ({**asdict(o), "backend": o.backend or HF.name}
                        for o in (sampled.origin, origin))  # fmt: skip
        other = [f"{k} {theirs[k]!r} and not {ours[k]!r}" for k in ours if theirs[k] != ours[k]]
        if other:
            raise UserError(
                f"{path} holds answers of other settings: {', '.join(other)}",
                hint="Give another file with --out, or remove this one.",
            )
    return {ids for ids, each in table.by_prompt.items() if len(each.answers) >= per_prompt}
