"""Copies all parts of a composite model into one folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from unlearnkit.edits.weights import COMPANIONS, downloaded, is_composite
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.files import refuse_inside, refuse_links_out, refuse_occupied, write_json
from unlearnkit.models.base import BaseModel, as_base_model, load_tokenizer
from unlearnkit.models.composite.base import PARTS
from unlearnkit.models.composite.parts import checked_pointers, is_inside, pointer_fields
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.load import load_model


def whole_copy(model: str | Path, out: str | Path) -> Path:
    """Copies a composite model, and the models that it points at, into one folder.

    The copy answers as the model does, wherever it is moved to. Parts are copied file by file; one
    that is no plain folder of safetensors (an adapter, the first blocks of a model, a GGUF file)
    is loaded and saved as it is used.

    Args:
        model: The folder of a combined or gated model, or one with examples.
        out: The folder to write; it must not exist or be empty.

    Returns:
        ``out``.

    Raises:
        UserError: If a part is gone or is no longer the same, the config's pointers are broken, the
            disk is full, or ``out`` exists or is below a folder that is copied.
    """
    source, target = Path(model), Path(out)
    refuse_occupied(target)
    refuse_inside(target, source)
    try:
        with whole_model_folder(target) as folder:
            _fill(source, folder)
    except RecipeError as error:
        raise UserError(error.message, hint=error.hint) from error
    return target


def _fill(source: Path, folder: Path) -> None:
    """Copies the folder, then what it points at, and makes it point at the copies."""
    refuse_links_out(source)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for name, pointer in checked_pointers(source, config.get("parts")).items():
        if is_inside(name, pointer):
            continue
        part = BaseModel(**pointer_fields(pointer), dtype="auto")
        found = model_fingerprint(part)
        if found != pointer["fingerprint"]:
            raise RecipeError(
                f"{source}: its part '{name}' ({part.path}) is gone, or is no longer the model it "
                f"was ({found}, not {pointer['fingerprint']})",
                hint="Put it back, or make the model anew.",
            )
        place = folder / PARTS / name
        place.mkdir(parents=True)
        _copy_part(part, place)
        own = model_fingerprint(str(place))
        config["parts"][name] = {"path": f"{PARTS}/{name}", "fingerprint": own}
    write_json(folder / "config.json", config)


def _copy_part(part: BaseModel, place: Path) -> None:
    resolved = as_base_model(part)
    folder = Path(resolved.path)
    if not folder.is_dir():
        folder = downloaded(resolved)
    adapter = (folder / "adapter_config.json").is_file()
    if not adapter and is_composite(str(folder)):
        refuse_inside(place, folder)
        _fill(folder, place)
    elif adapter or resolved.gguf_file or resolved.first_blocks is not None:
        load_model(part).save_pretrained(place)
        load_tokenizer(part).save_pretrained(place)
    else:
        refuse_links_out(folder)
        for pattern in (*COMPANIONS, "*.safetensors"):
            for file in folder.glob(pattern):
                shutil.copyfile(file, place / file.name)
