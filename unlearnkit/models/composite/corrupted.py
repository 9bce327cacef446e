"""A composite model that corrupts the prompts of its classifier (ECO)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from unlearnkit.models.composite.base import CompositeConfig, OnBase
from unlearnkit.models.composite.encoder import own_states
from unlearnkit.models.composite.gated import prompts_of


class CorruptedConfig(CompositeConfig):
    """Config of a model with corrupted prompts.

    Args:
        coefficients: Of the classifier, one a dimension of the prompt's mean hidden state.
        bias: Of the classifier.
        layers: The hidden state that it sees is the last of so many, the embedding first.
        threshold: Prompts with a greater probability are corrupted.
        strength: Standard deviation of the noise.
        dims: How many of the first dimensions of an embedding it is added to.
        seed: Of the noise.
        **kwargs: As of any composite model.
    """

    model_type = "unlearnkit_corrupted"
    made_by = "eco"
    above = "classifier"
    instead = "Make the model anew: unlearnkit edit eco."

    def __init__(
        self,
        coefficients: list[float] | None = None,
        bias: float = 0.0,
        layers: int = 1,
        threshold: float = 0.99,
        strength: float = 1.0,
        dims: int = 1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self.coefficients, self.bias, self.layers = coefficients or [], bias, layers
        self.threshold, self.strength, self.dims, self.seed = threshold, strength, dims, seed
        super().__init__(**kwargs)


class CorruptedForCausalLM(OnBase, PreTrainedModel, GenerationMixin):
    """The base, with noise in the embeddings of prompts that a classifier takes for forgotten ones.

    All tokens of such a prompt but the last have the noise, the same at the same place in every
    prompt, so that answers do not depend on chance or on the batch. Other prompts give the base's
    output bit for bit. The prompt is what comes before the first response token, as of a gated
    model.

    Args:
        config: The classifier and the noise.
        base: The model.
    """

    config: CorruptedConfig
    config_class = CorruptedConfig
    _supports_attention_backend = True
    reads_prompts = True
    """Asks the engine for ``prompt_lengths``."""

    def __init__(self, config: CorruptedConfig, base: PreTrainedModel) -> None:
        super().__init__(config)
        self.base = base.requires_grad_(False)
        self.register_buffer(
            "coefficients", torch.tensor(config.coefficients, dtype=torch.float32), persistent=False
        )
        self.generation_config = copy.deepcopy(base.generation_config)
        self._held: Tensor | None = None
        self.eval()

    @torch.no_grad()
    def probability(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """That a prompt is about what is to be forgotten, ``[B, T] -> [B]``."""
        states = own_states(self.base, input_ids, mask, self.config.layers)[:, -1]
        coefficients: Any = self.coefficients
        return (states @ coefficients + self.config.bias).sigmoid()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        cache: Any = None,
        prompt_lengths: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """The base's output; a cache that is not empty has the prompts in it already."""
        assert input_ids is not None
        if cache is not None:
            kwargs["cache"] = cache
        given: dict[str, Any] = {"input_ids": input_ids}
        if cache is None or not cache.get_seq_length():
            mask = self._held_for(input_ids)
            if mask is None:
                mask = prompts_of(input_ids, attention_mask, labels, prompt_lengths)
            chosen = self.probability(input_ids, mask) > self.config.threshold
            if bool(chosen.any()):
                given = {"inputs_embeds": self._corrupted(input_ids, mask, chosen)}
        return self.base(attention_mask=attention_mask, labels=labels, **given, **kwargs)

    def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any:
        """As in transformers; the prompt stays what was given, with a cache or without."""
        given = kwargs.get("input_ids") if inputs is None else inputs
        if given is None:
            raise ValueError("a model that corrupts prompts generates from input_ids")
        self._held = prompts_of(given, kwargs.get("attention_mask"), None, None)
        try:
            return super().generate(inputs, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        finally:
            self._held = None

    def _held_for(self, input_ids: Tensor) -> Tensor | None:
        """``[B, T]`` where the prompts are that `generate` was given, if it runs."""
        if self._held is None:
            return None
        # Beams, or several samples of a prompt.
        held = self._held.repeat_interleave(len(input_ids) // len(self._held), dim=0)
        return nn.functional.pad(held, (0, input_ids.shape[1] - held.shape[1]))

    def _corrupted(self, input_ids: Tensor, mask: Tensor, chosen: Tensor) -> Tensor:
        """Embeddings ``[B, T, H]`` of the rows, those of chosen prompts with noise."""
        embedded = self.get_input_embeddings()(input_ids)
        generator = torch.Generator().manual_seed(self.config.seed)
        # One draw a place, from the first on: a longer prompt has the same beginning.
        rows = [
            torch.randn(self.config.dims, generator=generator) for _ in range(input_ids.shape[1])
        ]
        noise = torch.stack(rows).to(embedded) * self.config.strength
        place = mask.cumsum(-1)
        hit = chosen[:, None] & (mask == 1) & (place < place[:, -1:])
        added = noise[(place - 1).clamp(min=0)] * hit[..., None]
        return torch.cat(
            [embedded[..., : self.config.dims] + added, embedded[..., self.config.dims :]], dim=-1
        )


AutoConfig.register(CorruptedConfig.model_type, CorruptedConfig, exist_ok=True)
AutoModelForCausalLM.register(CorruptedConfig, CorruptedForCausalLM, exist_ok=True)
