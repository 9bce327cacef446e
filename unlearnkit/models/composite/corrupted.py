"""A composite model that corrupts the prompts of its classifier (ECO)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from unlearnkit.functional.corruption import corrupt
from unlearnkit.models.composite.base import CompositeConfig, OnBase
from unlearnkit.models.composite.classifiers import PromptClassifier, TokenClassifier
from unlearnkit.models.composite.encoder import own_states
from unlearnkit.models.composite.gated import prompts_of

CLASSIFIER, TOKENS = "classifier", "tokens"
"""Parts that decide which prompts are corrupted, and which of their tokens."""


class CorruptedConfig(CompositeConfig):
    """Config of a model with corrupted prompts.

    Args:
        coefficients: Of the regression, one a dimension of the prompt's mean hidden state.
        bias: Of the regression.
        layers: The hidden state that it sees is the last of so many, the embedding first.
        threshold: Prompts with a greater probability are corrupted.
        strength: Standard deviation of the noise, or the shift.
        dims: How many dimensions of an embedding are corrupted.
        seed: Of the noise.
        corruption: Its kind, one of `unlearnkit.functional.corruption.CORRUPTIONS`.
        before: Text in front of each prompt that a finetuned classifier does not see.
        after: Text behind each prompt, likewise.
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
        corruption: str = "rand_noise_first_n",
        before: str = "",
        after: str = "",
        **kwargs: Any,
    ) -> None:
        self.coefficients, self.bias, self.layers = coefficients or [], bias, layers
        self.threshold, self.strength, self.dims, self.seed = threshold, strength, dims, seed
        self.corruption, self.before, self.after = corruption, before, after
        super().__init__(**kwargs)


class CorruptedForCausalLM(OnBase, PreTrainedModel, GenerationMixin):
    """The base, with corrupted embeddings of prompts that a classifier takes for forgotten ones.

    All tokens of such a prompt but the last are corrupted, or those that a second classifier finds
    in it. Noise is the same at the same place in every prompt, so that answers do not depend on
    chance or on the batch. Other prompts give the base's output bit for bit. The prompt is what
    comes before the first response token, as of a gated model.

    Args:
        config: The corruption, and the regression if that decides.
        base: The model.
        classifier: Decides in place of the regression.
        tokens: Finds the tokens that are corrupted.
    """

    config: CorruptedConfig
    config_class = CorruptedConfig
    _supports_attention_backend = True
    reads_prompts = True
    """Asks the engine for ``prompt_lengths``."""

    def __init__(
        self,
        config: CorruptedConfig,
        base: PreTrainedModel,
        classifier: PromptClassifier | None = None,
        tokens: TokenClassifier | None = None,
    ) -> None:
        super().__init__(config)
        self.base = base.requires_grad_(False)
        self.classifier, self.tokens = classifier, tokens
        self.register_buffer(
            "coefficients", torch.tensor(config.coefficients, dtype=torch.float32), persistent=False
        )
        self.generation_config = copy.deepcopy(base.generation_config)
        self._held: Tensor | None = None
        self.eval()

    @torch.no_grad()
    def probability(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """That a prompt is about what is to be forgotten, ``[B, T] -> [B]``."""
        if self.classifier is not None:
            classifier: Any = self.classifier
            return classifier(input_ids, mask)
        states = own_states(self.base, input_ids, mask, self.config.layers)[:, -1]
        coefficients: Any = self.coefficients
        return (states @ coefficients + self.config.bias).sigmoid()

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
        """The base's output; a cache that is not empty has the prompts in it already."""
        assert input_ids is not None
        if cache is not None:
            kwargs["cache"] = cache
        kwargs |= self.placed(position_ids)
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
        """Embeddings ``[B, T, H]`` of the rows, those of chosen prompts corrupted."""
        config, place = self.config, mask.cumsum(-1)
        return corrupt(
            self.get_input_embeddings()(input_ids),
            chosen[:, None] & self._to_corrupt(input_ids, mask, place, chosen),
            config.corruption,
            dims=config.dims,
            strength=config.strength,
            seed=config.seed,
            # One draw a place of the prompt: a longer one has the same beginning.
            places=(place - 1).clamp(min=0),
        )

    def _to_corrupt(self, input_ids: Tensor, mask: Tensor, place: Tensor, chosen: Tensor) -> Tensor:
        """``[B, T]`` which tokens are meant, if the prompt is; all but the last where none is."""
        inside = mask == 1
        found = inside & (place < place[:, -1:])
        if self.tokens is not None:
            labelled = torch.zeros_like(found)
            labelled[chosen] = self.tokens(input_ids[chosen], mask[chosen]) & inside[chosen]
            found = torch.where(labelled.any(-1, keepdim=True), labelled, found)
        return found


AutoConfig.register(CorruptedConfig.model_type, CorruptedConfig, exist_ok=True)
AutoModelForCausalLM.register(CorruptedConfig, CorruptedForCausalLM, exist_ok=True)
