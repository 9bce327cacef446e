"""Rules on the arguments of an `UnlearningModule`."""

from __future__ import annotations

import math
import os
import shutil

from unlearnkit.engine.preflight.rule import Rule
from unlearnkit.engine.preflight.values import Values
from unlearnkit.engine.step.compiled import COMPILERS
from unlearnkit.engine.step.kernels import has_triton_device, liger_is_installed
from unlearnkit.models.adapter import FROM_WEIGHTS, MUTATING, UNMERGED, VARIANTS
from unlearnkit.models.base import as_base_model
from unlearnkit.models.load import is_adapter
from unlearnkit.models.quantized import quantization_config


def _iterations(v: Values) -> int | None:
    return getattr(v.lora, "svd_iterations", None) if v.start else None


def _no_compiler(v: Values) -> bool:
    known = (os.environ.get("CXX", ""), *COMPILERS)
    return v.compiled and not any(shutil.which(each) for each in known)


_LIGER = "model.head_kernel: liger "
_PARTS = "model.max_tokens_per_micro_batch"
_START = "model.lora.init_lora_weights: '{v.start}'"
_QUANTIZED = "model.base.quantization: {v.quantization}"

SETTINGS: tuple[Rule, ...] = (
    Rule(
        lambda v: v.reference_kind == "adapter_off" and v.lora is None,
        "model.reference: 'adapter_off' needs an adapter, and model.lora is null",
        "Set model.lora, or model.reference: frozen.",
    ),
    Rule(
        lambda v: v.reference_kind == "adapter_off" and v.changing,
        "model.reference: 'adapter_off' does not go with model.lora.{found}, which changes weights "
        "of the base: with the adapter off the model would not be what it was",
        "Set model.reference: frozen, or leave model.lora.{v.changing_key} out.",
    ),
    Rule(
        lambda v: v.reference_dtype is not None and v.kind != "frozen",
        "model.reference_dtype: {v.reference_dtype}: a reference of kind '{v.kind}' has no weights "
        "of its own",
        "Set model.reference: frozen, or leave model.reference_dtype out.",
    ),
    Rule(
        lambda v: not isinstance(v.reference_kind, str) and "reference" not in v.needs,
        "model.reference: no objective with a weight above 0 reads a reference",
        "Leave it out, or add one that does, such as retain_kl.",
    ),
    Rule(
        lambda v: v.quantization and v.lora is None,
        f"{_QUANTIZED} needs an adapter, since quantised weights cannot be trained",
        "Set model.lora, or leave quantization out.",
    ),
    Rule(
        lambda v: v.quantization and as_base_model(v.base).gguf_file,
        f"{_QUANTIZED} does not go with a GGUF file, which is dequantised on loading",
        "Leave quantization out, or give a folder with safetensors.",
    ),
    Rule(
        lambda v: v.quantization and is_adapter(as_base_model(v.base)),
        f"{_QUANTIZED} does not go with the folder of an adapter, which is merged as it is loaded",
        "Leave quantization out, or give what `unlearnkit export FOLDER OUT --merge` writes.",
    ),
    Rule(
        lambda v: v.quantization and v.reads("frozen") and v.lora is not None and not v.changing,
        f"{_QUANTIZED} does not go with model.reference: frozen",
        "Set model.reference: adapter_off, which is the same model without a copy.",
    ),
    Rule(
        lambda v: v.quantization and v.reads("frozen") and v.changing,
        f"{_QUANTIZED} does not go with model.reference: frozen, which model.lora.{{found}} needs",
        "Set model.reference: cached.",
    ),
    # Says itself that bitsandbytes is missing.
    Rule(lambda v: v.quantization and quantization_config(as_base_model(v.base)) and None),
    Rule(
        lambda v: v.lora and v.lora.init_lora_weights in MUTATING,
        "model.lora.init_lora_weights: '{v.lora.init_lora_weights}' changes the base's weights, "
        "and the adapter alone would be saved",
        f"Take one of: true, gaussian, orthogonal, {', '.join(FROM_WEIGHTS)}.",
    ),
    Rule(
        lambda v: next((n for n in UNMERGED if getattr(v.lora, n, None) is not None), None),
        "model.lora.{found}: such an adapter cannot be merged into the model, which is how the "
        "trained model is loaded",
        "Leave {found} out.",
    ),
    Rule(
        lambda v: v.start and v.quantization,
        f"{_START} decomposes the weights, and model.base.quantization rounds them",
        "Leave model.base.quantization out, or take init_lora_weights: true.",
    ),
    Rule(
        lambda v: v.start and next((n for n in VARIANTS if getattr(v.lora, n, None)), None),
        f"{_START} does not go with model.lora.{{found}}",
        "Leave one out.",
    ),
    Rule(
        lambda v: (n := _iterations(v)) is not None and (n < 0 or v.start == "olora"),
        "model.lora.svd_iterations: expected 0 or more, with pissa or fila; found "
        "{v.lora.svd_iterations} with {v.start}",
    ),
    Rule(
        lambda v: v.importance and v.importance.batch_size < 1,
        "model.lora.importance.batch_size: expected at least 1, found {v.importance.batch_size}",
    ),
    Rule(
        lambda v: not 0 <= v.warmup < math.inf,
        "model.warmup: expected 0 or more, and finite, found {v.warmup}",
        "Give a number of optimiser steps, or below 1 a part of all steps.",
    ),
    Rule(
        lambda v: v.max_tokens_per_micro_batch is not None and v.max_tokens_per_micro_batch < 1,
        f"{_PARTS}: expected at least 1, found {{v.max_tokens_per_micro_batch}}",
    ),
    Rule(
        lambda v: v.max_tokens_per_micro_batch is not None and ", ".join(v.whole),
        f"{_PARTS}: the loss of {{found}} is a function of the whole batch and cannot be computed "
        "in parts",
        "Leave it out, or lower data.batch_size.",
    ),
    Rule(
        lambda v: v.head_kernel == "liger" and not liger_is_installed(),
        f"{_LIGER}needs the package liger-kernel, which is not installed",
        "pip install 'unlearnkit[liger]', or leave it out.",
    ),
    Rule(
        lambda v: v.head_kernel == "liger" and liger_is_installed() and not has_triton_device(),
        f"{_LIGER}runs on a GPU, and this machine has none",
        "Leave it out; auto takes it where it can.",
    ),
    Rule(
        _no_compiler,
        "model.compile: torch.compile needs a C++ compiler, and none is found",
        "Install g++ or name one in the environment variable CXX, or leave model.compile out.",
    ),
    Rule(
        lambda v: getattr(v.gradient_checkpointing, "every", 1) < 1,
        "model.gradient_checkpointing.every: expected at least 1, found "
        "{v.gradient_checkpointing.every}",
    ),
    Rule(
        lambda v: v.compiled and getattr(v.gradient_checkpointing, "offload", False),
        "model.compile does not go with model.gradient_checkpointing.offload",
        "Leave one out.",
    ),
    Rule(
        lambda v: v.saliency and not 0 < v.saliency.fraction <= 1,
        "model.saliency.fraction: expected above 0 and at most 1, found {v.saliency.fraction}",
    ),
    Rule(
        lambda v: v.saliency and v.saliency.gamma is not None and not v.saliency.gamma > 0,
        "model.saliency.gamma: expected above 0, found {v.saliency.gamma}",
    ),
    Rule(
        lambda v: (
            v.saliency
            and v.saliency.name == "salun"
            and (v.saliency.gamma is not None or v.saliency.retain != "retain")
        ),
        "model.saliency: gamma and retain are of name: wagle, and it is salun",
        "Leave them out, or set name: wagle.",
    ),
    Rule(
        lambda v: v.saliency and v.lora is not None,
        "model.saliency does not go with model.lora: one factor of a new adapter is zero, so that "
        "the other has no gradient to choose by",
        "Train weights themselves (model.trainable picks some), or drop model.saliency.",
    ),
    Rule(
        lambda v: v.trainable is not None and v.lora is not None,
        "model.trainable does not go with model.lora, which trains its adapter alone",
        "Say where the adapter is put: model.lora.target_modules, model.lora.layers_to_transform.",
    ),
    Rule(
        lambda v: v.robust and v.robust.whole_weights and v.lora is not None,
        "model.robust: {v.robust.label} reads the directions of a weight's gradient, and the "
        "factors of model.lora have others",
        "Train weights themselves (model.trainable picks some).",
    ),
    Rule(
        lambda v: v.robust and v.robust.perturbs and v.gradient_checkpointing,
        "model.robust: {v.robust.label} adds to the outputs of decoder blocks, which would be "
        "missing where model.gradient_checkpointing recomputes them",
        "Set model.max_tokens_per_micro_batch, which saves memory too.",
    ),
    Rule(
        lambda v: v.robust and v.robust.perturbs and v.compiled,
        "model.robust: {v.robust.label} adds to the outputs of decoder blocks, which blocks that "
        "are compiled would not see",
        "Leave model.compile out.",
    ),
)
