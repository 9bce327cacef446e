"""Lists what a recipe reads of the Hub, with sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.rows.on_hub import Tables, find_dataset
from unlearnkit.data.rows.reader import is_dataset_id
from unlearnkit.errors import UserError
from unlearnkit.metrics.judged import Judged
from unlearnkit.models.base import BaseModel, as_base_model
from unlearnkit.models.hub import OnHub, find_model, is_hub_id
from unlearnkit.models.load import adapter_base, is_adapter
from unlearnkit.models.loaded import LoadedModel
from unlearnkit.module import UnlearningModule
from unlearnkit.suites.base import Suite
from unlearnkit.suites.lm_eval import LmEval


class Asked(NamedTuple):
    """A repository that a recipe reads, and for what."""

    use: str
    """Key of the recipe, or the suite that reads it."""
    model: BaseModel | None
    """None for a data set."""
    repo: str
    tables: Tables = {}
    """What is read of a data set."""


@dataclass(frozen=True)
class Download:
    """A repository of the Hub that a recipe reads.

    Args:
        repo: Its id.
        uses: Keys of the recipe, and suites, that read it.
        found: What is known of it.
    """

    repo: str
    uses: tuple[str, ...]
    found: OnHub


def asked_of_hub(
    module: UnlearningModule,
    data: UnlearningDataModule,
    suites: Sequence[Suite] = (),
    gold: str | None = None,
) -> Iterator[Asked]:
    """Models and data sets that are no files of this machine.

    Args:
        module: Of the recipe.
        data: Of the recipe; its tokenizer is the model's.
        suites: What is run before and after.
        gold: A model that they are run on too.

    Example:
        >>> from unlearnkit import UnlearningDataModule, UnlearningModule
        >>> from unlearnkit.data.streams import TextStream
        >>> from unlearnkit.objectives import GradientAscent
        >>> module = UnlearningModule({"forget": GradientAscent()}, base="some/model")
        >>> data = UnlearningDataModule({"forget": TextStream("some/rows", config="raw")})
        >>> [(each.use, each.repo) for each in asked_of_hub(module, data)]
        [('model.base', 'some/model'), ('data.streams.forget', 'some/rows')]
    """
    models: list[tuple[str, str | BaseModel | None]] = [("model.base", module.base)]
    if isinstance(module.base, BaseModel) and module.base.offset is not None:
        models.append(("model.base.offset.small", module.base.offset.small))
    if module.other is not None:
        models.append(("model.reference", module.other.path))
    models.append(("gold", gold if suites else None))
    for suite in suites:
        judges = (each for each in suite.metrics.values() if isinstance(each, Judged))
        models += [(f"suite {suite.name}, {type(j).registered_name}", j.model) for j in judges]
    yield from models_asked(models)
    for name, stream in data.streams.items():
        path, config = getattr(stream, "path", None), getattr(stream, "config", None)
        if isinstance(path, str) and is_dataset_id(path):
            table = config if isinstance(config, str) else None  # an own class may mean another
            yield Asked(f"data.streams.{name}", None, path, {table: True})
    for suite in suites:
        path: Any = getattr(suite, "data", None)
        if isinstance(path, str) and is_dataset_id(path):
            yield Asked(f"suite {suite.name}", None, path, suite.hub_tables())


def models_asked(models: Iterable[tuple[str, str | BaseModel | None]]) -> Iterator[Asked]:
    """Models that are none of this machine, of those that are read for something.

    Example:
        >>> [each.use for each in models_asked([("gold", "some/model"), ("model.base", "tiny")])]
        ['gold']
    """
    for use, model in models:
        found = None if model is None else _on_hub(model)
        if found is not None:
            yield Asked(use, found, found.path)


def looked_up(asked: Iterable[Asked]) -> list[Download]:
    """Each repository once, in the cache or at the Hub, which gets one request for it at most."""
    groups: dict[tuple[str, BaseModel | None], list[Asked]] = {}
    for each in asked:
        groups.setdefault((each.repo, _plain(each.model)), []).append(each)
    found: list[Download] = []
    for (repo, model), together in groups.items():
        uses = tuple(dict.fromkeys(each.use for each in together))
        if model is not None:
            known = find_model(repo, model.revision, model.gguf_file)
        else:
            tables: dict[str | None, bool] = {}
            for each in together:
                for name, needed in each.tables.items():
                    tables[name] = tables.get(name, False) or needed
            # A suite that does not say what it reads may read all of the data set.
            known = find_dataset(repo, tables if all(each.tables for each in together) else {})
        found.append(Download(repo, uses, known))
    return found


def harness_tasks(suites: Sequence[Suite]) -> list[str]:
    """Tasks of lm-evaluation-harness, which downloads their data itself.

    Example:
        >>> from unlearnkit.suites import LmEval
        >>> harness_tasks([LmEval(["hellaswag"])])
        ['hellaswag']
    """
    named = [task for suite in suites if isinstance(suite, LmEval) for task in suite.tasks]
    return list(dict.fromkeys(named))


def _on_hub(base: str | BaseModel) -> BaseModel | None:
    """The model, or the one below an adapter, if it is asked for at the Hub."""
    try:
        found = as_base_model(base)
        while is_adapter(found):
            found = adapter_base(found).resolved()
    except UserError:  # the checks of the run tell it
        return None
    return found if not isinstance(found, LoadedModel) and is_hub_id(found.path) else None


def _plain(model: BaseModel | None) -> BaseModel | None:
    """What tells apart which files of a model are read."""
    if model is None:
        return None
    return BaseModel(model.path, model.gguf_file, model.revision)
