"""Where the parts of a combined model are, and whether they go together."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from peft import LoraConfig
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

from unlearnkit.errors import Problem, RecipeError
from unlearnkit.models.adapter import start_of
from unlearnkit.models.base import BaseModel, as_base_model, is_embedded, load_tokenizer
from unlearnkit.models.composite.gated import GatedConfig
from unlearnkit.models.composite.in_context import ContextConfig
from unlearnkit.models.composite.logit_rules import PARTS, RULES, CombinedConfig
from unlearnkit.models.composite.logits import CombinedForCausalLM
from unlearnkit.models.fingerprint import model_fingerprint, tokenizer_fingerprint

Loaded = TypeVar("Loaded")
MadeOfOthers = CombinedConfig | GatedConfig | ContextConfig
"""Configs of models that point at others."""
POINTER = ("path", "gguf_file", "revision", "first_blocks")
"""Fields of a model's description that a combined model keeps of its parts."""


def describe_parts(
    rule: str, arguments: dict[str, float], parts: Mapping[str, BaseModel], load_config: Any
) -> CombinedConfig:
    """The config of a combined model; no weights are read.

    Args:
        rule: A key of `RULES`.
        arguments: Of the rule.
        parts: The models by name.
        load_config: Gives the config of a model.

    Raises:
        RecipeError: If a part is missing or made of others itself, or the tokenizers are not one
            and the same.
    """
    configs = {name: load_config(part).get_text_config() for name, part in parts.items()}
    _refuse_made_of_others(parts, configs)
    tokenizers = {name: load_tokenizer(part) for name, part in parts.items()}
    refuse_other_tokenizers(parts, tokenizers)
    vocabulary = min(config.vocab_size for config in configs.values())
    size = len(tokenizers["base"])
    if vocabulary < size:
        smallest = min(configs, key=lambda name: configs[name].vocab_size)
        raise RecipeError(
            f"{parts[smallest].path}: its head has {vocabulary} tokens, and the tokenizer {size}"
        )
    longest = [getattr(each, "max_position_embeddings", None) for each in configs.values()]
    trained = configs[RULES[rule].own or "base"]
    base = configs["base"]
    return CombinedConfig(
        rule=rule,
        arguments=arguments,
        parts={name: pointer_to(part) for name, part in parts.items()},
        vocab_size=vocabulary,
        num_hidden_layers=trained.num_hidden_layers,
        max_position_embeddings=min((n for n in longest if n), default=None),
        architectures=[CombinedForCausalLM.__name__],
        bos_token_id=base.bos_token_id,
        eos_token_id=base.eos_token_id,
        pad_token_id=base.pad_token_id,
    )


def _refuse_made_of_others(parts: Mapping[str, BaseModel], configs: Mapping[str, Any]) -> None:
    """Raises for parts that have several output heads, or look at a prompt by themselves."""
    found = [
        f"{parts[name].path} ({name}): expected a model that stands alone, found one made of others"
        for name, config in configs.items()
        if isinstance(config, MadeOfOthers)
    ]
    if found:
        raise RecipeError("\n".join(found), hint="Name the model that it was made of.")


def refuse_other_tokenizers(parts: Mapping[str, BaseModel], tokenizers: Mapping[str, Any]) -> None:
    """Raises unless all parts have the base's tokenizer.

    Raises:
        RecipeError: With every part whose tokenizer is another one.
    """
    expected = tokenizer_fingerprint(tokenizers["base"])
    found = [
        str(
            Problem(
                f"{parts[name].path} ({name})", None, "tokenizer",
                f"another one ({len(tokenizer)} tokens)",
                f"that of {parts['base'].path} ({len(tokenizers['base'])} tokens)",
            )
        )
        for name, tokenizer in tokenizers.items()
        if tokenizer_fingerprint(tokenizer) != expected
    ]  # fmt: skip
    if found:
        raise RecipeError(
            "\n".join(found), hint="Logits of two models can be added only token by token."
        )


def load_combined(
    resolved: BaseModel, load: Callable[[BaseModel], PreTrainedModel]
) -> CombinedForCausalLM:
    """A combined model from its folder.

    Raises:
        RecipeError: If a model that it points at is gone, or is no longer the same.
    """
    config = CombinedConfig.from_pretrained(resolved.path)
    assert isinstance(config, CombinedConfig)
    parts = {
        name: load_part(config, name, resolved, config.rule, load)
        for name in RULES[config.rule].parts
    }
    model = CombinedForCausalLM(config, parts)
    if (Path(resolved.path) / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(resolved.path)
    return model


def load_part(
    config: Any, name: str, resolved: BaseModel, edit: str, load: Callable[[BaseModel], Loaded]
) -> Loaded:
    """A part of a folder, which is below it or where the folder points.

    Args:
        config: The folder's; it is made to point at the part wherever the model is saved.
        name: The part's.
        resolved: The folder.
        edit: What made the folder.
        load: Loads a model.

    Raises:
        RecipeError: If it is gone, or is no longer the same.
    """
    pointer = checked_pointers(resolved.path, config.parts, name)[name]
    part = replace(
        BaseModel(**pointer_fields(pointer), dtype=resolved.dtype),
        attn_implementation=resolved.attn_implementation,
    )
    if is_inside(name, pointer):
        part = replace(part, path=str((Path(resolved.path) / part.path).resolve()))
    try:
        found, known = model_fingerprint(part), pointer.get("fingerprint")
        if known != found:
            raise RecipeError(f"{part.path} is no longer the model it was ({found}, not {known})")
        loaded = load(part)
    except (RecipeError, OSError) as error:
        reason = str(error).removeprefix("model.base: ")
        raise RecipeError(
            f"{resolved.path}: its part '{name}' cannot be used: {reason}",
            hint=f"Put it back, or make the model anew (unlearnkit edit {edit}).",
        ) from error
    config.parts[name] = {**pointer, "path": part.path}
    return loaded


def checked_pointers(folder: str | Path, parts: Any, *expected: str) -> dict[str, dict[str, Any]]:
    """What a folder's config says of its parts, if it is what an edit writes.

    Args:
        folder: The folder.
        parts: The value in its config.
        *expected: Parts that it must have.

    Raises:
        RecipeError: With every part that is missing, has a name that is no plain one, or lacks
            path or fingerprint.
    """
    file = Path(folder) / "config.json"
    if not isinstance(parts, dict):
        raise RecipeError(f"{file}: parts: expected a mapping, found {parts!r}")
    wrong = [f"'{name}' is missing" for name in expected if name not in parts]
    for name, pointer in parts.items():
        if not name.isidentifier():
            # It is a folder's name too, and that folder is to be in this one.
            wrong.append(f"{name!r} is not a name of letters and digits")
        elif not isinstance(pointer, dict):
            wrong.append(f"'{name}' is no mapping")
        else:
            wrong += [
                f"'{name}' has no {key}"
                for key in ("path", "fingerprint")
                if not isinstance(pointer.get(key), str)
            ]
    if wrong:
        raise RecipeError(
            f"{file}: parts: {'; '.join(wrong)}", hint="Make the model anew by its edit."
        )
    return parts


def is_inside(name: str, pointer: Mapping[str, Any]) -> bool:
    """Whether a part is in the folder that names it; other folders are named from the root."""
    return pointer["path"] == f"{PARTS}/{name}"


def check_trainable(
    config: PreTrainedConfig,
    needs: Collection[str],
    reference: str,
    lora: LoraConfig | None,
    mesh: object | None = None,
) -> None:
    """Refuses what a combined model cannot do while it is trained, and what cannot be sharded.

    Args:
        config: The model's.
        needs: What the objectives need.
        reference: The kind of reference.
        lora: The adapter that is to be trained, if any.
        mesh: The processes that the model is to be sharded over, if it is.

    Raises:
        RecipeError: With the key that is to be changed.
    """
    if mesh is not None and (start := start_of(lora)):
        raise RecipeError(
            f"trainer.strategy: fsdp2 does not go with model.lora.init_lora_weights: '{start}', "
            "which reads whole weights",
            hint="Set trainer.strategy: ddp, or init_lora_weights: true.",
        )
    if isinstance(config, GatedConfig):
        raise RecipeError(
            "model.base: a model made by 'edit o3' has no part to be trained",
            hint="Train an adapter for the next request on its base, and make the model anew.",
        )
    if isinstance(config, ContextConfig):
        raise RecipeError(
            "model.base: a model made by 'edit erase' has no part to be trained",
            hint="Take examples out: unlearnkit edit delete --model FOLDER --forget FILE.",
        )
    if not isinstance(config, CombinedConfig):
        return
    if RULES[config.rule].own is None:
        raise RecipeError(
            f"model.base: a model made by 'edit {config.rule}' has no part to be trained"
        )
    if lora is not None:
        raise RecipeError(
            "model.lora: a model made of others takes no adapter",
            hint="Its own part is small and trained whole: set model.lora: null.",
        )
    if mesh is not None:
        raise RecipeError(
            "trainer.strategy: fsdp2 does not shard a model made of others",
            hint="Set trainer.strategy: ddp; only the small part has gradients.",
        )
    if "hidden" in needs:
        raise RecipeError(
            "model.objectives: hidden states are read, and a model made of others has those of "
            "each part",
            hint="Take an objective on log-probabilities or logits.",
        )
    if reference == "cached" and "reference" in needs:
        raise RecipeError(
            "model.reference: 'cached' keeps a copy of the output head, and a model made of others "
            "has several",
            hint="Set model.reference: frozen, which shares the parts that never change.",
        )


def with_fingerprints(config: CombinedConfig, folder: Path) -> CombinedConfig:
    """The config with a fingerprint of each part; the own one is in ``folder`` by now."""
    written = copy.deepcopy(config)
    own = RULES[config.rule].own
    for name, pointer in written.parts.items():
        if name == own:
            pointer = {"path": f"{PARTS}/{name}"}
        place = str(folder / PARTS / name) if name == own else pointer["path"]
        part = BaseModel(**{**pointer_fields(pointer), "path": place})
        written.parts[name] = {**pointer, "fingerprint": model_fingerprint(part)}
    return written


def pointer_to(part: BaseModel) -> dict[str, Any]:
    """What a folder keeps of where a model is."""
    found = {name: getattr(part, name) for name in POINTER if getattr(part, name) is not None}
    folder = Path(as_base_model(part).path)
    if not is_embedded(part.path) and folder.is_dir():
        found["path"] = str(folder.resolve())
    return found


def pointer_fields(pointer: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a `BaseModel` that a pointer holds."""
    known = {each.name for each in fields(BaseModel)} & {*POINTER}
    return {key: value for key, value in pointer.items() if key in known}
