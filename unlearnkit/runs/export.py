"""Writes models to folders that transformers loads without unlearnkit."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unlearnkit.edits.weights import is_composite
from unlearnkit.edits.whole import whole_copy
from unlearnkit.files import refuse_inside, refuse_links_out
from unlearnkit.models.adapter_init import save_policy
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.check import check_whole
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.load import load_model
from unlearnkit.models.loaded import LoadedModel
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.card import card_of_merged
from unlearnkit.runs.folder import load_run


def is_merged(module: UnlearningModule) -> bool:
    """Whether a run's model folder has the adapter merged into its base.

    That is so for an adapter on a model in memory: alone it would name a base that nobody can load.
    """
    return module.lora is not None and isinstance(module.base, LoadedModel)


def policy_to_save(module: UnlearningModule) -> Any:
    """The trained model as it is saved; see `is_merged`."""
    policy: Any = module.policy
    return copy.deepcopy(policy).merge_and_unload() if is_merged(module) else policy


def save_model(
    model: Any,
    tokenizer: Any,
    folder: Path,
    state: dict[str, Any] | None = None,
    write: Callable[[Path], None] | None = None,
) -> None:
    """Writes a plain model folder, or an adapter's, under a temporary name and renames it.

    Args:
        model: A transformers model, or a PEFT model around one.
        tokenizer: Saved beside it.
        folder: The folder to write; it must not exist or be empty.
        state: All weights of a model that holds only its own shard of them, which are written.
        write: Writes more weights into a folder.

    Raises:
        UserError: If the folder exists, the disk is full or cannot be written to. Nothing is
            left half-written.
    """
    with whole_model_folder(folder, said="cannot save the model to") as unfinished:
        save_policy(model, unfinished, state)
        if write is not None:
            write(unfinished)
        tokenizer.save_pretrained(unfinished)
        # PEFT's card is a form to fill in; the run writes one that says what it knows.
        (unfinished / "README.md").unlink(missing_ok=True)


def export(run: str | Path, out: str | Path, merge: bool = False) -> Path:
    """Copies a model to a folder of its own.

    Args:
        run: A run folder, or one of a model, an adapter or an edit.
        out: The folder to write; it must not exist or be empty.
        merge: Make it stand alone: merge an adapter into its base model; copy the models that a
            composite one points at, so that the folder may be moved. Other models are copied.

    Returns:
        ``out``.

    Raises:
        UserError: If there is no model, the run did not finish, or ``out`` cannot be written.
    """
    model = _model_folder(Path(run))
    target = Path(out)
    if merge and (model / "adapter_config.json").is_file():
        base = BaseModel(str(model), dtype="auto")
        save_model(load_model(base), load_tokenizer(base), target)
        card_of_merged(model, target)
        return target
    if merge and is_composite(str(model)):
        return whole_copy(model, target)
    refuse_inside(target, model)
    refuse_links_out(model)
    check_whole(str(model), key="RUN")
    with whole_model_folder(target) as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True)
    return target


def _model_folder(path: Path) -> Path:
    """Where the model is that a folder has, or that a run made."""
    alone = [name for name in ("config.json", "adapter_config.json") if (path / name).is_file()]
    if alone and not (path / "recipe.yaml").is_file():
        return path
    return load_run(path).model
