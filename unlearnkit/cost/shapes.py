"""Shapes of decoder models, read from their configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unlearnkit.errors import UserError

_NAMES = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "inner": ("intermediate_size", "n_inner", "ffn_dim"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
    "vocabulary": ("vocab_size",),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "used": ("num_experts_per_tok", "top_k"),
    "function": ("hidden_act", "hidden_activation", "activation_function"),
}
_UNGATED = {
    "bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt",
    "nemotron", "opt", "phi", "starcoder2",
}  # fmt: skip
"""Types whose feed-forward part has two weights rather than three."""
_FOUR_NORMS = {"gemma2", "gemma3", "gemma3_text"}
"""Types with a norm behind attention and feed-forward part too."""
_HEAD_NORMS = {"gemma3", "gemma3_text", "qwen3", "qwen3_moe"}
"""Types that norm queries and keys head by head."""
_MIDDLES = {"gelu_new": 3, "gelu_fast": 3}
"""Values between the input and the output that an activation function in plain torch keeps."""


@dataclass(frozen=True)
class Shapes:
    """What memory and work of a decoder model follow from.

    Args:
        hidden: Width of the hidden states.
        inner: Width inside the feed-forward part, of one expert where there are several.
        layers: Decoder blocks.
        heads: Attention heads.
        kv_heads: Heads of keys and values.
        head_dim: Width of a head.
        vocabulary: Rows of the embedding.
        tied: Whether the output head is the embedding.
        gated: Whether the feed-forward part multiplies two projections.
        experts: Experts of a block; 1 without a router.
        used: Experts that a token goes through.
        norms: Norms of a block, without those of heads.
        head_norms: Whether queries and keys are normed.
        middles: Values that the activation function keeps beside its input and its own.
        counted: All weights, where they were counted on the model rather than by these shapes.
        name: For tables.

    Example:
        >>> llama = Shapes(2048, 8192, 16, 32, 8, 64, 128256, tied=True)  # Llama-3.2-1B
        >>> f"{llama.weights:,}", f"{llama.adapter(16):,}"
        ('1,235,814,400', '11,272,192')
    """

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool = False
    gated: bool = True
    experts: int = 1
    used: int = 1
    norms: int = 2
    head_norms: bool = False
    middles: int = 0
    counted: int | None = None
    name: str = ""

    @property
    def query(self) -> int:
        """Width of all queries."""
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        """Width of all keys, and of all values."""
        return self.kv_heads * self.head_dim

    @property
    def embedding(self) -> int:
        """Weights of the embedding, and of the head."""
        return self.vocabulary * self.hidden

    @property
    def outside(self) -> int:
        """Weights outside of the blocks."""
        return self.embedding * (1 if self.tied else 2) + self.hidden

    @property
    def block(self) -> float:
        """Weights of one decoder block."""
        if self.counted is not None:
            return (self.counted - self.outside) / self.layers
        return self._linear(self.experts) + 2 * self.hidden

    @property
    def linear(self) -> float:
        """Weights of the linear layers of all blocks, which quantisation covers."""
        return self.layers * (self.block - 2 * self.hidden)

    @property
    def weights(self) -> int:
        """All weights."""
        return round(self.layers * self.block) + self.outside

    @property
    def active(self) -> float:
        """Weights of all blocks that a token is multiplied by."""
        unused = (self.experts - self.used) * self._expert
        return self.linear - self.layers * unused

    @property
    def _expert(self) -> int:
        return (3 if self.gated else 2) * self.hidden * self.inner

    def _linear(self, experts: int) -> int:
        router = self.experts * self.hidden if self.experts > 1 else 0
        attention = self.hidden * (self.query + 2 * self.key) + self.query * self.hidden
        return attention + router + experts * self._expert

    def adapter(self, rank: int) -> int:
        """Weights of LoRA on all linear layers of the blocks."""
        hidden, ends = self.hidden, (3 if self.gated else 2) * (self.hidden + self.inner)
        attention = 2 * (hidden + self.query) + 2 * (hidden + self.key)
        return self.layers * rank * (attention + self.experts * ends)


def shapes_of(config: Any, name: str = "") -> Shapes:
    """The shapes that a config describes.

    Args:
        config: A config of transformers, or ``config.json`` as a mapping. Of a model for several
            kinds of input the text part counts.
        name: For tables.

    Raises:
        UserError: If it lacks what the memory follows from.

    Example:
        >>> shapes_of({"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "n_head": 2,
        ...            "vocab_size": 11}).inner
        32
    """
    get = _reader(config)
    found: dict[str, Any] = {
        key: next(filter(None, map(get, names)), None) for key, names in _NAMES.items()
    }
    lacking = [key for key in ("hidden", "layers", "heads", "vocabulary") if not found[key]]
    if lacking:
        wanted = ", ".join(_NAMES[key][0] for key in lacking)
        raise UserError(
            f"the config has no {wanted}, from which memory is computed",
            hint="Give the config of a decoder model, or a cost.Shapes of your own.",
        )
    model_type = get("model_type")
    hidden, heads, experts = found["hidden"], found["heads"], found["experts"] or 1
    inner = found["inner"] or 4 * hidden
    tied = get("tie_word_embeddings")
    return Shapes(
        hidden=hidden,
        inner=(get("moe_intermediate_size") or inner) if experts > 1 else inner,
        layers=found["layers"],
        heads=heads,
        kv_heads=1 if get("multi_query") else found["kv_heads"] or heads,
        head_dim=found["head_dim"] or hidden // heads,
        vocabulary=found["vocabulary"],
        # A file leaves out what is its class's default, which is to tie in these types alone.
        tied=model_type in _UNGATED - {"gpt_neox", "gptj", "phi"} if tied is None else bool(tied),
        gated=model_type not in _UNGATED,
        experts=experts,
        used=found["used"] or 1,
        norms=4 if model_type in _FOUR_NORMS else 2,
        head_norms=model_type in _HEAD_NORMS,
        middles=_MIDDLES.get(found["function"], 0),
        name=name,
    )


def _reader(config: Any) -> Any:
    if isinstance(config, Mapping):
        inner: Mapping[str, Any] = config.get("text_config") or config
        return lambda key: inner.get(key, config.get(key))
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return lambda key: getattr(text, key, None)
