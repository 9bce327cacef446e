"""Finds data sets in the cache of the Hub, and their sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from unlearnkit.models.hub import OnHub, ask_hub, sizes_of

Tables = Mapping[str | None, bool]
"""Configurations of a data set, and whether each is needed; None is the only one that it has."""


def find_dataset(repo: str, tables: Tables) -> OnHub:
    """A data set in the cache, or else what the Hub says of its size, in one request at most.

    Args:
        repo: Its id.
        tables: What is read of it; none where that is not known.

    Example:
        >>> find_dataset("no/such-rows", {None: True}).cached
        False
    """
    found = {name: _cached(repo, name) for name in tables}
    needed = [found[name] for name, is_needed in tables.items() if is_needed]
    if needed and all(needed):
        folders = {folder for folder in found.values() if folder}
        return OnHub(True, sum(map(_size, folders)))
    if not tables and (kept := _all_cached(repo)):
        return OnHub(True, sum(map(_size, kept.values())), remark="perhaps not all that is read")
    info, remark = ask_hub(repo, "dataset")
    files = sizes_of(info)
    patterns = list(_patterns(info, tables)) if info else []
    read = [size for name, size in files.items() if any(fnmatch(name, each) for each in patterns)]
    if not read:
        return OnHub(False, sum(files.values()) if files else None, bool(files), remark)
    return OnHub(False, sum(read), remark=remark)


def _cached(repo: str, table: str | None) -> Path | None:
    """The folder of a configuration, as ``datasets`` lays it down."""
    found = _all_cached(repo)
    if table is None and "default" not in found:
        return next(iter(found.values())) if len(found) == 1 else None
    return found.get(table or "default")


def _all_cached(repo: str) -> dict[str, Path]:
    """Folders of all configurations."""
    from datasets import config
    from datasets.naming import camelcase_to_snakecase

    *owner, name = repo.split("/")
    place = Path(config.HF_DATASETS_CACHE, "___".join([*owner, camelcase_to_snakecase(name)]))
    return {each.parents[2].name: each.parent for each in place.glob("*/*/*/dataset_info.json")}


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def _patterns(info: Any, tables: Tables) -> Iterator[str]:
    """Names of the files of configurations, by the head of the data set's page; none if unknown."""
    given = (info.card_data.to_dict() if info.card_data else {}).get("configs")
    heads = [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []
    known = {each.get("config_name"): each for each in heads}
    only = next(iter(known)) if len(known) == 1 else "default"
    wanted = {only if name is None else name: needed for name, needed in tables.items()}
    if not wanted or any(needed and name not in known for name, needed in wanted.items()):
        return
    for name in wanted.keys() & known.keys():
        files = known[name].get("data_files") or []
        for each in files if isinstance(files, list) else [files]:
            paths = each.get("path") if isinstance(each, Mapping) else each
            yield from map(str, paths if isinstance(paths, list) else [paths])
