"""A composite model with one gated adapter per request (O3)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from unlearnkit.functional.ood_gate import PublishedGate, published_weight
from unlearnkit.models.composite.base import PARTS, CompositeConfig, OnBase, refuse_ignored
from unlearnkit.models.composite.detector import Detector
from unlearnkit.models.composite.encoder import TextEncoder, own_states
from unlearnkit.models.composite.parts import with_fingerprints

DETECTOR = "detector.safetensors"
PUBLISHED = get_args(PublishedGate)
ENCODER = "encoder"
"""The part that all detectors look through; with a request's name behind it one's own."""


class GatedConfig(CompositeConfig):
    """Config of a gated model.

    Args:
        adapters: Names of the requests, in their order; each has a folder below ``parts``.
        score: The detectors' layer score.
        layers: Hidden states that detectors see, from the embedding on.
        gate: ``soft`` (an adapter counts with the gate's weight), ``hard`` (wholly), or a rule of
            `published_weight`.
        threshold: Weights below it are 0; not read by the rules that are published.
        **kwargs: As of any composite model.
    """

    model_type = "unlearnkit_gated"
    made_by = "o3"
    above = "gate"
    instead = "Train an adapter for the next request on its base, and make the model anew."

    def __init__(
        self,
        adapters: list[str] | None = None,
        score: str = "cosine",
        layers: int = 1,
        gate: str = "soft",
        threshold: float = 0.5,
        **kwargs: Any,
    ) -> None:
        self.adapters = adapters or []
        self.score, self.layers, self.gate, self.threshold = score, layers, gate, threshold
        super().__init__(**kwargs)

    @property
    def saved(self) -> tuple[str, ...]:
        """The adapters, each with its detector."""
        return tuple(self.adapters)


class GatedForCausalLM(OnBase, PreTrainedModel, GenerationMixin):
    """``y = Wx + w·s·BAx`` with a weight ``w`` for each prompt, found by its detectors.

    A prompt has the adapter of the request whose detector gives it the largest weight. Where that
    is below the threshold it is 0, and the output is the base's bit for bit. The prompt is what
    comes before the first response token: all that `generate` is given, ``prompt_lengths`` tokens
    of a call, else what has no label, else the whole input.

    Args:
        config: Its requests and its gate.
        model: The base with an adapter for each request.
        detectors: One for each request.
        encoder: What detectors see prompts through, one for all or one for each request; by default
            the base itself.
    """

    config: GatedConfig
    config_class = GatedConfig
    _supports_attention_backend = True
    reads_prompts = True
    """Asks the engine for ``prompt_lengths``."""

    def __init__(
        self,
        config: GatedConfig,
        model: PeftModel,
        detectors: Mapping[str, Detector],
        encoder: TextEncoder | Mapping[str, TextEncoder] | None = None,
    ) -> None:
        super().__init__(config)
        own = encoder if isinstance(encoder, Mapping) else {}
        self.encoder = None if isinstance(encoder, Mapping) else encoder
        self.encoders = nn.ModuleDict({name: own[name] for name in config.adapters if own})
        self.gated = model.requires_grad_(False)
        self.detectors = nn.ModuleDict({name: detectors[name] for name in config.adapters})
        self.generation_config = copy.deepcopy(self.base.generation_config)
        self._held: Tensor | None = None
        self.eval()

    @property
    def base(self) -> Any:
        """The base, in which the adapters sit."""
        return self.gated.get_base_model()

    def open_base(self) -> None:
        """Gives the base gradients, and its adapters none."""
        super().open_base()
        self._freeze_adapters()

    def _freeze_adapters(self) -> None:
        """Takes their gradients away, which PEFT gives back to them when it switches them on."""
        for layer in self.gated.modules():
            if isinstance(layer, LoraLayer):
                for name in layer.adapter_layer_names:
                    getattr(layer, name).requires_grad_(False)

    @torch.no_grad()
    def gate_weights(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The weight of each request's adapter for each prompt, before the choice among them.

        Args:
            input_ids: ``[B, T]`` prompts, padded on either side.
            attention_mask: ``[B, T]``.

        Returns:
            ``[B, requests]`` between 0 and 1.
        """
        given = (input_ids, attention_mask)
        shared = None if self.encoders else self.features(*given)
        found = [
            detector(self.features(*given, name) if shared is None else shared)
            for name, detector in self.detectors.items()
        ]
        return torch.stack(found, dim=1)

    @torch.no_grad()
    def features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, request: str | None = None
    ) -> Tensor:
        """Mean hidden states of each prompt, ``[B, T] -> [B, layers, H]`` float32.

        Args:
            input_ids: ``[B, T]`` prompts, padded on either side.
            attention_mask: ``[B, T]``.
            request: Whose detector is to see them; where each has an encoder of its own.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        encoder = self.encoder if request is None else self.encoders[request]
        if encoder is not None:
            return encoder(input_ids, mask, self.config.layers)
        with self.gated.disable_adapter():
            found = own_states(self.base, input_ids, mask, self.config.layers)
        self._freeze_adapters()
        return found

    def chosen(self, weights: Tensor) -> Tensor:
        """The weights as they are applied, ``[B, requests]``: of a row, one or none is not 0."""
        gate: Any = self.config.gate
        if gate in PUBLISHED:
            counted = published_weight(weights, gate)
        else:
            whole = torch.ones_like(weights) if gate == "hard" else weights
            counted = torch.where(weights >= self.config.threshold, whole, 0.0)
        largest = counted.amax(1, keepdim=True)
        # Of adapters that count alike, the one whose detector is surer.
        which = weights.masked_fill(counted < largest, -1.0).argmax(1, keepdim=True)
        return torch.zeros_like(weights).scatter(1, which, largest)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        cache: Any = None,
        prompt_lengths: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """The base's output with the adapters that the prompts ask for.

        A cache keeps the weights of the prompts that it was begun with.
        """
        assert input_ids is not None
        weights = self._held
        if weights is None:
            weights = getattr(cache, "gate", None)
        if weights is None:
            mask = prompts_of(input_ids, attention_mask, labels, prompt_lengths)
            weights = self.chosen(self.gate_weights(input_ids, mask))
        if len(weights) != len(input_ids):  # beams, or several samples of a prompt
            weights = weights.repeat_interleave(len(input_ids) // len(weights), dim=0)
        kwargs |= self.placed(position_ids)
        if cache is not None:
            kwargs["cache"] = cache
        with self._applied(weights):
            output = self.base(
                input_ids=input_ids, attention_mask=attention_mask, labels=labels, **kwargs
            )
        if getattr(output, "cache", None) is not None:
            output.cache.gate = weights
        return output

    def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any:
        """As in transformers; the weights are those of the prompts, at every token."""
        given = kwargs.get("input_ids") if inputs is None else inputs
        if given is None:
            raise ValueError("a gated model generates from input_ids")
        weights = self.chosen(self.gate_weights(given, kwargs.get("attention_mask")))
        self._held = weights
        try:
            return super().generate(inputs, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        finally:
            self._held = None

    @contextmanager
    def _applied(self, weights: Tensor) -> Iterator[None]:
        """The adapters that any row asks for, scaled row by row."""
        active = [name for i, name in enumerate(self.config.adapters) if bool(weights[:, i].any())]
        if not active:
            with self.gated.disable_adapter():
                yield
            self._freeze_adapters()
            return
        tuner: Any = self.gated.base_model
        tuner.set_adapter(active, inference_mode=True)
        before: list[tuple[Any, str, float]] = []
        try:
            for layer in self.gated.modules():
                if not isinstance(layer, LoraLayer):
                    continue
                for name in active:
                    if name in layer.scaling:
                        before.append((layer, name, layer.scaling[name]))
                        column = weights[:, self.config.adapters.index(name)]
                        layer.scaling[name] = (layer.scaling[name] * column)[:, None, None]
            yield
        finally:
            for layer, name, scaling in before:
                layer.scaling[name] = scaling

    def save_pretrained(self, save_directory: str | Path, **given: Any) -> None:
        """Writes adapters and detectors, and where the base is.

        Raises:
            TypeError: For an argument that would be ignored.
        """
        refuse_ignored(self, given)
        folder = Path(save_directory)
        for name in self.config.adapters:
            # PEFT writes into a folder of the adapter's name.
            self.gated.save_pretrained(str(folder / PARTS), selected_adapters=[name])
            detector: Any = self.detectors[name]
            detector.save(folder / PARTS / name / DETECTOR)
        with_fingerprints(self.config, folder).save_pretrained(folder)
        self.generation_config.save_pretrained(folder)


def prompts_of(
    input_ids: Tensor,
    attention_mask: Tensor | None,
    labels: Tensor | None,
    prompt_lengths: Tensor | None,
) -> Tensor:
    """A mask ``[B, T]`` of the prompts."""
    places = torch.arange(input_ids.shape[1], device=input_ids.device)
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
    if prompt_lengths is not None:
        return mask * (places < prompt_lengths[:, None])
    if labels is not None:
        unlabelled = (labels != -100).cumsum(-1) == 0
        # Without an unlabelled token in front, the whole text is the prompt.
        has_prompt = (mask * unlabelled).any(-1, keepdim=True)
        return mask * torch.where(has_prompt, unlabelled, True)
    return mask


AutoConfig.register(GatedConfig.model_type, GatedConfig, exist_ok=True)
AutoModelForCausalLM.register(GatedConfig, GatedForCausalLM, exist_ok=True)
