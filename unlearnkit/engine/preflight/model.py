"""Rules on a model's config, arguments, data and strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unlearnkit.engine.preflight.rule import Rule
from unlearnkit.engine.preflight.values import Values
from unlearnkit.engine.training.freezing import refuse_unknown_names
from unlearnkit.models.rope import scalings_of

_HEADS = {"lm_head", "embed_tokens", "wte", "embed_out", "embed_in", "output_embeddings"}


def _missing_stream(key: str) -> Callable[[Values], Any]:
    def broken(v: Values) -> Any:
        name = v.importance and getattr(v.importance, key)
        return name if v.streams is not None and name and name not in v.streams else None

    return broken


def _tied_targets(v: Values) -> str:
    """Modules that an adapter would change and that share a weight."""
    if not v.lora or not getattr(v.text, "tie_word_embeddings", False):
        return ""
    named = v.lora.target_modules
    names = {named} if isinstance(named, str) else set(named or ())
    names |= set(v.lora.modules_to_save or ())
    return ", ".join(sorted(name for name in names if name.split(".")[-1] in _HEADS))


def _too_long(v: Values) -> Any:
    longest = getattr(v.text, "max_position_embeddings", None)
    return longest if v.max_length and longest and v.max_length > longest else None


def _perturbed_too_far(v: Values) -> int | None:
    """A decoder block that a robust method names and the model does not have."""
    last = max(getattr(v.robust, "blocks", None) or (0,))
    return last if v.text and last >= v.text.num_hidden_layers else None


def _length_limit(v: Values) -> int | None:
    """Tokens up to which rows share passes, where longer rows are allowed."""
    if not v.sharded or v.config is None or v.max_length is None:
        return None
    limit = min((each.limit for each in scalings_of(v.config)), default=v.max_length)
    return limit if v.max_length > limit else None


MODEL: tuple[Rule, ...] = (
    Rule(
        lambda v: v.sharded and v.start,
        "trainer.strategy: fsdp2 does not go with model.lora.init_lora_weights: '{v.start}', which "
        "reads whole weights",
        "Set trainer.strategy: ddp, or init_lora_weights: true.",
    ),
    Rule(
        lambda v: v.composite and not v.trained and not v.composite.instead,
        "model.base: a model made by 'edit {v.composite.edit}' has no trained component",
    ),
    Rule(
        lambda v: v.composite and not v.trained and v.composite.instead,
        "model.base: a model made by 'edit {v.composite.edit}' has no trained component",
        "{found}",
    ),
    Rule(
        lambda v: v.trained and v.lora is not None,
        "model.lora: a composite model takes no adapter",
        "Its trained component is small and trained whole: set model.lora: null.",
    ),
    Rule(
        lambda v: v.trained and v.trainable is not None,
        "model.trainable: a composite model trains its trained component whole",
        "Leave model.trainable out.",
    ),
    Rule(
        lambda v: v.trained and v.sharded,
        "trainer.strategy: fsdp2 does not shard a composite model",
        "Set trainer.strategy: ddp; only the trained component has gradients.",
    ),
    Rule(
        lambda v: v.trained and "hidden" in v.needs,
        "model.objectives: an objective reads hidden states, which a composite model does not have",
        "Take an objective on log-probabilities or logits.",
    ),
    Rule(
        lambda v: v.trained and v.reads("cached"),
        "model.reference: 'cached' keeps a copy of the output head, and a composite model has "
        "several",
        "Set model.reference: frozen, which shares the parts that never change.",
    ),
    # Names each pattern that names nothing, with the nearest names.
    Rule(
        lambda v: (
            v.trainable is not None
            and v.lora is None
            and v.composite is None
            and v.config is not None
            and refuse_unknown_names(v.config, v.trainable)
        )
    ),
    *(
        Rule(
            _missing_stream(key),
            f"model.lora.importance.{key}: data.streams.{{found}} is missing",
            "data.streams has: {v.stream_names}.",
        )
        for key in ("forget", "retain")
    ),
    Rule(
        lambda v: v.saliency and v.streams is not None and v.saliency.stream not in v.streams,
        "model.saliency.stream: there is no stream '{v.saliency.stream}'",
        "data.streams has: {v.stream_names}.",
    ),
    Rule(
        lambda v: (
            v.saliency
            and v.streams is not None
            and v.saliency.name == "wagle"
            and v.saliency.retain not in v.streams
        ),
        "model.saliency.retain: there is no stream '{v.saliency.retain}'",
        "data.streams has: {v.stream_names}.",
    ),
    Rule(
        lambda v: v.saliency and v.apart,
        "model.saliency needs each weight and its gradient whole on every process, and "
        "trainer.strategy takes them apart",
        "Set trainer.strategy: ddp.",
    ),
    Rule(
        lambda v: v.robust and v.apart,
        "model.robust: {v.robust.label} needs whole weights and whole gradients, and "
        "trainer.strategy takes them apart",
        "Set trainer.strategy: ddp.",
    ),
    Rule(
        lambda v: v.robust and v.accumulate > 1,
        "model.robust: {v.robust.label} is a function of all forget rows of the step, and "
        "trainer.accumulate_grad_batches: {v.accumulate} gives parts of it",
        "Raise data.batch_size, and set model.max_tokens_per_micro_batch: a batch then runs in "
        "the memory of one part, and the method stays exact.",
    ),
    Rule(
        _perturbed_too_far,
        "model.robust.blocks: block {found} is perturbed, but the model has "
        "{v.text.num_hidden_layers} decoder blocks",
        "Set blocks to at most {v.last_block}: they count from 0.",
    ),
    Rule(
        lambda v: v.trained and getattr(v.robust, "perturbs", False),
        "model.robust: {v.robust.label} adds to the outputs of decoder blocks, which a composite "
        "model does not have",
        "Take a robust method that does not perturb states, such as sam.",
    ),
    Rule(
        _too_long,
        "data.max_length: {v.max_length} is longer than the model's {found} positions",
        "Set data.max_length to at most {found}.",
    ),
    Rule(
        lambda v: v.text and v.vocabulary and v.vocabulary > v.text.vocab_size,
        "data.tokenizer: it has {v.vocabulary} tokens, but the model's vocabulary is "
        "{v.text.vocab_size}",
        "Give data.tokenizer the model's own tokenizer.",
    ),
    Rule(
        lambda v: v.text and v.layers and max(v.layers) >= v.text.num_hidden_layers,
        "model.objectives: layer {v.last_layer} is read, but the model has "
        "{v.text.num_hidden_layers} decoder blocks",
        "Set layer to at most {v.last_block}: blocks count from 0.",
    ),
    Rule(
        _tied_targets,
        "model.lora: {found} cannot be adapted, since the model ties its output "
        "head to its embedding (tie_word_embeddings: true) and a merge would change both",
        "Take it out of target_modules and modules_to_save, or use target_modules: all-linear.",
    ),
    Rule(
        lambda v: v.sharded and v.quantization,
        "model.base.quantization does not go with trainer.strategy: fsdp2: FSDP2 gathers plain "
        "weights, and bitsandbytes keeps what its weights stand for in the weight itself "
        "(huggingface/accelerate#3983)",
        "Set trainer.strategy: ddp: quantised weights are small and each process holds them.",
    ),
    # Processes would make different numbers of passes.
    Rule(
        _length_limit,
        "trainer.strategy: fsdp2 does not go with data.max_length: {v.max_length}: above {found} "
        "tokens the model's rotary frequencies change, and such rows need a pass of their own",
        "Set data.max_length to at most {found}, or trainer.strategy: ddp.",
    ),
)
